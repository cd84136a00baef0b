//! What can go wrong with the broker, and what to do about it.

use crate::protocol::{Code, Status};
use lapin::ErrorKind;
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// What kind of failure; decides how soon to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing listens, no route, name not found: the broker cannot be reached.
    Unreachable,
    /// The connection was lost, or the broker closed it for reasons of its own.
    Lost,
    /// A deadline passed; the connection was cut.
    Timeout,
    /// TLS failed: certificate, name, version.
    Tls,
    /// User name or password refused.
    Credentials,
    /// The user may not do that, or the vhost is missing.
    Denied,
    /// The user or the vhost has as many connections or channels as the broker allows.
    Limit,
    /// The queue does not exist.
    NoQueue,
    /// The queue exists and cannot be used at present: the node that holds it is down, or it has stopped.
    QueueDown,
    /// The queue exists and is not what was wanted, or is somebody's exclusive one.
    Mismatch,
    /// A message is larger than the broker takes, which is so many bytes.
    TooLarge(u64),
    /// The broker or the client library saw a protocol violation: a message may have caused it.
    Protocol,
    /// The broker cancelled the consumer (queue deleted, leader moved, consumer timeout).
    Cancelled,
    /// A file with a password, key or certificate cannot be used.
    Local,
}

/// A failure of the broker, in one line: what, cause, and what to do where that helps.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: Kind,
    /// The line.
    pub message: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What the AMQP library says went wrong while doing `what`.
    pub(super) fn from_lapin(what: &str, error: &lapin::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::ProtocolError(error) => match error.kind() {
                AMQPErrorKind::Soft(soft) => match soft {
                    AMQPSoftError::ACCESSREFUSED => Kind::Denied,
                    AMQPSoftError::NOTFOUND => missing(error.get_message().as_str()),
                    AMQPSoftError::PRECONDITIONFAILED => unmet(error.get_message().as_str()),
                    AMQPSoftError::RESOURCELOCKED => Kind::Mismatch,
                    _ => Kind::Protocol,
                },
                AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => Kind::Lost,
                // "connection limit (9) is reached", "... opened for user 'u' has reached the maximum ... limit"
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                    if ["is reached", "has reached"]
                        .iter()
                        .any(|limit| error.get_message().as_str().contains(limit)) =>
                {
                    Kind::Limit
                }
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Kind::Denied,
                AMQPErrorKind::Hard(_) => Kind::Protocol,
            },
            ErrorKind::ParsingError(_) | ErrorKind::SerialisationError(_) => Kind::Protocol,
            _ => Kind::Lost,
        };
        let cause = match error.kind() {
            ErrorKind::ProtocolError(error) => error.get_message().to_string(),
            ErrorKind::IOError(error) => error.to_string(),
            ErrorKind::MissingHeartbeatError => "no heartbeat from the broker".to_owned(),
            ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
                "the connection is already closed".to_owned()
            }
            _ => error.to_string(),
        };
        Self::new(kind, format!("{what}: {}", one_line(&cause)))
    }

    /// The broker closed the connection with this code and text.
    pub(super) fn closed(what: &str, code: u16, text: &str) -> Self {
        let known = AMQPError::from_id(code, text.into());
        known.map_or_else(
            || Self::new(Kind::Lost, format!("{what}: {code} {}", one_line(text))),
            |error| Self::from_lapin(what, &ErrorKind::ProtocolError(error).into()),
        )
    }

    /// The same failure, with `cure` at the end of its line.
    #[must_use]
    pub(super) fn with_cure(mut self, cure: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(cure);
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

    /// Whether a fast retry is pointless: somebody has to change something first.
    pub fn needs_operator(&self) -> bool {
        matches!(
            self.kind,
            Kind::Tls
                | Kind::Credentials
                | Kind::Denied
                | Kind::Mismatch
                | Kind::TooLarge(_)
                | Kind::Local
        )
    }

    /// Whether a message can have been the cause.
    pub fn blames_a_message(&self) -> bool {
        matches!(self.kind, Kind::TooLarge(_) | Kind::Protocol)
    }
}

/// What a 404 is about: brokers send it for a queue that does not exist ("no queue 'q' in vhost '/'") and for one
/// that they cannot reach ("home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible").
fn missing(text: &str) -> Kind {
    let text = text.strip_prefix("NOT_FOUND - ").unwrap_or(text);
    if text.starts_with("no queue ") {
        Kind::NoQueue
    } else {
        Kind::QueueDown
    }
}

/// What a failed precondition is about, as RabbitMQ words it.
fn unmet(text: &str) -> Kind {
    // "message size 9 is larger than configured max size 5"
    let sizes = text.split_once("message size ");
    let limit = sizes.and_then(|(_, sizes)| sizes.rsplit(' ').next()?.parse().ok());
    match limit {
        Some(limit) => Kind::TooLarge(limit),
        // The only exception that a broker raises for its own clock's sake ("Delivery Acknowledgement Timeout").
        None if text.contains("acknowledgement") => Kind::Cancelled,
        None => Kind::Mismatch,
    }
}

/// Foreign text as a part of one line.
fn one_line(text: &str) -> String {
    crate::text::safe(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_missing_and_one_that_is_down_are_told_apart() {
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
    fn failed_preconditions_are_told_apart() {
        let large =
            "PRECONDITION_FAILED - message size 1253877 is larger than configured max size 1000000";
        let late = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 60000 ms";
        let other = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'message size ' in vhost '/'";
        assert_eq!(unmet(large), Kind::TooLarge(1_000_000));
        assert_eq!(unmet(late), Kind::Cancelled);
        assert_eq!(unmet(other), Kind::Mismatch);
    }
}
