//! A server with another function: it replies with the request's text reversed. Reads the configuration of `fibrpcd`
//! (`FIBRPC_CONFIG`, `FIBRPC_QUEUE__NAME`, ...).

use fibrpc::config::load::{Overrides, Program, load};
use fibrpc::protocol::{Answer, Code, Request, Status};
use fibrpc::server::{Cancel, Cost, Server, Service};

struct Reverse;

impl Service for Reverse {
    type Job = String;

    fn admit(&self, request: &Request) -> Result<(String, Cost), Status> {
        let text = String::from_utf8(request.body.clone())
            .map_err(|_| Status::new(Code::InvalidArgument, "the body is not UTF-8"))?;
        let cost = Cost {
            reply_bytes: text.len() as u64,
            ..Cost::default()
        };
        Ok((text, cost))
    }

    fn run(&self, text: String, _: &Cancel) -> Result<Answer, Status> {
        let body = text.chars().rev().collect::<String>().into_bytes();
        Ok(Answer {
            body,
            content_type: "text/plain",
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let loaded = load(Program::Daemon, &Overrides::default()).map_err(|problems| {
        problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    })?;
    let (server, _handle) = Server::new(Reverse, loaded.config);
    server.run().await;
    Ok(())
}
