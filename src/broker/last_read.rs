//! When a connection was last read from, to be watched from another thread. Lock-free.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When something was last read.
#[derive(Debug)]
pub struct LastRead {
    begin: Instant,
    /// Nanoseconds from `begin`.
    at: AtomicU64,
}

impl LastRead {
    /// Of a connection that begins now.
    pub(crate) fn new() -> Self {
        Self {
            begin: Instant::now(),
            at: AtomicU64::new(0),
        }
    }

    /// Something was read at `now`.
    pub(crate) fn set(&self, now: Instant) {
        self.at.store(self.since_begin(now), Ordering::Relaxed);
    }

    /// When something was last read; the begin of the connection if nothing was.
    pub(crate) fn time(&self) -> Instant {
        self.begin + Duration::from_nanos(self.at.load(Ordering::Relaxed))
    }

    /// How long that is ago at `now`.
    pub fn age(&self, now: Instant) -> Duration {
        let at = self.at.load(Ordering::Relaxed);
        Duration::from_nanos(self.since_begin(now).saturating_sub(at))
    }

    /// Enough for 584 years.
    #[allow(clippy::cast_possible_truncation, reason = "enough for centuries")]
    fn since_begin(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_counts_from_the_last_read() {
        let read = LastRead::new();
        let at = |seconds| read.begin + Duration::from_secs(seconds);
        assert_eq!(read.age(at(3)), Duration::from_secs(3));
        read.set(at(5));
        assert_eq!((read.age(at(5)), read.time()), (Duration::ZERO, at(5)));
        assert_eq!(read.age(at(7)), Duration::from_secs(2));
        assert_eq!(read.age(at(4)), Duration::ZERO);
    }
}
