//! Whether the server makes progress: the condition of systemd's watchdog and of `/healthz`. Pure: no clock.
//!
//! A timer alone would prove nothing. The server counts a beat wherever it makes progress: in the loop that serves (or
//! waits for the broker, which counts as progress), and in the pool that computes. Both have to advance.

use crate::server::Counters;
use crate::text::duration;
use std::fmt;
use std::time::{Duration, Instant};

/// The longest time between two looks that counts. If it was longer, the process was stopped or had no processor, and the
/// server could not make progress in that time, either.
const MAX_GAP: Duration = Duration::from_secs(2);

/// Beats of the loop and of the pool, as the server's counters have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Beats {
    /// Of the session's loop or the supervisor's wait.
    pub(crate) of_loop: u64,
    /// Of the pool.
    pub(crate) of_pool: u64,
}

impl Beats {
    /// The present ones.
    pub(crate) fn of(counters: &Counters) -> Self {
        Self {
            of_loop: Counters::get(&counters.loop_beats),
            of_pool: Counters::get(&counters.pool_beats),
        }
    }
}

/// What makes no progress, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stall {
    what: &'static str,
    idle: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle = duration(Duration::from_secs(self.idle.as_secs()));
        write!(f, "{} has made no progress for {idle}", self.what)
    }
}

/// The progress that was seen.
#[derive(Debug)]
pub(crate) struct Progress {
    seen: Beats,
    looked: Instant,
    loop_idle: Duration,
    pool_idle: Duration,
}

impl Progress {
    /// None so far.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            seen: Beats::default(),
            looked: now,
            loop_idle: Duration::ZERO,
            pool_idle: Duration::ZERO,
        }
    }

    /// What has made no progress for this long. To be called at least once per second.
    pub(crate) fn stalled(
        &mut self,
        beats: Beats,
        now: Instant,
        patience: Duration,
    ) -> Option<Stall> {
        let gap = now.saturating_duration_since(self.looked).min(MAX_GAP);
        let idle = |before: Duration, advanced| {
            if advanced {
                Duration::ZERO
            } else {
                before + gap
            }
        };
        self.loop_idle = idle(self.loop_idle, beats.of_loop != self.seen.of_loop);
        self.pool_idle = idle(self.pool_idle, beats.of_pool != self.seen.of_pool);
        self.seen = beats;
        self.looked = now;
        let all = [
            ("the loop that serves", self.loop_idle),
            ("the thread pool", self.pool_idle),
        ];
        let stalled = all.into_iter().find(|(_, idle)| *idle >= patience);
        stalled.map(|(what, idle)| Stall { what, idle })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// What is said in second 0, 1 and so on, if the beats are these.
    fn said(beats: impl Fn(u64) -> (u64, u64), seconds: impl Iterator<Item = u64>) -> Vec<String> {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        let mut look = |second| {
            let (of_loop, of_pool) = beats(second);
            let now = start + Duration::from_secs(second);
            let stall = progress.stalled(Beats { of_loop, of_pool }, now, PATIENCE);
            stall.map(|stall| format!("{second}: {stall}"))
        };
        seconds.filter_map(&mut look).collect()
    }

    #[test]
    fn whatever_hangs_is_named() {
        assert!(said(|s| (s, s), 1..60).is_empty());
        let of_loop = said(|s| (s.min(25), s), 1..37);
        let line = "35: the loop that serves has made no progress for 10s";
        assert_eq!(of_loop.len(), 2);
        assert_eq!(of_loop[0], line);
        let of_pool = said(|s| (s, s.min(25)), 1..36);
        assert_eq!(
            of_pool,
            ["35: the thread pool has made no progress for 10s"]
        );
        // From the start.
        assert_eq!(said(|_| (0, 0), 1..11).len(), 1);
        // It goes on.
        assert_eq!(said(|s| (if s < 15 { 0 } else { s }, s), 1..60).len(), 5);
    }

    #[test]
    fn a_process_that_was_stopped_is_not_accused() {
        // Nobody looked from second 5 to 60, and the next beat comes a second later.
        let seconds = (1..5).chain(60..70);
        let beats = |s: u64| if s <= 60 { s.min(5) } else { s };
        assert!(said(|s| (beats(s), beats(s)), seconds).is_empty());
    }
}
