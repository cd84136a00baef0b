//! Status codes: how a call ended, by gRPC's names, with the exit status and whether to retry.
//!
//! The table of `PROTOCOL.md` in code. Holds no state.

use std::fmt;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// Success.
    Ok,
    /// Not an integer, negative, malformed JSON, or text that is not UTF-8.
    InvalidArgument,
    /// n above `max_n`, or the reply would not fit.
    OutOfRange,
    /// The caller's deadline has passed.
    DeadlineExceeded,
    /// Too busy to answer in time.
    ResourceExhausted,
    /// No broker, no such queue, no server on it, draining.
    Unavailable,
    /// The broker refused the credentials or the operation.
    PermissionDenied,
    /// A fault of the server.
    Internal,
    /// A reply that is neither a success nor a typed error.
    Unknown,
}

impl Code {
    /// Every code, in the order of the protocol's table.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::InvalidArgument,
        Self::OutOfRange,
        Self::DeadlineExceeded,
        Self::ResourceExhausted,
        Self::Unavailable,
        Self::PermissionDenied,
        Self::Internal,
        Self::Unknown,
    ];

    /// The name on the wire, for example `INVALID_ARGUMENT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Internal => "INTERNAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The code with this name; upper case only, as in gRPC.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Whether a retry may help.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::DeadlineExceeded | Self::ResourceExhausted | Self::Unavailable
        )
    }

    /// The exit status of `fibrpc` (sysexits.h).
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::InvalidArgument | Self::OutOfRange => 65, // EX_DATAERR
            Self::Unavailable => 69,                        // EX_UNAVAILABLE
            Self::Internal => 70,                           // EX_SOFTWARE
            Self::DeadlineExceeded | Self::ResourceExhausted => 75, // EX_TEMPFAIL
            Self::Unknown => 76,                            // EX_PROTOCOL
            Self::PermissionDenied => 77,                   // EX_NOPERM
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a call failed: a code other than `OK`, and one line that says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Status {
    /// The kind of failure.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_match_the_table_of_the_protocol() {
        let table = [
            (Code::Ok, "OK", false, 0),
            (Code::InvalidArgument, "INVALID_ARGUMENT", false, 65),
            (Code::OutOfRange, "OUT_OF_RANGE", false, 65),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", true, 75),
            (Code::ResourceExhausted, "RESOURCE_EXHAUSTED", true, 75),
            (Code::Unavailable, "UNAVAILABLE", true, 69),
            (Code::PermissionDenied, "PERMISSION_DENIED", false, 77),
            (Code::Internal, "INTERNAL", false, 70),
            (Code::Unknown, "UNKNOWN", false, 76),
        ];
        assert_eq!(table.map(|(code, ..)| code), Code::ALL);
        for (code, name, retryable, exit_status) in table {
            assert_eq!(code.name(), name);
            assert_eq!(Code::from_name(name), Some(code));
            assert_eq!(code.retryable(), retryable, "{name}");
            assert_eq!(code.exit_status(), exit_status, "{name}");
        }
    }

    #[test]
    fn unknown_names_are_not_codes() {
        for name in ["", "ok", "Ok", "NOT_FOUND", "OK ", "UNKNOWN\0"] {
            assert_eq!(Code::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn displayed_as_code_and_message() {
        let status = Status::new(Code::OutOfRange, "n is too large");
        assert_eq!(status.to_string(), "OUT_OF_RANGE: n is too large");
        assert_eq!(format!("{:<5}|{:>4}", Code::Ok, Code::Ok), "OK   |  OK");
    }
}
