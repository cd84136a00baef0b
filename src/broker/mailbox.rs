//! What a channel receives: deliveries, confirms, returned messages, and its end, in the order of the wire.

use super::Error;
use crate::protocol::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Something that came on a channel.
#[derive(Debug)]
pub enum Arrival {
    /// A message for the consumer.
    Delivered(Delivery),
    /// The broker's word on the publish with this number (see
    /// [`Channel::publish`](super::Channel::publish)).
    Confirmed {
        /// The number.
        number: u64,
        /// Whether it is meant for all before it as well.
        multiple: bool,
        /// Whether the broker took the message, or refused it (a full queue).
        taken: bool,
    },
    /// A message came back because no queue wanted it. Its confirm follows (RabbitMQ, "Consumer
    /// Acknowledgements and Publisher Confirms").
    Returned(Returned),
    /// The broker ended the consumer with this tag: its queue was deleted or moved, or a request took too long.
    Cancelled(String),
    /// The channel, or its connection, is gone. Nothing comes after this.
    Failed(Error),
}

/// A message with its delivery tag.
#[derive(Debug)]
pub struct Delivery {
    /// The last byte of the tag of the consumer that it came by.
    pub consumer: u8,
    /// The tag, valid on the channel that delivered it.
    pub tag: u64,
    /// Whether somebody may have seen it before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}

/// A message that came back because no queue wanted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The `message_id` that it was published with.
    pub message_id: Option<Vec<u8>>,
    /// The `correlation_id` that it was published with.
    pub correlation_id: Option<Vec<u8>>,
    /// The routing key that it was published to.
    pub routing_key: String,
}

/// The receiving end of a channel. Nothing that it holds is lost when a wait for it is dropped.
#[derive(Debug)]
pub struct Mailbox {
    /// Taken over from the sender all at once, so that one lock does for many.
    taken: VecDeque<Arrival>,
    sender: Arc<MailboxSender>,
}

/// Where a connection puts what comes for a channel.
#[derive(Debug, Default)]
pub(super) struct MailboxSender(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    waiting: VecDeque<Arrival>,
    /// Nothing is put in any more.
    closed: bool,
    waiter: Option<Waker>,
}

impl Mailbox {
    pub(super) fn new(sender: Arc<MailboxSender>) -> Self {
        Self {
            taken: VecDeque::new(),
            sender,
        }
    }

    /// The next arrival, if it is here.
    pub fn try_next(&mut self) -> Option<Arrival> {
        if self.taken.is_empty() {
            std::mem::swap(&mut self.taken, &mut self.sender.contents().waiting);
        }
        self.taken.pop_front()
    }

    /// The next arrival. Pends for ever after [`Arrival::Failed`].
    pub async fn next(&mut self) -> Arrival {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Arrival> {
        if self.taken.is_empty() {
            let mut contents = self.sender.contents();
            if contents.waiting.is_empty() {
                match &mut contents.waiter {
                    Some(waiter) => waiter.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            std::mem::swap(&mut self.taken, &mut contents.waiting);
        }
        match self.taken.pop_front() {
            Some(arrival) => Poll::Ready(arrival),
            None => Poll::Pending,
        }
    }
}

impl MailboxSender {
    /// Puts an arrival in. After a failure there are none.
    pub(super) fn put(&self, arrival: Arrival) {
        let mut contents = self.contents();
        if contents.closed {
            return;
        }
        contents.closed = matches!(arrival, Arrival::Failed(_));
        contents.waiting.push_back(arrival);
        let waiter = contents.waiter.take();
        drop(contents);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
