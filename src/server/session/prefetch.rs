//! The prefetch of a session: when it changes, and the consumer that has it.
//!
//! A session that isolates a request takes deliveries one at a time. Otherwise [`Credit`] chooses the prefetch.

use super::consumer::Consumer;
use crate::broker::{Channel, Error};
use crate::config;
use crate::server::acks::AckWindow;
use crate::server::credit::{Credit, Held};
use crate::server::pool;
use std::time::Duration;

/// The prefetch of a session.
pub(super) struct Prefetch {
    pub(super) consumer: Consumer,
    credit: Credit,
    /// Whether deliveries are taken one at a time.
    isolated: bool,
}

impl Prefetch {
    /// Starts to consume.
    pub(super) async fn start(
        channel: &Channel,
        queue: &str,
        limits: &config::Server,
        isolated: bool,
    ) -> Result<Self, Error> {
        let credit = Credit::new(limits.prefetch, pool::workers(limits.concurrency));
        let prefetch = if isolated { 1 } else { credit.window() };
        Ok(Self {
            consumer: Consumer::start(channel, queue, prefetch).await?,
            credit,
            isolated,
        })
    }

    /// Whether deliveries are taken one at a time.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// The prefetch of the consumer, isolation aside.
    pub(super) fn window(&self) -> u16 {
        self.credit.window()
    }

    /// Replaces the consumer if the deliveries in `window` and the pool's `line` ask for another prefetch. Costs a comparison or
    /// two if not. `isolating`: whether isolation goes on.
    pub(super) fn review(&mut self, window: &AckWindow, line: Duration, isolating: bool) {
        if self.consumer.is_being_replaced() {
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
            older: all - window.outstanding_of(self.consumer.generation()),
            line,
        };
        if let Some(prefetch) = self.credit.wanted(held) {
            self.consumer.replace(prefetch);
        }
    }

    /// To be called once a second: returns to a narrow prefetch if a wide one is hardly used.
    pub(super) fn review_at_rest(&mut self, window: &AckWindow) {
        if self.consumer.is_being_replaced() || self.isolated {
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
    }

    /// Applies changed limits.
    pub(super) fn limit(&mut self, limits: &config::Server) {
        self.credit
            .set(limits.prefetch, pool::workers(limits.concurrency));
    }
}
