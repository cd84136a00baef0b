//! Why a call has no answer, in words: what, cause, and what to do. Pure.

use super::State;
use super::call::Stage;
use super::conclusion::{
    CLOSED, NO_QUEUE, NO_REPLY, NO_SERVER, NOBODY_SEEN, NOT_CONNECTED, PUBLISHED_BEFORE,
    QUEUE_DOWN, REFUSED, UNCONFIRMED,
};
use crate::broker::{Error, Kind, QueueStatus};
use crate::protocol::{Code, Status};
use crate::text::duration;
use std::time::Duration;

/// What [certain](super::presence::certain) looks at the queue say about asking. Only what is certain counts
/// against it.
pub(super) fn verdict(queue: &str, seen: Result<QueueStatus, Error>) -> Result<(), Status> {
    match seen {
        Ok(QueueStatus { consumers: 0, .. }) => Err(no_server(queue)),
        Err(error) if error.kind == Kind::NoQueue => Err(no_queue(queue)),
        Err(error) if error.kind == Kind::QueueDown => Err(queue_down(queue, &error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Nobody consumes from the queue. A server that polls it (`basic.get`) is no consumer, so it may be there.
fn no_server(queue: &str) -> Status {
    NO_SERVER.status(format!(
        "no server on queue {queue:?}; is fibrpcd running? (for a server that polls, or one that is about to come, use --wait)"
    ))
}

/// There is no such queue.
pub(super) fn no_queue(queue: &str) -> Status {
    NO_QUEUE.status(format!(
        "no queue {queue:?}; start a server on it (fibrpcd), or check queue.name and the vhost"
    ))
}

/// There is one, and the broker cannot reach it; its reason.
pub(super) fn queue_down(queue: &str, error: &Error) -> Status {
    let what = format!("cannot look at queue {queue:?}: ");
    let said = error.message.strip_prefix(&what).unwrap_or(&error.message);
    QUEUE_DOWN.status(format!(
        "queue {queue:?} is there and not available: {said}"
    ))
}

/// The broker did not take the request.
pub(super) fn refused(queue: &str) -> Status {
    REFUSED.status(format!(
        "the broker refused the request: queue {queue:?} is full or out of order; try later"
    ))
}

/// The client is closed while the call waits.
pub(super) fn closed() -> Status {
    CLOSED.status("the client was closed".into())
}

/// A failure as it is to be told: `UNAVAILABLE` and `PERMISSION_DENIED` promise that nobody has worked on the request
/// or will, which does not hold for one that was published before and did not come back.
pub(super) fn as_far_as_known(status: &Status, exposed: bool) -> Status {
    if exposed && matches!(status.code, Code::Unavailable | Code::PermissionDenied) {
        PUBLISHED_BEFORE.status(format!(
            "{}; the request was published before that and may have been worked on",
            status.message
        ))
    } else {
        status.clone()
    }
}

/// A server's refusal, which came `after` the request was asked, with `left` of its time. A server that takes a
/// request for late before it is has another clock.
pub(super) fn refused_by_server(mut status: Status, after: Duration, left: Duration) -> Status {
    let early = status.code == Code::DeadlineExceeded && left > CLOCK_SKEW;
    if early && !status.message.contains("clock") {
        status.message = format!(
            "{}; it was asked {} before, and {} are left here: do the clocks of both machines agree?",
            status.message,
            duration(after),
            duration(left)
        );
    }
    status
}

/// Less of a difference is no cause.
const CLOCK_SKEW: Duration = Duration::from_secs(1);

/// A call whose deadline has passed.
pub(super) struct Late<'a> {
    pub(super) queue: &'a str,
    /// As the caller gave it.
    pub(super) timeout: Duration,
    pub(super) state: &'a State,
    pub(super) stage: Stage,
    /// Whether the broker has confirmed the request, if it was asked to.
    pub(super) confirmed: Option<bool>,
    /// What spoke against asking last, if anything did.
    pub(super) doubt: Option<&'a Status>,
}

impl Late<'_> {
    /// What the caller is told.
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
            (State::Connecting(why), Stage::Held | Stage::Parked) => {
                // What limits connecting may have been this very timeout, and then the reason says so itself.
                let within = format!("no connection to the broker within {timeout}: ");
                let why = why.strip_prefix(&within).unwrap_or(why);
                NOT_CONNECTED.status(format!("{within}{why}"))
            }
            (State::Ready, Stage::Held) | (_, Stage::Parked) => match self.doubt {
                Some(doubt) => Status::new(
                    doubt.code,
                    format!("{}; waited {timeout}", doubt.message),
                ),
                None if self.stage == Stage::Parked => no_queue(queue),
                None => NOBODY_SEEN.status(format!(
                    "no server seen on queue {queue:?} within {timeout}; is fibrpcd running? does the queue have a leader? (for a \
                     server that polls, use --wait)"
                )),
            },
            (State::Connecting(why), Stage::Asked(_)) => {
                no_reply(&format!("the connection was lost: {why}"))
            }
            (State::Ready, Stage::Asked(_)) if self.confirmed == Some(false) => {
                UNCONFIRMED.status(format!(
                    "the broker has not confirmed the request to queue {queue:?} within {timeout}; has the queue lost the majority of its \
                     nodes, or is the broker overloaded? the request may still be worked on"
                ))
            }
            (State::Ready, Stage::Asked(_)) => no_reply(
                "is a server busy or stuck (try a longer timeout), or was the request or its reply dropped (by a \
                 limit or policy of the queue, or server.reply_to_allow)?",
            ),
            (State::Blocked(_), _) => no_reply(&state.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const NO_SERVER: &str = "no server on queue \"q\"; is fibrpcd running? (for a server that polls, or one that is about to come, use --wait)";

    #[test]
    fn only_certainty_counts_against_asking() {
        let status = |consumers| {
            let name = "q".to_owned();
            Ok(QueueStatus {
                name,
                messages: 0,
                consumers,
            })
        };
        let home = "NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible";
        for (seen, wrong) in [
            (status(1), None),
            (status(0), Some(NO_SERVER)),
            (
                Err(Error::new(Kind::NoQueue, "x")),
                Some(
                    "no queue \"q\"; start a server on it (fibrpcd), or check queue.name and the vhost",
                ),
            ),
            (
                Err(Error::new(
                    Kind::QueueDown,
                    format!("cannot look at queue \"q\": {home}"),
                )),
                Some(
                    "queue \"q\" is there and not available: NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible",
                ),
            ),
            (Err(Error::new(Kind::Mismatch, "locked")), None),
            (Err(Error::new(Kind::Denied, "may not look")), None),
            (Err(Error::new(Kind::Lost, "gone")), None),
        ] {
            let case = format!("{seen:?}");
            let verdict = verdict("q", seen);
            let message = verdict.as_ref().err().map(|status| status.message.as_str());
            assert_eq!(message, wrong, "{case}");
            if let Err(status) = verdict {
                assert_eq!(status.code, Code::Unavailable, "{case}");
            }
        }
    }

    #[test]
    fn what_may_have_been_worked_on_is_not_called_unavailable() {
        let unavailable = no_queue("q");
        assert_eq!(as_far_as_known(&unavailable, false), unavailable);
        let known = as_far_as_known(&unavailable, true);
        assert_eq!(known.code, Code::Unknown);
        assert!(known.message.starts_with(&unavailable.message), "{known}");
        let denied = Status::new(Code::PermissionDenied, "no");
        assert_eq!(as_far_as_known(&denied, true).code, Code::Unknown);
        let other = refused("q");
        assert_eq!(as_far_as_known(&other, true), other);
    }

    #[test]
    fn a_server_with_another_clock_is_suspected() {
        let seconds = Duration::from_secs;
        let late = |text: &str| Status::new(Code::DeadlineExceeded, text);
        let told = |status, left| refused_by_server(status, Duration::from_millis(2), left).message;
        assert_eq!(
            told(late("too late"), seconds(4)),
            "too late; it was asked 2ms before, and 4s are left here: do the clocks of both machines agree?"
        );
        assert_eq!(told(late("too late"), seconds(1)), "too late");
        assert_eq!(told(late("see the clocks"), seconds(4)), "see the clocks");
        let busy = Status::new(Code::ResourceExhausted, "too busy");
        assert_eq!(told(busy, seconds(4)), "too busy");
    }

    #[test]
    fn a_late_call_is_told_what_was_the_matter() {
        let connecting = State::Connecting("connection refused".into());
        let silent = State::Connecting(
            "no connection to the broker within 1.5s: a:1 and b:2 did not answer".into(),
        );
        let blocked = State::Blocked("low on memory".into());
        let asked = Stage::Asked(Instant::now());
        let doubt = no_server("q");
        for (state, stage, confirmed, doubt, code, message) in [
            (
                &State::Ready,
                asked,
                Some(true),
                None,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; is a server busy or stuck (try a longer timeout), or was the request or its reply dropped (by a limit or policy of the queue, or server.reply_to_allow)?",
            ),
            (
                &State::Ready,
                asked,
                Some(false),
                None,
                Code::DeadlineExceeded,
                "the broker has not confirmed the request to queue \"q\" within 1.5s; has the queue lost the majority of its nodes, or is the broker overloaded? the request may still be worked on",
            ),
            (
                &blocked,
                asked,
                Some(false),
                None,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the broker takes no requests at present: low on memory",
            ),
            (
                &blocked,
                Stage::Held,
                Some(true),
                Some(&doubt),
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the broker takes no requests at present: low on memory",
            ),
            (
                &connecting,
                asked,
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
                &State::Ready,
                Stage::Parked,
                Some(true),
                None,
                Code::Unavailable,
                "no queue \"q\"; start a server on it (fibrpcd), or check queue.name and the vhost",
            ),
            (
                &State::Ready,
                Stage::Held,
                Some(true),
                Some(&doubt),
                Code::Unavailable,
                "no server on queue \"q\"; is fibrpcd running? (for a server that polls, or one that is about to come, use --wait); waited 1.5s",
            ),
            (
                &State::Ready,
                Stage::Held,
                Some(true),
                None,
                Code::Unavailable,
                "no server seen on queue \"q\" within 1.5s; is fibrpcd running? does the queue have a leader? (for a server that polls, use --wait)",
            ),
        ] {
            let late = Late {
                queue: "q",
                timeout: Duration::from_millis(1500),
                state,
                stage,
                confirmed,
                doubt,
            };
            let status = late.status();
            assert_eq!((status.code, status.message.as_str()), (code, message));
        }
    }
}
