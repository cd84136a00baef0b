//! Histograms of a server's times, to be exported.
//!
//! Each is a fixed array of counters, shared by all sessions. An observation adds to two of them and reads no clock. A server
//! has them only if somebody asked for them (`Serve::metrics`), so that others pay nothing.

use crate::protocol::{Code, RequestMessage};
use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds; one more bucket has what is above.
pub(crate) const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// How many buckets each histogram has.
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// A time of a request that has a histogram.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Measured {
    /// From the delivery of a request to the first publish of its reply, which has this code.
    Call(Code),
    /// From the sending of a request by its caller to its delivery, if the request says when it was sent.
    QueueWaitCaller,
    /// From the arrival of a request at the broker (`timestamp_in_ms`) to its delivery, if the broker says so.
    QueueWaitBroker,
    /// A computation on the session's task.
    ComputeInline,
    /// A computation on the pool.
    ComputePool,
    /// From the last publish of a reply to its confirm.
    Confirm,
}

impl Measured {
    /// How many histograms there are.
    const COUNT: usize = 5 + Code::ALL.len();

    /// The place of its histogram.
    const fn index(self) -> usize {
        match self {
            Self::QueueWaitCaller => 0,
            Self::QueueWaitBroker => 1,
            Self::ComputeInline => 2,
            Self::ComputePool => 3,
            Self::Confirm => 4,
            Self::Call(code) => 5 + code as usize,
        }
    }
}

/// How many times are in each bucket, and their sum; this and the first seven, up to 10 ms, in one line of the cache.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct TimeBuckets {
    sum_ns: AtomicU64,
    counts: [AtomicU64; BUCKETS],
}

impl TimeBuckets {
    /// How many times are in each bucket, in order, not cumulated.
    pub(crate) fn counts(&self) -> [u64; BUCKETS] {
        array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed))
    }

    /// The sum of all times.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }
}

/// The histograms of a server.
#[derive(Debug)]
pub(crate) struct Metrics([TimeBuckets; Measured::COUNT]);

impl Metrics {
    pub(crate) fn new() -> Self {
        Self(array::from_fn(|_| TimeBuckets::default()))
    }

    /// Counts a time.
    pub(crate) fn observe(&self, measured: Measured, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let times = self.times(measured);
        times.counts[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        times.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Observes a request that was delivered at `now` (Unix milliseconds). Times that clocks make negative are left out.
    pub(super) fn delivered(&self, request: &RequestMessage, now: i64) {
        for (since, wait) in [
            (request.sent_ms, Measured::QueueWaitCaller),
            (request.arrived_ms, Measured::QueueWaitBroker),
        ] {
            let waited = since.and_then(|since| u64::try_from(now.checked_sub(since)?).ok());
            if let Some(ms) = waited {
                self.observe(wait, Duration::from_millis(ms));
            }
        }
    }

    /// The histogram of these times.
    pub(crate) fn times(&self, measured: Measured) -> &TimeBuckets {
        &self.0[measured.index()]
    }
}

/// The bucket of a time. Most are short, so the shortest are looked at first.
fn bucket(ns: u64) -> usize {
    const BOUNDS_NS: [u64; BOUNDS_US.len()] = {
        let mut bounds = BOUNDS_US;
        let mut index = 0;
        while index < bounds.len() {
            bounds[index] *= 1_000;
            index += 1;
        }
        bounds
    };
    let bounds = BOUNDS_NS.iter();
    bounds.take_while(|bound| ns > **bound).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;

    fn count(times: &TimeBuckets) -> u64 {
        times.counts().iter().sum()
    }

    #[test]
    fn a_time_is_in_the_bucket_of_the_next_bound() {
        let metrics = Metrics::new();
        let times = metrics.times(Measured::Confirm);
        for (us, bucket) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (30_000_000, 16),
            (30_000_001, 17),
        ] {
            let before = times.counts()[bucket];
            metrics.observe(Measured::Confirm, Duration::from_micros(us));
            assert_eq!(times.counts()[bucket], before + 1, "{us}");
        }
        assert_eq!(times.sum(), Duration::from_micros(60_000_202));
        assert_eq!(bucket(100_001), 1, "just above");
    }

    #[test]
    fn the_wait_in_the_queue_is_known_from_the_caller_or_the_broker() {
        let metrics = Metrics::new();
        let waits = [Measured::QueueWaitCaller, Measured::QueueWaitBroker]
            .map(|measured| metrics.times(measured));
        let delivered = |request: &RequestMessage| {
            metrics.delivered(request, 5_000);
            waits.map(TimeBuckets::sum)
        };
        let mut request = RequestMessage::read(Message::default());
        assert_eq!(delivered(&request), [Duration::ZERO; 2]);
        request.sent_ms = Some(2_000);
        let expected = [Duration::from_secs(3), Duration::ZERO];
        assert_eq!(delivered(&request), expected);
        request.arrived_ms = Some(4_000);
        assert_eq!(delivered(&request), [6, 1].map(Duration::from_secs));
        // The clock of the caller or the broker is ahead of ours, or a publisher made the number up.
        for ms in [5_001, i64::MAX, i64::MIN] {
            (request.sent_ms, request.arrived_ms) = (Some(ms), Some(ms));
            assert_eq!(delivered(&request), [6, 1].map(Duration::from_secs));
        }
        assert_eq!(waits.map(count), [2, 1]);
    }

    #[test]
    fn each_has_its_own() {
        let metrics = Metrics::new();
        let codes = Code::ALL.iter().map(|code| Measured::Call(*code));
        let others = [
            Measured::QueueWaitCaller,
            Measured::QueueWaitBroker,
            Measured::ComputeInline,
            Measured::ComputePool,
            Measured::Confirm,
        ];
        let all: Vec<_> = codes.chain(others).collect();
        assert_eq!(all.len(), Measured::COUNT);
        for measured in &all {
            metrics.observe(*measured, Duration::ZERO);
        }
        for measured in all {
            assert_eq!(metrics.times(measured).counts()[0], 1, "{measured:?}");
        }
    }
}
