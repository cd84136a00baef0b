//! What the server is doing, published in one place, and how much it has done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What to do, as whoever runs the server says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stop {
    /// Serve.
    #[default]
    No,
    /// Finish what is in flight, within the drain time.
    Drain,
    /// Leave at once; the broker delivers again what was not acknowledged.
    Now,
}

/// What the server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not begun.
    Starting,
    /// Trying to reach a broker.
    Connecting {
        /// `host:port`.
        endpoint: String,
        /// Counts from 1; back to 1 after a minute of health, or a session that was of use.
        attempt: u32,
    },
    /// Waiting before the next attempt.
    Waiting {
        /// The `host:port` that failed last.
        endpoint: String,
        /// The attempt that comes next.
        attempt: u32,
        /// When it comes.
        next: Instant,
        /// Why the last one failed, in one line.
        error: String,
    },
    /// Serving.
    Consuming {
        /// `host:port`.
        endpoint: String,
        /// The queue.
        queue: String,
        /// Why the session that a changed configuration asks for cannot be opened, in one line: this is the one before.
        unopened: Option<String>,
    },
    /// Connected, but the broker takes no replies for now.
    Blocked {
        /// `host:port`.
        endpoint: String,
        /// The broker's reason.
        reason: String,
    },
    /// Finishing what is in flight.
    Draining {
        /// When it gives up.
        until: Instant,
    },
    /// Done.
    Stopped,
}

/// Counters since the start. Written by the server, read by whoever likes.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests taken from the queue and not settled yet (a gauge).
    pub in_flight: AtomicU64,
    /// Deliveries.
    pub received: AtomicU64,
    /// Requests answered with `OK`.
    pub served: AtomicU64,
    /// Requests answered with an error.
    pub failed: AtomicU64,
    /// Pings answered.
    pub pinged: AtomicU64,
    /// Requests without a usable reply address: acknowledged and counted, no more.
    pub unanswerable: AtomicU64,
    /// Reply addresses that the policy refused: of these requests, and of status requests.
    pub refused: AtomicU64,
    /// Replies that came back because the caller had gone.
    pub returned: AtomicU64,
    /// Replies that the broker refused.
    pub nacked: AtomicU64,
    /// Deliveries that somebody may have seen before.
    pub redelivered: AtomicU64,
    /// Requests rejected because they took the session down again and again.
    pub poisoned: AtomicU64,
    /// Requests whose caller had stopped waiting: not computed, or stopped.
    pub expired: AtomicU64,
    /// Sessions that were established.
    pub sessions: AtomicU64,
    /// Grows while the session loop (or the supervisor's wait) makes progress, at least once a second.
    pub loop_beats: AtomicU64,
    /// Grows while the compute pool makes progress, at least once a second unless all of it is busy
    /// with computations that do.
    pub pool_beats: AtomicU64,
}

/// One session's part in [`Counters::in_flight`], which ends with it.
#[derive(Debug)]
pub(super) struct InFlight {
    counters: Arc<Counters>,
    part: u64,
}

impl InFlight {
    /// None so far.
    pub(super) fn new(counters: &Arc<Counters>) -> Self {
        Self {
            counters: counters.clone(),
            part: 0,
        }
    }

    /// So many now.
    pub(super) fn set(&mut self, part: u64) {
        if part != self.part {
            let more = part.wrapping_sub(self.part);
            self.counters.in_flight.fetch_add(more, Ordering::Relaxed);
            self.part = part;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Counters {
    /// Adds one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
    /// The value now.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_is_the_sum_of_the_sessions() {
        let counters = Arc::new(Counters::default());
        let gauge = || Counters::get(&counters.in_flight);
        let mut old = InFlight::new(&counters);
        let mut new = InFlight::new(&counters);
        old.set(3);
        new.set(2);
        old.set(1);
        assert_eq!(gauge(), 3);
        drop(old);
        assert_eq!(gauge(), 2);
        new.set(0);
        assert_eq!(gauge(), 0);
    }
}
