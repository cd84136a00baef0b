//! Deadlines of a session, and what is read before they are judged.

use super::{Pending, Session};
use crate::broker::{Error, Kind};
use crate::server::beats;
use crate::server::service::Service;
use crate::server::state::Counters;
use crate::text::duration;
use futures_util::future::FutureExt as _;
use std::time::Instant;

impl<S: Service> Session<S> {
    /// Once a second: signs of life, the deadline of confirms, and acks that have waited for others.
    pub(super) async fn on_tick(&mut self) -> Result<(), Error> {
        self.flush_acks();
        Counters::add(&self.context.counters.loop_beats);
        self.pool.beat();
        self.review_prefetch_at_rest();
        let now = Instant::now();
        if now - self.ticked > 2 * beats::INTERVAL {
            // The process was stopped. What it was to send then may not even have been sent.
            self.confirming_since = now;
            self.reach.proven();
        }
        self.ticked = now;
        self.review_reach()?;
        if self.confirms_are_late() {
            self.catch_up().await?;
        }
        if self.confirms_are_late() {
            self.publishing.kill();
            let limit = self.settings.broker.confirm_timeout;
            let message = format!(
                "the broker did not confirm a reply within {} (broker.confirm_timeout)",
                duration(limit)
            );
            return Err(Error::new(Kind::Timeout, message));
        }
        Ok(())
    }

    fn confirms_are_late(&self) -> bool {
        let limit = self.settings.broker.confirm_timeout;
        let since = |pending: &Pending| pending.since.max(self.confirming_since);
        let mut late = (self.pending.iter()).map(|pending| since(pending).elapsed() > limit);
        self.blocked_since.is_none() && late.any(|late| late)
    }

    /// Reads what the broker has said of replies, before a deadline that has passed is taken at its word.
    pub(super) async fn catch_up(&mut self) -> Result<(), Error> {
        self.publishing.caught_up().await;
        while let Some(event) = self.publishing.event().now_or_never() {
            self.on_event(event)?;
        }
        while let Some(confirm) = self.confirms.try_next() {
            self.on_confirm(confirm)?;
        }
        Ok(())
    }
}
