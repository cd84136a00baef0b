//! A loaded configuration: its values, and where each came from, which figment remembers; both as text without passwords.

use crate::config::keys::Config;
use crate::text::{is_unsafe, safe};
use figment::{Figment, Metadata};
use std::path::{Path, PathBuf};
use toml::Value;

/// A configuration with where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What deserves a warning but is no error, one line each.
    pub warnings: Vec<String>,
    /// The origins of all keys that are set, and none of their values.
    pub(super) origins: Figment,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Entry {
    /// The dotted key.
    pub key: &'static str,
    /// Its value as TOML, passwords in URLs as `***`; `None` if it is not set.
    pub value: Option<Value>,
    /// Where the value came from: `default`, `FILE:LINE`, a variable's name, `command line`.
    pub origin: String,
}

impl Loaded {
    /// Where a key's value came from: `default`, `FILE:LINE`, a variable's name, `command line`.
    pub fn origin(&self, key: &str) -> &str {
        self.metadata(key)
            .map_or("default", |metadata| &metadata.name)
    }

    /// The file that a key's value came from, if it is one.
    pub(super) fn file(&self, key: &str) -> Option<&Path> {
        self.metadata(key)?.source.as_ref()?.file_path()
    }

    fn metadata(&self, key: &str) -> Option<&Metadata> {
        self.origins.find_metadata(key)
    }

    /// The files, as a message names them.
    pub fn sources(&self) -> String {
        if self.files.is_empty() {
            return "no file, built-in defaults".to_owned();
        }
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| file.to_string_lossy())
            .collect();
        safe(&files.join(", ")).into_owned()
    }

    /// What a check says if nothing is wrong.
    pub fn summary(&self) -> String {
        format!("configuration is good: {}", self.sources())
    }

    /// All keys with their values and origins, in the order of the key table.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.config.keys().iter().map(|key| Entry {
            key: key.name,
            value: key.value(&self.config),
            origin: self.origin(key.name).to_owned(),
        });
        entries.collect()
    }
}

/// The effective configuration as a TOML file that loads to the same values (except passwords in
/// URLs), each line with its origin.
pub fn show_toml(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    let mut section = "";
    for entry in loaded.entries() {
        let (table, name) = entry.key.rsplit_once('.').unwrap_or(("", entry.key));
        if table != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            lines.push(format!("{gap}[{table}]\n"));
            section = table;
        }
        lines.push(match entry.value {
            Some(value) => format!("{name} = {}  # {}\n", written(&value), entry.origin),
            None => format!("# {name} is not set\n"),
        });
    }
    lines.concat()
}

/// A value as TOML that is safe to show: characters that a terminal would obey or not show are in TOML's own escapes.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(is_unsafe) => quoted(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(written).collect();
            format!("[{}]", values.join(", "))
        }
        _ => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match (c, u32::from(c)) {
        ('"' | '\\', _) => format!("\\{c}"),
        (_, code) if is_unsafe(c) && code > 0xffff => format!("\\U{code:08x}"),
        (_, code) if is_unsafe(c) => format!("\\u{code:04x}"),
        _ => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// The same as JSON, one object per line with `key`, `value` (`null` if it is not set) and `origin`.
pub fn show_json(loaded: &Loaded) -> String {
    let line = |entry: &Entry| serde_json::json!(entry).to_string() + "\n";
    loaded.entries().iter().map(line).collect()
}
