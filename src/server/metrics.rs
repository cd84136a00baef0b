//! Histograms of a server's times, to be exported.
//!
//! Each is a fixed array of counters. [`Metrics`] has the sums of all sessions; a session counts in plain numbers
//! ([`Unpublished`]), which its [`Tally`](super::tally::Tally) publishes once per turn of the session's loop: so an
//! observation costs no atomic operation, and it reads no clock. A server has them only if somebody asked for them
//! (`Serve::metrics`), so that others pay nothing.

use crate::protocol::{Code, RequestMessage};
use std::array;
use std::sync::Arc;
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

/// How many times are in each bucket, and their sum.
#[derive(Debug, Default)]
pub(crate) struct TimeBuckets {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
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

    /// The histogram of these times.
    pub(crate) fn times(&self, measured: Measured) -> &TimeBuckets {
        &self.0[measured.index()]
    }
}

/// What a session has observed and not published yet.
#[derive(Debug)]
pub(crate) struct Unpublished {
    metrics: Arc<Metrics>,
    times: [UnpublishedTimes; Measured::COUNT],
    /// The histograms with observations, one bit each.
    changed: u32,
}

/// The same for one histogram.
#[derive(Debug, Default)]
struct UnpublishedTimes {
    counts: [u64; BUCKETS],
    sum_ns: u64,
    /// The buckets with observations, one bit each.
    changed: u32,
}

const _: () = assert!(Measured::COUNT <= 32 && BUCKETS <= 32, "a bit for each");

impl Unpublished {
    /// Nothing was observed.
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: metrics.clone(),
            times: array::from_fn(|_| UnpublishedTimes::default()),
            changed: 0,
        }
    }

    /// Counts a time.
    pub(crate) fn observe(&mut self, measured: Measured, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(ns);
        let index = measured.index();
        let times = &mut self.times[index];
        times.counts[bucket] += 1;
        times.sum_ns = times.sum_ns.wrapping_add(ns);
        times.changed |= 1 << bucket;
        self.changed |= 1 << index;
    }

    /// Observes a request that was delivered at `now` (Unix milliseconds). Times that clocks make negative are left out.
    pub(super) fn delivered(&mut self, request: &RequestMessage, now: i64) {
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

    /// Publishes all this.
    pub(crate) fn publish(&mut self) {
        for index in bits(std::mem::take(&mut self.changed)) {
            let (from, to) = (&mut self.times[index], &self.metrics.0[index]);
            for bucket in bits(std::mem::take(&mut from.changed)) {
                let count = std::mem::take(&mut from.counts[bucket]);
                to.counts[bucket].fetch_add(count, Ordering::Relaxed);
            }
            let sum = std::mem::take(&mut from.sum_ns);
            to.sum_ns.fetch_add(sum, Ordering::Relaxed);
        }
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

/// The positions of the bits that are set.
fn bits(mut of: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (of != 0).then(|| of.trailing_zeros() as usize);
        of &= of.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;

    fn some() -> (Arc<Metrics>, Unpublished) {
        let metrics = Arc::new(Metrics::new());
        let unpublished = Unpublished::new(&metrics);
        (metrics, unpublished)
    }

    fn count(times: &TimeBuckets) -> u64 {
        times.counts().iter().sum()
    }

    #[test]
    fn a_time_is_in_the_bucket_of_the_next_bound() {
        let (metrics, mut unpublished) = some();
        let times = metrics.times(Measured::Confirm);
        for (us, bucket) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (30_000_000, 16),
            (30_000_001, 17),
        ] {
            let before = times.counts()[bucket];
            unpublished.observe(Measured::Confirm, Duration::from_micros(us));
            unpublished.publish();
            assert_eq!(times.counts()[bucket], before + 1, "{us}");
        }
        assert_eq!(times.sum(), Duration::from_micros(60_000_202));
        assert_eq!(bucket(100_001), 1, "just above");
    }

    #[test]
    fn everything_is_published_once() {
        let (metrics, mut first) = some();
        let mut second = Unpublished::new(&metrics);
        for (ms, times) in [(1, 3), (20, 2)] {
            for session in [&mut first, &mut second] {
                for _ in 0..times {
                    session.observe(Measured::ComputePool, Duration::from_millis(ms));
                }
            }
        }
        second.observe(Measured::Confirm, Duration::ZERO);
        let [pool, confirm] =
            [Measured::ComputePool, Measured::Confirm].map(|measured| metrics.times(measured));
        assert_eq!((count(pool), pool.sum()), (0, Duration::ZERO));
        for _ in 0..2 {
            first.publish();
            assert_eq!((count(pool), pool.sum()), (5, Duration::from_millis(43)));
        }
        assert_eq!(count(confirm), 0);
        second.publish();
        assert_eq!((count(pool), pool.sum()), (10, Duration::from_millis(86)));
        assert_eq!((pool.counts()[3], pool.counts()[7]), (6, 4));
        assert_eq!(count(confirm), 1);
    }

    #[test]
    fn the_wait_in_the_queue_is_known_from_the_caller_or_the_broker() {
        let (metrics, mut unpublished) = some();
        let waits = [Measured::QueueWaitCaller, Measured::QueueWaitBroker]
            .map(|measured| metrics.times(measured));
        let mut delivered = |request: &RequestMessage| {
            unpublished.delivered(request, 5_000);
            unpublished.publish();
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
        let (metrics, mut unpublished) = some();
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
            unpublished.observe(*measured, Duration::ZERO);
        }
        unpublished.publish();
        for measured in all {
            assert_eq!(metrics.times(measured).counts()[0], 1, "{measured:?}");
        }
    }
}
