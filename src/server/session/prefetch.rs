//! The prefetch of a session, and the consumer that has it.
//!
//! A session that isolates a request takes deliveries one at a time. Otherwise [`Credit`] chooses the prefetch.
//!
//! A consumer keeps the prefetch that it began with (quorum queues have no other), so another prefetch takes another
//! consumer. That one consumes before the last one is cancelled, so the queue is never without a consumer. Deliveries to the
//! last one are kept and answered, because handing them back would count as a delivery of each.

use crate::broker::{Channel, Error, Subscription, random_id};
use crate::server::acks::{AckWindow, CONSUMERS};
use crate::server::credit::{Credit, Held};
use crate::server::tally::Part;
use std::pin::Pin;
use std::time::{Duration, Instant};

pub(super) struct Prefetch {
    pub(super) consumer: Consumer,
    credit: Credit,
    /// Whether deliveries are taken one at a time.
    isolated: bool,
    /// The prefetch of the consumer.
    gauge: Part,
}

impl Prefetch {
    /// Starts to consume, with a prefetch of at most `limit`; `at_once` requests can be in progress together. `gauge` shows the
    /// prefetch in force.
    pub(super) async fn start(
        channel: &Channel,
        queue: &str,
        (limit, at_once): (u16, usize),
        isolated: bool,
        mut gauge: Part,
    ) -> Result<Self, Error> {
        let credit = Credit::new(limit, at_once);
        let prefetch = if isolated { 1 } else { credit.window() };
        let consumer = Consumer::start(channel, queue, prefetch).await?;
        gauge.set(prefetch.into());
        Ok(Self {
            consumer,
            credit,
            isolated,
            gauge,
        })
    }

    /// Stops consuming; see [`Consumer::stop`].
    pub(super) fn stop(&mut self) -> impl Future<Output = Result<(), Error>> + use<> {
        self.gauge.set(0);
        self.consumer.stop()
    }

    /// Whether deliveries are taken one at a time.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// See [`Credit::stands_for`].
    pub(super) fn stands_for(&self, took: Duration) -> u64 {
        self.credit.stands_for(took)
    }

    /// The prefetch of the consumer, isolation aside.
    pub(super) fn window(&self) -> u16 {
        self.credit.window()
    }

    /// Replaces the consumer if the deliveries in `window` and the pool's `line` ask for another prefetch. Costs a comparison or
    /// two if not. `isolating`: whether isolation goes on.
    pub(super) fn review(&mut self, window: &AckWindow, line: Duration, isolating: bool) {
        if self.consumer.next.is_some() {
            return;
        }
        if self.isolated {
            if !isolating {
                self.isolated = false;
                self.consumer.replace(self.credit.narrow());
            }
            return;
        }
        let all = window.outstanding();
        if !self.credit.is_questionable(all, line) {
            return;
        }
        let held = Held {
            all,
            older: all - window.outstanding_of(self.consumer.generation),
            line,
        };
        if let Some(prefetch) = self.credit.wanted(held) {
            self.consumer.replace(prefetch);
        }
    }

    /// To be called once per second: returns to a narrow prefetch if a wide one is hardly used.
    pub(super) fn review_at_rest(&mut self, window: &AckWindow) {
        if self.consumer.next.is_some() || self.isolated {
            return;
        }
        if let Some(prefetch) = self.credit.wanted_at_rest(window.outstanding()) {
            self.consumer.replace(prefetch);
        }
    }

    /// Replaces the consumer by one like it.
    pub(super) fn renew(&mut self) {
        let prefetch = if self.isolated {
            1
        } else {
            self.window().into()
        };
        self.consumer.replace(prefetch);
    }

    /// Another consumer has replaced the last one, with this prefetch.
    pub(super) fn on_replaced(&mut self, prefetch: usize) {
        self.credit.begin(prefetch);
        self.gauge.set(prefetch as u64);
    }

    pub(super) fn limit(&mut self, limit: u16, at_once: usize) {
        self.credit.set(limit, at_once);
    }
}

/// The session's consumer, and those that it replaced.
pub(super) struct Consumer {
    channel: Channel,
    queue: String,
    tag: String,
    /// Counts the session's consumers, modulo [`CONSUMERS`].
    generation: u8,
    /// The broker delivers for as long as this exists.
    subscription: Subscription,
    next: Option<Replacement>,
    /// Earlier ones, for as long as requests that they delivered are unsettled.
    earlier: Vec<Earlier>,
}

struct Replacement {
    tag: String,
    prefetch: usize,
    since: Instant,
    /// Completes when the next consumer consumes and the last one is cancelled.
    replacing: Pin<Box<dyn Future<Output = Result<Subscription, Error>> + Send>>,
}

struct Earlier {
    tag: String,
    generation: u8,
}

impl Consumer {
    /// Starts to consume with this prefetch.
    async fn start(channel: &Channel, queue: &str, prefetch: u16) -> Result<Self, Error> {
        let tag = fresh_tag(0);
        channel.qos(prefetch).await?;
        let subscription = channel.consume(queue, &tag, false).await?;
        Ok(Self {
            channel: channel.clone(),
            queue: queue.to_owned(),
            tag,
            generation: 0,
            subscription,
            next: None,
            earlier: Vec::new(),
        })
    }

    /// Begins to replace it by one with another prefetch.
    fn replace(&mut self, prefetch: usize) {
        let tag = fresh_tag(self.next_generation());
        let (channel, queue) = (self.channel.clone(), self.queue.clone());
        let (last, next) = (self.tag.clone(), tag.clone());
        let replacing = async move {
            let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
            channel.qos(prefetch).await?;
            let subscription = channel.consume(&queue, &next, false).await?;
            channel.cancel(&last).await?;
            Ok(subscription)
        };
        self.next = Some(Replacement {
            tag,
            prefetch,
            since: Instant::now(),
            replacing: Box::pin(replacing),
        });
    }

    /// Completes when another consumer has replaced it, with the new prefetch. Never ready if none is to. Cancel safe.
    pub(super) async fn replaced(&mut self) -> Result<usize, Error> {
        let Some(replacement) = &mut self.next else {
            return std::future::pending().await;
        };
        let subscription = replacement.replacing.as_mut().await;
        let Some(Replacement { tag, prefetch, .. }) = self.next.take() else {
            return std::future::pending().await;
        };
        drop(std::mem::replace(&mut self.subscription, subscription?));
        self.earlier.push(Earlier {
            tag: std::mem::replace(&mut self.tag, tag),
            generation: self.generation,
        });
        self.generation = self.next_generation();
        Ok(prefetch)
    }

    /// For how long it has been being replaced, if it is.
    pub(super) fn stalled(&self) -> Option<Duration> {
        self.next.as_ref().map(|next| next.since.elapsed())
    }

    /// Stops it; deliveries that were on their way are in the mailbox when this completes.
    fn stop(&mut self) -> impl Future<Output = Result<(), Error>> + use<> {
        let (channel, tag, next) = (self.channel.clone(), self.tag.clone(), self.next.take());
        async move {
            let Some(next) = next else {
                return channel.cancel(&tag).await;
            };
            let _subscription = next.replacing.await?;
            channel.cancel(&next.tag).await
        }
    }

    /// Forgets earlier ones of which no deliveries are left in this window.
    pub(super) fn forget_earlier(&mut self, window: &AckWindow) {
        self.earlier
            .retain(|earlier| window.outstanding_of(earlier.generation) > 0);
    }

    /// Whether this tag is its own, its successor's, or that of an earlier one. For an earlier one a cancel by the broker
    /// matters only if it takes back deliveries.
    pub(super) fn knows(&self, tag: &str) -> bool {
        self.tag == tag
            || self.next.iter().any(|next| next.tag == tag)
            || self.earlier.iter().any(|earlier| earlier.tag == tag)
    }

    /// How many consumers of this session the broker counts. Quorum queues count an earlier one for as long as its deliveries
    /// are unsettled.
    pub(super) fn count(&self, quorum: bool) -> u32 {
        let earlier = if quorum { self.earlier.len() } else { 0 };
        let next = usize::from(self.next.is_some());
        u32::try_from(1 + next + earlier).unwrap_or(u32::MAX)
    }

    fn next_generation(&self) -> u8 {
        // One hexadecimal digit, since a tag ends in it.
        (self.generation + 1) % CONSUMERS
    }
}

/// A tag that ends in the generation.
pub(super) fn fresh_tag(generation: u8) -> String {
    format!("fibrpc-{}-{generation:x}", random_id().simple())
}

/// The generation of the consumer whose tag ends in this byte.
pub(super) fn generation_of(last: u8) -> u8 {
    let digit = char::from(last).to_digit(16).unwrap_or_default();
    u8::try_from(digit).unwrap_or_default()
}
