//! For how long the thread pool has been saturated: all threads are busy, and computations wait for them. Pure.
//!
//! Owns the start of the present saturation. Every saturation that begins is followed by its end, so that the log has both.

use std::time::{Duration, Instant};

/// How long a saturation lasts before it begins for the log: a burst is none.
pub(super) const MIN_SATURATION: Duration = Duration::from_secs(60);

/// The saturation of one pool.
#[derive(Debug, Default)]
pub(super) struct Saturation {
    since: Option<Instant>,
    has_begun: bool,
}

/// What there is to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Begun,
    /// It lasted for this long.
    Ended(Duration),
}

impl Saturation {
    /// Notes whether the pool is saturated now. To be called once per second.
    pub(super) fn observe(&mut self, is_saturated: bool, now: Instant) -> Option<Change> {
        if is_saturated {
            let since = *self.since.get_or_insert(now);
            let is_long = now.saturating_duration_since(since) >= MIN_SATURATION;
            let begins = is_long && !self.has_begun;
            self.has_begun |= begins;
            return begins.then_some(Change::Begun);
        }
        let lasted = now.saturating_duration_since(self.since.take()?);
        std::mem::take(&mut self.has_begun).then_some(Change::Ended(lasted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_saturation_is_logged_with_its_end() {
        let start = Instant::now();
        let mut saturation = Saturation::default();
        let mut seen = Vec::new();
        for second in 0..300 {
            // A long one, then two short ones with a pause of a second.
            let is_saturated = matches!(second, 10..=100 | 150..=209 | 211..=270);
            let now = start + Duration::from_secs(second);
            if let Some(change) = saturation.observe(is_saturated, now) {
                seen.push((second, change));
            }
        }
        let lasted = Duration::from_secs(91);
        assert_eq!(seen, [(70, Change::Begun), (101, Change::Ended(lasted))]);
    }
}
