//! The contract on AMQP messages: what a request and a reply look like, and what can go wrong.
//!
//! Pure: bytes and properties in, values out. No I/O and no clock; where the time matters, the
//! caller passes it in.

mod amqp10;
pub mod control;
pub mod direct_reply_to;
mod excerpt;
mod number;
pub mod reply;
pub mod reply_to;
pub mod request;
pub mod status;

pub use reply::Answer;
pub use request::{Format, Request};
pub use status::{Code, Status};

/// A message as it crosses the broker layer, in our own types (the broker layer alone knows AMQP's).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The payload.
    pub body: Vec<u8>,
    /// The properties that the protocol gives a meaning to; all others are left behind.
    pub properties: Properties,
}

/// The message properties that the protocol uses. Everything else is never read and never copied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<String>,
    /// The request's id, any bytes up to 255 (AMQP says text, but clients send raw bytes too).
    pub correlation_id: Option<Vec<u8>>,
    /// The message's own id. AMQP 1.0 clients send only this one.
    pub message_id: Option<Vec<u8>>,
    /// Where the reply goes.
    pub reply_to: Option<String>,
    /// Time to live in milliseconds, as decimal text.
    pub expiration: Option<String>,
    /// `fibrpc.reply` or `fibrpc.error`; of a request, what it asks of the server itself, if anything.
    pub kind: Option<String>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// Whether the broker writes the message to disk.
    pub persistent: bool,
    /// The headers that the protocol knows (see [`header`]), in no particular order.
    pub headers: Vec<(&'static str, HeaderValue)>,
    /// What could not be read of the message, if that matters.
    pub defect: Option<Defect>,
}

impl Properties {
    /// The value of a header, if the message carries it.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// What was wrong with a message that could be delivered only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// There is a `reply_to`, and it is not UTF-8 (these bytes), or not where it should be (none).
    ReplyTo(Vec<u8>),
    /// The body was larger than the receiver takes and was dropped; its size in bytes.
    Body(u64),
    /// The body is an AMQP 1.0 section of a type that is not understood.
    Section,
}

/// The value of a header in one of the few types that the protocol uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// A truth value.
    Bool(bool),
    /// Any of AMQP's integer types.
    Int(i64),
    /// A point in time, in seconds since the Unix epoch.
    Time(u64),
    /// Text.
    Text(String),
}

impl HeaderValue {
    /// The value as an integer, which may be written in decimal: not every AMQP library knows integers of 64
    /// bits.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Text(text) => text.trim_ascii().parse().ok(),
            Self::Bool(_) | Self::Time(_) => None,
        }
    }

    /// The value as a point in time, in Unix milliseconds: a number counts these.
    pub fn unix_ms(&self) -> Option<i64> {
        match self {
            Self::Time(seconds) => i64::try_from(*seconds).ok()?.checked_mul(1_000),
            _ => self.integer(),
        }
    }
}

/// Names of the headers that the protocol knows. The broker layer reads these and no others.
pub mod header {
    /// Request: the deadline in Unix milliseconds.
    pub const DEADLINE: &str = "fibrpc-deadline";
    /// Reply: the status code's name.
    pub const STATUS: &str = "fibrpc-status";
    /// Reply: whether asking again may help.
    pub const RETRYABLE: &str = "fibrpc-retryable";
    /// Reply: the server's instance name.
    pub const SERVER: &str = "fibrpc-server";
    /// Reply: microseconds in the queue, where it can be known.
    pub const QUEUED_US: &str = "fibrpc-queued-us";
    /// Reply: microseconds of computation.
    pub const COMPUTE_US: &str = "fibrpc-compute-us";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace context, vendor part.
    pub const TRACESTATE: &str = "tracestate";
    /// Set by quorum queues: how often the message was delivered before.
    pub const DELIVERY_COUNT: &str = "x-delivery-count";
    /// All of them; a header that is not here is never read.
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
    ];
}
