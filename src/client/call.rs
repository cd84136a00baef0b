//! A call as the driver holds it: what to send, who waits for the reply, and how far it has come.

use super::failure;
use super::session::REPLY_TO;
use crate::broker::clock::unix_ms;
use crate::protocol::{Message, Status, control, header, request};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The reply, and the time since the request was (last) published.
pub(super) type Outcome = Result<(Message, Duration), Status>;

/// What the client sends to its driver.
#[derive(Debug)]
pub(super) enum Command {
    /// Make this call, until this deadline.
    Call(Instant, Call),
    /// End.
    Close,
}

/// What a call sends.
#[derive(Debug)]
pub(super) enum Payload {
    /// A request of plain text.
    Text(Vec<u8>),
    /// A ping.
    Ping,
    /// Any other request, with its own body, content type and headers.
    Raw(Box<Message>),
}

impl Payload {
    /// The request with this id, which expires after `left`.
    pub(super) fn message(&self, id: &[u8], left: Duration) -> Message {
        let (timeout_ms, deadline_ms) = expiration(left);
        match self {
            Self::Text(body) => request::write(body, id, REPLY_TO, timeout_ms, deadline_ms),
            Self::Ping => control::Question::Ping.write(id, REPLY_TO, timeout_ms, deadline_ms),
            Self::Raw(raw) => {
                let mut message = request::write(&[], id, REPLY_TO, timeout_ms, deadline_ms);
                message.body.clone_from(&raw.body);
                let properties = &mut message.properties;
                properties
                    .content_type
                    .clone_from(&raw.properties.content_type);
                let headers = raw.properties.headers.iter();
                properties.headers.extend(
                    headers
                        .filter(|(name, _)| *name != header::DEADLINE)
                        .cloned(),
                );
                message
            }
        }
    }
}

/// The time that is left and its end in Unix time, both in milliseconds, as messages carry them.
pub(super) fn expiration(left: Duration) -> (u64, i64) {
    let timeout_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    (timeout_ms, unix_ms().saturating_add_unsigned(timeout_ms))
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    payload: Payload,
    /// As the caller gave it.
    pub(super) timeout: Duration,
    reply: oneshot::Sender<Outcome>,
    pub(super) stage: Stage,
    /// The number of its last publish on the present connection.
    pub(super) number: u64,
    /// How often it was published and neither returned nor refused: a server may have worked on it.
    pub(super) exposed: u32,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not published: it waits for a connection, or for a server on the queue.
    Held,
    /// Published, last at this time.
    Published(Instant),
    /// Published and returned; to be published again.
    Returned,
}

impl Call {
    pub(super) fn new(
        payload: Payload,
        timeout: Duration,
        reply: oneshot::Sender<Outcome>,
    ) -> Self {
        Self {
            payload,
            timeout,
            reply,
            stage: Stage::Held,
            number: 0,
            exposed: 0,
        }
    }

    /// The request, which expires after `left`; without an expiration if it is text and `plain`.
    pub(super) fn request(&self, id: Uuid, left: Duration, plain: bool) -> Message {
        let mut text = Uuid::encode_buffer();
        let id = id.hyphenated().encode_lower(&mut text).as_bytes();
        match &self.payload {
            Payload::Text(body) if plain => request::write_plain(body, id, REPLY_TO),
            payload => payload.message(id, left),
        }
    }

    /// Ends the call with this outcome.
    pub(super) fn end(self, outcome: Outcome) {
        // An error means that the caller no longer waits.
        let _ = self.reply.send(outcome);
    }

    /// Ends the call without a reply. `UNAVAILABLE` promises that no server works on the request, so a request that may
    /// have reached one fails with another status.
    pub(super) fn fail(self, status: &Status) {
        let status = failure::as_far_as_known(status, self.exposed > 0);
        self.end(Err(status));
    }
}
