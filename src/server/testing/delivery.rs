//! A delivery to the test kit's server, and what becomes of it.

#[cfg(feature = "json")]
use crate::protocol::body::Json;
use crate::protocol::body::Text;
use crate::protocol::reply::{Content, Trailer};
use crate::protocol::{Message, Status, reply};
use crate::server::request::Request;
use std::time::Duration;
use tokio::sync::oneshot;

/// A request in the queue.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) request: Request,
    pub(super) settled: oneshot::Sender<Delivered>,
}

/// What became of a delivery.
#[derive(Debug, Clone)]
pub struct Delivered {
    reply: Result<Reply, Status>,
    settlement: Option<Settlement>,
    trailer: Trailer,
}

/// How a delivery was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// Acknowledged, after its reply.
    Acked,
    /// Returned to the queue, without a reply: the broker would deliver it again.
    HandedBack,
}

/// A successful reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(Content);

impl Delivered {
    /// Reads a reply as the client does.
    pub(super) fn acked(message: Message) -> Self {
        let (reply, trailer) = reply::read(message);
        Self {
            reply: reply.map(Reply),
            settlement: Some(Settlement::Acked),
            trailer,
        }
    }

    pub(super) fn handed_back() -> Self {
        let message = "the server ended before it answered; the request was handed back";
        Self {
            settlement: Some(Settlement::HandedBack),
            ..Self::refused(Status::unknown(message))
        }
    }

    /// The server does not start.
    pub(super) fn refused(status: Status) -> Self {
        Self {
            reply: Err(status),
            settlement: None,
            trailer: Trailer::default(),
        }
    }

    /// What the client would get.
    pub fn reply(&self) -> Result<&Reply, &Status> {
        self.reply.as_ref()
    }

    /// The same, not copied.
    pub fn into_reply(self) -> Result<Reply, Status> {
        self.reply
    }

    /// How the delivery was settled; `None`: the server did not start.
    pub fn settlement(&self) -> Option<Settlement> {
        self.settlement
    }

    /// The time that the reply states for its computation, if it was begun.
    pub fn compute_time(&self) -> Option<Duration> {
        self.trailer.compute
    }
}

impl Reply {
    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The body's MIME type.
    pub fn content_type(&self) -> Option<&str> {
        self.0.content_type.as_deref()
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is something else.
    #[cfg(feature = "json")]
    pub fn json<T: for<'de> serde::Deserialize<'de>>(&self) -> Result<T, Status> {
        Json::read(self.body()).map(|Json(value)| value)
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not UTF-8.
    pub fn text(self) -> Result<String, Status> {
        Text::read(self.0.body).map(|Text(text)| text)
    }
}
