//! Requests: what a delivery asks for, and the message that asks it.

use super::{Message, Properties, Status};

/// In which form the request came and the reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Decimal text, as in RabbitMQ's tutorial.
    Text,
    /// JSON: `30` or `{"n": 30}`.
    Json,
}

/// A request as the server sees it. Holds whatever was sent; [`Request::number`] judges the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The payload.
    pub body: Vec<u8>,
    /// From `content_type`.
    pub format: Format,
    /// Where the reply goes; `None`: nobody waits for one.
    pub reply_to: Option<String>,
    /// What the reply carries as `correlation_id`: the request's own, else its `message_id`.
    pub correlation_id: Option<Vec<u8>>,
    /// When the caller stops waiting, in Unix milliseconds.
    pub deadline_ms: Option<i64>,
    /// When the request was published, in Unix milliseconds, where it can be known.
    pub sent_ms: Option<i64>,
    /// W3C trace context, as it came.
    pub trace_parent: Option<String>,
    /// W3C trace context, vendor part, as it came.
    pub trace_state: Option<String>,
    /// How often a quorum queue has delivered this request before.
    pub delivery_count: u64,
    /// What could not be delivered of it.
    pub defect: Option<super::Defect>,
}

impl Request {
    /// Reads a delivery. Cannot fail: what is wrong with the body comes out of [`Request::number`].
    pub fn read(message: Message) -> Self {
        let Message { body, properties } = message;
        let Properties { reply_to, .. } = properties;
        Self {
            body,
            format: Format::Text,
            reply_to,
            correlation_id: None,
            deadline_ms: None,
            sent_ms: None,
            trace_parent: None,
            trace_state: None,
            delivery_count: 0,
            defect: None,
        }
    }

    /// The number that the body asks for, in either format.
    pub fn number(&self) -> Result<u64, Status> {
        Err(Status::new(super::Code::Internal, "not written yet"))
    }

    /// How long the caller still waits at `now_ms`, skew included; `None`: for ever.
    pub fn time_left(&self, now_ms: i64) -> Option<std::time::Duration> {
        let left = self
            .deadline_ms?
            .saturating_add(1000)
            .saturating_sub(now_ms);
        Some(std::time::Duration::from_millis(
            u64::try_from(left).unwrap_or(0),
        ))
    }

    /// Whether the caller has stopped waiting at `now_ms` (a second of clock skew is tolerated).
    pub fn expired(&self, now_ms: i64) -> bool {
        let _ = now_ms;
        false
    }
}

/// The message that asks for `n` (plain text), as `fibrpc` sends it. `id` becomes both
/// `correlation_id` and `message_id`; `timeout_ms` the expiration; `deadline_ms` the header.
pub fn write(n: &str, id: &[u8], reply_to: &str, timeout_ms: u64, deadline_ms: i64) -> Message {
    let _ = (n, id, reply_to, timeout_ms, deadline_ms);
    Message::default()
}
