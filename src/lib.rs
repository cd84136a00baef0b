//! RPC over RabbitMQ: a server, a client, and the two programs `fibrpcd` and `fibrpc` around them.
//!
//! A [`server::Server`] answers the requests of a queue with a [`server::Service`]; it acknowledges
//! nothing before its reply is confirmed, survives its broker, and drains when it is told to stop. A
//! [`client::Client`] keeps many calls in flight on one channel, each with a deadline. What goes over the
//! wire is a superset of RabbitMQ's RPC tutorial, written down in `PROTOCOL.md`.
//!
//! ```no_run
//! use fibrpc::config::Config;
//! use fibrpc::protocol::{Answer, Request, Status};
//! use fibrpc::server::{Cancel, Cost, Server, Service};
//!
//! /// Says how long a request is.
//! struct Length;
//!
//! impl Service for Length {
//!     type Job = usize;
//!
//!     fn admit(&self, request: &Request) -> Result<(usize, Cost), Status> {
//!         Ok((request.body.len(), Cost::default()))
//!     }
//!
//!     fn run(&self, length: usize, _: &Cancel) -> Result<Answer, Status> {
//!         Ok(Answer { body: length.to_string().into_bytes(), content_type: "text/plain" })
//!     }
//! }
//!
//! # async fn example() {
//! let (server, handle) = Server::new(Length, Config::default());
//! // `handle` stops it, changes its configuration and watches its state, from wherever it is held.
//! server.run().await;
//! # drop(handle);
//! # }
//! ```
//!
//! The modules, from the bottom up; each knows those above it in this list and no other:
//!
//! - [`fibonacci`]: the function. Pure, and known to [`daemon`] alone.
//! - [`config`]: typed sections, their defaults, and where values come from.
//! - [`protocol`]: what a message means. Pure.
//! - [`broker`]: the broker in our own types; the only place that names the AMQP library.
//! - [`server`] and [`client`]: the two ends of a call.
//! - [`daemon`] and [`cli`]: the two programs.

pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod daemon;
pub mod fibonacci;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod inherited;
pub mod protocol;
pub mod server;
mod stdio;
mod text;
