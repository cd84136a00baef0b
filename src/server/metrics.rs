//! Histograms of a server's times, for whoever exports them.
//!
//! Each is a fixed array of counters: an observation is two relaxed additions and reads no clock. A server has them only if
//! somebody asked for them (`Serve::metrics`), so that others pay nothing.

use crate::protocol::{Code, Request};
use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds; one more bucket has what is above.
pub(crate) const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// How many times are in each bucket, and their sum.
#[derive(Debug, Default)]
pub(crate) struct TimeBuckets {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl TimeBuckets {
    /// Counts a time.
    pub(crate) fn observe(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1_000 < ns);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// How many times are in each bucket, in order, not cumulated.
    pub(crate) fn counts(&self) -> [u64; BOUNDS_US.len() + 1] {
        array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed))
    }

    /// The sum of all times.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }
}

/// The histograms of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// From the delivery of a request to the first publish of its reply, by the place of its code in [`Code::ALL`].
    calls: [TimeBuckets; Code::ALL.len()],
    /// From the sending of a request by its caller to its delivery, if the request says when it was sent.
    pub(crate) queue_wait_caller: TimeBuckets,
    /// From the arrival of a request at the broker (`timestamp_in_ms`) to its delivery, if the broker says so.
    pub(crate) queue_wait_broker: TimeBuckets,
    /// Computations on the session's task.
    pub(crate) compute_inline: TimeBuckets,
    /// Computations on the pool.
    pub(crate) compute_pool: TimeBuckets,
    /// From the last publish of a reply to its confirm.
    pub(crate) confirm: TimeBuckets,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            calls: array::from_fn(|_| TimeBuckets::default()),
            queue_wait_caller: TimeBuckets::default(),
            queue_wait_broker: TimeBuckets::default(),
            compute_inline: TimeBuckets::default(),
            compute_pool: TimeBuckets::default(),
            confirm: TimeBuckets::default(),
        }
    }

    /// Observes a request that was delivered at `now` (Unix milliseconds). Times that clocks make negative are left out.
    pub(super) fn delivered(&self, request: &Request, now: i64) {
        for (since, waits) in [
            (request.sent_ms, &self.queue_wait_caller),
            (request.arrived_ms, &self.queue_wait_broker),
        ] {
            let waited = since.and_then(|since| u64::try_from(now.checked_sub(since)?).ok());
            if let Some(ms) = waited {
                waits.observe(Duration::from_millis(ms));
            }
        }
    }

    /// The times of the requests that were answered with this code.
    pub(crate) fn call(&self, code: Code) -> &TimeBuckets {
        &self.calls[code as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;

    #[test]
    fn a_time_is_in_the_bucket_of_the_next_bound() {
        let times = TimeBuckets::default();
        for (us, bucket) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (30_000_000, 16),
            (30_000_001, 17),
        ] {
            let before = times.counts()[bucket];
            times.observe(Duration::from_micros(us));
            assert_eq!(times.counts()[bucket], before + 1, "{us}");
        }
        assert_eq!(times.sum(), Duration::from_micros(60_000_202));
    }

    #[test]
    fn the_wait_in_the_queue_is_known_from_the_caller_or_the_broker() {
        let metrics = Metrics::new();
        let waits =
            || [&metrics.queue_wait_caller, &metrics.queue_wait_broker].map(TimeBuckets::sum);
        let mut request = Request::read(Message::default());
        metrics.delivered(&request, 5_000);
        assert_eq!(waits(), [Duration::ZERO; 2]);
        request.sent_ms = Some(2_000);
        metrics.delivered(&request, 5_000);
        assert_eq!(waits(), [Duration::from_secs(3), Duration::ZERO]);
        request.arrived_ms = Some(4_000);
        metrics.delivered(&request, 5_000);
        assert_eq!(waits(), [6, 1].map(Duration::from_secs));
        // The clock of the caller or the broker is ahead of ours, or a publisher made the number up.
        for ms in [5_001, i64::MAX, i64::MIN] {
            (request.sent_ms, request.arrived_ms) = (Some(ms), Some(ms));
            metrics.delivered(&request, 5_000);
        }
        assert_eq!(waits(), [6, 1].map(Duration::from_secs));
        let count = |times: &TimeBuckets| times.counts().iter().sum::<u64>();
        assert_eq!(
            (
                count(&metrics.queue_wait_caller),
                count(&metrics.queue_wait_broker)
            ),
            (2, 1)
        );
    }

    #[test]
    fn each_code_has_its_own() {
        let metrics = Metrics::new();
        for code in Code::ALL {
            metrics.call(*code).observe(Duration::ZERO);
        }
        for code in Code::ALL {
            assert_eq!(metrics.call(*code).counts()[0], 1, "{code}");
        }
    }
}
