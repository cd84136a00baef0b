//! The environment variables of OpenTelemetry, each read as its specification says: an empty one is not set, and an invalid one
//! is a warning and ignored. Values of headers are secrets: no warning shows one.

use std::borrow::Cow;
use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

/// Reads variables, and collects what is wrong with them.
pub(super) struct Variables<'a> {
    read: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Variables<'a> {
    /// `read` gives the value of a variable.
    pub(super) fn new(read: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self {
            read,
            warnings: Vec::new(),
        }
    }

    /// The text of a variable.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = (self.read)(name).filter(|value| !value.is_empty())?;
        let text = value.into_string();
        if text.is_err() {
            self.ignore(name, "is not UTF-8");
        }
        text.ok().map(|text| text.trim().to_owned())
    }

    /// The first of these variables that is set, and its name.
    pub(super) fn first(&mut self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names
            .iter()
            .find_map(|name| Some((*name, self.text(name)?)))
    }

    /// Says why a variable is ignored.
    pub(super) fn ignore(&mut self, name: &str, why: &str) {
        self.warnings.push(format!("{name}: {why}; ignored"));
    }

    /// Whether a variable is `true`, in any case.
    pub(super) fn is_true(&mut self, name: &str) -> bool {
        match self
            .text(name)
            .map(|text| text.to_ascii_lowercase())
            .as_deref()
        {
            Some("true") => true,
            Some("false") | None => false,
            Some(_) => {
                self.ignore(name, "must be true or false");
                false
            }
        }
    }

    /// A positive number.
    pub(super) fn number(&mut self, names: &[&'static str]) -> Option<usize> {
        let (name, text) = self.first(names)?;
        let number = usize::from_str(&text).ok().filter(|number| *number > 0);
        if number.is_none() {
            self.ignore(name, "must be a whole number above 0");
        }
        number
    }

    /// A time in milliseconds.
    pub(super) fn milliseconds(&mut self, names: &[&'static str]) -> Option<Duration> {
        self.number(names)
            .map(|number| Duration::from_millis(number as u64))
    }

    /// A list `key=value,key=value`, percent-encoded as W3C Baggage is. An invalid one is ignored as a whole.
    pub(super) fn pairs(&mut self, names: &[&'static str]) -> Vec<(String, String)> {
        let Some((name, text)) = self.first(names) else {
            return Vec::new();
        };
        let entries = text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let pairs: Option<Vec<_>> = entries.map(pair).collect();
        if pairs.is_none() {
            self.ignore(name, "must be a list key=value,key=value, percent-encoded");
        }
        pairs.unwrap_or_default()
    }
}

fn pair(entry: &str) -> Option<(String, String)> {
    let (key, value) = entry.split_once('=')?;
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text.trim()).decode_utf8();
        decoded.ok().map(Cow::into_owned)
    };
    let key = decode(key).filter(|key| !key.is_empty())?;
    Some((key, decode(value)?))
}
