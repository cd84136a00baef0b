//! Why a call fails before its deadline, in words: what, cause, and what to do. Pure.

use super::failure_kind::{CLOSED, NO_QUEUE, NO_SERVER, PUBLISHED_BEFORE, QUEUE_DOWN, REFUSED};
use crate::broker::{Error, Kind, QueueStatus};
use crate::protocol::{Code, Status};

/// Whether calls can be published, by a [check](super::presence::check) of the queue. Anything uncertain counts as yes.
pub(super) fn availability(queue: &str, check: Result<QueueStatus, Error>) -> Result<(), Status> {
    match check {
        Ok(QueueStatus { consumers: 0, .. }) => Err(no_server(queue)),
        Err(error) if error.kind == Kind::NoQueue => Err(no_queue(queue)),
        Err(error) if error.kind == Kind::QueueDown => Err(queue_down(queue, &error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The queue has no consumers. There may still be a server that polls it (`basic.get`).
pub(super) fn no_server(queue: &str) -> Status {
    NO_SERVER.status(format!(
        "no server on queue {queue:?}; is one running? (use --wait for a server that polls or is about to start)"
    ))
}

/// There is no such queue.
pub(super) fn no_queue(queue: &str) -> Status {
    NO_QUEUE.status(format!(
        "no queue {queue:?}; start a server on it, or check queue.name and the vhost"
    ))
}

/// The queue exists, but the broker cannot reach it; its reason.
pub(super) fn queue_down(queue: &str, error: &Error) -> Status {
    let what = format!("cannot look at queue {queue:?}: ");
    let reason = error.message.strip_prefix(&what).unwrap_or(&error.message);
    QUEUE_DOWN.status(format!(
        "queue {queue:?} exists but is not available: {reason}"
    ))
}

/// The broker refused the request.
pub(super) fn refused(queue: &str) -> Status {
    REFUSED.status(format!(
        "the broker refused the request: queue {queue:?} is full or unavailable; try later"
    ))
}

/// The client was closed while the call waited.
pub(super) fn closed() -> Status {
    CLOSED.status("the client was closed".into())
}

/// The failure to report: `UNAVAILABLE` and `PERMISSION_DENIED` promise that no server has worked or will work on the
/// request, which is not known of a request that was published before and not returned (`exposed`).
pub(super) fn as_far_as_known(status: &Status, exposed: bool) -> Status {
    if exposed && matches!(status.code(), Code::Unavailable | Code::PermissionDenied) {
        PUBLISHED_BEFORE.status(format!(
            "{}; the request was published before that and may have been worked on",
            status.message()
        ))
    } else {
        status.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_SERVER: &str = "no server on queue \"q\"; is one running? (use --wait for a server that polls or is about to start)";

    #[test]
    fn only_certain_results_prevent_publishing() {
        let status = |consumers| {
            let name = "q".to_owned();
            Ok(QueueStatus {
                name,
                messages: 0,
                consumers,
            })
        };
        let home = "NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible";
        for (check, error) in [
            (status(1), None),
            (status(0), Some(NO_SERVER)),
            (
                Err(Kind::NoQueue.error("x")),
                Some("no queue \"q\"; start a server on it, or check queue.name and the vhost"),
            ),
            (
                Err(Kind::QueueDown.error(format!("cannot look at queue \"q\": {home}"))),
                Some(
                    "queue \"q\" exists but is not available: NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible",
                ),
            ),
            (Err(Kind::Mismatch.error("locked")), None),
            (Err(Kind::Denied.error("may not look")), None),
            (Err(Kind::Lost.error("gone")), None),
        ] {
            let case = format!("{check:?}");
            let availability = availability("q", check);
            let message = availability.as_ref().err().map(Status::message);
            assert_eq!(message, error, "{case}");
            if let Err(status) = availability {
                assert_eq!(status.code(), Code::Unavailable, "{case}");
            }
        }
    }

    #[test]
    fn a_request_that_a_server_may_have_worked_on_does_not_fail_as_unavailable() {
        let unavailable = no_queue("q");
        assert_eq!(as_far_as_known(&unavailable, false), unavailable);
        let known = as_far_as_known(&unavailable, true);
        assert_eq!(known.code(), Code::Unknown);
        assert!(
            known.message().starts_with(unavailable.message()),
            "{known}"
        );
        let denied = Status::new(Code::PermissionDenied, "no");
        assert_eq!(as_far_as_known(&denied, true).code(), Code::Unknown);
        let other = refused("q");
        assert_eq!(as_far_as_known(&other, true), other);
    }
}
