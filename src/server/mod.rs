//! The server: it answers the requests of a queue, session after session, until it is stopped.
//!
//! [`Server::builder`] is for programs of one's own; [`Handle`] controls and observes a server.
//!
//! The supervisor (`supervisor.rs`) opens one session after another. A session (`session.rs`) is never repaired: on any
//! fault it is dropped as a whole, and a new one is opened.

mod abandoned;
mod acks;
mod admission;
mod adoption;
mod answering;
mod asynchronous;
mod backend;
mod blocking;
#[cfg_attr(
    not(feature = "daemon"),
    allow(dead_code, reason = "read by telemetry")
)]
pub(crate) mod broker_info;
mod broker_wait;
mod brokers;
mod builder;
mod cancel;
mod context;
mod control;
mod correction;
mod credit;
pub mod extract;
mod futures;
mod handler;
mod histogram;
mod isolation;
mod launch;
pub(crate) mod log;
mod memory;
mod methods;
#[cfg_attr(
    not(feature = "daemon"),
    allow(dead_code, reason = "read by telemetry")
)]
pub(crate) mod metrics;
mod nodes;
mod pace;
mod pool;
mod reachability;
mod report;
mod request;
mod router;
mod saturation;
mod service;
mod session;
mod span;
pub(crate) mod state;
mod strike_file;
mod supervisor;
mod tally;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod undeliverable;

pub use asynchronous::{AnyService, AsyncService};
pub use blocking::{Blocking, blocking};
#[cfg(feature = "daemon")]
pub(crate) use broker_info::BrokerInfo;
pub use builder::{BuildError, Builder, Serve};
pub use cancel::Cancel;
#[cfg(test)]
pub(crate) use credit::MAX_LINE;
pub use handler::{Function, Handler, handler};
pub use launch::Handle;
pub use methods::{IntoMethod, IntoMethods};
pub(crate) use pool::lower_priority;
pub use request::Request;
pub use router::Router;
#[cfg(test)]
pub(crate) use service::tests::Nothing;
pub use service::{Cost, Service};
#[cfg(feature = "daemon")]
pub(crate) use state::Settled;
pub use state::{Counters, Outcome, ServerState, Stop};

/// A server: [`Server::builder`] makes one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Server;

impl Server {
    /// The settings of a server at the broker with this URL.
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref())
    }
}
