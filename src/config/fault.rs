//! Why a value is refused, and the value itself made safe to show; and the line that reports it. Pure.

use super::redact::redact_urls;
use super::slips::{is_bracketed, is_quoted};
use super::wrong::{Refusal, value as wrong};
use crate::text::safe;
use std::borrow::Cow;
use toml::Value;

/// Why a value is refused. Displayed, it contains nothing of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct Fault {
    /// What is wrong; reads after the key: "must be a string".
    pub(super) what: Cow<'static, str>,
    /// What to do.
    pub(super) help: Cow<'static, str>,
    /// The value, or the entry of it that is wrong, safe to show. Empty as long as only its content is known.
    pub(super) shown: String,
}

/// What is wrong, and what to do.
pub(super) fn fault(
    what: impl Into<Cow<'static, str>>,
    help: impl Into<Cow<'static, str>>,
) -> Fault {
    Fault {
        what: what.into(),
        help: help.into(),
        shown: String::new(),
    }
}

impl From<Refusal> for Fault {
    fn from((what, help): Refusal) -> Self {
        fault(what, help)
    }
}

impl Fault {
    /// The fault of this value, unless it is that of an entry.
    pub(super) fn of(mut self, value: &Value) -> Self {
        if self.shown.is_empty() {
            self.shown = shown(value);
        }
        self
    }
}

/// One thing that is wrong, in one line: key, what is wrong, where the value came from, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Problem {
    /// Makes the text safe and puts it on one line, whatever paths and keys contain.
    pub fn new(text: &str) -> Self {
        Self(safe(text).into_owned())
    }
}

/// A value as messages show it: on one line, short, and without a password.
fn shown(value: &Value) -> String {
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
        let found = if is_quoted(text) || is_list && is_quoted(last) {
            wrong::QUOTES
        } else if is_list && is_bracketed(text) {
            wrong::BRACKETS
        } else {
            continue;
        };
        // What is inside may be a URL.
        let mut inside = text.chars();
        let (start, end) = (inside.next(), inside.next_back());
        let inside = redact_urls(inside.as_str());
        let around: String = start.into_iter().chain(inside.chars()).chain(end).collect();
        return Err(Fault {
            shown: shorten(&around),
            ..found.into()
        });
    }
    Ok(())
}
