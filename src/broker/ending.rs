//! Why a connection has ended, and the error for that. There is no other source: every operation that fails because its
//! connection has ended fails with this error.

use super::codec::method::Reason;
use super::error::{Error, Kind};
use super::reader::Broken;
use super::tls;
use tokio_rustls::rustls;

/// Why a connection has ended.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// The broker closed it.
    Closed(Reason),
    /// We closed it, and the broker confirmed that.
    Left,
    /// The broker sent something that cannot be read.
    Broken(Broken),
    /// TLS failed after its handshake; the broker's alerts are among that.
    Tls(rustls::Error),
    /// The socket failed or was closed; `closed`: all that is known is that the other end did it.
    Lost { cause: String, closed: bool },
    /// The broker cannot accept the login that we would send.
    FutileLogin,
    /// The AMQP library gave the connection up: the broker sent something that it does not accept.
    GivenUp { cause: String },
}

impl Ending {
    /// Ended on this side.
    pub(super) fn here(cause: &str) -> Self {
        Self::Lost {
            cause: cause.to_owned(),
            closed: false,
        }
    }

    pub(super) fn cause(&self) -> String {
        match self {
            Self::Closed(reason) => reason.text.clone(),
            Self::Left => "it was closed".to_owned(),
            Self::Broken(Broken(what)) => format!("the broker sent {what}"),
            Self::Tls(error) => tls::cause::end(error),
            Self::Lost { cause, .. } | Self::GivenUp { cause } => cause.clone(),
            Self::FutileLogin => "the broker cannot accept this login".to_owned(),
        }
    }

    /// The end of the connection to `address` as an error.
    pub(super) fn error(&self, address: &str) -> Error {
        self.error_of(&format!("connection to {address} lost"))
    }

    /// The error of an operation `what` that the connection to `address` ended under. If the broker closed the
    /// connection over it, the error names the operation.
    pub(super) fn error_of_operation(&self, what: &str, address: &str) -> Error {
        let error = self.error_of(what);
        if error.kind == Kind::Lost {
            return self.error(address);
        }
        error
    }

    fn error_of(&self, what: &str) -> Error {
        let kind = match self {
            Self::Closed(reason) => return Error::closed(what, reason),
            Self::Broken(_) | Self::GivenUp { .. } => Kind::Protocol,
            Self::Left | Self::Tls(_) | Self::Lost { .. } | Self::FutileLogin => Kind::Lost,
        };
        kind.error(format!("{what}: {}", self.cause()))
    }
}
