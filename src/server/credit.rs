//! The choice of the prefetch: enough requests to keep the session busy, and no more large ones than will begin soon.
//!
//! Owns the current prefetch and what the next choice depends on. Pure; the session applies it (`session/prefetch.rs`).
//!
//! Requests that wait here are not available to an idle server, and each one that a clean stop hands back is another
//! delivery, of which RabbitMQ 4.0 allows 20. So the prefetch starts narrow, follows the load, and keeps the estimated line
//! below [`MAX_LINE`] per worker.

use std::time::Duration;

/// Estimated computing time that may wait per worker. It bounds what a stop finishes or hands back, and what is not
/// available to an idle server. On the other hand, small requests wait behind the large ones that a session leaves in the
/// queue: it can take a thousand if each costs up to 1.5 ms, and the estimate is a third too high.
pub(crate) const MAX_LINE: Duration = Duration::from_secs(2);

/// The maximum growth factor of the prefetch, since the cost of the next requests is not known.
const MAX_GROWTH: usize = 4;

/// The prefetch is too wide if less than one in this many is used.
const UNUSED: usize = 4;

/// Checks in a row (one per second) that must find it too wide before it is narrowed.
const QUIET: u32 = 2;

/// The prefetch of a session's consumer.
#[derive(Debug)]
pub(super) struct Credit {
    /// The configured maximum.
    limit: usize,
    /// How many requests are in progress at once.
    workers: usize,
    window: usize,
    /// The maximum held since the last check.
    peak: usize,
    /// Checks in a row that found the window too wide.
    quiet: u32,
}

/// The requests that a session holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) all: usize,
    /// Those delivered to earlier consumers, which do not count against the present prefetch.
    pub(super) older: usize,
    /// Estimated time until the last waiting one begins.
    pub(super) line: Duration,
}

impl Credit {
    /// The choice for a new session.
    pub(super) fn new(limit: u16, workers: usize) -> Self {
        let mut credit = Self {
            limit: limit.into(),
            workers,
            window: 0,
            peak: 0,
            quiet: 0,
        };
        credit.window = credit.narrow();
        credit
    }

    /// Applies new settings, which [`Credit::wanted`] takes into account.
    pub(super) fn set(&mut self, limit: u16, workers: usize) {
        self.limit = limit.into();
        self.workers = workers;
    }

    pub(super) fn window(&self) -> u16 {
        u16::try_from(self.window).unwrap_or(u16::MAX)
    }

    /// The narrow prefetch: a request for each worker, and one more. It is the maximum if every request is in progress at once.
    pub(super) fn narrow(&self) -> usize {
        (self.workers + 1).max(2).min(self.limit)
    }

    /// For how many of the requests that a session can have held one of them stands, if its computation took this long: a session
    /// holds few long ones, because of [`MAX_LINE`].
    pub(super) fn stands_for(&self, took: Duration) -> u64 {
        let line = MAX_LINE.as_nanos() * 2 * self.workers.max(1) as u128;
        let share = took.as_nanos() * self.limit as u128 / line;
        let most = (self.limit / (2 * self.narrow())).max(1) as u64;
        u64::try_from(share).unwrap_or(most).clamp(1, most)
    }

    /// Records how much is held. Returns whether [`Credit::wanted`] may give another prefetch: the window is full and could
    /// be wider, or it is too wide.
    pub(super) fn is_questionable(&mut self, held: usize, line: Duration) -> bool {
        self.peak = self.peak.max(held);
        let full = held >= self.window && self.window < self.limit;
        full || (line > MAX_LINE && self.window > self.narrow()) || self.window > self.limit
    }

    /// The prefetch that should replace the current one.
    pub(super) fn wanted(&self, held: Held) -> Option<usize> {
        let narrow = self.narrow();
        if self.window > self.limit {
            return Some(self.limit);
        }
        let fitting = self.fitting(held);
        if held.line > MAX_LINE {
            return (fitting * 2 <= self.window && self.window > narrow)
                .then(|| fitting.clamp(narrow, self.limit));
        }
        if held.all - held.older.min(held.all) < self.window {
            return None;
        }
        // Each consumer has its own prefetch: what is held when the next one begins stays in addition to its prefetch.
        let most = self.limit.saturating_sub(held.all);
        let next = self.window * MAX_GROWTH;
        // The last step is the one that comes nearest to the limit, so it is taken while the window is not wide yet.
        let next = if next * MAX_GROWTH >= self.limit {
            most
        } else {
            next.min(most)
        };
        let worth_it = if fitting < next {
            fitting >= self.window * 2
        } else {
            next > self.window
        };
        worth_it.then_some(next.min(fitting))
    }

    /// To be called once per second: the prefetch that should replace one that is hardly used, so that the next burst of large
    /// requests is shared with other servers.
    pub(super) fn wanted_at_rest(&mut self, held: usize) -> Option<usize> {
        let peak = std::mem::replace(&mut self.peak, held).max(held);
        let narrow = self.narrow();
        if peak * UNUSED >= self.window || self.window <= narrow {
            self.quiet = 0;
            return None;
        }
        self.quiet += 1;
        (self.quiet >= QUIET).then_some(narrow)
    }

    /// Notes that the current consumer has this prefetch.
    pub(super) fn begin(&mut self, window: usize) {
        self.window = window;
        self.peak = 0;
        self.quiet = 0;
    }

    /// How many requests like those held make a line of [`MAX_LINE`], running ones not counted.
    fn fitting(&self, held: Held) -> usize {
        if held.line.is_zero() {
            return self.limit;
        }
        let behind = held.all.saturating_sub(self.workers);
        let in_line = behind as u128 * MAX_LINE.as_nanos() / held.line.as_nanos();
        usize::try_from(in_line)
            .unwrap_or(usize::MAX)
            .saturating_add(self.workers)
            .min(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Jobs of the same kind, which wait for a worker unless they are running.
    fn jobs(all: usize, each: Duration, workers: usize) -> Held {
        let waiting = u32::try_from(all.saturating_sub(workers)).unwrap();
        Held {
            all,
            line: each * waiting / u32::try_from(workers).unwrap(),
            ..Held::default()
        }
    }

    /// Small requests, all delivered to this consumer.
    fn small(all: usize) -> Held {
        Held {
            all,
            ..Held::default()
        }
    }

    /// Takes whatever is wanted, with an endless queue of such jobs of which none ends: what is held at the end.
    fn filled(credit: &mut Credit, each: Duration, workers: usize) -> usize {
        let (mut all, mut older) = (credit.window, 0);
        for _ in 0..20 {
            let held = Held {
                older,
                ..jobs(all, each, workers)
            };
            let Some(next) = credit.wanted(held) else {
                return all;
            };
            older = all;
            all += next;
            credit.begin(next);
        }
        panic!("no end of it: {credit:?}");
    }

    #[test]
    fn long_requests_stand_for_many_that_a_session_cannot_have_held() {
        let credit = Credit::new(2000, 3);
        for (took, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (MAX_LINE / 100, 3),
            (MAX_LINE / 10, 33),
            // At least twice the narrow prefetch of four.
            (Duration::from_secs(3600), 250),
        ] {
            assert_eq!(credit.stands_for(took), expected, "{took:?}");
        }
        assert_eq!(Credit::new(1, 1).stands_for(MAX_LINE), 1);
    }

    #[test]
    fn it_begins_narrow_and_never_above_the_limit() {
        for (limit, workers, window) in [
            (64, 1, 2),
            (64, 4, 5),
            (1, 1, 1),
            (1, 8, 1),
            (3, 8, 3),
            (1, 0, 1),
        ] {
            let credit = Credit::new(limit, workers);
            assert_eq!(credit.window(), window, "{limit} {workers}");
        }
    }

    #[test]
    fn small_requests_get_most_of_the_prefetch_in_a_few_steps() {
        for (limit, expected) in [
            (3, &[][..]),
            (5, &[3]),
            (16, &[14]),
            (64, &[8, 56]),
            (100, &[8, 92]),
            (1000, &[8, 32, 128, 872]),
        ] {
            let mut credit = Credit::new(limit, 1);
            let mut windows = Vec::new();
            while let Some(next) = credit.wanted(small(credit.window)) {
                windows.push(next);
                credit.begin(next);
            }
            assert_eq!(windows, expected, "{limit}");
        }
        for limit in 6..=2000 {
            let mut credit = Credit::new(limit, 1);
            while let Some(next) = credit.wanted(small(credit.window)) {
                credit.begin(next);
            }
            let most = usize::from(limit);
            assert!(
                credit.window * 3 >= most * 2,
                "{} of {limit}",
                credit.window
            );
        }
    }

    #[test]
    fn a_window_with_room_in_it_is_wide_enough() {
        let mut credit = Credit::new(64, 1);
        assert!(!credit.is_questionable(1, Duration::ZERO));
        assert_eq!(credit.wanted(small(1)), None);
        // Two are held, but only one of them came by this consumer.
        let held = Held {
            older: 1,
            ..small(2)
        };
        assert_eq!(credit.wanted(held), None);
    }

    #[test]
    fn all_consumers_together_stay_within_the_limit() {
        for limit in 1..=2000 {
            let mut credit = Credit::new(limit, 1);
            let held = filled(&mut credit, Duration::ZERO, 1);
            assert!(held <= usize::from(limit), "{held} of {limit}");
        }
    }

    #[test]
    fn no_more_large_ones_are_held_than_are_begun_soon() {
        for workers in [1, 2, 4, 16] {
            for each in [10, 50, 150, 700, 3_000, 60_000] {
                let each = each * MS;
                let mut credit = Credit::new(1_000, workers);
                let narrow = credit.narrow();
                let held = filled(&mut credit, each, workers);
                let line = jobs(held, each, workers).line;
                assert!(
                    line <= MAX_LINE * 2 || held <= 2 * narrow,
                    "{workers} workers, {each:?}: {held} held, {line:?} in line"
                );
                assert!(held >= narrow);
            }
        }
    }

    /// Otherwise small requests would wait in the queue behind the rest of them.
    #[test]
    fn a_thousand_that_cost_little_more_than_a_millisecond_are_held() {
        for micros in [100, 500, 1_250, 1_250 * 4 / 3] {
            let mut credit = Credit::new(2_000, 1);
            filled(&mut credit, Duration::from_micros(micros), 1);
            // By the last consumer alone, once the earlier ones have nothing left.
            assert!(credit.window() >= 1_000, "{micros}: {credit:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_makes_it_narrow_once() {
        let mut credit = Credit::new(64, 1);
        credit.begin(64);
        let held = jobs(64, 150 * MS, 1);
        assert!(credit.is_questionable(held.all, held.line));
        let next = credit.wanted(held).unwrap();
        assert!((13..=15).contains(&next), "{next}");
        credit.begin(next);
        // While the line is worked off, and afterwards.
        for all in (next..64 + next).rev() {
            assert_eq!(credit.wanted(jobs(all, 150 * MS, 1)), None, "{all} held");
        }
        credit.begin(64);
        assert_eq!(credit.wanted(jobs(64, 60_000 * MS, 1)), Some(2));
    }

    #[test]
    fn a_long_job_at_work_keeps_no_small_ones_waiting() {
        let mut credit = Credit::new(64, 1);
        // One is computed, the line behind it is empty.
        assert!(credit.is_questionable(2, Duration::ZERO));
        assert_eq!(credit.wanted(small(2)), Some(8));
    }

    #[test]
    fn at_rest_it_is_narrow_again_after_a_moment() {
        let mut credit = Credit::new(64, 1);
        credit.begin(64);
        credit.is_questionable(64, Duration::ZERO);
        assert_eq!(credit.wanted_at_rest(0), None, "it was used just now");
        assert_eq!(credit.wanted_at_rest(0), None);
        assert_eq!(credit.wanted_at_rest(0), Some(2));
        credit.begin(2);
        assert_eq!(credit.wanted_at_rest(0), None);
        // In use it stays.
        credit.begin(64);
        for _ in 0..10 {
            credit.is_questionable(16, Duration::ZERO);
            assert_eq!(credit.wanted_at_rest(0), None);
        }
    }

    #[test]
    fn new_settings_hold_at_once() {
        let mut credit = Credit::new(64, 1);
        credit.begin(64);
        credit.set(9, 1);
        assert!(credit.is_questionable(0, Duration::ZERO));
        assert_eq!(credit.wanted(Held::default()), Some(9));
        credit.begin(9);
        credit.set(64, 1);
        assert_eq!(credit.wanted(Held::default()), None, "when it is needed");
        assert_eq!(credit.wanted(small(9)), Some(55));
        credit.set(1, 16);
        assert_eq!(credit.wanted(Held::default()), Some(1));
    }
}
