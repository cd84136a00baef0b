//! One session: two connections, a consumer, and all requests in flight between them.
//!
//! Owns every delivery from its arrival to its ack. Guarantees that nothing is acknowledged before its reply is confirmed (or
//! returned, or nobody expects one), and that dropping the session returns everything else to the broker.
//!
//! Deliveries and acks use one connection, replies the other: a broker short of memory stops reading from connections that
//! publish, and would not read our acks on them.

mod confirms;
mod ending;
mod handling;
mod large;
mod open;
mod phase;
mod prefetch;
mod replies;
mod requests;

pub(super) use ending::{End, Failure};
pub(super) use open::Session;

use super::backend::Backend;
use super::broker_info::BrokerInfo;
use super::broker_wait::INTERVAL;
use super::log;
use super::state::{Counters, ServerState, Settled, Stop};
use crate::broker::{ConnectionEvent, Error, Kind};
use crate::text::duration;
use futures_util::future::FutureExt as _;
use futures_util::stream::StreamExt as _;
use phase::Phase;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};
use tokio::time::MissedTickBehavior;

impl<B: Backend> Session<B> {
    /// Serves until the session ends, one way or another.
    pub(super) async fn serve(&mut self) -> End {
        self.announce();
        let mut stop = self.context.stop.clone();
        // Ends whatever the session waits for at that moment.
        let ended = tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|stop| *stop == Stop::Now) => None,
            ended = self.run() => Some(ended),
        };
        self.count_block();
        let abandoned = self.requests.in_flight();
        let end = match ended {
            None => End::Stopped { abandoned },
            Some(Ok(end)) => end,
            Some(Err(error)) if self.phase.is_stopping() => {
                tracing::warn!("the drain was cut short: {error}");
                End::Stopped { abandoned }
            }
            Some(Err(error)) => End::Failed(self.judge(error)),
        };
        if matches!(end, End::Failed(_)) {
            self.requests.tally.end(Settled::Lost);
        } else {
            let counters = &self.context.counters;
            counters.abandoned.fetch_add(abandoned, Ordering::Relaxed);
            self.requests.tally.end(Settled::HandedBack);
            self.context.isolation.left();
        }
        if !self.phase.is_replaced() {
            self.context.serving.send_replace(None);
        }
        end
    }

    /// Whether anything was settled: the session was useful.
    pub(super) fn was_useful(&self) -> bool {
        self.requests.settled > 0
    }

    async fn run(&mut self) -> Result<End, Error> {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.acks_are_due() {
                self.requests.flush_acks();
            }
            self.requests.publish();
            let serving = self.phase.is_serving();
            if !serving && self.requests.in_flight() == 0 {
                return Ok(self.finish().await);
            }
            tokio::select! {
                biased;
                Ok(()) = self.context.stop.changed() => {
                    if *self.context.stop.borrow_and_update() == Stop::Drain {
                        self.begin_drain(true).await?;
                    }
                }
                () = self.phase.wake() => {
                    if let Phase::Draining(drain) = &mut self.phase
                        && let Some(left) = drain.step(Instant::now())
                    {
                        self.hand_back(left)?;
                    } else {
                        self.catch_up().await?;
                        return Ok(self.finish().await);
                    }
                }
                Ok(()) = self.retired.changed(), if serving => self.begin_drain(false).await?,
                Ok(()) = self.context.config.changed(), if serving => self.reconfigure(),
                event = self.requests.connection.event() => self.on_event(event)?,
                event = self.replies.connection.event() => self.on_event(event)?,
                confirm = self.replies.mailbox.next() => {
                    self.on_confirms(Some(confirm))?;
                    self.review_prefetch();
                }
                Some(retry) = self.replies.retries.next() => self.on_retry(retry)?,
                done = self.requests.pool.next() => self.on_pooled(done)?,
                done = self.requests.futures.next(), if !self.requests.futures.is_empty() => {
                    self.on_done(done)?;
                    self.take_outcomes()?;
                }
                // After a session was replaced, the next one answers for both.
                asked = self.control.next(), if !self.phase.is_replaced() => self.on_status(asked),
                delivery = self.requests.mailbox.next(), if serving => {
                    self.reachability.delivered();
                    self.on_delivery(delivery)?;
                    self.take_deliveries()?;
                    self.review_prefetch();
                }
                prefetch = self.prefetch.consumer.replaced(), if serving => {
                    self.on_replaced(prefetch?)?;
                }
                _ = tick.tick() => self.on_tick().await?,
                checked = self.reachability.checked(), if serving => checked?,
            }
        }
    }

    /// Logs and publishes that the session serves.
    fn announce(&self) {
        let (product, version) = self.requests.connection.broker_version();
        let broker = format!("{product} {version}");
        Counters::add(&self.context.counters.sessions);
        let info = Arc::new(BrokerInfo::of(
            &self.requests.connection,
            &self.replies.connection,
        ));
        self.context.broker.send_replace(Some(info.clone()));
        self.publish_serving();
        self.publish_consuming();
        // Once it is so everywhere: a probe that follows the line finds the server ready.
        log::connected(&self.endpoint, &self.settings.queue.name, broker.trim());
        for (which, left) in info.expiry.due(SystemTime::now()) {
            log::certificate_expires(&self.endpoint, which, left);
        }
    }

    /// Publishes what the session serves, unless the next one does.
    fn publish_serving(&self) {
        if !self.phase.is_replaced() {
            self.context.serving.send_replace(Some(self.serving()));
        }
    }

    fn on_event(&mut self, event: ConnectionEvent) -> Result<(), Error> {
        match event {
            ConnectionEvent::Blocked(reason) => {
                log::blocked(&self.endpoint, &reason);
                self.replies.block();
                self.publish_state(|endpoint| ServerState::Blocked { endpoint, reason });
            }
            ConnectionEvent::Unblocked => {
                self.count_block();
                if let Some(lasted) = self.replies.unblock() {
                    log::unblocked(&self.endpoint, lasted);
                }
                self.retry_control();
                self.publish_consuming();
            }
            ConnectionEvent::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Counts for how long the broker has blocked publishes. After a session was replaced, the next one counts.
    fn count_block(&mut self) {
        let ms = self.replies.uncounted_block_ms();
        if ms > 0 && !self.phase.is_replaced() {
            let blocked_ms = &self.context.counters.blocked_ms;
            blocked_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Another consumer has replaced the last one, with this prefetch.
    fn on_replaced(&mut self, prefetch: usize) -> Result<(), Error> {
        self.reachability.proven();
        // All deliveries to the last one have arrived.
        self.take_deliveries()?;
        self.prefetch.consumer.forget_earlier(&self.requests.window);
        self.prefetch.on_replaced(prefetch);
        self.review_prefetch();
        Ok(())
    }

    /// Whether to acknowledge what is settled, or to collect more: up to a quarter of the window while confirms are on their
    /// way. That saves work in the broker.
    fn acks_are_due(&self) -> bool {
        let more_are_coming = self.replies.expects_confirms();
        !more_are_coming
            || self.requests.window.settled() * 4 >= usize::from(self.prefetch.window())
    }

    /// Once per second: progress, the prefetch, what counts as recent, the queue's reachability, the deadline of confirms, and
    /// acks that waited for others.
    async fn on_tick(&mut self) -> Result<(), Error> {
        self.requests.flush_acks();
        self.count_block();
        Counters::add(&self.context.counters.loop_beats);
        let window = &self.requests.window;
        self.prefetch.consumer.forget_earlier(window);
        if self.phase.is_serving() {
            self.prefetch.review_at_rest(window);
        }
        self.publish_serving();
        let now = Instant::now();
        self.requests.pool.beat(now);
        self.context
            .reporter
            .times
            .tick(now, &self.context.counters);
        if now - self.ticked > 2 * INTERVAL {
            // The process was stopped.
            self.replies.resume(now);
            self.reachability.proven();
        }
        self.ticked = now;
        self.review_reachability()?;
        let limit = self.settings.broker.confirm_timeout;
        if self.replies.are_late(limit) {
            self.catch_up().await?;
        }
        if self.replies.are_late(limit) {
            self.replies.connection.kill();
            let message = format!(
                "the broker did not confirm a reply within {} (broker.confirm_timeout)",
                duration(limit)
            );
            return Err(Kind::Timeout.error(message));
        }
        Ok(())
    }

    /// Checks whether the broker still reaches the queue. Looking is not enough: a leader that is cut off from the other members
    /// keeps showing its consumers. Replacing a consumer is a change, which takes a majority of them.
    fn review_reachability(&mut self) -> Result<(), Error> {
        if !self.phase.is_serving() {
            return Ok(());
        }
        self.reachability.tick();
        match self.prefetch.consumer.stalled() {
            Some(stalled) => self.reachability.judge(stalled),
            None if self.reachability.is_silent() => {
                self.prefetch.renew();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Reads what has arrived about replies, before a deadline counts as missed.
    pub(super) async fn catch_up(&mut self) -> Result<(), Error> {
        self.replies.connection.caught_up().await;
        while let Some(event) = self.replies.connection.event().now_or_never() {
            self.on_event(event)?;
        }
        self.on_confirms(None)
    }
}
