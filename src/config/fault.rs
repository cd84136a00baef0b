//! What is wrong with a value, and the value itself made safe to show. Pure.

use super::redact::redact_urls;
use super::slips::{is_bracketed, is_quoted};
use toml::Value;

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Reads after the key: "must be a string".
    pub(super) what: String,
    /// The value, safe to show.
    pub(super) shown: String,
    /// What to do.
    pub(super) help: String,
}

/// Refuses a value.
pub(super) fn fault<T>(
    value: &Value,
    what: impl Into<String>,
    help: impl Into<String>,
) -> Result<T, Fault> {
    Err(Fault {
        what: what.into(),
        shown: shown(value),
        help: help.into(),
    })
}

/// A value as messages show it: on one line, short, and without a password.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => shorten(&redact_urls(text)),
        Value::Array(entries) if entries.is_empty() => "an empty list".into(),
        Value::Array(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
        Value::Datetime(_) => "a date or time".into(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
    }
}

/// A text as messages show it.
pub(super) fn shorten(text: &str) -> String {
    const MAX_CHARACTERS: usize = 80;
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{:?} and so on", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Refuses quotes that an env file has kept around a value, and a list in the syntax of TOML or JSON inside a text.
pub(super) fn refuse_wrapping(value: &Value, is_list: bool) -> Result<(), Fault> {
    let entries = match value {
        Value::Array(entries) => entries.as_slice(),
        _ => std::slice::from_ref(value),
    };
    for entry in entries {
        let text = entry.as_str().unwrap_or_default().trim();
        // If a comma in the text does not separate entries, only the last one may be quoted.
        let last = text.rsplit(',').next().unwrap_or_default().trim();
        let (what, help) = if is_quoted(text) || is_list && is_quoted(last) {
            ("contains quotes", "remove them")
        } else if is_list && is_bracketed(text) {
            (
                "contains brackets",
                "write the entries separated by commas, without brackets and quotes",
            )
        } else {
            continue;
        };
        // What is inside may be a URL.
        let mut inside = text.chars();
        let (start, end) = (inside.next(), inside.next_back());
        let inside = redact_urls(inside.as_str());
        let around: String = start.into_iter().chain(inside.chars()).chain(end).collect();
        return Err(Fault {
            what: what.into(),
            shown: shorten(&around),
            help: help.into(),
        });
    }
    Ok(())
}
