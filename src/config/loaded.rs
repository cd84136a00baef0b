//! A loaded configuration: its values, and where each came from, which figment remembers.

use super::keys::Config;
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
            .map(|file| file.display().to_string())
            .collect();
        crate::text::safe(&files.join(", ")).into_owned()
    }

    /// What a check says if nothing is wrong.
    pub fn verdict(&self) -> String {
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
