//! A typed JSON service, and its client.
//!
//! ```text
//! $ cargo run --example price &            # serves the queue "prices"; SIGTERM and Ctrl-C drain
//! $ cargo run --example price -- tea 2     # asks
//! 700 cents
//! ```
//!
//! The broker is the one of the variable `AMQP_URL`. Any client can ask: `PROTOCOL.md` says how, and
//! `tests/fixtures/typed_client.py` does it in Python.

#![allow(clippy::print_stdout, reason = "a program")]

use fibrpc::{Json, Server, Status, handler};
use std::env;
use std::error::Error;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

#[derive(serde::Deserialize, serde::Serialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Price {
    cents: u64,
}

async fn price(Json(order): Json<Order>) -> Result<Json<Price>, Status> {
    let each = lookup(&order.item).ok_or_else(|| Status::not_found("no such item"))?;
    let cents = each * u64::from(order.count);
    Ok(Json(Price { cents }))
}

fn lookup(item: &str) -> Option<u64> {
    match item {
        "tea" => Some(350),
        "coffee" => Some(420),
        _ => None,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("AMQP_URL").unwrap_or("amqp://localhost/%2f".into());
    let mut terminate = signal(SignalKind::terminate())?;
    Server::builder(url)
        .queue("prices")
        .serve(handler(price))
        .with_graceful_shutdown(async move {
            tokio::select! { _ = terminate.recv() => {} _ = ctrl_c() => {} }
        })
        .await?;
    Ok(())
}
