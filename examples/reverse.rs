//! A server in ten lines: it replies with the request's text reversed.
//!
//! ```text
//! $ cargo run --example reverse &
//! $ fibrpc call reverse stressed
//! desserts
//! ```
//!
//! The broker is the one of the variable `AMQP_URL`. Without `with_graceful_shutdown` a signal ends the server at once. Nothing
//! is lost, since the broker delivers again what was not answered.

use fibrpc::{Server, Text, handler};

async fn reverse(Text(text): Text) -> Text {
    Text(text.chars().rev().collect())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fibrpc::server::BuildError> {
    let url = std::env::var("AMQP_URL").unwrap_or("amqp://localhost/%2f".into());
    let server = Server::builder(url).queue("reverse");
    server.serve(handler(reverse)).await.map(drop)
}
