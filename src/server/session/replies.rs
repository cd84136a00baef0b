//! The replies of a session, from their publish to their confirm.
//!
//! Owns the publishing connection, the unconfirmed replies, the large ones that wait until less is unconfirmed, and those that
//! the broker has refused with `basic.nack`: they are published again before their queue is considered full.
//!
//! A full queue refuses every channel. But a single channel may be refused as well: if its first publish to a quorum queue
//! meets a leader that has just died, RabbitMQ 3.10 refuses everything that the channel publishes to that queue until the
//! leader's node is back (`rabbit_fifo_client:enqueue`). So the last attempts use new channels, for longer than an election
//! takes. If one of them succeeds, the session's own channel is broken, and the session ends: the next one has a new channel.
//! Queues that were found to be full are not given as much time again.

use super::large::Large;
use crate::broker::{Arrival, Channel, Connection, Error, Kind, Mailbox, Unconfirmed};
use crate::protocol::reply_to::Address;
use crate::protocol::{Code, Message};
use crate::server::isolation::Poison;
use crate::server::span::RequestSpan;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Attempts to publish a reply on the session's own channel.
const MAX_ATTEMPTS: u32 = 3;

/// Further attempts, each on a new channel.
const MAX_FRESH_ATTEMPTS: u32 = 4;

/// How long the broker may take to confirm or refuse an attempt on a new channel.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a queue is considered full.
const FULL_FOR: Duration = Duration::from_secs(60);

/// How many full queues are remembered.
const MAX_FULL_QUEUES: usize = 1000;

/// A reply on its way.
#[derive(Debug)]
pub(super) struct PendingReply {
    /// The request's delivery tag.
    pub(super) tag: u64,
    pub(super) to: String,
    pub(super) address: Address,
    pub(super) message: Message,
    /// When its request was delivered, and its status; until it is published for the first time.
    pub(super) call: Option<(Instant, Code)>,
    /// When it was published last.
    pub(super) since: Instant,
    /// How often it was published.
    pub(super) attempts: u32,
    /// Set if the request is to be rejected once the reply is confirmed.
    pub(super) poison: Option<Poison>,
    pub(super) span: RequestSpan,
}

/// The result of a pause after a refusal.
#[derive(Debug)]
pub(super) enum Retry {
    /// The reply is to be published on the session's own channel again.
    Due(PendingReply),
    /// The reply was published on a new channel: whether the broker confirmed it, or an error if that is not known.
    Made(PendingReply, Result<bool, Error>),
}

/// Publishes are blocked.
struct Block {
    since: Instant,
    /// How much of it was counted.
    counted_ms: u64,
}

pub(super) struct Replies {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
    pub(super) mailbox: Mailbox,
    pub(super) unconfirmed: Unconfirmed<PendingReply>,
    large: Large<PendingReply>,
    /// Replies that the broker has refused and that are published again.
    pub(super) retries: FuturesUnordered<Pin<Box<dyn Future<Output = Retry> + Send>>>,
    full: FullQueues,
    block: Option<Block>,
    /// Since when the broker has been able to confirm replies: it was not blocked, and this process ran.
    confirmable_since: Instant,
}

impl Replies {
    pub(super) fn new(connection: Connection, (channel, mailbox): (Channel, Mailbox)) -> Self {
        Self {
            connection,
            channel,
            mailbox,
            unconfirmed: Unconfirmed::default(),
            large: Large::default(),
            retries: FuturesUnordered::new(),
            full: FullQueues::default(),
            block: None,
            confirmable_since: Instant::now(),
        }
    }

    /// Returns the reply if it is to be published now. A large one may have to wait until [`Replies::next`] returns it.
    pub(super) fn admit(&mut self, reply: PendingReply) -> Option<PendingReply> {
        let size = reply.message.body_size();
        if self.large.admits(size) {
            return Some(reply);
        }
        self.large.wait(size, reply);
        None
    }

    /// The next of those that had to wait, if it is to be published now.
    pub(super) fn next(&mut self) -> Option<PendingReply> {
        let mut reply = self.large.next()?;
        reply.since = Instant::now();
        Some(reply)
    }

    /// Publishes a reply that was admitted, for the first time or again.
    pub(super) fn publish(&mut self, mut reply: PendingReply) -> Result<(), Error> {
        reply.attempts += 1;
        let mandatory = reply.address == Address::Queue;
        let number = self.channel.publish(&reply.to, mandatory, &reply.message)?;
        self.unconfirmed.add(number, reply);
        Ok(())
    }

    /// Takes a reply that the broker has confirmed or refused; see [`Unconfirmed::confirm`].
    pub(super) fn take(&mut self, number: u64, multiple: bool) -> Option<PendingReply> {
        let reply = self.unconfirmed.confirm(number, multiple)?;
        self.large.end(reply.message.body_size());
        Some(reply)
    }

    /// Whether confirms are about to arrive.
    pub(super) fn expects_confirms(&self) -> bool {
        !self.unconfirmed.is_empty() && !self.is_blocked()
    }

    /// Whether the oldest unconfirmed reply has waited for longer than `limit`.
    pub(super) fn are_late(&self, limit: Duration) -> bool {
        let since = |reply: &PendingReply| reply.since.max(self.confirmable_since);
        !self.is_blocked() && (self.unconfirmed.iter()).any(|reply| since(reply).elapsed() > limit)
    }

    /// Whether the broker blocks publishes.
    pub(super) fn is_blocked(&self) -> bool {
        self.block.is_some()
    }

    /// The broker blocks publishes from now on, if it did not yet.
    pub(super) fn block(&mut self) {
        self.block.get_or_insert(Block {
            since: Instant::now(),
            counted_ms: 0,
        });
    }

    /// For how many milliseconds the broker has blocked publishes, without those returned before.
    pub(super) fn uncounted_block_ms(&mut self) -> u64 {
        let Some(block) = &mut self.block else {
            return 0;
        };
        let ms = u64::try_from(block.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        ms - std::mem::replace(&mut block.counted_ms, ms)
    }

    /// The broker accepts publishes again; for how long it did not.
    pub(super) fn unblock(&mut self) -> Option<Duration> {
        self.confirmable_since = Instant::now();
        self.block.take().map(|block| block.since.elapsed())
    }

    /// This process was stopped and continues now: what it was about to send may not even have been sent.
    pub(super) fn resume(&mut self, now: Instant) {
        self.confirmable_since = now;
    }

    /// Schedules another attempt after the broker refused a reply on the session's channel. Returns the reply if there is to
    /// be none.
    pub(super) fn retry(&mut self, reply: PendingReply) -> Option<PendingReply> {
        if reply.attempts < MAX_ATTEMPTS {
            let delay = Duration::from_millis(100) * reply.attempts;
            self.retries.push(Box::pin(async move {
                tokio::time::sleep(delay).await;
                Retry::Due(reply)
            }));
            None
        } else if self.full.contains(&reply.to, Instant::now()) {
            Some(reply)
        } else {
            self.retry_afresh(reply);
            None
        }
    }

    /// The same after an attempt on a new channel that was refused, or whose result is not known.
    pub(super) fn retry_again(
        &mut self,
        mut reply: PendingReply,
        refused: bool,
    ) -> Option<PendingReply> {
        self.large.end(reply.message.body_size());
        // A broker that is short of memory answers later.
        if refused || !self.is_blocked() {
            reply.attempts += 1;
        }
        if reply.attempts < MAX_ATTEMPTS + MAX_FRESH_ATTEMPTS {
            self.retry_afresh(reply);
            return None;
        }
        self.full.add(&reply.to, Instant::now());
        Some(reply)
    }

    /// Schedules an attempt on a new channel.
    fn retry_afresh(&mut self, reply: PendingReply) {
        let delay = Duration::from_millis(200) * (1 << (reply.attempts - MAX_ATTEMPTS).min(2));
        let channels = self.connection.channels();
        self.large.begin(reply.message.body_size());
        self.retries.push(Box::pin(async move {
            tokio::time::sleep(delay).await;
            let attempt = async {
                let (channel, mailbox) = channels.open(false).await?;
                attempt(&channel, mailbox, &reply).await
            };
            let late = Kind::Timeout.error("no answer");
            let taken = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt).await;
            Retry::Made(reply, taken.unwrap_or(Err(late)))
        }));
    }
}

/// Publishes a reply on this channel; whether the broker confirmed it.
async fn attempt(
    channel: &Channel,
    mut mailbox: Mailbox,
    reply: &PendingReply,
) -> Result<bool, Error> {
    channel.confirm_select().await?;
    let mandatory = reply.address == Address::Queue;
    channel.publish(&reply.to, mandatory, &reply.message)?;
    loop {
        match mailbox.next().await {
            Arrival::Confirmed { taken, .. } => return Ok(taken),
            Arrival::Failed(error) => return Err(error),
            // A returned reply is confirmed afterwards: its caller has gone.
            Arrival::Returned(_) | Arrival::Delivered(_) | Arrival::Cancelled(_) => {}
        }
    }
}

/// The queues that were found to be full, and until when they are considered so.
#[derive(Debug, Default)]
struct FullQueues(HashMap<String, Instant>);

impl FullQueues {
    fn contains(&self, queue: &str, now: Instant) -> bool {
        self.0.get(queue).is_some_and(|until| now < *until)
    }

    fn add(&mut self, queue: &str, now: Instant) {
        if self.0.len() >= MAX_FULL_QUEUES {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() < MAX_FULL_QUEUES {
            self.0.insert(queue.to_owned(), now + FULL_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queues_are_bounded_and_expire() {
        let mut full = FullQueues::default();
        let start = Instant::now();
        for index in 0..=MAX_FULL_QUEUES {
            full.add(&index.to_string(), start);
        }
        assert!(full.contains("0", start));
        assert!(!full.contains(&MAX_FULL_QUEUES.to_string(), start));
        let later = start + FULL_FOR;
        assert!(!full.contains("0", later));
        full.add("again", later);
        assert!(full.contains("again", later));
        assert_eq!(full.0.len(), 1);
    }
}
