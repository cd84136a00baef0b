//! Progress while the server waits for a broker, up to the deadline of that wait.
//!
//! The watchdog observes the counters of beats. A timer that increased them would prove nothing, so a wait that exceeds its
//! deadline no longer counts as progress.

use super::state::Counters;
use crate::config::Broker;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::Interval;

/// How often a server counts progress.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The most operations on the broker, one after the other, in one wait.
const OPERATIONS: u32 = 10;

pub(super) struct BrokerWait {
    counters: Arc<Counters>,
    end: Instant,
    tick: Interval,
}

impl BrokerWait {
    /// A wait of at most `limit`.
    pub(super) fn begin(counters: &Arc<Counters>, limit: Duration) -> Self {
        Self {
            counters: counters.clone(),
            end: Instant::now() + limit + INTERVAL,
            tick: tokio::time::interval(INTERVAL),
        }
    }

    /// A wait for operations on the broker, each of which has its own deadline.
    pub(super) fn for_operations(counters: &Arc<Counters>, broker: &Broker) -> Self {
        let limit = broker.connect_timeout + OPERATIONS * broker.confirm_timeout;
        Self::begin(counters, limit)
    }

    /// Runs `future`, which is waited for.
    pub(super) async fn during<T>(mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                () = self.beat() => {}
            }
        }
    }

    /// Completes after each [`INTERVAL`] and counts it. Cancel safe.
    pub(super) async fn beat(&mut self) {
        self.tick.tick().await;
        self.count(Instant::now());
    }

    /// Counts progress, unless the deadline has passed.
    fn count(&self, now: Instant) {
        if now < self.end {
            Counters::add(&self.counters.loop_beats);
            Counters::add(&self.counters.pool_beats);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(counters: &Counters) -> [u64; 2] {
        [&counters.loop_beats, &counters.pool_beats].map(Counters::get)
    }

    #[tokio::test]
    async fn a_wait_beyond_its_deadline_does_not_count_as_progress() {
        let counters = Arc::new(Counters::default());
        let limit = Duration::from_secs(5);
        let earliest = Instant::now() + limit;
        let wait = BrokerWait::begin(&counters, limit);
        wait.count(earliest);
        assert_eq!(beats(&counters), [1, 1]);
        wait.count(Instant::now() + limit + INTERVAL);
        assert_eq!(beats(&counters), [1, 1]);
    }

    #[tokio::test]
    async fn a_wait_counts_as_progress() {
        let counters = Arc::new(Counters::default());
        let counted = async {
            while beats(&counters) != [1, 1] {
                tokio::task::yield_now().await;
            }
        };
        BrokerWait::begin(&counters, Duration::ZERO)
            .during(counted)
            .await;
    }
}
