//! The sources of values, each turned into [`Settings`] that figment merges.
//!
//! Structure is checked here, source by source, so that a later one cannot hide an unknown key of
//! an earlier one; values are checked once they are merged. figment merges the places of values and
//! remembers their origins. The values themselves, which may be URLs with passwords, never enter it.

use super::environment::{CONFIG_VARIABLE, Environment};
use super::keys::{Key, Keys, PREFIX};
use super::problem::{Problem, one_line};
use super::unknown::{not_a_setting, unknown_key, unknown_variable};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize as _;
use std::path::{Path, PathBuf};
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
    pub(super) problems: Vec<Problem>,
    /// One line each.
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
        let tree = figment::util::nest(self.key.name, self.number.into());
        let tree = tree.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, tree)]))
    }
}

/// The maximum number of problems of one file's structure that are listed.
const MAX_PROBLEMS: usize = 100;

impl Settings {
    /// Adds one setting. `origin` is for messages; `file` is set if the setting is from a file.
    fn add(&mut self, key: &'static Key, value: Value, origin: &str, file: Option<&Path>) {
        let metadata = Metadata::named(one_line(origin));
        let place = Place {
            key,
            number: self.values.len(),
            metadata: match file {
                Some(file) => metadata.source(file),
                None => metadata,
            },
        };
        self.values.push(value);
        self.merged = std::mem::take(&mut self.merged).merge(place);
    }

    /// Adds the settings of a TOML file's text.
    pub(super) fn add_toml(&mut self, path: &Path, text: &str) {
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
        self.problems.push(Problem::new(&text));
    }

    /// Adds the settings of the environment. A variable that may be a misspelt one or another program's is a warning.
    pub(super) fn add_environment(&mut self, environment: &Environment) {
        for (name, value) in environment.variables() {
            if name == CONFIG_VARIABLE {
                continue;
            }
            let known = self.keys.iter().find(|key| key.variable() == name);
            match (known, value.to_str()) {
                (Some(key), Some(text)) => self.add(key, key.value_of(text), name, None),
                (Some(key), None) => self.problems.push(Problem::new(&format!(
                    "{}: is not UTF-8 ({name}); write it in UTF-8",
                    key.name
                ))),
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
    fn table(&mut self, prefix: &str, table: DeTable<'_>) {
        let keys = self.settings.keys;
        // In the order of the file, whatever order the map has.
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, node) in entries {
            let origin = format!("{}:{}", self.path.display(), self.line(name.span().start));
            let name: &str = name.get_ref();
            let full = match prefix {
                "" => name.to_owned(),
                prefix => format!("{prefix}.{name}"),
            };
            // A quoted key may contain dots and would pass for a path.
            let is_path = !name.contains('.');
            if is_path && keys.is_section(&full) {
                match node.into_inner() {
                    DeValue::Table(inner) => self.table(&full, inner),
                    _ => self.problem(|| Problem::new(&format!(
                        "{full}: is a table, not a key ({origin}); write [{full}] and its keys below"
                    ))),
                }
                continue;
            }
            match (
                keys.find(&full).filter(|_| is_path),
                Value::deserialize(ValueDeserializer::from(node)),
            ) {
                (_, Err(error)) => self.syntax_error(&error),
                (Some(key), Ok(value)) => self.settings.add(key, value, &origin, Some(self.path)),
                (None, Ok(_)) => self.problem(|| unknown_key(keys, &full, &origin)),
            }
        }
    }

    /// Adds a problem. Beyond the maximum it is only counted: its text would cost a search for similar keys.
    fn problem(&mut self, text: impl FnOnce() -> Problem) {
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
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |line| line.chars().count())
            + 1;
        let what = error.message().replace('\n', ", ");
        let place = format!("{}:{line}:{column}", self.path.display());
        self.problem(|| Problem::new(&format!("{place}: not valid TOML: {what}")));
    }

    fn line(&self, position: usize) -> usize {
        self.newlines.partition_point(|newline| *newline < position) + 1
    }
}
