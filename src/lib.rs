//! RPC over RabbitMQ: a server, a client, and the two programs `fibrpcd` and `fibrpc` around them.
//!
//! A [`Server`] answers the requests of a queue with an asynchronous function (see [`handler`]), any other tower service, or a
//! computation (see [`server::Service`]). It acknowledges a request only after the
//! reply is confirmed, reconnects if the broker fails, and drains on shutdown. A [`Client`] keeps many calls in
//! flight on one channel, to any queue, each with a deadline. The protocol is a superset of RabbitMQ's RPC tutorial; `PROTOCOL.md` specifies
//! it.
//!
//! ```no_run
//! use fibrpc::{Code, Json, Server, Status, handler};
//!
//! #[derive(serde::Deserialize)] struct Order { item: String, count: u32 }
//! #[derive(serde::Serialize)] struct Price { cents: u64 }
//!
//! async fn price(Json(order): Json<Order>) -> Result<Json<Price>, Status> {
//!     let each = lookup(&order.item).ok_or_else(|| Status::new(Code::InvalidArgument, "no such item"))?;
//!     Ok(Json(Price { cents: each * u64::from(order.count) }))
//! }
//! # fn lookup(_: &str) -> Option<u64> { None }
//!
//! # async fn example() -> Result<(), fibrpc::server::BuildError> {
//! // Connects, declares or adopts the queue, serves until the future resolves, and drains.
//! Server::builder("amqp://localhost/%2f")
//!     .queue("prices")
//!     .prefetch(64)
//!     .serve(handler(price))
//!     .with_graceful_shutdown(async { /* for example a signal */ })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! A caller:
//!
//! ```no_run
//! # use std::time::Duration;
//! # #[derive(serde::Serialize)] struct Order { item: String, count: u32 }
//! # #[derive(serde::Deserialize)] struct Price { cents: u64 }
//! use fibrpc::{Client, Json};
//!
//! # async fn example(order: Order) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("amqp://localhost/%2f").await?;
//! let Json(price) = client.call::<Json<Price>>("prices", Json(order)).timeout(Duration::from_secs(5)).await?;   // Err carries the Status
//! # Ok(())
//! # }
//! ```
//!
//! A computation states what it costs, and runs on the session's task if it is cheap, else on a pool of threads. The builder
//! serves it as [`blocking(Length)`](blocking()):
//!
//! ```no_run
//! use fibrpc::config::Config;
//! use fibrpc::protocol::{Answer, Request, Status};
//! use fibrpc::server::{Cancel, Cost, Server, Service};
//!
//! /// Replies with the length of the request.
//! struct Length;
//!
//! impl Service for Length {
//!     type Job = usize;
//!
//!     fn admit(&self, request: &Request) -> Result<(usize, Cost), Status> {
//!         // No cost is stated, so the job runs on the thread pool.
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
//! // `handle` stops the server, changes its configuration and watches its state.
//! server.run().await;
//! # drop(handle);
//! # }
//! ```
//!
//! The modules, from the bottom up; each imports only from those above it in this list:
//!
//! - [`config`]: typed sections, their defaults, and the origins of values.
//! - [`protocol`]: the meaning of messages. Pure.
//! - [`broker`]: connections to the broker, in our own types; the only module that names the AMQP library.
//! - [`server`] and [`client`]: the two ends of a call.
//! - `fibonacci`: the function that the two programs ship; only they know it.
//! - `daemon` and `cli`: the two programs.
//!
//! # Features
//!
//! - `server`: [`Server`] and services.
//! - `client`: `Client` and calls.
//! - `json`: bodies of your own types, [`Json`].
//! - `daemon` and `cli`: the two programs. Servers and clients of your own need neither: with `default-features = false` the
//!   crate has no command line, no journal and no big integers.
//!
//! `daemon`, `cli` and `json` are on by default.

#![cfg_attr(
    not(all(feature = "daemon", feature = "cli")),
    allow(
        dead_code,
        reason = "the programs use what a library user need not see"
    )
)]

#[cfg(any(feature = "server", feature = "client"))]
pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod config;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "fibonacci")]
pub mod fibonacci;
#[cfg(all(any(test, fuzzing), feature = "cli"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "process")]
mod inherited;
mod named;
pub mod protocol;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "process")]
mod stdio;
mod text;

#[cfg(feature = "client")]
pub use client::{CallError, Client};
#[cfg(feature = "json")]
pub use protocol::body::Json;
pub use protocol::body::{Bytes, Text};
pub use protocol::{Code, Status};
#[cfg(feature = "server")]
pub use server::extract::{Deadline, State};
#[cfg(feature = "server")]
pub use server::{Cancel, Reply, Request, Router, Server, blocking, handler};
