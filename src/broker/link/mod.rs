//! One connection's bytes: how they are moved and distributed.
//!
//! [`Link`] is the shared state; sessions write messages into it, the AMQP library reads and writes its part
//! of the conversation through [`LibraryEnd`], and [`Pump`], a task of the connection's own, moves all of it
//! through the socket. So a message crosses no thread: what is read from the socket is split by the
//! [reader](super::reader) and put into the mailboxes in one go, and what a session publishes goes out with the
//! next write, however many messages that are.
//!
//! Guarantees: frames go out whole and in the order in which they were written; once the connection fails, whether
//! by a fault, by the broker, or by [`Link::kill`], everything that waits on it fails at once, with the reason
//! ([`Ending`](super::ending::Ending)).

mod caught_up;
mod library;
mod pump;
mod state;

pub(super) use caught_up::within;
pub(super) use library::{LibraryEnd, Runtime, refusal_text, runtime};
pub(super) use pump::Pump;
pub(super) use state::Link;
