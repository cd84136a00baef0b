//! Why a call has no answer, in words: what, cause, and what to do. Pure.

use super::State;
use super::call::Stage;
use crate::broker::{Error, Kind, QueueStatus};
use crate::protocol::{Code, Status};
use std::time::Duration;

/// What a look at the queue says about asking. Only what is certain counts against it.
pub(super) fn verdict(queue: &str, seen: Result<QueueStatus, Error>) -> Result<(), Status> {
    match seen {
        Ok(QueueStatus { consumers: 0, .. }) => Err(Status::new(
            Code::Unavailable,
            format!("no server on queue {queue:?}; is fibrpcd running?"),
        )),
        Err(error) if error.kind == Kind::NoQueue => Err(no_queue(queue)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// There is no such queue.
pub(super) fn no_queue(queue: &str) -> Status {
    Status::new(
        Code::Unavailable,
        format!(
            "no queue {queue:?}; start a server on it (fibrpcd), or check queue.name and the vhost"
        ),
    )
}

/// The broker did not take the request.
pub(super) fn refused(queue: &str) -> Status {
    Status::new(
        Code::ResourceExhausted,
        format!(
            "the broker refused the request: queue {queue:?} is full or out of order; try later"
        ),
    )
}

/// The deadline has passed.
pub(super) fn too_late(queue: &str, timeout: Duration, state: &State, progress: Stage) -> Status {
    let no_reply = format!("no reply from queue {queue:?} within {timeout:?}");
    match (state, progress) {
        (State::Connecting(why), Stage::Held | Stage::Parked) => Status::new(
            Code::Unavailable,
            format!("no connection to the broker within {timeout:?}: {why}"),
        ),
        (_, Stage::Parked) => Status::new(
            Code::Unavailable,
            format!("no queue {queue:?} within {timeout:?}; start a server on it (fibrpcd)"),
        ),
        (State::Ready, _) => Status::new(
            Code::DeadlineExceeded,
            format!("{no_reply}; is a server busy or stuck? try a longer timeout"),
        ),
        (state, _) => Status::new(Code::DeadlineExceeded, format!("{no_reply}; {state}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

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
        for (seen, wrong) in [
            (status(1), None),
            (
                status(0),
                Some("no server on queue \"q\"; is fibrpcd running?"),
            ),
            (
                Err(Error::new(Kind::NoQueue, "x")),
                Some(
                    "no queue \"q\"; start a server on it (fibrpcd), or check queue.name and the vhost",
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
        }
    }

    #[test]
    fn a_late_call_is_told_what_was_the_matter() {
        let connecting = State::Connecting("connection refused".into());
        let blocked = State::Blocked("low on memory".into());
        let asked = Stage::Asked(Instant::now());
        for (state, stage, code, message) in [
            (
                &State::Ready,
                asked,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; is a server busy or stuck? try a longer timeout",
            ),
            (
                &blocked,
                asked,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the broker takes no requests at present: low on memory",
            ),
            (
                &blocked,
                Stage::Held,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the broker takes no requests at present: low on memory",
            ),
            (
                &connecting,
                asked,
                Code::DeadlineExceeded,
                "no reply from queue \"q\" within 1.5s; the connection was lost: connection refused",
            ),
            (
                &connecting,
                Stage::Held,
                Code::Unavailable,
                "no connection to the broker within 1.5s: connection refused",
            ),
            (
                &State::Ready,
                Stage::Parked,
                Code::Unavailable,
                "no queue \"q\" within 1.5s; start a server on it (fibrpcd)",
            ),
        ] {
            let status = too_late("q", Duration::from_millis(1500), state, stage);
            assert_eq!((status.code, status.message.as_str()), (code, message));
        }
    }
}
