//! The kinds of values that keys have: how each is read, within its limits, and shown. Pure.

use super::fault::{Fault, fault, refuse_wrapping, shorten};
use super::redact::redact;
use super::slips::{has_outer_blank, is_bracketed, path_hint};
use super::units::{format_duration, format_size, parse_duration, parse_size};
use super::url::{BrokerUrl, is_host};
use super::wrong::{ensure, value as wrong};
use serde::Serialize;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use toml::Value;

/// A kind of value.
pub(super) trait Kind {
    /// The type of the field that holds it.
    type Of: Serialize;

    /// Whether it is a list, whose entries are separated by commas in an environment variable.
    const IS_LIST: bool = false;

    /// Makes a TOML value of an environment variable's text. A text that does not fit stays a text, which [`Kind::read`]
    /// refuses.
    const FROM_TEXT: fn(&str) -> Value = |text| text.into();

    /// The value that TOML holds, unless there is something around it that does not belong to it.
    fn parse(&self, value: &Value) -> Result<Self::Of, Fault>;

    /// The TOML that [`Kind::read`] turns into this value; `None` if there is none.
    fn show(&self, value: &Self::Of) -> Option<Value> {
        Value::try_from(value).ok()
    }

    /// The TOML value that an environment variable's text stands for.
    fn value_of(&self, text: &str) -> Value {
        Self::FROM_TEXT(text)
    }

    /// The value that TOML holds, or what is wrong with it.
    fn read(&self, value: &Value) -> Result<Self::Of, Fault> {
        refuse_wrapping(value, Self::IS_LIST)?;
        self.parse(value).map_err(|wrong| wrong.of(value))
    }
}

/// Milliseconds.
pub(super) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Seconds.
pub(super) const fn s(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The number or word that a text stands for, else the text.
pub(super) fn typed<T: FromStr + Into<Value>>(text: &str) -> Value {
    let value = text.trim().parse::<T>();
    value.map_or_else(|_| text.into(), Into::into)
}

/// A duration within limits, and a multiple of the lower one.
pub(super) struct Period(pub(super) RangeInclusive<Duration>);

impl Kind for Period {
    type Of = Duration;

    fn parse(&self, value: &Value) -> Result<Duration, Fault> {
        let (min, max) = (*self.0.start(), *self.0.end());
        let usual = format_duration(s(10).clamp(min, max));
        let help = format!("write for example \"{usual}\"");
        let Some(duration) = value.as_str().and_then(parse_duration) else {
            // In the environment a number is a text.
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            return Err(match text.trim().parse::<u64>() {
                Ok(number) => fault("has no unit", format!("write for example \"{number}s\"")),
                Err(_) => fault("must be a duration", help + "; units are h, m, s, ms"),
            });
        };
        Err(if duration < min {
            fault(format!("must be at least {}", format_duration(min)), help)
        } else if duration > max {
            fault(format!("must be at most {}", format_duration(max)), help)
        } else if !duration.as_millis().is_multiple_of(min.as_millis()) {
            fault("must be whole seconds", help)
        } else {
            return Ok(duration);
        })
    }

    fn show(&self, duration: &Duration) -> Option<Value> {
        Some(format_duration(*duration).into())
    }
}

/// A whole number within limits.
pub(super) struct Number<T>(pub(super) RangeInclusive<T>);

impl<T: TryFrom<i64> + PartialOrd + Display + Serialize> Kind for Number<T> {
    type Of = T;
    const FROM_TEXT: fn(&str) -> Value = typed::<i64>;

    fn parse(&self, value: &Value) -> Result<T, Fault> {
        let number = T::try_from(value.as_integer().ok_or(wrong::NUMBER)?);
        if let Some(number) = number.ok().filter(|number| self.0.contains(number)) {
            return Ok(number);
        }
        let what = format!("must be from {} to {}", self.0.start(), self.0.end());
        Err(fault(what, "choose a number within these limits"))
    }
}

/// A size in bytes within limits.
pub(super) struct Size(pub(super) RangeInclusive<u64>);

impl Kind for Size {
    type Of = u64;
    const FROM_TEXT: fn(&str) -> Value = typed::<i64>;

    fn parse(&self, value: &Value) -> Result<u64, Fault> {
        let bytes = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => parse_size(text),
            _ => None,
        };
        let bytes = bytes.ok_or(wrong::SIZE)?;
        if self.0.contains(&bytes) {
            return Ok(bytes);
        }
        let (min, max) = (format_size(*self.0.start()), format_size(*self.0.end()));
        Err(fault(
            format!("must be from {min} to {max}"),
            wrong::SIZE_HELP,
        ))
    }

    fn show(&self, bytes: &u64) -> Option<Value> {
        Some(format_size(*bytes).into())
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Kind for Switch {
    type Of = bool;
    const FROM_TEXT: fn(&str) -> Value = typed::<bool>;

    fn parse(&self, value: &Value) -> Result<bool, Fault> {
        Ok(value.as_bool().ok_or(wrong::SWITCH)?)
    }
}

/// A text without anything invisible around it, which this function checks and converts.
pub(super) struct Text<T>(pub(super) fn(&str) -> Result<T, Fault>);

impl<T: Serialize> Kind for Text<T> {
    type Of = T;

    fn parse(&self, value: &Value) -> Result<T, Fault> {
        let text = value.as_str().ok_or(wrong::STRING)?;
        ensure(!has_outer_blank(text), wrong::BLANK)?;
        (self.0)(text)
    }
}

/// A name that fits an AMQP short string. It may be empty.
pub(super) fn name(text: &str) -> Result<String, Fault> {
    if text.len() > 255 {
        let what = format!("must be at most 255 bytes, has {}", text.len());
        return Err(fault(what, "shorten it"));
    }
    ensure(!text.contains(char::is_control), wrong::CONTROL)?;
    Ok(text.to_owned())
}

/// The name of a queue that we may declare.
pub(super) fn queue_name(text: &str) -> Result<String, Fault> {
    let name = name(text)?;
    ensure(!name.is_empty(), wrong::EMPTY_NAME)?;
    ensure(!name.starts_with("amq."), wrong::RESERVED)?;
    Ok(name)
}

/// A file's absolute path, since a daemon's working directory is arbitrary.
pub(super) fn file(text: &str) -> Result<Option<PathBuf>, Fault> {
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(Some(text.into()));
    }
    let help = path_hint(text).unwrap_or("start it with /, or remove the key");
    Err(fault("must be an absolute path", help))
}

/// A host name to verify.
pub(super) fn host(text: &str) -> Result<Option<String>, Fault> {
    ensure(is_host(text), wrong::HOST)?;
    Ok(Some(text.to_owned()))
}

/// One of these words.
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + Serialize> Kind for OneOf<T> {
    type Of = T;

    fn parse(&self, value: &Value) -> Result<T, Fault> {
        let given = value.as_str().unwrap_or_default();
        if let Some((_, value)) = self.0.iter().find(|(word, _)| *word == given) {
            return Ok(*value);
        }
        let words: Vec<_> = self.0.iter().map(|(word, _)| *word).collect();
        let distance = |word: &str| strsim::damerau_levenshtein(word, &given.to_lowercase());
        let is_near = |word: &&&str| !given.is_empty() && distance(word) <= 3;
        let what = format!("must be one of \"{}\"", words.join("\", \""));
        Err(match words.iter().find(is_near) {
            Some(near) => fault(what, format!("did you mean \"{near}\"?")),
            None => fault(what, "write one of these"),
        })
    }
}

/// A list of names, none of them empty.
pub(super) struct Names;

impl Kind for Names {
    type Of = Vec<String>;
    const IS_LIST: bool = true;
    const FROM_TEXT: fn(&str) -> Value = |text| entries(text, |_| true);

    fn parse(&self, value: &Value) -> Result<Self::Of, Fault> {
        let text = Text(|text| {
            ensure(!text.is_empty(), wrong::EMPTY_ENTRY)?;
            name(text)
        });
        let read = |entry| text.parse(entry).map_err(|fault| fault.of(entry));
        value
            .as_array()
            .ok_or(wrong::NAMES)?
            .iter()
            .map(read)
            .collect()
    }
}

/// One broker URL, or a list of at least one.
pub(super) struct Urls;

impl Kind for Urls {
    type Of = Vec<BrokerUrl>;
    const IS_LIST: bool = true;
    /// A comma within a password does not start the next URL, which would show the rest of the password in a message.
    const FROM_TEXT: fn(&str) -> Value =
        |text| entries(text, |part| part.trim_start().starts_with("amqp"));

    fn parse(&self, value: &Value) -> Result<Self::Of, Fault> {
        let list = match value {
            Value::String(_) => std::slice::from_ref(value),
            Value::Array(list) if !list.is_empty() => list.as_slice(),
            Value::Array(_) => return Err(wrong::NO_URL.into()),
            _ => return Err(wrong::URLS.into()),
        };
        let parse = |(index, entry): (usize, &Value)| {
            url(entry).map_err(|wrong| match list.len() {
                1 => wrong,
                _ => Fault {
                    what: format!("entry {}: {}", index + 1, wrong.what).into(),
                    ..wrong
                },
            })
        };
        list.iter().enumerate().map(parse).collect()
    }

    fn show(&self, urls: &Self::Of) -> Option<Value> {
        let shown = |url: &BrokerUrl| Value::from(url.redacted());
        Some(match urls.as_slice() {
            [url] => shown(url),
            urls => urls.iter().map(shown).collect::<Vec<_>>().into(),
        })
    }
}

fn url(entry: &Value) -> Result<BrokerUrl, Fault> {
    let text = entry.as_str();
    let text = text.ok_or_else(|| Fault::from(wrong::URL).of(entry))?;
    Text(str::parse).parse(entry).map_err(|wrong| Fault {
        shown: shorten(&redact(text)),
        ..wrong
    })
}

/// The entries of a text, separated by commas. A part that does not start an entry belongs to the one before it.
fn entries(text: &str, starts_entry: fn(&str) -> bool) -> Value {
    let text = text.trim();
    if is_bracketed(text) {
        return text.into();
    }
    let mut entries: Vec<String> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        match entries.last_mut() {
            Some(entry) if !starts_entry(part) => {
                entry.push(',');
                entry.push_str(part);
            }
            _ => entries.push(part.to_owned()),
        }
    }
    Value::Array(entries.iter().map(|entry| entry.trim().into()).collect())
}
