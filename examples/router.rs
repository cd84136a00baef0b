//! A service with two methods behind tower's layers, and its client: a clock.
//!
//! ```text
//! $ cargo run --example router &                # serves the queue "clock"; SIGTERM and Ctrl-C drain
//! $ cargo run --example router -- now           # milliseconds since 1970
//! 1764273600000
//! $ cargo run --example router -- wait 500      # replies after 500 milliseconds
//! 500
//! $ cargo run --example router -- wait 5000     # longer than the layer allows
//! OUT_OF_RANGE: waits at most 1s
//! ```
//!
//! The broker is the one of the variable `AMQP_URL`.

#![allow(clippy::print_stdout, reason = "a program")]

use fibrpc::{Client, Json, Router, Server, Status, Text, handler};
use futures_util::StreamExt as _;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use std::env;
use std::error::Error;
use std::time::{Duration, UNIX_EPOCH};
use tower::timeout::error::Elapsed;
use tower::{BoxError, ServiceBuilder};

/// How long a request may wait.
const LIMIT: Duration = Duration::from_secs(1);

/// How many requests may wait at once; others wait for their turn, for which the limit does not count.
const MAX_WAITING: usize = 1000;

async fn now() -> Text {
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    Text(since.as_millis().to_string())
}

async fn wait(Json(ms): Json<u64>) -> Json<u64> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(ms)
}

/// An error of tower is `INTERNAL` to the caller, unless it is made a `Status`. A `Status` passes tower's layers unchanged.
fn too_long(error: BoxError) -> BoxError {
    if error.is::<Elapsed>() {
        let status = Status::out_of_range(format!("waits at most {LIMIT:?}"));
        return status.with_details(json!({"limit_ms": 1000})).into();
    }
    error
}

fn clock() -> Router {
    let wait = ServiceBuilder::new()
        .map_err(too_long)
        .concurrency_limit(MAX_WAITING)
        .timeout(LIMIT)
        .service(handler(wait));
    Router::new()
        .method("now", handler(now))
        .method("wait", wait)
}

async fn ask(url: &str, method: &str, ms: Option<&String>) -> Result<(), Box<dyn Error>> {
    let ms: Option<u64> = ms.map(|ms| ms.parse()).transpose()?;
    let client = Client::connect(url).await?;
    match client.call::<Text>("clock", Json(ms)).method(method).await {
        Ok(Text(answer)) => println!("{answer}"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("AMQP_URL").unwrap_or("amqp://localhost/%2f".into());
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [method, ms @ ..] = &arguments[..] {
        return ask(&url, method, ms.first()).await;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    Server::builder(url)
        .queue("clock")
        .serve(clock())
        .with_graceful_shutdown(async move {
            signals.next().await;
        })
        .await?;
    Ok(())
}
