//! When to feed systemd's watchdog. Pure: no clock and no socket.
//!
//! It is fed only while the server makes [progress](crate::telemetry::progress), which is what `/healthz` says as well.

use crate::telemetry::progress::{Beats, Progress};
use std::time::{Duration, Instant};

/// `WatchdogSec=` of the unit that is shipped; for `/healthz`, if systemd has set none.
pub(super) const UNIT_WATCHDOG: Duration = Duration::from_secs(30);

/// The server beats at least once per second; a shorter time without a beat proves nothing.
const MIN_PATIENCE: Duration = Duration::from_secs(2);

/// How long the server may be without progress, if it has to be killed after `limit`.
pub(super) fn patience(limit: Duration) -> Duration {
    (limit / 3).max(MIN_PATIENCE)
}

/// Decides when to feed the watchdog.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// A third of the limit, so that one late beat does no harm.
    interval: Duration,
    patience: Duration,
    fed: Instant,
    progress: Progress,
}

impl Watchdog {
    /// A watchdog that must be fed within `limit`.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            interval: limit / 3,
            patience: patience(limit),
            fed: now,
            progress: Progress::new(now),
        }
    }

    /// How often to call [`Self::is_due`], at least.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether to feed it now; if so, counts it as fed.
    pub(super) fn is_due(&mut self, beats: Beats, now: Instant) -> bool {
        let stall = self.progress.stalled(beats, now, self.patience);
        let due = stall.is_none() && now.saturating_duration_since(self.fed) >= self.interval;
        if due {
            self.fed = now;
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
                watchdog.is_due(Beats { of_loop, of_pool }, start + Duration::from_secs(*s))
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
