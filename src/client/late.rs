//! Why a call has no reply by its deadline, in words. Pure.

use super::failure::{no_queue, refused};
use super::failure_kind::{NO_REPLY, NO_SERVER_SEEN, NOT_CONNECTED, UNCONFIRMED};
use super::pending::Stage;
use super::state::ConnectionState;
use crate::protocol::Status;
use crate::text::duration;
use std::time::Duration;

/// A call whose deadline has passed.
pub(super) struct Late<'a> {
    pub(super) queue: &'a str,
    /// As given by the caller.
    pub(super) timeout: Duration,
    pub(super) state: &'a ConnectionState,
    pub(super) stage: Stage,
    /// Whether the broker has confirmed the request; `None` without publisher confirms.
    pub(super) confirmed: Option<bool>,
    /// Why the queue was last found unserved, if it was.
    pub(super) unserved: Option<&'a Status>,
}

impl Late<'_> {
    /// The error for the caller.
    pub(super) fn status(&self) -> Status {
        let Self {
            queue,
            timeout,
            state,
            ..
        } = self;
        let timeout = duration(*timeout);
        let no_reply = |why: &str| {
            NO_REPLY.status(format!(
                "no reply from queue {queue:?} within {timeout}; {why}"
            ))
        };
        match (state, self.stage) {
            // Also if the client replaces the connection at this moment, because of the refusal.
            (_, Stage::Refused) => refused(queue),
            (ConnectionState::Connecting(why), Stage::Held | Stage::Returned) => {
                // If this timeout limited connecting, the reason already says so.
                let within = format!("no connection to the broker within {timeout}: ");
                let why = why.strip_prefix(&within).unwrap_or(why);
                NOT_CONNECTED.status(format!("{within}{why}"))
            }
            (ConnectionState::Ready, Stage::Held) | (_, Stage::Returned) => match self.unserved {
                Some(status) => Status::new(
                    status.code(),
                    format!("{}; waited {timeout}", status.message()),
                ),
                None if self.stage == Stage::Returned => no_queue(queue),
                None => NO_SERVER_SEEN.status(format!(
                    "no server seen on queue {queue:?} within {timeout}; is one running? does the queue have a leader? (use --wait \
                     for a server that polls)"
                )),
            },
            (ConnectionState::Connecting(why), Stage::Published(_)) => {
                no_reply(&format!("the connection was lost: {why}"))
            }
            (ConnectionState::Ready, Stage::Published(_)) if self.confirmed == Some(false) => {
                UNCONFIRMED.status(format!(
                    "the broker has not confirmed the request to queue {queue:?} within {timeout}; has the queue lost the majority of its \
                     nodes, or is the broker overloaded? the request may still be worked on"
                ))
            }
            (ConnectionState::Ready, Stage::Published(_)) => no_reply(
                "is a server busy or stuck (try a longer timeout), or was the request or its reply dropped (by a \
                 limit, a policy or the deletion of the queue, or server.reply_to_allow)?",
            ),
            (ConnectionState::Blocked(_), _) => no_reply(&state.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::failure::no_server;
    use crate::protocol::Code;
    use std::time::Instant;

    #[test]
    fn a_late_call_fails_with_the_most_likely_reason() {
        let connecting = ConnectionState::Connecting("connection refused".into());
        let silent = ConnectionState::Connecting(
            "no connection to the broker within 1.5s: a:1 and b:2 did not answer".into(),
        );
        let blocked = ConnectionState::Blocked("low on memory".into());
        let published = Stage::Published(Instant::now());
        let unserved = no_server("q");
        for (state, stage, confirmed, unserved, code, message) in [
            (
                &ConnectionState::Ready,
                published,
                Some(true),
                None,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; is a server busy or stuck (try a longer timeout), or was the request or its reply dropped (by a limit, a policy or the deletion of the queue, or server.reply_to_allow)?",
            ),
            (
                &ConnectionState::Ready,
                published,
                Some(false),
                None,
                Code::DeadlineExceeded,
                "the broker has not confirmed the request to queue \"q\" within 1.5s; has the queue lost the majority of its nodes, or is the broker overloaded? the request may still be worked on",
            ),
            (
                &blocked,
                published,
                Some(false),
                None,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the broker has blocked the connection: low on memory",
            ),
            (
                &blocked,
                Stage::Held,
                Some(true),
                Some(&unserved),
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the broker has blocked the connection: low on memory",
            ),
            (
                &connecting,
                published,
                Some(true),
                None,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the connection was lost: connection refused",
            ),
            (
                &connecting,
                Stage::Held,
                Some(true),
                None,
                Code::Unavailable,
                "no connection to the broker within 1.5s: connection refused",
            ),
            (
                &silent,
                Stage::Held,
                Some(true),
                None,
                Code::Unavailable,
                "no connection to the broker within 1.5s: a:1 and b:2 did not answer",
            ),
            (
                &ConnectionState::Ready,
                Stage::Returned,
                Some(true),
                None,
                Code::Unavailable,
                "no queue \"q\"; start a server on it, or check queue.name and the vhost",
            ),
            (
                &ConnectionState::Ready,
                Stage::Held,
                Some(true),
                Some(&unserved),
                Code::Unavailable,
                "no server on queue \"q\"; is one running? (use --wait for a server that polls or is about to start); waited 1.5s",
            ),
            (
                &ConnectionState::Ready,
                Stage::Held,
                Some(true),
                None,
                Code::Unavailable,
                "no server seen on queue \"q\" within 1.5s; is one running? does the queue have a leader? (use --wait for a server that polls)",
            ),
        ] {
            let late = Late {
                queue: "q",
                timeout: Duration::from_millis(1500),
                state,
                stage,
                confirmed,
                unserved,
            };
            let status = late.status();
            assert_eq!((status.code(), status.message()), (code, message));
        }
    }
    #[test]
    fn a_refused_call_fails_as_refused() {
        for state in [
            ConnectionState::Ready,
            ConnectionState::Blocked("low on memory".into()),
            ConnectionState::Connecting("refused every request".into()),
        ] {
            let late = Late {
                queue: "q",
                timeout: Duration::from_millis(1500),
                state: &state,
                stage: Stage::Refused,
                confirmed: Some(true),
                unserved: None,
            };
            assert_eq!(late.status(), refused("q"));
        }
    }
}
