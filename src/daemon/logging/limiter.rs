//! A limit on how often an event is logged, so that a flood of bad messages does not flood the log.
//!
//! Pure: time is an argument. Suppressed events are counted, and the count is reported with the next event that passes,
//! or by [`Limiter::overdue`].

use std::time::{Duration, Instant};

/// How many events pass in each interval.
const PER_INTERVAL: u32 = 10;

const INTERVAL: Duration = Duration::from_secs(60);

/// Lets [`PER_INTERVAL`] events pass in each interval and counts the others.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    begun: Option<Instant>,
    passed: u32,
    left_out: u64,
}

impl Limiter {
    /// One event at `now`: `Some(n)` lets it pass after `n` that were left out; `None` leaves it out.
    pub(super) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.is_over(now) {
            self.begun = Some(now);
            self.passed = 0;
        }
        if self.passed < PER_INTERVAL {
            self.passed += 1;
            Some(std::mem::take(&mut self.left_out))
        } else {
            self.left_out += 1;
            None
        }
    }

    /// How many events were left out, once that interval is over: for the summary line after a flood. Returns each
    /// number once.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<u64> {
        if self.is_over(now) { self.rest() } else { None }
    }

    /// How many events were left out and not reported so far.
    pub(super) fn rest(&mut self) -> Option<u64> {
        match std::mem::take(&mut self.left_out) {
            0 => None,
            left_out => Some(left_out),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.begun
            .is_none_or(|begun| now.saturating_duration_since(begun) >= INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_per_minute_and_an_exact_count() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        let mut lines = 0;
        let mut counted = 0;
        // 100,000 events at 1,000 per second: 100 s, so two intervals.
        for i in 0..100_000 {
            if let Some(left_out) = limiter.pass(start + Duration::from_millis(i)) {
                lines += 1;
                counted += left_out;
            }
        }
        assert_eq!(lines, 20);
        let end = start + Duration::from_secs(180);
        counted += limiter.overdue(end).expect("the second interval's rest");
        assert_eq!(counted + lines, 100_000);
        assert_eq!(limiter.overdue(end), None);
    }

    #[test]
    fn the_summary_waits_for_the_end_of_the_interval() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limiter.overdue(at(0)), None);
        for second in 0..10 {
            assert_eq!(limiter.pass(at(second)), Some(0));
        }
        assert_eq!(limiter.pass(at(10)), None);
        assert_eq!(limiter.overdue(at(59)), None);
        assert_eq!(limiter.overdue(at(60)), Some(1));
        for second in 60..70 {
            assert_eq!(limiter.pass(at(second)), Some(0));
        }
        assert_eq!(limiter.pass(at(71)), None);
        assert_eq!(limiter.pass(at(120)), Some(1));
    }
}
