//! What a caller may conclude from a failed call: whether the request was published, whether a server may have worked on
//! it, and whether to call again. Pure; `fibrpc(1)` has the same table.

use crate::protocol::{Code, Status};

/// Whether something is the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub struct Conclusion {
    /// Words in the message.
    pub words: &'static str,
    /// Its status code.
    pub code: Code,
    /// Whether the request is or was in the queue.
    pub published: Certainty,
    /// Whether a server may have worked on it, or may still do so.
    pub worked_on: Certainty,
}

impl Conclusion {
    /// The failure with this message.
    pub(super) fn status(&self, message: String) -> Status {
        debug_assert!(message.contains(self.words), "{message}");
        Status::new(self.code, message)
    }

    /// Whether to call again: `Perhaps` if a server may then work on the request twice.
    pub const fn again(&self) -> Certainty {
        match (self.code.retryable(), self.code, self.worked_on) {
            (_, Code::Unknown, _) | (true, _, Certainty::Perhaps | Certainty::Yes) => {
                Certainty::Perhaps
            }
            (true, _, Certainty::No) => Certainty::Yes,
            (false, ..) => Certainty::No,
        }
    }
}

const fn unavailable(words: &'static str) -> Conclusion {
    Conclusion {
        words,
        code: Code::Unavailable,
        published: Certainty::No,
        worked_on: Certainty::No,
    }
}

pub(super) const CANNOT_REACH: Conclusion = unavailable("cannot reach broker");
pub(super) const NOT_CONNECTED: Conclusion = unavailable("no connection to the broker");
pub(super) const NO_QUEUE: Conclusion = unavailable("no queue");
pub(super) const QUEUE_DOWN: Conclusion = unavailable("is there and not available");
pub(super) const NO_SERVER: Conclusion = unavailable("no server on queue");
pub(super) const NOBODY_SEEN: Conclusion = unavailable("no server seen");
pub(super) const CLOSED: Conclusion = unavailable("the client was closed");

/// The broker confirms that the request is in no queue.
pub(super) const REFUSED: Conclusion = Conclusion {
    words: "the broker refused the request",
    code: Code::ResourceExhausted,
    published: Certainty::No,
    worked_on: Certainty::No,
};

pub(super) const UNCONFIRMED: Conclusion = Conclusion {
    words: "the broker has not confirmed",
    code: Code::DeadlineExceeded,
    published: Certainty::Perhaps,
    worked_on: Certainty::Perhaps,
};

pub(super) const NO_REPLY: Conclusion = Conclusion {
    words: "no reply from queue",
    code: Code::DeadlineExceeded,
    published: Certainty::Perhaps,
    worked_on: Certainty::Perhaps,
};

/// Would be `UNAVAILABLE`, but the request was published before.
pub(super) const PUBLISHED_BEFORE: Conclusion = Conclusion {
    words: "was published before",
    code: Code::Unknown,
    published: Certainty::Perhaps,
    worked_on: Certainty::Perhaps,
};

/// All failures of the client itself, in the order of a call's progress.
pub const CONCLUSIONS: [Conclusion; 11] = [
    CANNOT_REACH,
    NOT_CONNECTED,
    NO_QUEUE,
    QUEUE_DOWN,
    NO_SERVER,
    NOBODY_SEEN,
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
        for conclusion in CONCLUSIONS {
            let promises = conclusion.worked_on == Certainty::No;
            if conclusion.code == Code::Unavailable {
                assert!(
                    promises && conclusion.published == Certainty::No,
                    "{conclusion:?}"
                );
                assert_eq!(conclusion.again(), Certainty::Yes, "{conclusion:?}");
            }
            assert_eq!(
                promises,
                conclusion.again() == Certainty::Yes,
                "{conclusion:?}"
            );
        }
    }
}
