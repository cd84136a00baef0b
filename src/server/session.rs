//! One session: two connections, a consumer, and all requests in flight between them.
//!
//! Owns every delivery from its arrival to its ack. Guarantees that nothing is acknowledged before its reply is confirmed (or
//! returned, or nobody expects one), and that dropping the session returns everything else to the broker.
//!
//! Deliveries and acks use one connection, replies the other: a broker short of memory stops reading from connections that
//! publish, and would not read our acks on them.

mod confirms;
mod deadlines;
mod drain;
mod ending;
mod handling;
mod open;
mod phase;
mod prefetch;
mod replies;
mod requests;
mod serve;

pub(super) use ending::{End, Failure};
pub(super) use open::Session;
