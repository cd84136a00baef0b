//! A log record: a copy of an event that can be sent to another thread. Untrusted text is made safe here.

use crate::text::{MAX_LINE, excerpt};
use std::fmt::{self, Debug, Write as _};
use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Metadata};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// The field that limits how often an event is logged; it holds how many were left out before this one.
pub(super) const LEFT_OUT: &str = "fibrpc_left_out";

/// The fields of a span that hold its ids.
const TRACE_ID: &str = "fibrpc_trace_id";
const SPAN_ID: &str = "fibrpc_span_id";

/// The span in which something happened.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) metadata: &'static Metadata<'static>,
    /// In hexadecimal digits, like the next one.
    pub(super) id: String,
    pub(super) span_id: String,
}

impl Trace {
    /// Of a span that begins.
    pub(super) fn of(attributes: &Attributes<'_>) -> Self {
        let mut trace = Self {
            metadata: attributes.metadata(),
            id: String::new(),
            span_id: String::new(),
        };
        attributes.record(&mut trace);
        trace
    }

    /// The id in this field of the span.
    pub(super) fn value(&self, field: &str) -> Option<&str> {
        match field {
            TRACE_ID => Some(&self.id),
            SPAN_ID => Some(&self.span_id),
            _ => None,
        }
    }
}

impl Visit for Trace {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            TRACE_ID => value.clone_into(&mut self.id),
            SPAN_ID => value.clone_into(&mut self.span_id),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if let TRACE_ID | SPAN_ID = field.name() {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

/// An event with owned values, each one line long.
pub(super) struct Record {
    /// Level, target and place in the source.
    pub(super) metadata: &'static Metadata<'static>,
    /// When it happened, UTC, as in RFC 3339.
    pub(super) time: String,
    /// The fields, `message` among them.
    pub(super) values: Vec<(Field, String)>,
    /// The span of the request, if it has one.
    pub(super) trace: Option<Trace>,
}

impl Record {
    pub(super) fn of(event: &Event<'_>, trace: Option<Trace>) -> Self {
        let mut record = Self {
            metadata: event.metadata(),
            time: String::new(),
            values: Vec::with_capacity(8),
            trace,
        };
        // Writing to a string cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut record.time));
        event.record(&mut record);
        record
    }

    /// The text of a field, if the event has it.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(field, _)| field.name() == name)
            .map(|(_, value)| value.as_str())
    }

    /// Adds how many similar events were left out before it.
    pub(super) fn count(&mut self, left_out: u64) {
        let Some(field) = self.metadata.fields().field(LEFT_OUT) else {
            return;
        };
        if left_out == 0 {
            return;
        }
        let message = |(field, _): &&mut (Field, String)| field.name() == "message";
        if let Some((_, message)) = self.values.iter_mut().find(message) {
            // Writing to a string cannot fail.
            let _ = write!(message, " ({left_out} more were left out before this)");
        }
        self.values.push((field, left_out.to_string()));
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = excerpt(value, MAX_LINE).into_owned();
        self.values.push((field.clone(), value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.values).finish()
    }
}
