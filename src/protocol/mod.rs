//! The contract on AMQP messages: what a request and a reply look like, and what can go wrong.
//!
//! Pure: bytes and properties in, values out. No I/O and no clock; the current time is an argument.

mod amqp10;
pub(crate) mod body;
pub(crate) mod control;
pub(crate) mod direct_reply_to;
pub(crate) mod message;
pub(crate) mod reply;
pub(crate) mod reply_to;
pub(crate) mod reply_value;
pub(crate) mod request;
pub(crate) mod status;
pub(crate) mod trace_context;

pub(crate) use message::{Defect, HeaderValue, Message, Properties, Unread, header};
pub use reply_value::Reply;
pub use request::{Format, RequestMessage};
pub use status::{Code, Status};
pub use trace_context::TraceContext;
