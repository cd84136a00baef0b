//! When to feed systemd's watchdog. Pure: no clock and no socket.
//!
//! A timer alone would prove nothing. The server counts a beat wherever it makes progress: in the loop that serves (or
//! waits for the broker, which counts as progress), and in the pool that computes. The watchdog is fed only if both
//! advance.

use std::time::{Duration, Instant};

/// Beats of the loop and of the pool, as the server's counters have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BeatCounts {
    /// Of the session's loop or the supervisor's wait.
    pub(super) of_loop: u64,
    /// Of the pool.
    pub(super) of_pool: u64,
}

/// Decides when to feed the watchdog.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// A third of the limit, so that one late beat does no harm.
    interval: Duration,
    fed: Instant,
    seen: BeatCounts,
}

impl Watchdog {
    /// A watchdog that must be fed within `limit`.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            interval: limit / 3,
            fed: now,
            seen: BeatCounts::default(),
        }
    }

    /// How often to call [`Self::is_due`], at least.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether to feed it now; if so, counts it as fed.
    pub(super) fn is_due(&mut self, beats: BeatCounts, now: Instant) -> bool {
        let advanced = beats.of_loop != self.seen.of_loop && beats.of_pool != self.seen.of_pool;
        let due = advanced && now.saturating_duration_since(self.fed) >= self.interval;
        if due {
            self.fed = now;
            self.seen = beats;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds at which a watchdog of 30 s is fed, if the beats at second `s` are `beats(s)`.
    fn fed(beats: impl Fn(u64) -> (u64, u64)) -> Vec<u64> {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Duration::from_secs(30), start);
        (0..60)
            .filter(|s| {
                let (of_loop, of_pool) = beats(*s);
                watchdog.is_due(
                    BeatCounts { of_loop, of_pool },
                    start + Duration::from_secs(*s),
                )
            })
            .collect()
    }

    #[test]
    fn it_is_fed_while_everything_beats() {
        assert_eq!(fed(|s| (s, s)), [10, 20, 30, 40, 50]);
    }

    #[test]
    fn it_is_not_fed_while_anything_hangs() {
        let none: [u64; 0] = [];
        assert_eq!(fed(|_| (0, 0)), none);
        assert_eq!(fed(|s| (s, 0)), none);
        assert_eq!(fed(|s| (0, s)), none);
        // Hangs from second 25 on; the last beats are seen at 30.
        assert_eq!(fed(|s| (s.min(25), s)), [10, 20, 30]);
        assert_eq!(fed(|s| (s, s.min(25))), [10, 20, 30]);
    }

    #[test]
    fn a_late_beat_feeds_it_at_once() {
        let late = |s| if s < 14 { 0 } else { s };
        assert_eq!(fed(|s| (late(s), s)), [14, 24, 34, 44, 54]);
    }
}
