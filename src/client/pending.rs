//! A call as the driver holds it: what to send, who waits for the reply, and how far it has come.

use super::failure;
use super::session::REPLY_TO;
use crate::broker::clock::unix_ms;
use crate::protocol::body::Text;
use crate::protocol::{Message, Status, TraceContext, Unread, control, request};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The reply, and the time since the request was (last) published.
pub(super) type Outcome = Result<(Message, Duration), Status>;

/// What the client sends to its driver.
#[derive(Debug)]
pub(super) enum Command {
    /// Make the call with this id, until this deadline.
    Call(Uuid, Instant, PendingCall),
    /// Forget the call with this id: nobody waits for it any more.
    Forget(Uuid),
    /// End.
    Close,
}

/// What a call sends.
#[derive(Debug)]
pub(super) enum Payload {
    /// A ping.
    Ping,
    /// A request to a service.
    Request(Outgoing),
}

/// A request to a service, without what the client adds.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) body: Vec<u8>,
    pub(super) content_type: Cow<'static, str>,
    pub(super) method: Option<String>,
    pub(super) unread: Option<Box<Unread>>,
    /// The caller's trace context; that of the call once it has begun.
    pub(super) trace: Option<Box<TraceContext>>,
}

impl Payload {
    /// The request with this id, which expires after `left`; if `plain`, without an expiration.
    pub(super) fn message(&self, id: &[u8], left: Duration, plain: bool) -> Message {
        match self {
            Self::Ping => {
                let (timeout_ms, deadline_ms) = expiration(left);
                control::Question::Ping.write(id, REPLY_TO, timeout_ms, deadline_ms)
            }
            Self::Request(request) => request.message(id, left, plain),
        }
    }
}

impl Outgoing {
    fn message(&self, id: &[u8], left: Duration, plain: bool) -> Message {
        let mut message = if plain {
            request::write_plain(&self.body, id, REPLY_TO)
        } else {
            let (timeout_ms, deadline_ms) = expiration(left);
            request::write(&self.body, id, REPLY_TO, timeout_ms, deadline_ms)
        };
        let properties = &mut message.properties;
        if self.content_type != Text::CONTENT_TYPE {
            properties.content_type = Some(self.content_type.clone().into_owned());
        }
        properties.kind.clone_from(&self.method);
        properties.unread.clone_from(&self.unread);
        if let Some(trace) = &self.trace {
            properties.headers.extend(trace.headers());
        }
        message
    }
}

/// The time that is left and its end in Unix time, both in milliseconds, as messages carry them.
pub(super) fn expiration(left: Duration) -> (u64, i64) {
    let timeout_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    (timeout_ms, unix_ms().saturating_add_unsigned(timeout_ms))
}

/// One call.
#[derive(Debug)]
pub(super) struct PendingCall {
    pub(super) queue: Arc<str>,
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
    /// Published and refused by the broker; to be published again.
    Refused,
}

impl PendingCall {
    pub(super) fn new(
        queue: Arc<str>,
        payload: Payload,
        timeout: Duration,
        reply: oneshot::Sender<Outcome>,
    ) -> Self {
        Self {
            queue,
            payload,
            timeout,
            reply,
            stage: Stage::Held,
            number: 0,
            exposed: 0,
        }
    }

    /// Whether its caller no longer waits.
    pub(super) fn is_dropped(&self) -> bool {
        self.reply.is_closed()
    }

    /// Whether it waits for a server on this queue.
    pub(super) fn is_held_for(&self, queue: &str) -> bool {
        self.stage == Stage::Held && *self.queue == *queue
    }

    /// The request, which expires after `left`; without an expiration if it is `plain` and no ping.
    pub(super) fn request(&self, id: Uuid, left: Duration, plain: bool) -> Message {
        let mut text = Uuid::encode_buffer();
        let id = id.hyphenated().encode_lower(&mut text).as_bytes();
        self.payload.message(id, left, plain)
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
