//! Messages with the properties and headers that the protocol uses. Plain data.

use std::borrow::Cow;

/// A message as the broker layer receives and publishes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The payload.
    pub body: Vec<u8>,
    /// The properties that the protocol uses.
    pub properties: Properties,
}

impl Message {
    /// The size of the payload as it was sent, in bytes, also if it was dropped.
    pub(crate) fn body_size(&self) -> u64 {
        match self.properties.defect {
            Some(Defect::Body(size)) => size,
            _ => self.body.len() as u64,
        }
    }
}

/// The message properties that the protocol uses. No others are read or copied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<String>,
    /// The request's id: up to 255 bytes (text according to AMQP, but some clients send raw bytes).
    pub correlation_id: Option<Vec<u8>>,
    /// The message's own id. AMQP 1.0 clients send no other.
    pub message_id: Option<Vec<u8>>,
    /// The queue or direct reply-to name that receives the reply.
    pub reply_to: Option<String>,
    /// Time to live in milliseconds, decimal text.
    pub expiration: Option<String>,
    /// The property `type`: `fibrpc.reply` or `fibrpc.error`; in a request, the control question, if it is one.
    pub kind: Option<String>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// Whether the broker writes the message to disk.
    pub persistent: bool,
    /// The headers listed in [`header`], in no particular order.
    pub headers: Vec<(&'static str, HeaderValue)>,
    /// What is written, but not read. Boxed, since few messages have any.
    pub unread: Option<Box<Unread>>,
    /// The part of the message that could not be read, if it matters.
    pub defect: Option<Defect>,
}

impl Properties {
    /// The value of a header, if present.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        let found = self.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value)
    }

    /// The value of a text header, if present.
    pub(super) fn text_header(&self, name: &str) -> Option<&str> {
        match self.header(name)? {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Properties of a request that no server of this crate reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unread {
    /// The priority; the queue decides what it means.
    pub priority: Option<u8>,
    /// Headers other than those listed in [`header`].
    pub headers: Vec<(Cow<'static, str>, HeaderValue)>,
}

/// Why a message could be read only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// The `reply_to` is not UTF-8 (its bytes), or cannot be located (empty).
    ReplyTo(Vec<u8>),
    /// The body exceeded the receiver's limit and was dropped; its size in bytes.
    Body(u64),
    /// The body is an AMQP 1.0 section of an unsupported type.
    Section,
}

/// The value of a header, in the types that the protocol uses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderValue {
    /// A boolean.
    Bool(bool),
    /// An integer of any AMQP type.
    Int(i64),
    /// A timestamp, in seconds since the Unix epoch.
    Time(u64),
    /// Text.
    Text(String),
}

impl HeaderValue {
    /// The value as an integer. Decimal text is accepted too, because not every AMQP library supports 64-bit
    /// integers.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Text(text) => text.trim_ascii().parse().ok(),
            Self::Bool(_) | Self::Time(_) => None,
        }
    }

    /// The value as Unix milliseconds; an integer is taken as such.
    pub fn unix_ms(&self) -> Option<i64> {
        match self {
            Self::Time(seconds) => i64::try_from(*seconds).ok()?.checked_mul(1_000),
            _ => self.integer(),
        }
    }
}

impl HeaderValue {
    /// An upper bound of its size in a message, in bytes, together with what precedes it and its name.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 6,
            Self::Bool(_) | Self::Int(_) | Self::Time(_) => 10,
        }
    }
}

impl From<bool> for HeaderValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for HeaderValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for HeaderValue {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for HeaderValue {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Header names. The broker layer reads these and no others.
pub mod header {
    /// Request: the deadline in Unix milliseconds.
    pub const DEADLINE: &str = "fibrpc-deadline";
    /// Reply: the status code's name.
    pub const STATUS: &str = "fibrpc-status";
    /// Reply: whether a retry may help.
    pub const RETRYABLE: &str = "fibrpc-retryable";
    /// Reply: the server's instance name.
    pub const SERVER: &str = "fibrpc-server";
    /// Reply: microseconds in the queue, if known.
    pub const QUEUED_US: &str = "fibrpc-queued-us";
    /// Reply: microseconds of computation.
    pub const COMPUTE_US: &str = "fibrpc-compute-us";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace context, vendor part.
    pub const TRACESTATE: &str = "tracestate";
    /// Set by quorum queues: the number of previous deliveries.
    pub const DELIVERY_COUNT: &str = "x-delivery-count";
    /// Set by brokers that are configured to: the time of arrival in Unix milliseconds.
    pub const ARRIVED: &str = "timestamp_in_ms";
    /// All of the above.
    pub const ALL: &[&str] = &[
        DEADLINE,
        STATUS,
        RETRYABLE,
        SERVER,
        QUEUED_US,
        COMPUTE_US,
        TRACEPARENT,
        TRACESTATE,
        DELIVERY_COUNT,
        ARRIVED,
    ];
}
