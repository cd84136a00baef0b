//! A typed JSON service: an asynchronous function behind the queue `prices`.
//!
//! `{"item": "tea", "count": 2}` is answered with `{"cents": 700}`. The first argument is the broker's URL; SIGINT and SIGTERM
//! drain.

use fibrpc::{Code, Json, Server, Status, handler};
use futures_util::stream::StreamExt as _;
use std::error::Error;

#[derive(serde::Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(serde::Serialize)]
struct Price {
    cents: u64,
}

async fn price(Json(order): Json<Order>) -> Result<Json<Price>, Status> {
    let each =
        lookup(&order.item).ok_or_else(|| Status::new(Code::InvalidArgument, "no such item"))?;
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
    let url = std::env::args().nth(1);
    let url = url.unwrap_or_else(|| "amqp://localhost/%2f".into());
    let mut signals = signal_hook_tokio::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ])?;
    Server::builder(url)
        .queue("prices")
        .serve(handler(price))
        .with_graceful_shutdown(async move {
            signals.next().await;
        })
        .await?;
    Ok(())
}
