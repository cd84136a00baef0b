//! From a TOML value to the type of its key, with the limits of that key; pure.
//!
//! Every failure is a [`Fault`]: what is wrong, the value made safe to echo, what to do.

use super::keys::Shape;
use super::redact::{redact, redact_urls};
use super::slips::{has_outer_blank, is_bracketed, is_quoted, path_hint};
use super::units::{format_duration, format_size, parse_duration, parse_size};
use super::url::is_host;
use super::{BrokerUrl, Level, LogTarget, QueueKind};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Reads after the key: "must be a string".
    pub(super) what: String,
    /// The value, safe to echo.
    pub(super) shown: String,
    /// What to do.
    pub(super) help: String,
}

/// Milliseconds, for limits.
pub(super) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Seconds, for limits.
pub(super) const fn s(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A value as messages show it: on one line, short, and without a password.
pub(super) fn echo(value: &Value) -> String {
    match value {
        Value::String(text) => shorten(&redact_urls(text)),
        Value::Array(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
        Value::Datetime(_) => "a date or time".into(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
    }
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?} and so on", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn fault<T>(value: &Value, what: impl Into<String>, help: impl Into<String>) -> Result<T, Fault> {
    Err(Fault {
        what: what.into(),
        shown: echo(value),
        help: help.into(),
    })
}

/// Refuses what belongs to another language than ours around a value, whatever its key: quotes that an
/// env file kept, and a list in TOML or JSON where entries with commas are due.
pub(super) fn unwrapped(value: &Value, shape: Shape) -> Result<(), Fault> {
    let is_list = matches!(shape, Shape::List | Shape::Urls);
    let entries = match value {
        Value::Array(entries) => entries.as_slice(),
        _ => std::slice::from_ref(value),
    };
    for entry in entries {
        let text = entry.as_str().unwrap_or_default().trim();
        // Of a list in which a comma does not separate, the last entry alone may be wrapped.
        let last = text.rsplit(',').next().unwrap_or_default().trim();
        let (what, help) = if is_quoted(text) || is_list && is_quoted(last) {
            ("holds quotes", "leave them out")
        } else if is_list && is_bracketed(text) {
            (
                "holds brackets",
                "write its entries with commas between them and nothing else",
            )
        } else {
            continue;
        };
        return Err(Fault {
            what: what.into(),
            shown: wrapped(text),
            help: help.into(),
        });
    }
    Ok(())
}

/// A text in quotes or brackets, safe to echo: what is inside may be a URL.
fn wrapped(text: &str) -> String {
    let mut inside = text.chars();
    let (start, end) = (inside.next(), inside.next_back());
    let inside = redact_urls(inside.as_str());
    let around = start.into_iter().chain(inside.chars()).chain(end);
    shorten(&around.collect::<String>())
}

/// One broker URL, or a list of at least one.
pub(super) fn urls(value: &Value) -> Result<Vec<BrokerUrl>, Fault> {
    let list = match value {
        Value::String(_) => std::slice::from_ref(value),
        Value::Array(list) => list.as_slice(),
        _ => &[],
    };
    if list.is_empty() {
        let help = "write for example \"amqp://user@host:5672/vhost\", or a list of such URLs";
        return match value {
            Value::Array(_) => Err(Fault {
                what: "must name at least one broker".into(),
                shown: "an empty list".into(),
                help: help.into(),
            }),
            _ => fault(value, "must be a URL or a list of URLs", help),
        };
    }
    let place = |index: usize| match list.len() {
        1 => String::new(),
        _ => format!("entry {}: ", index + 1),
    };
    let parse = |(index, entry): (usize, &Value)| match entry {
        Value::String(text) if has_outer_blank(text) => Err(Fault {
            what: format!("{}begins or ends with a blank", place(index)),
            shown: shorten(&redact(text)),
            help: "leave it out".into(),
        }),
        Value::String(text) => text.parse().map_err(|error: super::UrlError| Fault {
            what: format!("{}{}", place(index), error.what),
            shown: shorten(&redact(text)),
            help: error.help,
        }),
        _ => fault(
            entry,
            format!("{}must be a URL", place(index)),
            "write \"amqp://...\"",
        ),
    };
    list.iter().enumerate().map(parse).collect()
}

/// A duration within limits.
pub(super) fn duration(value: &Value, limits: RangeInclusive<Duration>) -> Result<Duration, Fault> {
    let example = |suggested| format!("write for example \"{suggested}\"");
    let (least, most) = (*limits.start(), *limits.end());
    let normal = format_duration(s(10).clamp(least, most));
    let parsed = match value {
        Value::String(text) => parse_duration(text),
        _ => None,
    };
    let Some(parsed) = parsed else {
        // A bare number, also from the environment: its unit is what is missing.
        let bare = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        return match bare {
            Some(number) => fault(value, "has no unit", example(format!("{number}s"))),
            None => fault(
                value,
                "must be a duration",
                format!("{}; units are h, m, s, ms", example(normal)),
            ),
        };
    };
    if limits.contains(&parsed) {
        Ok(parsed)
    } else if parsed < least {
        let least = format_duration(least);
        fault(value, format!("must be at least {least}"), example(normal))
    } else {
        let most = format_duration(most);
        fault(value, format!("must be at most {most}"), example(normal))
    }
}

/// A heartbeat: AMQP carries whole seconds in 16 bits, and 0 would switch it off.
pub(super) fn heartbeat(value: &Value) -> Result<Duration, Fault> {
    match duration(value, s(1)..=s(65_535))? {
        whole if whole.subsec_nanos() == 0 => Ok(whole),
        _ => fault(value, "must be whole seconds", "write for example \"10s\""),
    }
}

/// A whole number within limits.
pub(super) fn integer<T>(value: &Value, limits: RangeInclusive<T>) -> Result<T, Fault>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    let Value::Integer(number) = value else {
        return fault(
            value,
            "must be a whole number",
            "write digits, without quotes",
        );
    };
    match T::try_from(*number) {
        Ok(number) if limits.contains(&number) => Ok(number),
        _ => fault(
            value,
            format!("must be from {} to {}", limits.start(), limits.end()),
            "choose a number within these limits",
        ),
    }
}

/// A size in bytes within limits.
pub(super) fn size(value: &Value, limits: RangeInclusive<u64>) -> Result<u64, Fault> {
    const HELP: &str = "write for example \"16MiB\"; units are B, KiB, MiB, GiB";
    let bytes = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => parse_size(text),
        _ => None,
    };
    match bytes {
        Some(bytes) if limits.contains(&bytes) => Ok(bytes),
        Some(_) => {
            let (least, most) = (format_size(*limits.start()), format_size(*limits.end()));
            fault(value, format!("must be from {least} to {most}"), HELP)
        }
        None => fault(value, "must be a size", HELP),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, Fault> {
    match value {
        Value::Boolean(value) => Ok(*value),
        _ => fault(value, "must be true or false", "write it without quotes"),
    }
}

fn string(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::String(text) => Ok(text),
        _ => fault(value, "must be a string", "write it in double quotes"),
    }
}

/// Text that may be anything, but not with something around it that nobody sees.
fn free_text(value: &Value) -> Result<&str, Fault> {
    match string(value)? {
        text if has_outer_blank(text) => {
            fault(value, "begins or ends with a blank", "leave it out")
        }
        text => Ok(text),
    }
}

/// A name that fits an AMQP short string; it may be empty.
pub(super) fn short_name(value: &Value) -> Result<String, Fault> {
    let text = free_text(value)?;
    if text.len() > 255 {
        let what = format!("must be at most 255 bytes, has {}", text.len());
        return fault(value, what, "shorten it");
    }
    if text.chars().any(char::is_control) {
        return fault(value, "must hold no control characters", "leave them out");
    }
    Ok(text.to_owned())
}

/// The name of a queue that we may declare.
pub(super) fn queue_name(value: &Value) -> Result<String, Fault> {
    let name = short_name(value)?;
    if name.is_empty() {
        return fault(
            value,
            "must not be empty",
            "write for example \"rpc_queue\"",
        );
    }
    if name.starts_with("amq.") {
        return fault(
            value,
            "must not start with amq.",
            "the broker reserves these; rename it",
        );
    }
    Ok(name)
}

/// Patterns of reply addresses.
pub(super) fn patterns(value: &Value) -> Result<Vec<String>, Fault> {
    let Value::Array(list) = value else {
        return fault(
            value,
            "must be a list of strings",
            "write for example [\"replies.*\"]",
        );
    };
    let pattern = |entry: &Value| match short_name(entry)? {
        empty if empty.is_empty() => fault(entry, "has an empty entry", "leave it out"),
        pattern => Ok(pattern),
    };
    list.iter().map(pattern).collect()
}

/// A file's absolute path: a daemon's working directory is no place to start from.
pub(super) fn file(value: &Value) -> Result<Option<PathBuf>, Fault> {
    let text = free_text(value)?;
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(Some(text.into()));
    }
    let help = path_hint(text).unwrap_or("start it with /, or leave the key out");
    fault(value, "must be an absolute path", help)
}

/// A host name to verify.
pub(super) fn host(value: &Value) -> Result<Option<String>, Fault> {
    let text = free_text(value)?;
    if is_host(text) {
        return Ok(Some(text.to_owned()));
    }
    fault(
        value,
        "must be a host name",
        "write the name in the certificate, or leave the key out",
    )
}

/// One of a few words.
fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, Fault> {
    let given = match value {
        Value::String(text) => text.as_str(),
        _ => "",
    };
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
        return Ok(*meaning);
    }
    let all: Vec<_> = words
        .iter()
        .map(|(word, _)| format!("\"{word}\""))
        .collect();
    let near = |(word, _): &&(&str, T)| {
        strsim::damerau_levenshtein(word, &given.to_lowercase()) <= 3 && !given.is_empty()
    };
    let help = match words.iter().find(near) {
        Some((word, _)) => format!("did you mean \"{word}\"?"),
        None => "write one of these".into(),
    };
    fault(value, format!("must be one of {}", all.join(", ")), help)
}

/// How the queue types are written.
pub(super) const QUEUE_KINDS: [(&str, QueueKind); 2] = [
    ("quorum", QueueKind::Quorum),
    ("classic", QueueKind::Classic),
];

/// How the log levels are written.
pub(super) const LEVELS: [(&str, Level); 4] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
];

/// How the log targets are written.
pub(super) const LOG_TARGETS: [(&str, LogTarget); 3] = [
    ("auto", LogTarget::Auto),
    ("journald", LogTarget::Journald),
    ("stderr", LogTarget::Stderr),
];

/// A queue type.
pub(super) fn queue_kind(value: &Value) -> Result<QueueKind, Fault> {
    word(value, &QUEUE_KINDS)
}

/// A log level.
pub(super) fn level(value: &Value) -> Result<Level, Fault> {
    word(value, &LEVELS)
}

/// A log target.
pub(super) fn log_target(value: &Value) -> Result<LogTarget, Fault> {
    word(value, &LOG_TARGETS)
}
