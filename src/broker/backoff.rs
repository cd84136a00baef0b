//! Delays between attempts: exponential with full jitter, so that many clients do not come back in
//! step. Pure but for the random number.

use std::time::Duration;

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

    /// The slowest pace, for what only an operator can mend: between half of `max` and `max`.
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
    fn the_slowest_pace_is_near_the_maximum() {
        let max = Duration::from_secs(30);
        let mut backoff = Backoff::new(Duration::from_millis(250), max);
        let delay = backoff.slowest();
        assert!(delay >= max / 2 && delay <= max);
    }
}
