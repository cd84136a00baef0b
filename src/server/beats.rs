//! Signs of life of one who waits: to wait for a broker is progress, too.
//!
//! Whoever watches the server sees the counters of beats grow. A timer that makes them grow would prove
//! nothing, so that a wait gives no sign once it has taken longer than it can.

use super::state::Counters;
use crate::config::Broker;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::Interval;

/// How often a server gives a sign of life.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// What one wait has to do with operations on the broker, one after the other, at most.
const OPERATIONS: u32 = 10;

/// The signs of life during one wait.
pub(super) struct Beats {
    counters: Arc<Counters>,
    limit: Duration,
}

impl Beats {
    /// For a wait that takes no longer than `limit`.
    pub(super) fn new(counters: &Arc<Counters>, limit: Duration) -> Self {
        Self {
            counters: counters.clone(),
            limit,
        }
    }

    /// For operations on the broker, each of which has its own deadline.
    pub(super) fn of_operations(counters: &Arc<Counters>, broker: &Broker) -> Self {
        let limit = broker.connect_timeout + OPERATIONS * broker.confirm_timeout;
        Self::new(counters, limit)
    }

    /// The wait begins now.
    pub(super) fn begin(self) -> Waiting {
        Waiting {
            counters: self.counters,
            end: Instant::now() + self.limit + INTERVAL,
            tick: tokio::time::interval(INTERVAL),
        }
    }

    /// Runs `future`, with a sign of life in each [`INTERVAL`] until the limit is over.
    pub(super) async fn during<T>(self, future: impl Future<Output = T>) -> T {
        let mut waiting = self.begin();
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                () = waiting.beat() => {}
            }
        }
    }
}

/// A wait that has begun.
pub(super) struct Waiting {
    counters: Arc<Counters>,
    end: Instant,
    tick: Interval,
}

impl Waiting {
    /// Completes after each [`INTERVAL`], with a sign of life until the limit is over. Loses nothing when it is dropped
    /// unfinished.
    pub(super) async fn beat(&mut self) {
        self.tick.tick().await;
        if Instant::now() < self.end {
            Counters::add(&self.counters.loop_beats);
            Counters::add(&self.counters.pool_beats);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_does_not_end_gives_no_sign_of_life_after_its_limit() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let counters = Arc::new(Counters::default());
        let beats = Beats::new(&counters, Duration::ZERO);
        let hung = beats.during(std::future::pending::<()>());
        let waited = runtime
            .block_on(async { tokio::time::timeout(Duration::from_millis(3500), hung).await });
        assert!(waited.is_err());
        // At once, and before or after the first second, depending on which of two timers is first.
        let (of_loop, of_pool) = (&counters.loop_beats, &counters.pool_beats);
        assert!((1..=2).contains(&Counters::get(of_loop)));
        assert_eq!(Counters::get(of_pool), Counters::get(of_loop));
    }
}
