//! Why a connection has ended, and how that reads.

use crate::broker::codec::method::Reason;
use crate::broker::reader::Broken;
use crate::broker::{Error, Kind, tls};
use tokio_rustls::rustls;

/// Why a connection has ended.
#[derive(Debug, Clone)]
pub(in crate::broker) enum Ending {
    /// The broker closed it, with this code and text.
    Closed { code: u16, text: String },
    /// What the broker sent makes no sense.
    Broken(Broken),
    /// TLS failed after its handshake; the broker's alerts are among that.
    Tls(rustls::Error),
    /// The socket failed or was closed; `closed`: no more is known than that the other end did it.
    Lost { cause: String, closed: bool },
}

impl Ending {
    /// It was ended here.
    pub(super) fn here(cause: &str) -> Self {
        Self::Lost {
            cause: cause.to_owned(),
            closed: false,
        }
    }

    pub(super) fn cause(&self) -> String {
        match self {
            Self::Closed { text, .. } => text.clone(),
            Self::Broken(Broken(what)) => format!("the broker sent {what}"),
            Self::Tls(error) => tls::cause::end(error),
            Self::Lost { cause, .. } => cause.clone(),
        }
    }

    pub(super) fn error(&self, address: &str) -> Error {
        let what = format!("connection to {address} lost");
        match self {
            Self::Closed { code, text } => Error::closed(&what, *code, text),
            Self::Broken(_) => Error::new(Kind::Protocol, format!("{what}: {}", self.cause())),
            Self::Tls(_) | Self::Lost { .. } => {
                Error::new(Kind::Lost, format!("{what}: {}", self.cause()))
            }
        }
    }
}

impl From<&Reason> for Ending {
    fn from(reason: &Reason) -> Self {
        Self::Closed {
            code: reason.code,
            text: reason.text.clone(),
        }
    }
}
