//! A computation on the thread pool, and its client: how many primes are below a number.
//!
//! ```text
//! $ cargo run --release --example primes &               # serves the queue "primes"; SIGTERM and Ctrl-C drain
//! $ cargo run --release --example primes -- 1000000      # asks
//! 78498
//! ```
//!
//! The service states what each request costs: the server computes cheap ones at once and others on its threads, refuses
//! those that it cannot begin before the caller's deadline, and limits the memory of those in progress. A computation whose
//! caller no longer waits is stopped. The broker is the one of the variable `AMQP_URL`.

#![allow(clippy::print_stdout, reason = "a program")]

use fibrpc::server::{Cancel, Cost, Service};
use fibrpc::{Client, Reply, Request, Server, Status, Text, blocking};
use futures_util::StreamExt as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use std::env;
use std::error::Error;
use std::time::Duration;

/// The largest number: its computation takes about a minute.
const MAX: usize = 10_000_000_000;

/// How many numbers are sieved at once: a byte for each, which fits into a processor's cache. Also the time between two
/// checks whether the caller still waits: a fraction of a millisecond.
const SEGMENT: usize = 1 << 18;

struct Primes;

impl Service for Primes {
    type Job = usize;

    /// Quick, since it runs on the task that serves all requests.
    fn admit(&self, request: &Request) -> Result<(usize, Cost), Status> {
        let text = str::from_utf8(request.body()).unwrap_or_default();
        let n: usize = text
            .trim()
            .parse()
            .map_err(|_| Status::invalid_argument("the body is not a number"))?;
        if n > MAX {
            return Err(Status::out_of_range(format!("the limit is {MAX}")));
        }
        let cost = Cost::of(Duration::from_nanos(3 * n as u64))
            .memory((SEGMENT + 8 * n.isqrt()) as u64)
            .reply_bytes(20);
        Ok((n, cost))
    }

    fn run(&self, n: usize, cancel: &Cancel) -> Result<Reply, Status> {
        let primes = count(n, || cancel.is_cancelled());
        let primes = primes.ok_or_else(|| Status::deadline_exceeded("stopped"))?;
        Ok(Reply::new(primes.to_string(), "text/plain"))
    }
}

/// How many primes are below `n`, by the sieve of Eratosthenes; `None` if it was stopped.
fn count(n: usize, stop: impl Fn() -> bool) -> Option<usize> {
    let is_prime = |k: &usize| (2..=k.isqrt()).all(|divisor| !k.is_multiple_of(divisor));
    let small: Vec<usize> = (2..=n.isqrt()).filter(is_prime).collect();
    let mut primes = 0;
    for start in (2..n).step_by(SEGMENT) {
        if stop() {
            return None;
        }
        let end = n.min(start + SEGMENT);
        let mut composite = vec![false; end - start];
        for prime in &small {
            let first = start.next_multiple_of(*prime).max(prime * prime);
            for multiple in (first..end).step_by(*prime) {
                composite[multiple - start] = true;
            }
        }
        primes += composite.iter().filter(|composite| !**composite).count();
    }
    Some(primes)
}

async fn ask(url: &str, n: String) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(url).await?;
    // After this time, the server stops the computation.
    let call = client.call::<Text>("primes", n);
    let Text(primes) = call.timeout(Duration::from_secs(10)).await?;
    println!("{primes}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("AMQP_URL").unwrap_or("amqp://localhost/%2f".into());
    if let Some(n) = env::args().nth(1) {
        return ask(&url, n).await;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    Server::builder(url)
        .queue("primes")
        .serve(blocking(Primes))
        .with_graceful_shutdown(async move {
            signals.next().await;
        })
        .await?;
    Ok(())
}
