//! The sources of values, each turned into [`Settings`] that figment merges.
//!
//! Structure is checked here, source by source, so that a later one cannot hide an unknown key of
//! an earlier one; values are checked once they are merged. figment merges the places of values and
//! remembers their origins. The values themselves, which may be URLs with passwords, never enter it.

use super::environment::{CONFIG_VARIABLE, Environment};
use super::unknown::{not_a_setting, unknown_key, unknown_variable};
use crate::config::file::{ReadError, read_text};
use crate::config::keys::{Key, Keys, PREFIX};
use crate::text::safe;
use figment::providers::Serialized;
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize as _;
use std::path::{Path, PathBuf};
use std::{fs, io};
use toml::Value;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

/// What the sources have given so far, added from the lowest layer to the highest.
#[derive(Default)]
pub(super) struct Settings {
    /// The keys that there are.
    pub(super) keys: Keys,
    /// The values of keys, merged or overridden.
    pub(super) values: Vec<Value>,
    /// For each key that is set, the place in `values`, with its origin as metadata.
    pub(super) merged: Figment,
    /// The files that were read, in order.
    pub(super) files: Vec<PathBuf>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// One setting as figment sees it.
struct Place {
    key: &'static Key,
    number: usize,
    metadata: Metadata,
}

impl Provider for Place {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Serialized::default(self.key.name, self.number).data()
    }
}

/// What it means if a file is not there or cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Both are problems.
    Required,
    /// It need not be there.
    IfPresent,
    /// It need not be there, and if it cannot be read that is a warning.
    IfReadable,
}

impl Settings {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    /// Adds one setting. `origin` is for messages; `file` is set if the setting is from a file.
    fn add(&mut self, key: &'static Key, value: Value, origin: &str, file: Option<&Path>) {
        let mut metadata = Metadata::named(safe(origin).into_owned());
        metadata.source = file.map(Into::into);
        let number = self.values.len();
        self.values.push(value);
        let place = Place {
            key,
            number,
            metadata,
        };
        self.merged = std::mem::take(&mut self.merged).merge(place);
    }

    /// Adds a file, and the files in `PATH.d` sorted by name: `*.toml`, without hidden ones.
    pub(super) fn add_file_and_drop_ins(&mut self, path: &Path, need: Need) {
        self.add_file(path, need);
        let mut folder = path.as_os_str().to_owned();
        folder.push(".d");
        let folder = PathBuf::from(folder);
        match drop_ins(&folder).map_err(ReadError::from) {
            Ok(paths) => paths.iter().for_each(|path| self.add_file(path, need)),
            Err(ReadError::Missing(_)) => {}
            Err(error) => self.unreadable(&folder, &error, need),
        }
    }

    /// Adds a file.
    pub(super) fn add_file(&mut self, path: &Path, need: Need) {
        const MAX_FILE: u64 = 1 << 20;
        match read_text(path, MAX_FILE) {
            Ok(text) => self.add_toml(path, &text),
            Err(error) => self.unreadable(path, &error, need),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &ReadError, need: Need) {
        let what = format!("cannot read {}: {error}", path.display());
        match (need, error, error.help()) {
            (Need::IfPresent | Need::IfReadable, ReadError::Missing(_), _) => {}
            (Need::IfReadable, ..) => self.warnings.push(safe(&(what + "; skipped")).into_owned()),
            (_, _, Some(help)) => self.problems.push(format!("{what}; {help}")),
            _ => self.problems.push(what),
        }
    }

    /// Adds the settings of a TOML file's text.
    fn add_toml(&mut self, path: &Path, text: &str) {
        self.files.push(path.to_owned());
        let newlines = text.match_indices('\n').map(|(at, _)| at).collect();
        let mut walk = Walk {
            path,
            text,
            newlines,
            found: 0,
            settings: self,
        };
        match DeTable::parse(text) {
            Ok(table) => walk.table("", table.into_inner()),
            Err(error) => walk.syntax_error(&error),
        }
        let more = match walk.found.saturating_sub(MAX_PROBLEMS) {
            0 => return,
            1 => "1 more problem".to_owned(),
            more => format!("{more} more problems"),
        };
        let path = path.display();
        let text = format!("{path}: {more} in this file; correct those above first");
        self.problems.push(text);
    }

    /// Adds the settings of the environment. A variable that may be a misspelt one or another program's is a warning.
    pub(super) fn add_environment(&mut self, environment: &Environment) {
        for (name, value) in environment.variables() {
            let known = self.keys.iter().find(|key| key.variable() == name);
            match (known, value.to_str()) {
                _ if name == CONFIG_VARIABLE => {}
                (Some(key), Some(text)) => self.add(key, (key.value_of)(text), name, None),
                (Some(Key { name: key, .. }), None) => self
                    .problems
                    .push(format!("{key}: is not UTF-8 ({name}); write it in UTF-8")),
                (None, _) if name.starts_with(PREFIX) && name.contains("__") => {
                    self.problems.push(unknown_variable(self.keys, name));
                }
                (None, _) => self.warnings.extend(not_a_setting(self.keys, name)),
            }
        }
    }

    /// Adds the settings of the command line.
    pub(super) fn add_flags(&mut self, values: &[(&'static str, Value)]) {
        const ORIGIN: &str = "command line";
        for (name, value) in values {
            match self.keys.find(name) {
                Some(key) => self.add(key, value.clone(), ORIGIN, None),
                None => self.problems.push(unknown_key(self.keys, name, ORIGIN)),
            }
        }
    }
}

fn drop_ins(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".toml") && !bytes.starts_with(b".") {
            paths.push(folder.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

/// The maximum number of problems of one file's structure that are listed.
const MAX_PROBLEMS: usize = 100;

/// A walk through the tables of a file.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    /// Where each line ends. Found once, since a file may have a hundred thousand keys.
    newlines: Vec<usize>,
    /// The number of problems of this file, listed or not.
    found: usize,
    settings: &'a mut Settings,
}

impl Walk<'_> {
    /// `prefix` is the table's dotted name with a dot after it.
    fn table(&mut self, prefix: &str, table: DeTable<'_>) {
        let keys = self.settings.keys;
        // In the order of the file, whatever order the map has.
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, node) in entries {
            let origin = format!("{}:{}", self.path.display(), self.line(name.span().start));
            let full = format!("{prefix}{}", name.get_ref());
            // A quoted key may contain dots and would pass for a path.
            let is_path = !name.get_ref().contains('.');
            if is_path && keys.is_section(&full) {
                match node.into_inner() {
                    DeValue::Table(inner) => self.table(&(full + "."), inner),
                    _ => self.problem(|| format!(
                        "{full}: is a table, not a key ({origin}); write [{full}] and its keys below"
                    )),
                }
                continue;
            }
            let key = keys.find(&full).filter(|_| is_path);
            match (key, Value::deserialize(ValueDeserializer::from(node))) {
                (_, Err(error)) => self.syntax_error(&error),
                (Some(key), Ok(value)) => self.settings.add(key, value, &origin, Some(self.path)),
                (None, Ok(_)) => self.problem(|| unknown_key(keys, &full, &origin)),
            }
        }
    }

    /// Adds a problem. Beyond the maximum it is only counted: its text would cost a search for similar keys.
    fn problem(&mut self, text: impl FnOnce() -> String) {
        self.found += 1;
        if self.found <= MAX_PROBLEMS {
            self.settings.problems.push(text());
        }
    }

    /// Without the error's own text, which would quote the line and any password in it.
    fn syntax_error(&mut self, error: &Error) {
        let start = error.span().map_or(0, |span| span.start);
        let line = self.line(start);
        let before = self.text.get(..start).unwrap_or_default();
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let what = error.message().replace('\n', ", ");
        let path = self.path.display();
        self.problem(|| format!("{path}:{line}:{column}: not valid TOML: {what}"));
    }

    fn line(&self, position: usize) -> usize {
        self.newlines.partition_point(|newline| *newline < position) + 1
    }
}
