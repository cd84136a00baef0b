//! A channel: the operations that we use, each under a deadline, in our own types.

use super::Error;
use crate::config::QueueKind;
use crate::protocol::Message;
use futures_core::Stream;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// An open channel. Cheap to clone; all clones are the same channel.
#[derive(Debug, Clone)]
pub struct Channel {}

/// A queue as a passive or active declare saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStatus {
    /// Its name (the broker's choice where it was asked for one).
    pub name: String,
    /// Messages ready for delivery.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// What the broker made of a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirm {
    /// It took the message.
    Ack,
    /// It refused the message.
    Nack,
}

/// A message that came back because no queue wanted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The `message_id` that it was published with.
    pub message_id: Option<Vec<u8>>,
    /// The routing key that it was published to.
    pub routing_key: String,
}

/// A message with its delivery tag.
#[derive(Debug)]
pub struct Delivery {
    /// The tag, valid on the channel that delivered it.
    pub tag: u64,
    /// Whether somebody may have seen it before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}

/// Deliveries of one consumer. Ends with `None` after a cancel, by whomever.
#[derive(Debug)]
pub struct Consumer {}

impl Stream for Consumer {
    type Item = Result<Delivery, Error>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

impl Channel {
    /// Switches publisher confirms on.
    pub async fn confirm_select(&self) -> Result<(), Error> {
        std::future::pending().await
    }
    /// Limits unacknowledged deliveries of consumers that start after this.
    pub async fn qos(&self, prefetch: u16) -> Result<(), Error> {
        let _ = prefetch;
        std::future::pending().await
    }
    /// Looks at a queue without making it. `Kind::NoQueue` closes the channel.
    pub async fn queue_status(&self, name: &str) -> Result<QueueStatus, Error> {
        let _ = name;
        std::future::pending().await
    }
    /// Declares a queue.
    pub async fn declare(
        &self,
        name: &str,
        kind: QueueKind,
        durable: bool,
    ) -> Result<QueueStatus, Error> {
        let _ = (name, kind, durable);
        std::future::pending().await
    }
    /// Starts a consumer with this tag.
    pub async fn consume(&self, queue: &str, tag: &str, no_ack: bool) -> Result<Consumer, Error> {
        let _ = (queue, tag, no_ack);
        std::future::pending().await
    }
    /// Stops the consumer; deliveries that were already here still come out of its stream.
    pub async fn cancel(&self, tag: &str) -> Result<(), Error> {
        let _ = tag;
        std::future::pending().await
    }
    /// Publishes to the default exchange. The message is on its way after the first poll; the future
    /// resolves with the broker's confirm (needs [`Channel::confirm_select`]) and a returned message
    /// *of any publish on this channel* that was seen at that moment.
    pub fn publish(
        &self,
        queue: String,
        mandatory: bool,
        message: Message,
    ) -> impl Future<Output = Result<(Confirm, Option<Returned>), Error>> + Send + 'static + use<>
    {
        let _ = (queue, mandatory, message);
        std::future::pending()
    }
    /// Acknowledges one delivery, or all up to it.
    pub fn ack(
        &self,
        tag: u64,
        multiple: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static + use<> {
        let _ = (tag, multiple);
        std::future::pending()
    }
    /// Hands a delivery back to the queue.
    pub async fn requeue(&self, tag: u64) -> Result<(), Error> {
        let _ = tag;
        std::future::pending().await
    }
    /// Rejects a delivery for good (dropped or dead-lettered).
    pub async fn reject(&self, tag: u64) -> Result<(), Error> {
        let _ = tag;
        std::future::pending().await
    }
    /// Closes the channel; everything sent on it before has then reached the broker.
    pub async fn close(self) -> Result<(), Error> {
        std::future::pending().await
    }
}
