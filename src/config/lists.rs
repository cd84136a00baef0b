//! The kinds of values that are lists: broker URLs and names. Pure.

use super::fault::{Fault, fault, shorten, shown};
use super::kinds::{Kind, Name, OUTER_BLANK};
use super::redact::redact;
use super::slips::{has_outer_blank, is_bracketed};
use super::url::BrokerUrl;
use toml::Value;

/// A list of names, none of them empty.
pub(super) struct Names;

impl Kind for Names {
    type Of = Vec<String>;
    const IS_LIST: bool = true;

    fn parse(&self, value: &Value) -> Result<Self::Of, Fault> {
        let Value::Array(list) = value else {
            let help = "write for example [\"replies.*\"]";
            return fault(value, "must be a list of strings", help);
        };
        let name = |entry: &Value| match (Name { is_queue: false }).parse(entry)? {
            name if name.is_empty() => fault(entry, "has an empty entry", "remove it"),
            name => Ok(name),
        };
        list.iter().map(name).collect()
    }

    fn value_of(&self, text: &str) -> Value {
        entries(text, |_| true)
    }
}

/// One broker URL, or a list of at least one.
pub(super) struct Urls;

impl Kind for Urls {
    type Of = Vec<BrokerUrl>;
    const IS_LIST: bool = true;

    fn parse(&self, value: &Value) -> Result<Self::Of, Fault> {
        const HELP: &str =
            "write for example \"amqp://user@host:5672/vhost\", or a list of such URLs";
        let list = match value {
            Value::String(_) => std::slice::from_ref(value),
            Value::Array(list) if list.is_empty() => {
                return fault(value, "must name at least one broker", HELP);
            }
            Value::Array(list) => list.as_slice(),
            _ => return fault(value, "must be a URL or a list of URLs", HELP),
        };
        let parse = |(index, entry): (usize, &Value)| {
            let (what, help) = match entry.as_str() {
                None => ("must be a URL".into(), "write \"amqp://...\"".into()),
                Some(text) if has_outer_blank(text) => (OUTER_BLANK.0.into(), OUTER_BLANK.1.into()),
                Some(text) => match text.parse::<BrokerUrl>() {
                    Ok(url) => return Ok(url),
                    Err(error) => (error.what, error.help),
                },
            };
            Err(Fault {
                what: match list.len() {
                    1 => what,
                    _ => format!("entry {}: {what}", index + 1),
                },
                shown: entry
                    .as_str()
                    .map_or_else(|| shown(entry), |text| shorten(&redact(text))),
                help,
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

    /// A comma within a password does not start the next URL, which would show the rest of the password in a message.
    fn value_of(&self, text: &str) -> Value {
        entries(text, |part| part.trim_start().starts_with("amqp"))
    }
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
