//! Delays between attempts: exponential with full jitter, so that many clients do not come back in
//! step. Pure but for the random number.

use std::time::Duration;

/// The bound of the first delay after a refusal.
const FIRST_REFUSAL: Duration = Duration::from_secs(1);

/// The sequence of delays. Each is drawn evenly between zero and a bound that doubles up to `max`.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    bound: Duration,
}

impl Backoff {
    /// A fresh sequence.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            bound: initial.min(max),
        }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.bound.mul_f64(fastrand::f64());
        self.bound = (self.bound * 2).min(self.max);
        delay
    }

    /// The next delay after a refusal, which is no accident and not gone in a moment: between half of the bound and the
    /// bound, which begins at a second.
    pub fn after_refusal(&mut self) -> Duration {
        self.bound = self.bound.max(FIRST_REFUSAL).min(self.max);
        let delay = self.bound.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.bound = (self.bound * 2).min(self.max);
        delay
    }

    /// The slowest pace, for what only an operator can fix: between half of `max` and `max`.
    pub fn slowest(&mut self) -> Duration {
        self.bound = self.max;
        self.max.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Starts afresh.
    pub fn reset(&mut self) {
        self.bound = self.initial.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_a_doubling_bound() {
        let (initial, max) = (Duration::from_millis(250), Duration::from_secs(30));
        for _ in 0..200 {
            let mut backoff = Backoff::new(initial, max);
            let mut bound = initial;
            for _ in 0..12 {
                let delay = backoff.next_delay();
                assert!(delay <= bound, "{delay:?} above {bound:?}");
                bound = (bound * 2).min(max);
            }
            backoff.reset();
            assert!(backoff.next_delay() <= initial);
        }
    }

    #[test]
    fn delays_are_jittered_over_the_whole_range() {
        let second = Duration::from_secs(1);
        let delays: Vec<_> = (0..1000)
            .map(|_| Backoff::new(second, second).next_delay())
            .collect();
        assert!(delays.iter().any(|delay| *delay < second / 10));
        assert!(delays.iter().any(|delay| *delay > second * 9 / 10));
    }

    #[test]
    fn refusals_begin_at_a_second_and_keep_below_the_maximum() {
        let second = Duration::from_secs(1);
        for (initial, max, bounds) in [
            (second / 4, 10 * second, [1, 2, 4, 8, 10, 10]),
            (5 * second, 10 * second, [5, 10, 10, 10, 10, 10]),
            (second, second, [1; 6]),
        ] {
            let mut backoff = Backoff::new(initial, max);
            for bound in bounds {
                let delay = backoff.after_refusal();
                let bound = second * bound;
                assert!(delay >= bound / 2 && delay <= bound, "{delay:?}, {bound:?}");
            }
        }
        let mut backoff = Backoff::new(second / 4, second / 2);
        assert!(backoff.after_refusal() <= second / 2);
    }

    #[test]
    fn the_slowest_pace_is_near_the_maximum() {
        let max = Duration::from_secs(30);
        let mut backoff = Backoff::new(Duration::from_millis(250), max);
        let delay = backoff.slowest();
        assert!(delay >= max / 2 && delay <= max);
    }
}
