//! The broker, in our own types. Nothing outside this folder names the AMQP library.
//!
//! The library has the conversation with the broker; messages are read and written here (see
//! `codec/mod.rs` for why). Every operation has a deadline; if it passes, the connection is cut, so that nothing waits
//! for a hung socket. Inside this folder, files import from each other and not from here.

pub mod backoff;
#[cfg(any(feature = "server", feature = "client"))]
pub(crate) mod builder;
mod channel;
pub mod clock;
pub mod cluster;
mod codec;
#[cfg(feature = "process")]
pub mod config_check;
mod connection;
pub mod declaration;
mod ending;
pub mod endpoint;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handshake;
mod id;
mod last_read;
mod link;
mod mailbox;
mod progress;
mod reader;
mod settlements;
pub mod stages;
mod tls;
pub mod topology;
mod transport;
mod unconfirmed;
pub(crate) mod warned;

pub use channel::{Channel, QueueStatus, Subscription};
pub use connection::{Channels, Connection, Opened, Options};
pub use error::{Error, Kind};
pub use id::random_id;
pub use last_read::LastRead;
pub use mailbox::{Arrival, ConnectionEvent, Mailbox, Returned};
pub use tls::expiry::{Expiry, RENEW};
pub use unconfirmed::Unconfirmed;
