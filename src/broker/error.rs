//! What can go wrong with the broker, and what to do about it.

use super::codec::method::Reason;
use crate::config::{FileFault, Shortage};
use crate::named::named;
use crate::protocol::{Code, Status};
use crate::text::safe;

named! {
    /// What kind of failure; decides how soon to try again.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Kind {
        /// Nothing listens, no route, name not found: the broker cannot be reached.
        Unreachable = "unreachable",
        /// The connection was lost, or the broker closed it for reasons of its own.
        Lost = "lost",
        /// A deadline passed; the connection was cut.
        Timeout = "timeout",
        /// TLS failed: certificate, name, version.
        Tls = "tls",
        /// User name or password refused.
        Credentials = "credentials",
        /// The user may not do that, or the vhost is missing.
        Denied = "denied",
        /// The broker allows no more connections, channels or queues to the user, the vhost or at all.
        Limit = "limit",
        /// The vhost exists and cannot be used at present.
        VhostDown = "vhost_down",
        /// The queue does not exist.
        NoQueue = "no_queue",
        /// The queue exists and cannot be used at present: the node that holds it is down, or it has stopped.
        QueueDown = "queue_down",
        /// The queue exists and is not what was wanted.
        Mismatch = "mismatch",
        /// Connections that belong together reached brokers that are no cluster.
        Split = "split",
        /// The queue is another connection's own, or another consumer's.
        Locked = "locked",
        /// The broker refuses it for a reason that only its text gives.
        Refused = "refused",
        /// A message is larger than the broker accepts; see [`Error::limit`].
        TooLarge = "too_large",
        /// The broker or the client library saw a protocol violation: a message may have caused it.
        Protocol = "protocol",
        /// The broker cancelled the consumer (queue deleted, leader moved, consumer timeout).
        Cancelled = "cancelled",
        /// A file with a password, key or certificate cannot be used.
        Local = "local",
        /// This machine is short of a resource (descriptors, memory). No setting is wrong, and it may pass.
        Shortage = "shortage",
    }
}

impl Kind {
    /// A failure of this kind.
    pub fn error(self, message: impl Into<String>) -> Error {
        Error {
            kind: self,
            message: message.into(),
            limit: None,
        }
    }
}

/// A failure of the broker, in one line: what, cause, and what to do if that helps.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: Kind,
    /// The line.
    pub message: String,
    /// The size that the broker accepts, in bytes, if the message was [too large](Kind::TooLarge).
    pub limit: Option<u64>,
}

impl Error {
    /// `what` failed because this machine is short of something.
    pub(super) fn short_of(what: &str, shortage: Shortage) -> Self {
        let (words, hint) = (shortage.words(), shortage.hint());
        Kind::Shortage.error(format!("{what}: {words}; {hint}"))
    }

    /// The broker closed the channel or connection for this reason while `what` was being done.
    pub(super) fn closed(what: &str, Reason { code, text }: &Reason) -> Self {
        let line = safe(text);
        match kind_of(*code, text) {
            Some(kind) => Self {
                limit: (kind == Kind::TooLarge).then(|| size_limit(text)).flatten(),
                ..kind.error(format!("{what}: {line}"))
            },
            None => Kind::Lost.error(format!("{what}: {code} {line}")),
        }
    }

    /// The same failure, with `hint` at the end of its line.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        if hint.is_empty() {
            return self;
        }
        self.message.push_str("; ");
        self.message.push_str(hint);
        self
    }

    /// The status code that a caller sees.
    pub fn code(&self) -> Code {
        match self.kind {
            Kind::Credentials | Kind::Denied => Code::PermissionDenied,
            _ => Code::Unavailable,
        }
    }

    /// The status that a caller sees.
    pub fn status(&self) -> Status {
        Status::new(self.code(), self.message.clone())
    }

    /// Whether a fast retry is pointless: an operator has to change something first.
    pub fn needs_operator(&self) -> bool {
        matches!(
            self.kind,
            Kind::Tls
                | Kind::Credentials
                | Kind::Denied
                | Kind::Mismatch
                | Kind::Split
                | Kind::Locked
                | Kind::TooLarge
                | Kind::Local
        )
    }

    /// Whether the broker failed internally (541). It then gives no text but the name of the code.
    pub fn is_internal(&self) -> bool {
        self.kind == Kind::Protocol && self.message.ends_with(": INTERNAL_ERROR")
    }

    /// Whether a message can have been the cause.
    pub fn blames_a_message(&self) -> bool {
        matches!(self.kind, Kind::TooLarge | Kind::Protocol)
    }
}

impl From<FileFault> for Error {
    fn from(fault: FileFault) -> Self {
        let kind = if fault.shortage {
            Kind::Shortage
        } else {
            Kind::Local
        };
        kind.error(fault.problem.0)
    }
}

/// What a reply code (AMQP 0-9-1, "Constants") is about; `None`: it is not one of the protocol's. RabbitMQ uses most
/// codes for several things, and only its text distinguishes them.
fn kind_of(code: u16, text: &str) -> Option<Kind> {
    Some(match code {
        // "queue 'q' in vhost '/' in exclusive use"
        403 if text.ends_with(" in exclusive use") => Kind::Locked,
        403 => Kind::Denied,
        404 => missing(text),
        405 => Kind::Locked,
        406 => unmet(text),
        // CONNECTION_FORCED, RESOURCE_ERROR
        320 | 506 => Kind::Lost,
        // "access to vhost 'v' refused for user 'u': vhost 'v' is down"
        530 | 541 if text.contains("vhost '") && text.ends_with("' is down") => Kind::VhostDown,
        530 => not_allowed(text),
        311..=313 | 402 | 501..=505 | 540 | 541 => Kind::Protocol,
        _ => return None,
    })
}

fn not_allowed(text: &str) -> Kind {
    if is_limit(text) {
        Kind::Limit
    } else if text.ends_with("cannot be queried, timeout") {
        // The broker could not count the vhost's connections in time.
        Kind::Lost
    } else if text.contains("vhost") {
        Kind::Denied
    } else {
        // "negotiated channel_max = 16 is higher than the maximum allowed value (8)"
        Kind::Refused
    }
}

/// "connection limit (9) is reached", "user 'u' has reached the maximum allowed user limit of (9)", "queue limit in
/// cluster (9) is reached", "exchange limit of 9 is reached", "reached maximum (9) of consumers per channel".
fn is_limit(text: &str) -> bool {
    ["is reached", "has reached", "reached maximum"]
        .iter()
        .any(|limit| text.contains(limit))
}

/// What a 404 is about: brokers send it for a queue that does not exist ("no queue 'q' in vhost '/'"; `LavinMQ`: "Queue
/// 'q' not found") and for one that they cannot reach ("home node 'rabbit@b' of durable queue 'q' in vhost '/' is down
/// or inaccessible").
fn missing(text: &str) -> Kind {
    let text = text.strip_prefix("NOT_FOUND - ").unwrap_or(text);
    let lavinmq = text.starts_with("Queue ")
        && [
            " not found",
            " not declared",
            " doesn't exist",
            " doesn't exists",
            " does not exist",
        ]
        .iter()
        .any(|end| text.ends_with(end));
    if text.starts_with("no queue ") || lavinmq {
        Kind::NoQueue
    } else if text.starts_with("no ") {
        // "no exchange 'x' in vhost '/'", "no previously declared queue"
        Kind::Refused
    } else {
        Kind::QueueDown
    }
}

/// How the text of a failed precondition begins.
const UNMET: &str = "PRECONDITION_FAILED - ";

/// The largest message that the broker accepts: "message size 9 is larger than configured max size 5".
fn size_limit(text: &str) -> Option<u64> {
    let text = text.strip_prefix(UNMET).unwrap_or(text);
    let sizes = text.strip_prefix("message size ")?;
    sizes.rsplit(' ').next()?.parse().ok()
}

/// What a failed precondition is about.
fn unmet(text: &str) -> Kind {
    let limit = size_limit(text);
    let text = text.strip_prefix(UNMET).unwrap_or(text);
    match limit {
        Some(_) => Kind::TooLarge,
        // The only exception that a broker raises for its own clock's sake ("Delivery Acknowledgement Timeout").
        None if text.contains("delivery acknowledgement") => Kind::Cancelled,
        None if text.starts_with("inequivalent arg ") => Kind::Mismatch,
        // LavinMQ.
        None if text.starts_with("Existing queue ") => Kind::Mismatch,
        None if text.starts_with("cannot declare ") && is_limit(text) => Kind::Limit,
        // "invalid arg 'x-queue-type' for queue 'q' in vhost '/': ...", "unknown delivery tag 7"
        None => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_queues_and_queues_that_are_down_are_distinguished() {
        for (text, kind) in [
            ("NOT_FOUND - no queue 'q' in vhost '/'", Kind::NoQueue),
            ("no queue 'q' in vhost '/'", Kind::NoQueue),
            (
                "NOT_FOUND - home node 'rabbit@b' of durable queue 'no queue ' in vhost '/' is down or inaccessible",
                Kind::QueueDown,
            ),
            (
                "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout",
                Kind::QueueDown,
            ),
            (
                "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor",
                Kind::QueueDown,
            ),
        ] {
            assert_eq!(missing(text), kind, "{text}");
        }
    }

    #[test]
    fn codes_with_several_meanings_are_distinguished() {
        use Kind::{
            Cancelled, Denied, Limit, Locked, Lost, Mismatch, NoQueue, Protocol, QueueDown,
            Refused, TooLarge, VhostDown,
        };
        #[rustfmt::skip]
        let cases = [
            (403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'", Denied),
            (403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", Locked),
            (404, "NOT_FOUND - no queue 'q' in vhost '/'", NoQueue),
            (404, "NOT_FOUND - Queue 'q' not found", NoQueue),
            (404, "NOT_FOUND - no exchange 'x' in vhost '/'", Refused),
            (404, "NOT_FOUND - queue 'q' in vhost '/' has crashed and failed to restart", QueueDown),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'", Locked),
            (406, "PRECONDITION_FAILED - message size 1253877 is larger than configured max size 1000000", TooLarge),
            (406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 60000 ms", Cancelled),
            (406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'message size ' in vhost '/'", Mismatch),
            (406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'delivery' in vhost '/': received 'true' but current is 'false'", Mismatch),
            (406, "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (0) is reached", Limit),
            (406, "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in cluster (3) is reached", Limit),
            (406, "PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'is reached' in vhost '/': negative", Refused),
            (406, "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': disallowed by policy", Refused),
            (406, "PRECONDITION_FAILED - unknown delivery tag 7", Refused),
            (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", Lost),
            (320, "CONNECTION_FORCED - vhost 'v' is down", Lost),
            (506, "RESOURCE_ERROR - Stream coordinator unavailable for queue 'q' in vhost '/'", Lost),
            (530, "NOT_ALLOWED - vhost v not found", Denied),
            (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u'", Denied),
            (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (5) is reached", Limit),
            (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit cannot be queried, timeout", Lost),
            (530, "NOT_ALLOWED - connection refused: node connection limit (5) is reached", Limit),
            (530, "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (1)", Limit),
            (530, "NOT_ALLOWED - number of channels opened on node 'rabbit@b' has reached the maximum allowed limit of 9", Limit),
            (530, "NOT_ALLOWED - negotiated frame_max = 4096 is lower than the minimum allowed value (8192)", Refused),
            (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u': vhost 'v' is down", VhostDown),
            (541, "INTERNAL_ERROR - access to vhost 'v' refused for user 'u': vhost 'v' is down", VhostDown),
            (541, "INTERNAL_ERROR", Protocol),
            (501, "FRAME_ERROR", Protocol),
        ];
        for (code, text, kind) in cases {
            let text = text.to_owned();
            let error = Error::closed(
                "what",
                &Reason {
                    code,
                    text: text.clone(),
                },
            );
            assert_eq!(error.kind, kind, "{text}");
            assert_eq!(error.message, format!("what: {text}"));
            assert_eq!(error.is_internal(), text == "INTERNAL_ERROR", "{text}");
            let limit = (kind == TooLarge).then_some(1_000_000);
            assert_eq!(error.limit, limit, "{text}");
        }
    }

    /// Only failures that need a change are retried ever less often.
    #[test]
    fn temporary_failures_need_no_operator() {
        for kind in [
            Kind::QueueDown,
            Kind::VhostDown,
            Kind::Limit,
            Kind::Refused,
            Kind::Shortage,
        ] {
            let error = kind.error("");
            assert!(!error.needs_operator(), "{kind:?}");
            assert!(!error.blames_a_message(), "{kind:?}");
            assert_eq!(error.code(), Code::Unavailable, "{kind:?}");
        }
    }
}
