//! Asking for a number: a call whose reply is an integer. Holds no state.

use super::value;
use crate::client::{CallError, Client};
use crate::protocol::Format;
use crate::protocol::reply::Trailer;
use std::time::{Duration, Instant};

/// The reply to a call for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// An integer of any size: decimal digits, perhaps with a sign.
    pub value: String,
    /// What the server reports about itself and its times.
    pub trailer: Trailer,
    /// From the (last) publish of the request to its reply.
    pub round_trip: Duration,
}

/// Asks for the `n`-th number. The server validates `n`, which is sent unchanged.
///
/// Errors: those of [`Client::call`]; `UNKNOWN` if the reply is neither an integer nor an error.
pub async fn call(
    client: &Client,
    n: impl Into<String>,
    timeout: Duration,
) -> Result<Number, CallError> {
    call_since(client, Instant::now(), n, timeout).await
}

/// Like [`call`], for a call that began earlier, for example with connecting: `timeout` counts from `since`.
pub async fn call_since(
    client: &Client,
    since: Instant,
    n: impl Into<String>,
    timeout: Duration,
) -> Result<Number, CallError> {
    let reply = client.call_since(since, n.into(), timeout).await?;
    let format = Format::of(reply.content_type.as_deref());
    match value::read(reply.body, format) {
        Ok(value) => Ok(Number {
            value,
            trailer: reply.trailer,
            round_trip: reply.round_trip,
        }),
        Err(status) => Err(CallError {
            status,
            trailer: reply.trailer,
        }),
    }
}
