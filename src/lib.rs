//! RPC over RabbitMQ (AMQP 0-9-1): a server that runs any function behind a queue, and a client that calls it.
//!
//! Services and callers need not know each other: a queue is between them, any number of servers share it, and the broker
//! holds requests while there is none. The two programs `fibrpcd` and `fibrpc` are made of this crate.
//!
//! # Example
//!
//! A service of one's own types, and a caller. [`handler`] makes a service of an asynchronous function, whose arguments are
//! [extracted](server::extract) from the request:
//!
//! ```no_run
//! # use std::time::Duration;
//! use fibrpc::{Client, Json, Server, Status, handler};
//!
//! #[derive(serde::Deserialize, serde::Serialize)] struct Order { item: String, count: u32 }
//! #[derive(serde::Deserialize, serde::Serialize)] struct Price { cents: u64 }
//!
//! async fn price(Json(order): Json<Order>) -> Result<Json<Price>, Status> {
//!     let each = lookup(&order.item).ok_or_else(|| Status::not_found("no such item"))?;
//!     Ok(Json(Price { cents: each * u64::from(order.count) }))
//! }
//!
//! # fn lookup(_: &str) -> Option<u64> { None }
//! # mod tokio { pub mod signal { pub async fn ctrl_c() -> std::io::Result<()> { Ok(()) } } } // not a feature of the tests
//! # async fn example(order: Order) -> Result<(), Box<dyn std::error::Error>> {
//! // A service: connects, declares or adopts the queue, serves until the future resolves, drains.
//! Server::builder("amqp://localhost/%2f")
//!     .queue("prices")
//!     .prefetch(64)
//!     .serve(handler(price))
//!     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.ok(); })
//!     .await?;
//!
//! // A caller.
//! let client = Client::connect("amqp://localhost/%2f").await?;
//! let Json(price) = client.call::<Json<Price>>("prices", Json(order)).timeout(Duration::from_secs(5)).await?;   // Err carries the Status
//! # Ok(())
//! # }
//! ```
//!
//! A [`Router`] has several methods. Any tower service can be one, with tower's layers around it. A function that computes
//! instead of waiting is a [`server::Service`], which [`blocking`] makes a method: it runs on a pool of threads, and may state
//! what it costs.
//!
//! # Guarantees
//!
//! - **Nothing is lost.** A request is acknowledged only after the broker has confirmed its reply. Whatever fails in between,
//!   the broker delivers it again, so a function may run more than once for a request.
//! - **Nothing hangs.** Every network operation and every call has a deadline. That of a call travels with its request: expired
//!   work is not begun, or is dropped.
//! - **One request hurts only itself.** A panic is an `INTERNAL` for its request; hostile messages are refused or answered.
//! - **Errors reach the caller** as a [`Status`]: code, message, and perhaps details for programs.
//! - **A server reconnects** with backoff, follows the load with its prefetch, and on shutdown finishes what it has begun.
//!
//! # Protocol
//!
//! A superset of RabbitMQ's RPC tutorial (`reply_to`, `correlation_id`): clients and servers written from it work with this
//! crate. The property `type` names the method, `content_type` the format, `expiration` the time left; headers carry status
//! and times. `PROTOCOL.md` in the repository specifies it for other languages.
//!
//! # Traces
//!
//! A request may be part of a distributed trace ([`TraceContext`]: W3C Trace Context). The server's span is a child of the
//! caller's, and a service passes it on with its own calls. Spans of requests and calls are spans of `tracing` with the target
//! `fibrpc::rpc` and the names `rpc.server` and `rpc.client`; the fields are those of OpenTelemetry's conventions for RPC, and
//! the ids `fibrpc_trace_id`, `fibrpc_span_id` and `fibrpc_parent_id`. They are made for requests and calls with a context, and
//! for all others if a subscriber enables that target at level `INFO`; without one, nothing is made.
//!
//! # Features
//!
//! - `server`: [`Server`] and services.
//! - `client`: [`Client`] and calls.
//! - `json`: bodies of one's own types, [`Json`].
//! - `testing`: calls a service through admission, deadlines and settlement, without a broker.
//! - `daemon`, `cli`: the two programs.
//!
//! `json`, `daemon` and `cli` are on by default, and the programs enable what they need. A service or a caller needs neither of
//! them, which keeps command line, journal and big integers out:
//!
//! ```toml
//! [dependencies]
//! fibrpc = { version = "0.2", default-features = false, features = ["server", "client", "json"] }
//! ```
//!
//! Needs Linux and a tokio runtime with timers and I/O.

#![cfg_attr(
    not(all(feature = "daemon", feature = "cli")),
    allow(
        dead_code,
        unused_imports,
        reason = "what one feature does not use is for another one; with both programs nothing is unused"
    )
)]

#[cfg(any(feature = "server", feature = "client"))]
mod broker;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
mod config;
#[cfg(feature = "daemon")]
#[doc(hidden)]
pub mod daemon;
#[cfg(feature = "fibonacci")]
mod fibonacci;
#[cfg(all(any(test, fuzzing), feature = "cli"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "process")]
mod inherited;
#[cfg(all(feature = "process", any(feature = "server", feature = "client")))]
#[doc(hidden)]
pub mod internals;
mod named;
mod protocol;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "process")]
mod stdio;
#[cfg(any(feature = "daemon", feature = "cli", feature = "otlp"))]
mod telemetry;
mod text;

#[cfg(feature = "client")]
pub use client::{CallError, Client};
#[cfg(feature = "json")]
pub use protocol::body::Json;
pub use protocol::body::{Bytes, Text};
pub use protocol::{Code, Reply, Status, TraceContext};
#[cfg(feature = "server")]
pub use server::extract::{Deadline, State};
#[cfg(all(feature = "server", any(test, feature = "testing")))]
pub use server::testing;
#[cfg(feature = "server")]
pub use server::{Cancel, Request, Router, Server, blocking, handler};
