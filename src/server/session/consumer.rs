//! The consumer of a session, and how another one with another prefetch takes its place while the session serves.
//!
//! A consumer keeps the prefetch that it began with (quorum queues know no other), so a change of it takes another
//! consumer. The next one consumes before the last one is cancelled: there is no moment at which the queue has no
//! consumer. What the last one was sent is kept and answered, since what is handed back counts as a delivery.

use super::Session;
use crate::broker::{Channel, Error, Kind, Subscription};
use crate::server::acks::CONSUMERS;
use crate::server::credit::Held;
use crate::server::events;
use crate::server::pool;
use crate::server::service::Service;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// The session's consumer, and those that it took over from.
pub(super) struct Consumer {
    tag: String,
    /// Counts the session's consumers, and begins again after [`CONSUMERS`].
    generation: u8,
    /// Held for as long as the broker is to deliver.
    subscription: Subscription,
    next: Option<Takeover>,
    /// Those before, for as long as the session holds requests that came by them.
    last: Vec<Retired>,
}

struct Takeover {
    tag: String,
    prefetch: usize,
    since: Instant,
    /// Ends when the next consumer consumes, and the last one does not.
    taking: Pin<Box<dyn Future<Output = Result<Subscription, Error>> + Send>>,
}

struct Retired {
    tag: String,
    generation: u8,
}

impl Consumer {
    /// Starts to consume, with this prefetch.
    pub(super) async fn start(
        channel: &Channel,
        queue: &str,
        prefetch: u16,
    ) -> Result<Self, Error> {
        let tag = fresh_tag(0);
        channel.qos(prefetch).await?;
        let subscription = channel.consume(queue, &tag, false).await?;
        Ok(Self {
            tag,
            generation: 0,
            subscription,
            next: None,
            last: Vec::new(),
        })
    }

    /// Begins to replace it by one with another prefetch.
    fn replace(&mut self, channel: &Channel, queue: &str, prefetch: usize) {
        let tag = fresh_tag(self.next_generation());
        let (channel, queue) = (channel.clone(), queue.to_owned());
        let (last, next) = (self.tag.clone(), tag.clone());
        let taking = async move {
            channel
                .qos(u16::try_from(prefetch).unwrap_or(u16::MAX))
                .await?;
            let subscription = channel.consume(&queue, &next, false).await?;
            channel.cancel(&last).await?;
            Ok(subscription)
        };
        self.next = Some(Takeover {
            tag,
            prefetch,
            since: Instant::now(),
            taking: Box::pin(taking),
        });
    }

    /// Completes when another consumer has taken over: its prefetch. Pends for ever where none is to. Loses nothing
    /// when it is dropped unfinished.
    pub(super) async fn replaced(&mut self) -> Result<usize, Error> {
        let Some(takeover) = &mut self.next else {
            return std::future::pending().await;
        };
        let taken = takeover.taking.as_mut().await;
        let Some(Takeover { tag, prefetch, .. }) = self.next.take() else {
            return std::future::pending().await;
        };
        drop(std::mem::replace(&mut self.subscription, taken?));
        self.last.push(Retired {
            tag: std::mem::replace(&mut self.tag, tag),
            generation: self.generation,
        });
        self.generation = self.next_generation();
        Ok(prefetch)
    }

    fn next_generation(&self) -> u8 {
        // The names of generations are one digit each.
        (self.generation + 1) % CONSUMERS
    }

    /// For how long another one has tried to take over.
    fn stalled(&self) -> Option<Duration> {
        self.next.as_ref().map(|next| next.since.elapsed())
    }

    /// Stops it; deliveries that were on their way are in the inbox when this is done.
    pub(super) async fn stop(&mut self, channel: &Channel) -> Result<(), Error> {
        if self.next.is_some() {
            self.replaced().await?;
        }
        channel.cancel(&self.tag).await
    }
}

impl<S: Service> Session<S> {
    /// Has another consumer take over if what is in hand asks for another prefetch. A comparison or two where it does
    /// not.
    pub(super) fn review_prefetch(&mut self) {
        if self.consumer.next.is_some() || self.draining.is_some() {
            return;
        }
        if self.one_at_a_time {
            // A request settled in isolation, so that several may be taken again.
            if !self.context.isolation.active() {
                self.one_at_a_time = false;
                self.replace_consumer(self.credit.narrow());
            }
            return;
        }
        let (all, line) = (self.window.outstanding(), self.pool.line());
        if !self.credit.is_questionable(all, line) {
            return;
        }
        let held = Held {
            all,
            older: all - self.window.outstanding_of(self.consumer.generation),
            line,
        };
        if let Some(prefetch) = self.credit.wanted(held) {
            self.replace_consumer(prefetch);
        }
    }

    /// Once a second: back to a narrow prefetch when a wide one is hardly used.
    pub(super) fn review_prefetch_at_rest(&mut self) {
        self.forget_retired();
        if self.consumer.next.is_some() || self.draining.is_some() || self.one_at_a_time {
            return;
        }
        let held = self.window.outstanding();
        if let Some(prefetch) = self.credit.wanted_at_rest(held) {
            self.replace_consumer(prefetch);
        }
    }

    /// Once a second: whether the broker still reaches the queue. Looking is not enough: a leader that is cut off from the
    /// other members goes on to show its consumers. A consumer that takes over is a change that needs most of them.
    pub(super) fn review_reach(&mut self) -> Result<(), Error> {
        if self.draining.is_some() {
            return Ok(());
        }
        self.reach.tick();
        match self.consumer.stalled() {
            Some(stalled) => self.reach.judge(stalled),
            None if self.reach.is_silent() => {
                let window = if self.one_at_a_time {
                    1
                } else {
                    self.credit.window().into()
                };
                self.replace_consumer(window);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn replace_consumer(&mut self, prefetch: usize) {
        let queue = &self.settings.queue.name;
        self.consumer.replace(&self.incoming, queue, prefetch);
    }

    /// Another consumer has taken over, with this prefetch.
    pub(super) fn on_replaced(&mut self, prefetch: usize) -> Result<(), Error> {
        self.reach.proven();
        // What came by the last one is here.
        self.take_deliveries()?;
        self.forget_retired();
        self.credit.begin(prefetch);
        self.review_prefetch();
        Ok(())
    }

    /// The server's limits have changed.
    pub(super) fn limit_prefetch(&mut self) {
        let limits = &self.settings.server;
        self.credit
            .set(limits.prefetch, pool::workers(limits.concurrency));
        self.review_prefetch();
    }

    /// Consumers of this session that the broker counts: quorum queues count one that is no more for as long as requests
    /// are in hand that came by it.
    pub(super) fn consumers(&mut self, quorum: bool) -> u32 {
        self.forget_retired();
        let last = if quorum { self.consumer.last.len() } else { 0 };
        let next = usize::from(self.consumer.next.is_some());
        u32::try_from(1 + next + last).unwrap_or(u32::MAX)
    }

    /// The broker ended a consumer.
    pub(super) fn on_cancelled(&mut self, tag: &str) -> Result<(), Error> {
        self.forget_retired();
        let current = &self.consumer;
        let is = |other: &str| other == tag;
        // Of one that is no more, it matters only if the broker takes back what is in hand.
        let matters = is(&current.tag)
            || current.next.iter().any(|next| is(&next.tag))
            || current.last.iter().any(|last| is(&last.tag));
        if !matters {
            return Ok(());
        }
        let queue = &self.settings.queue.name;
        events::cancelled(&self.url.address(), queue);
        let message = format!(
            "the broker cancelled the consumer of queue {queue:?}: deleted, moved, or a request took too long"
        );
        Err(Error::new(Kind::Cancelled, message))
    }

    fn forget_retired(&mut self) {
        let window = &self.window;
        let last = &mut self.consumer.last;
        last.retain(|last| window.outstanding_of(last.generation) > 0);
    }
}

/// A tag that ends in its generation.
fn fresh_tag(generation: u8) -> String {
    format!("fibrpcd-{}-{generation:x}", uuid::Uuid::new_v4().simple())
}

/// The generation of the consumer whose tag ends in this byte.
pub(super) fn generation_of(last: u8) -> u8 {
    let digit = char::from(last).to_digit(16).unwrap_or_default();
    u8::try_from(digit).unwrap_or_default()
}
