//! The service of `examples/price.rs`, written with `RustStream` as its documentation shows.
//!
//! `AMQP_URL` is the broker, `RECOVER` any value for automatic recovery. 100 requests at once, and each is acknowledged after
//! the broker has confirmed its reply.

use ruststream_lapin::prelude::*;
use serde::{Deserialize, Serialize};
use std::env;

#[derive(Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(Serialize, Outgoing)]
struct Price {
    cents: u64,
}

#[subscriber("ruststream", reply("ruststream.unanswered"), workers(100))]
async fn price(order: &Order) -> Result<Price, HandlerOutcome> {
    let each = lookup(&order.item).ok_or_else(HandlerOutcome::drop)?;
    let cents = each * u64::from(order.count);
    Ok(Price { cents })
}

fn lookup(item: &str) -> Option<u64> {
    match item {
        "tea" => Some(350),
        "coffee" => Some(420),
        _ => None,
    }
}

#[ruststream::app]
fn app() -> impl App {
    let url = env::var("AMQP_URL").unwrap_or_else(|_| "amqp://localhost:5672".to_owned());
    let broker = LapinBroker::new(url)
        .prefetch(nonzero!(100))
        .auto_recover(env::var_os("RECOVER").is_some());
    RustStream::new(AppInfo::new("prices", "0.1.0")).with_broker(broker, |b| {
        b.include(price)
            .out_reply(TransactionalPublish::default())
            .transform(DirectReplyTo);
    })
}
