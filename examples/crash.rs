//! A server that some requests kill: demonstrates and tests isolation.
//!
//! It replies with the request's text, but `panic` panics and `abort` aborts the process; `panic later` and `abort later` do so
//! on the thread pool. If a supervisor such as systemd restarts it, and `STATE_DIRECTORY` is set, it rejects `abort` after
//! three crashes and serves all other requests. Without `STATE_DIRECTORY`, a crash leaves no record, so `abort` is
//! redelivered until the queue's delivery limit is reached. Reads the configuration of `fibrpcd`.

mod shared;

use fibrpc::server::{Cancel, Cost, Service};
use fibrpc::{Code, Reply, Request, Status, blocking};

struct Crash;

impl Service for Crash {
    type Job = String;

    fn admit(&self, request: &Request) -> Result<(String, Cost), Status> {
        let text = String::from_utf8(request.body().to_vec())
            .map_err(|_| Status::new(Code::InvalidArgument, "the body is not UTF-8"))?;
        let time = if text.ends_with(" later") {
            Cost::POOL_FROM
        } else {
            std::time::Duration::ZERO
        };
        let cost = Cost::of(time).reply_bytes(text.len() as u64);
        Ok((text, cost))
    }

    #[allow(clippy::panic, reason = "the purpose of the example")]
    fn run(&self, text: String, _: &Cancel) -> Result<Reply, Status> {
        match text.trim_end_matches(" later") {
            "panic" => panic!("as requested"),
            "abort" => std::process::abort(),
            _ => Ok(Reply::new(text, "text/plain")),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let mut builder = shared::builder()?;
    if let Some(directory) = std::env::var_os("STATE_DIRECTORY") {
        builder = builder.state_directory(directory);
    }
    let served = builder.serve(blocking(Crash)).await;
    served.map_err(|error| error.to_string())?;
    Ok(())
}
