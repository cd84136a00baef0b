//! Status codes: how a call ended, by gRPC's names, with the exit status and whether to retry.
//!
//! The table of `PROTOCOL.md` in code. Holds no state.

use crate::named::named;
use serde_json::Value;
use std::fmt;

named! {
    /// How a call ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum Code {
        /// Success.
        Ok = "OK",
        /// The request is malformed.
        InvalidArgument = "INVALID_ARGUMENT",
        /// The request exceeds a limit, or the reply would not fit.
        OutOfRange = "OUT_OF_RANGE",
        /// The caller's deadline has passed.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// Too busy to answer in time.
        ResourceExhausted = "RESOURCE_EXHAUSTED",
        /// No broker, no such queue, no server on it, draining.
        Unavailable = "UNAVAILABLE",
        /// The broker refused the credentials or the operation.
        PermissionDenied = "PERMISSION_DENIED",
        /// A fault of the server.
        Internal = "INTERNAL",
        /// A reply that is neither a success nor a typed error.
        Unknown = "UNKNOWN",
        /// The server has no such method.
        Unimplemented = "UNIMPLEMENTED",
        /// What the request is about does not exist.
        NotFound = "NOT_FOUND",
        /// What the request would create exists already.
        AlreadyExists = "ALREADY_EXISTS",
        /// The request is not possible in the present state.
        FailedPrecondition = "FAILED_PRECONDITION",
        /// The service does not know who the caller is.
        Unauthenticated = "UNAUTHENTICATED",
    }
}

impl Code {
    /// The code with this name; upper case only, as in gRPC.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
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
            // EX_DATAERR
            Self::InvalidArgument
            | Self::OutOfRange
            | Self::NotFound
            | Self::AlreadyExists
            | Self::FailedPrecondition => 65,
            Self::Unavailable | Self::Unimplemented => 69, // EX_UNAVAILABLE
            Self::Internal => 70,                          // EX_SOFTWARE
            Self::DeadlineExceeded | Self::ResourceExhausted => 75, // EX_TEMPFAIL
            Self::Unknown => 76,                           // EX_PROTOCOL
            Self::PermissionDenied | Self::Unauthenticated => 77, // EX_NOPERM
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a call failed: a code other than `OK`, one line that says what is wrong and what to do, and perhaps details for
/// programs.
///
/// ```
/// use fibrpc::{Code, Status};
///
/// let status = Status::not_found("no such item").with_details(serde_json::json!({"item": "tea"}));
/// assert_eq!(status.code(), Code::NotFound);
/// assert_eq!(status.to_string(), "NOT_FOUND: no such item");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Status {
    code: Code,
    message: String,
    details: Option<Box<Value>>,
}

/// A constructor for each code.
macro_rules! constructors {
    ($($name:ident $code:ident;)+) => {
        $(
            #[doc = concat!("A status with [`Code::", stringify!($code), "`]; see [`Status::new`].")]
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(Code::$code, message)
            }
        )+
    };
}

impl Status {
    /// A status with this code and message: one line, lower case, without the code's name.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
        }
    }

    constructors! {
        invalid_argument InvalidArgument;
        out_of_range OutOfRange;
        deadline_exceeded DeadlineExceeded;
        resource_exhausted ResourceExhausted;
        unavailable Unavailable;
        permission_denied PermissionDenied;
        internal Internal;
        unknown Unknown;
        unimplemented Unimplemented;
        not_found NotFound;
        already_exists AlreadyExists;
        failed_precondition FailedPrecondition;
        unauthenticated Unauthenticated;
    }

    /// With details for programs, any JSON value but `null`.
    ///
    /// Only callers that ask in JSON receive them, and at most 64 KiB: larger ones are left out.
    #[must_use]
    pub fn with_details(self, details: impl Into<Value>) -> Self {
        let details = Some(details.into()).filter(|details| !details.is_null());
        Self {
            details: details.map(Box::new),
            ..self
        }
    }

    /// The kind of failure.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What is wrong and what to do, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Details for programs, if the service gave any.
    pub fn details(&self) -> Option<&Value> {
        self.details.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_match_the_table_of_the_protocol() {
        let page = include_str!("../../PROTOCOL.md");
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
            (Code::Unimplemented, "UNIMPLEMENTED", false, 69),
            (Code::NotFound, "NOT_FOUND", false, 65),
            (Code::AlreadyExists, "ALREADY_EXISTS", false, 65),
            (Code::FailedPrecondition, "FAILED_PRECONDITION", false, 65),
            (Code::Unauthenticated, "UNAUTHENTICATED", false, 77),
        ];
        assert_eq!(table.map(|(code, ..)| code), Code::ALL);
        for (code, name, retryable, exit_status) in table {
            assert_eq!(code.name(), name);
            assert_eq!(Code::from_name(name), Some(code));
            assert_eq!(code.retryable(), retryable, "{name}");
            assert_eq!(code.exit_status(), exit_status, "{name}");
            let is_row = |line: &&str| line.starts_with(&format!("| `{name}` |"));
            let row = page.lines().find(is_row).unwrap_or_default();
            let retry = match (code, retryable) {
                (Code::Ok, _) => "",
                (_, true) => " yes",
                (_, false) => " no",
            };
            let end = format!("|{retry} | {exit_status} |");
            assert!(row.ends_with(&end), "{row}");
        }
    }

    #[test]
    fn unknown_names_are_not_codes() {
        for name in ["", "ok", "Ok", "ABORTED", "OK ", "UNKNOWN\0"] {
            assert_eq!(Code::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn displayed_as_code_and_message() {
        let status = Status::new(Code::OutOfRange, "n is too large");
        assert_eq!(status.to_string(), "OUT_OF_RANGE: n is too large");
        assert_eq!(format!("{:<5}|{:>4}", Code::Ok, Code::Ok), "OK   |  OK");
    }

    #[test]
    fn each_code_has_a_constructor() {
        let made = [
            Status::invalid_argument("x"),
            Status::out_of_range("x"),
            Status::deadline_exceeded("x"),
            Status::resource_exhausted("x"),
            Status::unavailable("x"),
            Status::permission_denied("x"),
            Status::internal("x"),
            Status::unknown("x"),
            Status::unimplemented("x"),
            Status::not_found("x"),
            Status::already_exists("x"),
            Status::failed_precondition("x"),
            Status::unauthenticated("x"),
        ];
        assert_eq!(made.map(|status| status.code()), Code::ALL[1..]);
    }

    #[test]
    fn details_are_any_value_but_null() {
        let status = Status::internal("x");
        assert_eq!(status.details(), None);
        let detailed = status.clone().with_details(7);
        assert_eq!(detailed.details(), Some(&Value::from(7)));
        assert_ne!(detailed, status);
        assert_eq!(detailed.with_details(Value::Null), status);
    }
}
