//! The kinds of values that keys have: how each is read, within its limits, and shown. Pure.

use super::fault::{Fault, fault, refuse_wrapping};
use super::slips::{has_outer_blank, path_hint};
use super::units::{format_duration, format_size, parse_duration, parse_size};
use super::url::is_host;
use serde::Serialize;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// A kind of value.
pub(super) trait Kind {
    /// The type of the field that holds it.
    type Of: Serialize;

    /// Whether it is a list, whose entries are separated by commas in an environment variable.
    const IS_LIST: bool = false;

    /// The value that TOML holds, unless there is something around it that does not belong to it.
    fn parse(&self, value: &Value) -> Result<Self::Of, Fault>;

    /// The TOML that [`Kind::read`] turns into this value; `None` if there is none.
    fn show(&self, value: &Self::Of) -> Option<Value> {
        Value::try_from(value).ok()
    }

    /// The TOML value that an environment variable's text stands for. A text that does not fit stays a text, which
    /// [`Kind::read`] refuses.
    fn value_of(&self, text: &str) -> Value {
        text.into()
    }

    /// The value that TOML holds, or what is wrong with it.
    fn read(&self, value: &Value) -> Result<Self::Of, Fault> {
        refuse_wrapping(value, Self::IS_LIST)?;
        self.parse(value)
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
            let number: Option<u64> = match value {
                Value::String(text) => text.trim().parse().ok(),
                _ => value.as_integer().and_then(|number| number.try_into().ok()),
            };
            return match number {
                Some(number) => {
                    let help = format!("write for example \"{number}s\"");
                    fault(value, "has no unit", help)
                }
                None => fault(
                    value,
                    "must be a duration",
                    help + "; units are h, m, s, ms",
                ),
            };
        };
        let what = if duration < min {
            format!("must be at least {}", format_duration(min))
        } else if duration > max {
            format!("must be at most {}", format_duration(max))
        } else if !duration.as_millis().is_multiple_of(min.as_millis()) {
            "must be whole seconds".into()
        } else {
            return Ok(duration);
        };
        fault(value, what, help)
    }

    fn show(&self, duration: &Duration) -> Option<Value> {
        Some(format_duration(*duration).into())
    }
}

/// A whole number within limits.
pub(super) struct Number<T>(pub(super) RangeInclusive<T>);

impl<T: TryFrom<i64> + PartialOrd + Display + Serialize> Kind for Number<T> {
    type Of = T;

    fn parse(&self, value: &Value) -> Result<T, Fault> {
        let Some(number) = value.as_integer() else {
            let help = "write digits, without quotes";
            return fault(value, "must be a whole number", help);
        };
        match T::try_from(number) {
            Ok(number) if self.0.contains(&number) => Ok(number),
            _ => {
                let what = format!("must be from {} to {}", self.0.start(), self.0.end());
                fault(value, what, "choose a number within these limits")
            }
        }
    }

    fn value_of(&self, text: &str) -> Value {
        integer_or_text(text)
    }
}

fn integer_or_text(text: &str) -> Value {
    let number = text.trim().parse();
    number.map_or_else(|_| text.into(), Value::Integer)
}

/// A size in bytes within limits.
pub(super) struct Size(pub(super) RangeInclusive<u64>);

impl Kind for Size {
    type Of = u64;

    fn parse(&self, value: &Value) -> Result<u64, Fault> {
        const HELP: &str = "write for example \"16MiB\"; units are B, KiB, MiB, GiB";
        let bytes = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => parse_size(text),
            _ => None,
        };
        match bytes {
            Some(bytes) if self.0.contains(&bytes) => Ok(bytes),
            Some(_) => {
                let (min, max) = (format_size(*self.0.start()), format_size(*self.0.end()));
                fault(value, format!("must be from {min} to {max}"), HELP)
            }
            None => fault(value, "must be a size", HELP),
        }
    }

    fn show(&self, bytes: &u64) -> Option<Value> {
        Some(format_size(*bytes).into())
    }

    fn value_of(&self, text: &str) -> Value {
        integer_or_text(text)
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Kind for Switch {
    type Of = bool;

    fn parse(&self, value: &Value) -> Result<bool, Fault> {
        let refused = || fault(value, "must be true or false", "write it without quotes");
        value.as_bool().map_or_else(refused, Ok)
    }

    fn value_of(&self, text: &str) -> Value {
        let value = text.trim().parse();
        value.map_or_else(|_| text.into(), Value::Boolean)
    }
}

/// What is wrong with a text that has something invisible around it, and what to do.
pub(super) const OUTER_BLANK: (&str, &str) = ("starts or ends with a blank", "remove it");

/// A text without anything invisible around it.
fn text(value: &Value) -> Result<&str, Fault> {
    match value.as_str() {
        None => fault(value, "must be a string", "write it in double quotes"),
        Some(text) if has_outer_blank(text) => fault(value, OUTER_BLANK.0, OUTER_BLANK.1),
        Some(text) => Ok(text),
    }
}

/// A name that fits an AMQP short string: one that may be empty, or that of a queue that we may declare.
pub(super) struct Name {
    pub(super) is_queue: bool,
}

impl Kind for Name {
    type Of = String;

    fn parse(&self, value: &Value) -> Result<String, Fault> {
        let text = text(value)?;
        let (what, help) = match text {
            _ if text.len() > 255 => {
                let what = format!("must be at most 255 bytes, has {}", text.len());
                return fault(value, what, "shorten it");
            }
            _ if text.contains(char::is_control) => {
                ("must not contain control characters", "remove them")
            }
            "" if self.is_queue => ("must not be empty", "write for example \"rpc_queue\""),
            _ if self.is_queue && text.starts_with("amq.") => (
                "must not start with amq.",
                "the broker reserves these; rename it",
            ),
            _ => return Ok(text.to_owned()),
        };
        fault(value, what, help)
    }
}

/// A file's absolute path, since a daemon's working directory is arbitrary.
pub(super) struct File;

impl Kind for File {
    type Of = Option<PathBuf>;

    fn parse(&self, value: &Value) -> Result<Self::Of, Fault> {
        let text = text(value)?;
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(Some(text.into()));
        }
        let help = path_hint(text).unwrap_or("start it with /, or remove the key");
        fault(value, "must be an absolute path", help)
    }
}

/// A host name to verify.
pub(super) struct Host;

impl Kind for Host {
    type Of = Option<String>;

    fn parse(&self, value: &Value) -> Result<Self::Of, Fault> {
        const HELP: &str = "write the name in the certificate, or remove the key";
        match text(value)? {
            host if is_host(host) => Ok(Some(host.to_owned())),
            _ => fault(value, "must be a host name", HELP),
        }
    }
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
        let near = words
            .iter()
            .find(|word| !given.is_empty() && distance(word) <= 3);
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write one of these".into(),
        };
        let what = format!("must be one of \"{}\"", words.join("\", \""));
        fault(value, what, help)
    }
}
