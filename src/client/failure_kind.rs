//! The kinds of failures of a call: whether the request was published, whether a server may have worked on it, and whether
//! to retry. Pure; `fibrpc(1)` has the same table.

use crate::protocol::{Code, Status};

/// Whether something is the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certainty {
    /// No.
    No,
    /// It is not known.
    Perhaps,
    /// Yes.
    Yes,
}

impl Certainty {
    /// The word in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Perhaps => "perhaps",
            Self::Yes => "yes",
        }
    }
}

/// One kind of failure, recognisable by words in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailureKind {
    /// Words in the message.
    pub words: &'static str,
    /// Its status code.
    pub code: Code,
    /// Whether the request is or was in the queue.
    pub published: Certainty,
    /// Whether a server may have worked on it, or may still do so.
    pub worked_on: Certainty,
}

impl FailureKind {
    /// The failure with this message.
    pub(super) fn status(&self, message: String) -> Status {
        debug_assert!(message.contains(self.words), "{message}");
        Status::new(self.code, message)
    }

    /// Whether to retry: `Perhaps` if a server may then work on the request twice.
    pub const fn retry(&self) -> Certainty {
        match (self.code.retryable(), self.code, self.worked_on) {
            (_, Code::Unknown, _) | (true, _, Certainty::Perhaps | Certainty::Yes) => {
                Certainty::Perhaps
            }
            (true, _, Certainty::No) => Certainty::Yes,
            (false, ..) => Certainty::No,
        }
    }
}

const fn new(words: &'static str, code: Code, certainty: Certainty) -> FailureKind {
    FailureKind {
        words,
        code,
        published: certainty,
        worked_on: certainty,
    }
}

const fn unavailable(words: &'static str) -> FailureKind {
    new(words, Code::Unavailable, Certainty::No)
}

pub(super) const CANNOT_REACH: FailureKind = unavailable("cannot reach broker");
pub(super) const NOT_CONNECTED: FailureKind = unavailable("no connection to the broker");
pub(super) const NO_QUEUE: FailureKind = unavailable("no queue");
pub(super) const QUEUE_DOWN: FailureKind = unavailable("exists but is not available");
pub(super) const NO_SERVER: FailureKind = unavailable("no server on queue");
pub(super) const NO_SERVER_SEEN: FailureKind = unavailable("no server seen");
pub(super) const CLOSED: FailureKind = unavailable("the client was closed");

/// The broker confirms that the request is in no queue.
pub(super) const REFUSED: FailureKind = new(
    "the broker refused the request",
    Code::ResourceExhausted,
    Certainty::No,
);

pub(super) const UNCONFIRMED: FailureKind = new(
    "the broker has not confirmed",
    Code::DeadlineExceeded,
    Certainty::Perhaps,
);

pub(super) const NO_REPLY: FailureKind = new(
    "no reply from queue",
    Code::DeadlineExceeded,
    Certainty::Perhaps,
);

/// Would be `UNAVAILABLE`, but the request was published before.
pub(super) const PUBLISHED_BEFORE: FailureKind =
    new("was published before", Code::Unknown, Certainty::Perhaps);

/// All failures of the client itself, in the order of a call's progress.
pub const FAILURE_KINDS: [FailureKind; 11] = [
    CANNOT_REACH,
    NOT_CONNECTED,
    NO_QUEUE,
    QUEUE_DOWN,
    NO_SERVER,
    NO_SERVER_SEEN,
    CLOSED,
    REFUSED,
    UNCONFIRMED,
    NO_REPLY,
    PUBLISHED_BEFORE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unavailable_promises_that_no_server_works_on_the_request() {
        for kind in FAILURE_KINDS {
            let promises = kind.worked_on == Certainty::No;
            if kind.code == Code::Unavailable {
                assert!(promises && kind.published == Certainty::No, "{kind:?}");
                assert_eq!(kind.retry(), Certainty::Yes, "{kind:?}");
            }
            assert_eq!(promises, kind.retry() == Certainty::Yes, "{kind:?}");
        }
    }
}
