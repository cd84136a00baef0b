//! The broker, in our own types. Nothing outside this folder names the AMQP library.
//!
//! Every operation has a deadline; where it passes, the connection's kill switch is pulled, so that
//! a hung socket is cut and never waited for.

pub mod backoff;
pub mod certificate;
mod channel;
mod connection;
mod convert;
pub mod endpoint;
pub mod error;
pub mod guard;
pub mod stages;
mod tls;
pub mod topology;
mod transport;

pub use channel::{Channel, Confirm, Consumer, Delivery, QueueStatus, Returned};
pub use connection::{Connection, Event, Options};
pub use error::{Error, Kind};
