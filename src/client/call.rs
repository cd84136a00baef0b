//! A call as the driver holds it: the question, who waits for the answer, and how far it has come.

use super::failure;
use super::session::REPLY_TO;
use crate::protocol::{Message, Status, control, header, request};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The reply, and the time since the request was (last) published.
pub(super) type Outcome = Result<(Message, Duration), Status>;

/// What a caller wants of the driver.
#[derive(Debug)]
pub(super) enum Command {
    /// An answer.
    Ask {
        question: Question,
        timeout: Duration,
        deadline: Instant,
        answer: oneshot::Sender<Outcome>,
    },
    /// The end.
    Close,
}

/// What a caller asks.
#[derive(Debug)]
pub(super) enum Question {
    /// For a number.
    Number(String),
    /// Whether it is there.
    Ping,
    /// Something else: body, content type and headers count.
    Raw(Box<Message>),
}

impl Question {
    /// The request with this id, as it stands at the moment.
    pub(super) fn message(&self, id: &[u8], timeout_ms: u64, deadline_ms: i64) -> Message {
        match self {
            Self::Number(n) => request::write(n, id, REPLY_TO, timeout_ms, deadline_ms),
            Self::Ping => control::Question::Ping.write(id, REPLY_TO, timeout_ms, deadline_ms),
            Self::Raw(raw) => {
                let mut message = request::write("", id, REPLY_TO, timeout_ms, deadline_ms);
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

/// A question on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) question: Question,
    /// As the caller gave it.
    pub(super) timeout: Duration,
    pub(super) answer: oneshot::Sender<Outcome>,
    pub(super) stage: Stage,
    /// The number of its last publish on the present connection.
    pub(super) number: u64,
    /// How often it was published without coming back or being refused: it may have been worked on.
    pub(super) exposed: u32,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not published: it is not known yet that there is a connection and a server.
    Held,
    /// Published, last at this time.
    Asked(Instant),
    /// Published and come back; will be published again.
    Parked,
}

impl Call {
    /// Gives the caller the answer.
    pub(super) fn end(self, outcome: Outcome) {
        // An error says that the caller has gone, which is the caller's right.
        let _ = self.answer.send(outcome);
    }

    /// Tells the caller that there will be no answer. `UNAVAILABLE` promises that nobody works on the request, so
    /// that is never said of one that may have reached a server.
    pub(super) fn fail(self, status: &Status) {
        let status = failure::as_far_as_known(status, self.exposed > 0);
        self.end(Err(status));
    }
}
