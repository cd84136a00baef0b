//! How long computations take here, compared with their stated costs: a machine may be slower than the one that the costs were
//! measured on, small requests may interrupt the computations, and a service may state no cost at all.
//!
//! Owns two sums over the last computations. Guarantees that one computation changes the correction at most eightfold, so that
//! an odd one misleads for a short time only. Pure.

use std::time::Duration;

/// What the sums begin with, in seconds: as if the smallest computation had taken what it stated.
const BEGIN: f64 = 0.0001;

/// What is kept of the sums when a computation is added: those of the last eight or so decide.
const KEPT: f64 = 7.0 / 8.0;

/// How far a computation may differ from what was expected of it. What exceeds this does not count.
const MAX_CHANGE: f64 = 8.0;

/// What stated costs are multiplied by.
#[derive(Debug)]
pub(super) struct Correction {
    /// Seconds.
    stated: f64,
    taken: f64,
}

impl Default for Correction {
    fn default() -> Self {
        Self {
            stated: BEGIN,
            taken: BEGIN,
        }
    }
}

impl Correction {
    /// The time that this stated cost takes here.
    pub(super) fn of(&self, stated: Duration) -> Duration {
        let expected = stated.as_secs_f64() * self.factor();
        Duration::try_from_secs_f64(expected).unwrap_or(Duration::MAX)
    }

    /// A computation has ended by itself. `stated` is not zero.
    pub(super) fn observe(&mut self, stated: Duration, taken: Duration) {
        let stated = stated.as_secs_f64();
        let expected = stated * self.factor();
        let limits = (expected / MAX_CHANGE, expected * MAX_CHANGE);
        let taken = taken.as_secs_f64().clamp(limits.0, limits.1);
        self.stated = self.stated * KEPT + stated;
        self.taken = self.taken * KEPT + taken;
    }

    fn factor(&self) -> f64 {
        self.taken / self.stated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Cost;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn stated_costs_count_until_computations_have_ended() {
        let correction = Correction::default();
        assert_eq!(correction.of(100 * MS), 100 * MS);
        assert_eq!(correction.of(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_slow_machine_is_known_after_a_few_computations() {
        let mut correction = Correction::default();
        for _ in 0..4 {
            correction.observe(100 * MS, 300 * MS);
        }
        let expected = correction.of(200 * MS);
        assert!((550 * MS..=600 * MS).contains(&expected), "{expected:?}");
        // Faster again.
        for _ in 0..16 {
            correction.observe(100 * MS, 100 * MS);
        }
        let expected = correction.of(200 * MS);
        assert!((200 * MS..250 * MS).contains(&expected), "{expected:?}");
    }

    #[test]
    fn large_computations_decide_among_small_ones() {
        let mut correction = Correction::default();
        for _ in 0..4 {
            correction.observe(1000 * MS, 1000 * MS);
            // Waking a thread takes as long as these.
            correction.observe(MS / 10, MS / 5);
        }
        let expected = correction.of(1000 * MS);
        assert!((999 * MS..1001 * MS).contains(&expected), "{expected:?}");
    }

    #[test]
    fn a_cost_that_was_not_stated_is_learnt() {
        let mut correction = Correction::default();
        let stated = Cost::default().time;
        for _ in 0..40 {
            correction.observe(stated, 2000 * MS);
        }
        let expected = correction.of(stated * 5);
        assert!(
            (9000 * MS..=10_000 * MS).contains(&expected),
            "{expected:?}"
        );
    }

    #[test]
    fn one_computation_changes_little() {
        let mut correction = Correction::default();
        for _ in 0..8 {
            correction.observe(100 * MS, 100 * MS);
        }
        // The process was stopped meanwhile.
        correction.observe(100 * MS, 3_600_000 * MS);
        assert!(correction.of(100 * MS) < 250 * MS);
        correction.observe(100 * MS, Duration::ZERO);
        assert!(correction.of(100 * MS) > 100 * MS);
        assert_eq!(correction.of(Duration::MAX), Duration::MAX);
    }
}
