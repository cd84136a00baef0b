//! How many requests per second one server answers whose handler waits 50 ms, with a prefetch of 64: at most 1280. Prints the
//! rate of each second from the start, so the growth of the prefetch shows.
//!
//! ```text
//! $ scripts/private-broker start /tmp/broker 25672
//! $ AMQP_URL=amqp://guest:guest@127.0.0.1:25672/%2f cargo bench --bench waiting
//! ```

#![allow(clippy::print_stdout, reason = "a program")]

use fibrpc::{Client, Server, Text, handler};
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const QUEUE: &str = "waiting";
const WAIT: Duration = Duration::from_millis(50);
const SECONDS: u32 = 10;
/// More callers than the server handles at once, so that it never lacks requests.
const CALLERS: usize = 200;

async fn wait(text: Text) -> Text {
    sleep(WAIT).await;
    text
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("AMQP_URL").unwrap_or("amqp://localhost/%2f".into());
    // A thread of its own, as a process of its own would have.
    let server = Server::builder(&url)
        .queue(QUEUE)
        .prefetch(64)
        .serve(handler(wait));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || runtime.block_on(server.into_future()));
    let client = Client::builder(&url)
        .wait_for_server(true)
        .connect()
        .await?;
    client.call::<Text>(QUEUE, "first").await?;
    let answered = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, answered) = (client.clone(), answered.clone());
        callers.spawn(async move {
            loop {
                client.call::<Text>(QUEUE, "x").await?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            #[allow(unreachable_code, reason = "gives the type")]
            Ok::<(), fibrpc::CallError>(())
        });
    }
    let began = Instant::now();
    let mut last = 0;
    for second in 1..=SECONDS {
        sleep_until(began + Duration::from_secs(second.into())).await;
        let now = answered.load(Ordering::Relaxed);
        println!("second {second}: {} requests", now - last);
        last = now;
    }
    println!("{} requests per second", last / u64::from(SECONDS));
    if let Some(Ok(Err(error))) = callers.try_join_next() {
        return Err(error.into());
    }
    Ok(())
}
