//! The configuration as text: each value in its TOML form, with where it came from; no passwords.

use super::read::{LEVELS, LOG_TARGETS, QUEUE_KINDS};
use super::units::format_duration;
use crate::text::is_unsafe;

use super::{BrokerUrl, Level, Loaded, LogTarget, QueueKind, keys};
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// One key in effect.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Entry {
    /// The dotted key.
    pub key: &'static str,
    /// Its value as TOML, passwords in URLs as `***`; `None` where it is not set.
    pub value: Option<Value>,
    /// Where the value came from: `default`, `FILE:LINE`, a variable's name, `command line`.
    pub origin: String,
}

/// The effective configuration as a TOML file that loads to the same values (except passwords in
/// URLs), each line with its origin.
pub fn show_toml(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    let mut section = "";
    for (key, entry) in keys().zip(loaded.entries()) {
        if key.section() != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = key.section();
            lines.push(format!("{gap}[{section}]\n"));
        }
        lines.push(match entry.value {
            Some(value) => format!("{} = {}  # {}\n", key.last(), written(&value), entry.origin),
            None => format!("# {} is not set\n", key.last()),
        });
    }
    lines.concat()
}

/// A value as TOML that can be shown: with what a terminal would obey or not show in TOML's own escapes.
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

/// The same as JSON, one object a line with `key`, `value` (`null` where it is not set) and `origin`.
pub fn show_json(loaded: &Loaded) -> String {
    let mut text = String::new();
    for entry in loaded.entries() {
        text += &serde_json::json!(entry).to_string();
        text.push('\n');
    }
    text
}

/// How the values of a type are written in TOML; `None` where there is no value.
pub(super) trait Show {
    fn show(&self) -> Option<Value>;
}

impl Show for Vec<BrokerUrl> {
    fn show(&self) -> Option<Value> {
        match self.as_slice() {
            [url] => Some(url.redacted().into()),
            urls => Some(Value::Array(
                urls.iter().map(|url| url.redacted().into()).collect(),
            )),
        }
    }
}

impl Show for Duration {
    fn show(&self) -> Option<Value> {
        Some(format_duration(*self).into())
    }
}

impl Show for bool {
    fn show(&self) -> Option<Value> {
        Some((*self).into())
    }
}

macro_rules! show_numbers {
    ($($number:ty)+) => { $(
        impl Show for $number {
            fn show(&self) -> Option<Value> {
                // The limits of all keys are within TOML's integers.
                Some(i64::try_from(*self).unwrap_or(i64::MAX).into())
            }
        }
    )+ };
}
show_numbers!(u16 u64 usize);

impl Show for String {
    fn show(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Show for Vec<String> {
    fn show(&self) -> Option<Value> {
        Some(self.clone().into())
    }
}

impl Show for Option<String> {
    fn show(&self) -> Option<Value> {
        self.as_deref().map(Value::from)
    }
}

impl Show for Option<PathBuf> {
    fn show(&self) -> Option<Value> {
        let path = self.as_ref()?;
        Some(path.to_string_lossy().into_owned().into())
    }
}

macro_rules! show_words {
    ($($kind:ty, $words:expr;)+) => { $(
        impl Show for $kind {
            fn show(&self) -> Option<Value> {
                let word = $words.iter().find(|(_, meaning)| meaning == self)?;
                Some(word.0.into())
            }
        }
    )+ };
}
show_words! {
    QueueKind, QUEUE_KINDS;
    Level, LEVELS;
    LogTarget, LOG_TARGETS;
}
