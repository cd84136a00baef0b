//! A server whose jobs take a known time: shows how a service states costs, and how the server uses them.
//!
//! A request is a number of milliseconds, for which a thread of the pool sleeps; the reply is the same number. The server
//! takes no more requests from the queue than it can begin soon, and leaves the rest to other servers. Reads the
//! configuration of `fibrpcd`; SIGTERM drains.

mod shared;

use fibrpc::server::{Cancel, Cost, Service};
use fibrpc::{Code, Reply, Request, Status, blocking};
use futures_util::stream::StreamExt as _;
use std::time::{Duration, Instant};

struct Sleep;

impl Service for Sleep {
    type Job = Duration;

    fn admit(&self, request: &Request) -> Result<(Duration, Cost), Status> {
        let text = String::from_utf8_lossy(request.body());
        let time = text
            .trim()
            .parse()
            .map(Duration::from_millis)
            .map_err(|_| Status::new(Code::InvalidArgument, "not a number of milliseconds"))?;
        let cost = Cost::of(time).reply_bytes(request.body().len() as u64);
        Ok((time, cost))
    }

    fn run(&self, time: Duration, cancel: &Cancel) -> Result<Reply, Status> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if cancel.is_cancelled() {
                return Err(Status::new(Code::Internal, "cancelled"));
            }
            std::thread::sleep(left.min(Duration::from_millis(10)));
        }
        Ok(Reply::new(time.as_millis().to_string(), "text/plain"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let builder = shared::builder()?;
    let mut signals = signal_hook_tokio::Signals::new([signal_hook::consts::SIGTERM])
        .map_err(|error| error.to_string())?;
    let stopped = async move {
        signals.next().await;
    };
    let serve = builder
        .serve(blocking(Sleep))
        .with_graceful_shutdown(stopped);
    serve.await.map_err(|error| error.to_string())?;
    Ok(())
}
