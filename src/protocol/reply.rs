//! Replies: the message that answers a request, and what a client makes of one.

use super::{Format, Message, Request, Status};
use std::time::Duration;

/// What a service computed: the body of a successful reply and its MIME type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The payload.
    pub body: Vec<u8>,
    /// MIME type of the payload.
    pub content_type: &'static str,
}

impl Answer {
    /// The answer to "what is the n-th number": its digits as text or JSON, as it was asked for.
    pub fn number(n: u64, digits: String, format: Format) -> Self {
        let _ = (n, format);
        Self {
            body: digits.into_bytes(),
            content_type: "text/plain",
        }
    }
}

/// What a reply says about where the time went, and who sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailer {
    /// The server's instance name.
    pub server: Option<String>,
    /// Time in the queue.
    pub queued: Option<Duration>,
    /// Time of the computation.
    pub compute: Option<Duration>,
}

/// The reply to `request`. `message_id` is the server's own id of this reply, by which a returned
/// message is matched to its request.
pub fn write(
    request: &Request,
    outcome: Result<Answer, Status>,
    trailer: &Trailer,
    message_id: u64,
) -> Message {
    let _ = (request, outcome, trailer, message_id);
    Message::default()
}

/// What a client makes of a reply, from any server of the tutorial's kind: the digits, or a status.
/// An empty body or one that is not an integer is `UNKNOWN`.
pub fn read(message: &Message) -> (Result<String, Status>, Trailer) {
    let _ = message;
    (
        Err(Status::new(super::Code::Unknown, "not written yet")),
        Trailer::default(),
    )
}
