//! The contract on AMQP messages: what a request and a reply look like, and what can go wrong.
//!
//! Pure: bytes and properties in, values out. No I/O and no clock; the current time is an argument.

mod amqp10;
pub mod body;
pub mod control;
pub mod direct_reply_to;
mod message;
pub mod reply;
pub mod reply_to;
pub mod request;
pub mod status;

pub use message::{Defect, HeaderValue, Message, Properties, Unread, header};
pub use reply::Answer;
pub use request::{Format, Request};
pub use status::{Code, Status};
