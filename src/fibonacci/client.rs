//! Asking for a number: a call whose reply is an integer. Holds no state.

use super::value;
use crate::client::{CallError, FromReply};
use crate::protocol::reply_value::Trailer;
use crate::protocol::{Format, Reply};
use std::time::Duration;

/// The reply to a call for a number: `client.call::<Number>(queue, "30")`. The server validates the request.
///
/// Anything that is neither an integer nor an error is `UNKNOWN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// An integer of any size: decimal digits, perhaps with a sign.
    pub value: String,
    /// What the server reports about itself and its times.
    pub trailer: Trailer,
    /// From the (last) publish of the request to its reply.
    pub round_trip: Duration,
}

impl FromReply for Number {
    fn from_reply(reply: Reply) -> Result<Self, CallError> {
        let format = Format::of(reply.content_type());
        let Reply {
            body,
            trailer,
            round_trip,
            ..
        } = reply;
        match value::read(body, format) {
            Ok(value) => Ok(Self {
                value,
                trailer,
                round_trip: round_trip.unwrap_or_default(), // is there: the client received it
            }),
            Err(status) => Err(CallError::of_server(status, trailer)),
        }
    }
}
