//! Pauses of computing threads, which let small requests have the processor.
//!
//! A thread that computes may keep its core for milliseconds although others wait for it: the session, the broker or the
//! caller. Since Linux 6.6 the kernel lets it finish its time slice first, and its nice value does not count towards other
//! services. A request passes through ten threads or so, and may wait for each of them. Therefore a computation pauses
//! shortly and often while small requests arrive, and never otherwise.
//!
//! Owns how long small requests are expected. Guarantees that a pause is shorter than the computation before it, the kernel's
//! delays aside: large requests progress however many small ones arrive. Pure: time is an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long after a small request the next one is expected.
const EXPECTED: Duration = Duration::from_millis(10);

/// Time between two pauses of a computation, at least.
const SLICE: Duration = Duration::from_micros(100);

/// The length of a pause. The kernel adds up to its timer slack, 50 microseconds by default.
const PAUSE: Duration = Duration::from_micros(50);

/// Whether small requests are expected; for all threads of a pool.
#[derive(Debug)]
pub(super) struct Pace {
    origin: Instant,
    /// Until when they are, in microseconds after `origin`.
    expected_until: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            expected_until: AtomicU64::new(0),
        }
    }

    /// A small request has arrived.
    pub(super) fn small(&self, now: Instant) {
        let until = self.micros(now + EXPECTED);
        self.expected_until.store(until, Ordering::Relaxed);
    }

    fn expects_small(&self, now: Instant) -> bool {
        self.micros(now) < self.expected_until.load(Ordering::Relaxed)
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The pauses of one computation.
#[derive(Debug)]
pub(super) struct Pauses {
    pace: Arc<Pace>,
    /// When it began, or the last pause ended, in microseconds after the origin of `pace`.
    since: AtomicU64,
}

impl Pauses {
    /// Of a computation that begins at `now`.
    pub(super) fn new(pace: &Arc<Pace>, now: Instant) -> Self {
        Self {
            since: AtomicU64::new(pace.micros(now)),
            pace: pace.clone(),
        }
    }

    /// How long to pause now, if a pause is due.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        if !self.pace.expects_small(now) {
            return None;
        }
        let computed = (self.pace.micros(now)).saturating_sub(self.since.load(Ordering::Relaxed));
        (u128::from(computed) >= SLICE.as_micros()).then_some(PAUSE)
    }

    /// A pause has ended.
    pub(super) fn ended(&self, now: Instant) {
        self.since.store(self.pace.micros(now), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computation_pauses_only_while_small_requests_are_expected() {
        let pace = Arc::new(Pace::new());
        let start = pace.origin;
        let pauses = Pauses::new(&pace, start);
        assert_eq!(pauses.due(start + EXPECTED), None, "there are none");
        pace.small(start + EXPECTED);
        assert!(pauses.due(start + EXPECTED).is_some());
        assert!(pauses.due(start + EXPECTED * 3 / 2).is_some());
        assert_eq!(pauses.due(start + EXPECTED * 2), None, "no more came");
    }

    #[test]
    fn a_computation_has_most_of_the_time() {
        let pace = Arc::new(Pace::new());
        let begin = pace.origin;
        let pauses = Pauses::new(&pace, begin);
        pace.small(begin);
        assert_eq!(pauses.due(begin + SLICE / 2), None);
        let pause = pauses.due(begin + SLICE).unwrap();
        assert!(pause < SLICE, "{pause:?}");
        let again = begin + SLICE + pause;
        pauses.ended(again);
        assert_eq!(pauses.due(again + SLICE / 2), None);
        assert_eq!(pauses.due(again + SLICE), Some(pause));
    }
}
