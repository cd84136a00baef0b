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

use fibrpc::{Client, Code, Json, Server, Status, handler};
use futures_util::StreamExt as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use std::env;
use std::error::Error;
use std::time::Duration;

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

async fn ask(url: &str, item: String, count: u32) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(url).await?;
    let call = client.call::<Json<Price>>("prices", Json(Order { item, count }));
    match call.timeout(Duration::from_secs(5)).await {
        Ok(Json(price)) => println!("{} cents", price.cents),
        // The status that the server sent.
        Err(error) if error.code() == Code::NotFound => println!("not for sale"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("AMQP_URL").unwrap_or("amqp://localhost/%2f".into());
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [item, count] = &arguments[..] {
        return ask(&url, item.clone(), count.parse()?).await;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    Server::builder(url)
        .queue("prices")
        .serve(handler(price))
        .with_graceful_shutdown(async move {
            signals.next().await;
        })
        .await?;
    Ok(())
}
