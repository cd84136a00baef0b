//! What a session checks once a second, and what it reads before a deadline counts as missed.

use super::open::Session;
use crate::broker::{Error, Kind};
use crate::server::broker_wait::INTERVAL;
use crate::server::service::Service;
use crate::server::state::Counters;
use futures_util::future::FutureExt as _;
use std::time::Instant;

impl<S: Service> Session<S> {
    /// Once a second: progress, the prefetch, the queue's reachability, the deadline of confirms, and acks that waited for
    /// others.
    pub(super) async fn on_tick(&mut self) -> Result<(), Error> {
        self.requests.flush_acks();
        Counters::add(&self.context.counters.loop_beats);
        self.requests.pool.beat();
        let window = &self.requests.window;
        self.prefetch.consumer.forget_earlier(window);
        if self.phase.is_serving() {
            self.prefetch.review_at_rest(window);
        }
        let now = Instant::now();
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
            return Err(Error::new(Kind::Timeout, message));
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
        while let Some(arrival) = self.replies.inbox.try_next() {
            self.on_confirm(arrival)?;
        }
        Ok(())
    }
}
