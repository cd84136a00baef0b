//! Status codes: how a call ended, in gRPC's names, with exit status and whether to ask again.

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// It went well.
    Ok,
    /// Not an integer, negative, malformed JSON, not UTF-8 where text is due.
    InvalidArgument,
    /// n above `max_n`, or the reply would not fit.
    OutOfRange,
    /// The client's time is over.
    DeadlineExceeded,
    /// Too busy to answer in time.
    ResourceExhausted,
    /// No broker, no such queue, no server on it, draining.
    Unavailable,
    /// The broker refuses the credentials or the operation.
    PermissionDenied,
    /// A fault of the server.
    Internal,
    /// A reply that is neither success nor a typed error.
    Unknown,
}

impl Code {
    /// The name on the wire, such as `INVALID_ARGUMENT`.
    pub fn name(self) -> &'static str {
        "OK"
    }
    /// The code with this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        let _ = name;
        None
    }
    /// Whether asking again may help.
    pub fn retryable(self) -> bool {
        false
    }
    /// The exit status of `fibrpc` (sysexits.h).
    pub fn exit_status(self) -> u8 {
        0
    }
}

/// A code other than `OK`, with one line that says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct Status {
    /// What kind of failure.
    pub code: Code,
    /// One line, lower case, without the code's name.
    pub message: String,
}

impl Status {
    /// A status with this code and message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
