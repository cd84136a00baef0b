//! AMQP 0-9-1 on plain sockets, independent of the library that the product uses.
//!
//! [`Client`] is a small blocking client that can also send what no real client would: raw property bytes, malformed
//! headers, early acks. The fault proxy uses [`frame`] and [`properties`] as well.

pub mod client;
pub mod frame;
pub mod message;
pub mod properties;

pub use client::{Client, Error};
pub use message::{Declare, Delivery, Publish};
pub use properties::Properties;
