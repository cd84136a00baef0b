//! What can go wrong with the broker, and what to do about it.

use crate::protocol::Code;

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
    /// The queue does not exist.
    NoQueue,
    /// The queue exists and is not what was wanted, or is somebody's exclusive one.
    Mismatch,
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
    /// The status code that a caller sees.
    pub fn code(&self) -> Code {
        match self.kind {
            Kind::Credentials | Kind::Denied => Code::PermissionDenied,
            _ => Code::Unavailable,
        }
    }
    /// Whether a fast retry is pointless: somebody has to change something first.
    pub fn needs_operator(&self) -> bool {
        matches!(
            self.kind,
            Kind::Tls | Kind::Credentials | Kind::Denied | Kind::Mismatch | Kind::Local
        )
    }
}
