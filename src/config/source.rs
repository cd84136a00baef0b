//! The places that values come from, each turned into [`Setting`]s that figment merges.
//!
//! Structure is checked here, source by source, so that a later one cannot hide an unknown key of
//! an earlier one; values are checked once they are merged.

use super::environment::Environment;
use super::keys::{self, Key, PREFIX, Shape, is_section};
use super::problem::{Problem, not_a_setting, unknown_key, unknown_variable};
use super::slips::is_bracketed;
use figment::value::{Dict, Map};
use figment::{Metadata, Profile, Provider};
use std::path::{Path, PathBuf};
use toml::Value;
use toml::de::{DeTable, DeValue};

/// A value for a key, with its origin.
#[derive(Debug)]
pub(super) struct Setting {
    key: &'static Key,
    value: Value,
    origin: String,
    file: Option<PathBuf>,
}

impl Provider for Setting {
    /// The name is the origin as messages show it; the source is the file, if it is one.
    fn metadata(&self) -> Metadata {
        let metadata = Metadata::named(self.origin.clone());
        match &self.file {
            Some(file) => metadata.source(file.as_path()),
            None => metadata,
        }
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let value = figment::value::Value::serialize(&self.value)?;
        let tree = figment::util::nest(self.key.name, value);
        let tree = tree.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, tree)]))
    }
}

/// The most problems of one file's structure that are told, each in a line.
const MOST_PROBLEMS: usize = 100;

/// The settings of a TOML file's text.
pub(super) fn from_toml(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Setting> {
    // Once for the lines of the keys, once for the values.
    let parsed = DeTable::parse(text).and_then(|lines| Ok((lines, text.parse::<toml::Table>()?)));
    match parsed {
        Ok((lines, table)) => {
            let mut walk = Walk {
                path,
                newlines: newlines(text),
                problems,
                found: 0,
                settings: Vec::new(),
            };
            walk.table("", lines.get_ref(), &table);
            walk.count_the_rest();
            walk.settings
        }
        Err(error) => {
            problems.push(syntax_error(path, text, &error));
            Vec::new()
        }
    }
}

/// The error's own text would quote the line, and with it what may be a password.
fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count())
        + 1;
    let what = error.message().replace('\n', ", ");
    let line = line_at(&newlines(text), start);
    let place = format!("{}:{line}:{column}", path.display());
    Problem::new(&format!("{place}: not valid TOML: {what}"))
}

/// Where each line ends. Found once, since a file may have a hundred thousand keys.
fn newlines(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at).collect()
}

fn line_at(newlines: &[usize], position: usize) -> usize {
    newlines.partition_point(|newline| *newline < position) + 1
}

struct Walk<'a> {
    path: &'a Path,
    newlines: Vec<usize>,
    problems: &'a mut Vec<Problem>,
    /// Problems of this file, told or not.
    found: usize,
    settings: Vec<Setting>,
}

impl Walk<'_> {
    /// Adds a problem, unless there are enough; then it is not even put into words, which takes a search.
    fn problem(&mut self, words: impl FnOnce() -> Problem) {
        self.found += 1;
        if self.found <= MOST_PROBLEMS {
            self.problems.push(words());
        }
    }

    fn count_the_rest(&mut self) {
        let more = match self.found.saturating_sub(MOST_PROBLEMS) {
            0 => return,
            1 => "1 more problem".to_owned(),
            more => format!("{more} more problems"),
        };
        let path = self.path.display();
        let text = format!("{path}: {more} in this file; correct those above first");
        self.problems.push(Problem::new(&text));
    }

    fn table(&mut self, prefix: &str, lines: &DeTable<'_>, values: &toml::Table) {
        // In the order of the file, whatever order the map has.
        let mut entries: Vec<_> = lines.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, node) in entries {
            let line = line_at(&self.newlines, name.span().start);
            let origin = format!("{}:{line}", self.path.display());
            let name: &str = name.get_ref();
            let Some(value) = values.get(name) else {
                continue;
            };
            let full = match prefix {
                "" => name.to_owned(),
                prefix => format!("{prefix}.{name}"),
            };
            // A quoted key may hold dots and would pass for a path.
            let key = keys::find(&full).filter(|_| !name.contains('.'));
            match (node.get_ref(), value) {
                _ if key.is_some() => self.settings.extend(key.map(|key| Setting {
                    key,
                    value: value.clone(),
                    origin,
                    file: Some(self.path.to_owned()),
                })),
                _ if !is_section(&full) || name.contains('.') => {
                    self.problem(|| unknown_key(&full, &origin));
                }
                (DeValue::Table(lines), Value::Table(values)) => self.table(&full, lines, values),
                _ => self.problem(|| {
                    Problem::new(&format!(
                        "{full}: is a table, not a key ({origin}); write [{full}] and its keys below"
                    ))
                }),
            }
        }
    }
}

/// The settings of the environment; what may be a slip and may be somebody else's variable is a
/// warning.
pub(super) fn from_environment(
    environment: &Environment,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, value) in environment.variables() {
        if name == super::load::CONFIG_VARIABLE {
            continue;
        }
        if !name.starts_with(PREFIX) {
            warnings.extend(not_a_setting(name));
            continue;
        }
        let Some(key) = keys::keys().find(|key| key.variable() == name) else {
            if name.contains("__") {
                problems.push(unknown_variable(name));
            } else {
                warnings.extend(not_a_setting(name));
            }
            continue;
        };
        match value.to_str() {
            Some(text) => settings.push(Setting {
                key,
                value: shaped(text, key.shape),
                origin: name.to_owned(),
                file: None,
            }),
            None => problems.push(Problem::new(&format!(
                "{}: is not UTF-8 ({name}); write it in UTF-8",
                key.name
            ))),
        }
    }
    settings
}

/// Text as the TOML value that it stands for. What does not fit stays text, and fails as such.
fn shaped(text: &str, shape: Shape) -> Value {
    let trimmed = text.trim();
    match shape {
        Shape::Number | Shape::Size => trimmed.parse().map_or_else(|_| text.into(), Value::Integer),
        Shape::Boolean => trimmed.parse().map_or_else(|_| text.into(), Value::Boolean),
        Shape::List | Shape::Urls if trimmed.is_empty() => Value::Array(Vec::new()),
        Shape::List | Shape::Urls if is_bracketed(trimmed) => trimmed.into(),
        Shape::Urls => urls(trimmed),
        Shape::List => {
            let entries = text.split(',').map(|entry| entry.trim().into());
            Value::Array(entries.collect())
        }
        Shape::Text => text.into(),
    }
}

/// A comma within a password does not start the next URL, which would show its rest in a message.
fn urls(text: &str) -> Value {
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',') {
        match urls.last_mut() {
            Some(url) if !part.trim_start().starts_with("amqp") => {
                url.push(',');
                url.push_str(part);
            }
            _ => urls.push(part.to_owned()),
        }
    }
    Value::Array(urls.iter().map(|url| url.trim().into()).collect())
}

/// The settings of the command line.
pub(super) fn from_flags(
    values: &[(&'static str, Value)],
    problems: &mut Vec<Problem>,
) -> Vec<Setting> {
    const ORIGIN: &str = "command line";
    let mut settings = Vec::new();
    for (name, value) in values {
        match keys::find(name) {
            Some(key) => settings.push(Setting {
                key,
                value: value.clone(),
                origin: ORIGIN.into(),
                file: None,
            }),
            None => problems.push(unknown_key(name, ORIGIN)),
        }
    }
    settings
}
