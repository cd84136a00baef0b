//! What a channel receives (deliveries, confirms, returned messages, its end) and what happens to the connection
//! (blocked, unblocked, its end), each in the order of the wire.

use super::error::Error;
use crate::protocol::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Something that came on a channel.
#[derive(Debug)]
pub enum Arrival {
    /// A message for the consumer.
    Delivered(Delivery),
    /// A publisher confirm for the publish with this number (see
    /// [`Channel::publish`](super::Channel::publish)).
    Confirmed {
        /// The number.
        number: u64,
        /// Whether it covers all before it as well.
        multiple: bool,
        /// Whether the broker accepted the message or refused it (a full queue).
        taken: bool,
    },
    /// A mandatory message was returned because no queue took it. Its confirm follows (RabbitMQ, "Consumer
    /// Acknowledgements and Publisher Confirms").
    Returned(Returned),
    /// The broker cancelled the consumer with this tag: its queue was deleted or moved, or a request took too long.
    Cancelled(String),
    /// The channel, or its connection, has ended. Nothing comes after this.
    Failed(Error),
}

/// A message with its delivery tag.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The last byte of the consumer's tag.
    pub consumer: u8,
    /// The tag, valid on the channel that delivered it.
    pub tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}

/// A mandatory message that no queue took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The `message_id` that it was published with.
    pub message_id: Option<Vec<u8>>,
    /// The `correlation_id` that it was published with.
    pub correlation_id: Option<Vec<u8>>,
    /// The routing key that it was published to.
    pub routing_key: String,
}

/// Something that happened to a connection as a whole.
#[derive(Debug, Clone)]
pub enum ConnectionEvent {
    /// The broker is short of a resource and no longer reads from connections that publish; its reason.
    Blocked(String),
    /// The broker reads again.
    Unblocked,
    /// The connection has ended. Nothing comes after this.
    Failed(Error),
}

/// The receiving end of a channel, or of a connection's events. Dropping a wait loses nothing.
#[derive(Debug)]
pub struct Mailbox<T = Arrival> {
    /// Taken from the sender all at once, so that one lock serves many items.
    taken: VecDeque<T>,
    sender: Arc<MailboxSender<T>>,
}

/// Where the connection's task puts the items of a [`Mailbox`].
#[derive(Debug)]
pub(super) struct MailboxSender<T>(Mutex<Contents<T>>);

#[derive(Debug)]
struct Contents<T> {
    waiting: VecDeque<T>,
    /// The last item has been put in.
    closed: bool,
    waiter: Option<Waker>,
}

impl<T> Mailbox<T> {
    pub(super) fn new(sender: Arc<MailboxSender<T>>) -> Self {
        Self {
            taken: VecDeque::new(),
            sender,
        }
    }

    /// The next item, if it is here.
    pub fn try_next(&mut self) -> Option<T> {
        if self.taken.is_empty() {
            std::mem::swap(&mut self.taken, &mut self.sender.contents().waiting);
        }
        self.taken.pop_front()
    }

    /// The next item. Pends forever after the last one (a failure).
    pub async fn next(&mut self) -> T {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<T> {
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
            Some(item) => Poll::Ready(item),
            None => Poll::Pending,
        }
    }
}

impl<T> Default for MailboxSender<T> {
    fn default() -> Self {
        Self(Mutex::new(Contents {
            waiting: VecDeque::new(),
            closed: false,
            waiter: None,
        }))
    }
}

impl<T> MailboxSender<T> {
    /// Puts an item in, unless the last one has been.
    pub(super) fn put(&self, item: T) {
        self.add(item, false);
    }

    /// Puts in the last item, unless that has been done before.
    pub(super) fn put_last(&self, item: T) {
        self.add(item, true);
    }

    fn add(&self, item: T, last: bool) {
        let mut contents = self.contents();
        if contents.closed {
            return;
        }
        contents.closed = last;
        contents.waiting.push_back(item);
        let waiter = contents.waiter.take();
        drop(contents);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
