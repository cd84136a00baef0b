//! A delivery to the test kit's server, and what becomes of it.

use crate::protocol::reply_value::Trailer;
use crate::protocol::{Message, Reply, Status, reply};
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

impl Delivered {
    /// Reads a reply as the client does.
    pub(super) fn acked(message: Message) -> Self {
        Self {
            trailer: reply::trailer(&message.properties),
            reply: reply::read(message).map_err(|(status, _)| status),
            settlement: Some(Settlement::Acked),
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
