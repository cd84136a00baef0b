//! A span as it was seen: its fields, times and events, copied where it happened.
//!
//! The library gives names and ids as fields (`otel.*`, `fibrpc_*`); every other field is an attribute. Times of one span
//! are one reading of the clock and intervals from there, so that a step of the clock does not make them negative.

use crate::protocol::trace_context::hex;
use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};
use tracing::field::{Field, Visit};

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Switch(bool),
}

/// What a span describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Client,
}

/// One span.
#[derive(Debug)]
pub(super) struct SpanData {
    began: Instant,
    /// When it began.
    pub(super) start: SystemTime,
    /// How long it took; set when it ends.
    pub(super) took: Duration,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) trace_id: Option<[u8; 16]>,
    pub(super) span_id: Option<[u8; 8]>,
    pub(super) parent_id: Option<[u8; 8]>,
    pub(super) state: String,
    /// Whether it is to be exported. Not known for a moment, if the library decides later.
    pub(super) sampled: Option<bool>,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Each with the time since the beginning.
    pub(super) events: Vec<(Duration, String)>,
}

impl SpanData {
    /// A span that begins.
    pub(super) fn begin(name: &str) -> Self {
        Self {
            began: Instant::now(),
            start: SystemTime::now(),
            took: Duration::ZERO,
            name: name.to_owned(),
            kind: Kind::Server,
            trace_id: None,
            span_id: None,
            parent_id: None,
            state: String::new(),
            sampled: None,
            attributes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Something happened in it.
    pub(super) fn event(&mut self, what: String) {
        self.events.push((self.began.elapsed(), what));
    }

    /// It has ended.
    pub(super) fn end(&mut self) {
        self.took = self.began.elapsed();
    }

    /// Whether it can and shall be exported.
    pub(super) fn is_wanted(&self) -> bool {
        self.sampled == Some(true) && self.trace_id.is_some() && self.span_id.is_some()
    }

    /// Whether it failed: the conventions set `error.type` on failure.
    pub(super) fn failed(&self) -> bool {
        self.attributes
            .iter()
            .any(|(name, _)| *name == "error.type")
    }

    fn set(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.attributes.push((name, value)),
        }
    }
}

impl Visit for SpanData {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.name" => value.clone_into(&mut self.name),
            "otel.kind" if value == "client" => self.kind = Kind::Client,
            "otel.kind" => self.kind = Kind::Server,
            "fibrpc_trace_id" => self.trace_id = from_hex(value),
            "fibrpc_span_id" => self.span_id = from_hex(value),
            "fibrpc_parent_id" => self.parent_id = from_hex(value),
            "fibrpc_tracestate" => value.clone_into(&mut self.state),
            _ => self.set(field, Value::Text(value.to_owned())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "fibrpc_sampled" => self.sampled = Some(value),
            _ => self.set(field, Value::Switch(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.record_str(field, &value.to_string()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The message of an event.
#[derive(Debug, Default)]
pub(super) struct MessageVisitor(pub(super) String);

impl Visit for MessageVisitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// An id in hexadecimal digits; `None` if it is none, or zero.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex(text.as_bytes()).filter(|id| *id != [0; N])
}

#[cfg(test)]
mod tests {
    use super::from_hex;

    #[test]
    fn ids_are_hexadecimal_and_not_zero() {
        assert_eq!(from_hex("00ff10"), Some([0, 0xff, 0x10]));
        for text in ["000000", "00ff1", "00ff100", "00fg10", "+1+1+1", ""] {
            assert_eq!(from_hex::<3>(text), None, "{text}");
        }
    }
}
