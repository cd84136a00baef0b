//! The pace of the endpoint's thread: how often it works at most, whatever it is sent.
//!
//! Owns the time when the next step is due. A step receives what has arrived, accepts one connection at most, and moves each
//! open connection on once, so it is short. If steps are due too early the thread sleeps: nothing is accepted, read or
//! answered, and clients wait in the kernel's queue in the order in which they came. This holds for every kind of load, and
//! needs no permission to lower a priority.

use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

/// The time between two steps under load. A connection takes about three.
const GAP: Duration = Duration::from_millis(2);

/// How many steps an idle thread saves, which is enough for several honest clients at once.
const MAX_SAVED: u32 = 64;

/// Runs this future, which does everything that the thread does, at this pace; each poll is a step.
pub(super) async fn paced<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut pace = Pace::new(Instant::now());
    poll_fn(|context| {
        // Not asynchronously: the runtime would go on to receive the events of all sockets.
        std::thread::sleep(pace.delay(Instant::now()));
        future.as_mut().poll(context)
    })
    .await
}

/// When steps are due. Pure.
struct Pace {
    due: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { due: now }
    }

    /// How long to wait before the next step.
    fn delay(&mut self, now: Instant) -> Duration {
        let earliest = now.checked_sub(GAP * MAX_SAVED).unwrap_or(now);
        let due = self.due.max(earliest);
        self.due = due + GAP;
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_thread_saves_a_number_of_steps() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let later = start + Duration::from_hours(1);
        for n in 0..=MAX_SAVED {
            assert_eq!(pace.delay(later), Duration::ZERO, "{n}");
        }
        assert_eq!(pace.delay(later), GAP);
        assert_eq!(pace.delay(later), 2 * GAP);
    }

    #[test]
    fn the_pace_is_held_however_often_there_is_work() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        for n in 1..=1000 {
            now += pace.delay(now) + GAP / 10;
            assert!(now >= start + GAP * (n - 1), "{n}");
        }
        assert!(now < start + GAP * 1001, "it can be used");
        // What a long step takes is earned meanwhile.
        now += GAP * 3;
        assert_eq!(pace.delay(now), Duration::ZERO);
    }
}
