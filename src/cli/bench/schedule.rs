//! When requests are due. Pure: the time is passed in.
//!
//! In the closed loop a request is due whenever there is room for it in flight. In the open loop the
//! n-th is due n intervals after the start, whatever became of those before it: a server that stalls is
//! owed the requests of that time, and their latencies begin when they were due.

use std::time::{Duration, Instant};

/// What decides how many requests are sent, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// Requests a second; `None`: the closed loop.
    pub(super) rate: Option<f64>,
    /// What is due earlier than this after the start is not measured.
    pub(super) warm_up: Duration,
    /// For how long requests are due after the warm-up.
    pub(super) duration: Option<Duration>,
    /// How many there are after the warm-up.
    pub(super) requests: Option<u64>,
}

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    /// Whether it counts; otherwise it belongs to the warm-up.
    pub(super) measured: bool,
}

/// Hands out what is due, each request once.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    start: Instant,
    issued: u64,
    measured: u64,
    closed: bool,
}

impl Schedule {
    pub(super) fn new(pace: Pace, start: Instant) -> Self {
        Self {
            pace,
            start,
            issued: 0,
            measured: 0,
            closed: false,
        }
    }

    /// The next request, if it is due by now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Due> {
        let at = self.next_due(now).filter(|at| *at <= now)?;
        let measured = at >= self.start + self.pace.warm_up;
        self.issued += 1;
        self.measured += u64::from(measured);
        Some(Due { at, measured })
    }

    /// When the next request is due; `None` where no more will be.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let enough = self
            .pace
            .requests
            .is_some_and(|limit| self.measured >= limit);
        let at = match self.pace.rate {
            Some(rate) => self.start + offset(self.issued, rate),
            None => now,
        };
        let over = self.end().is_some_and(|end| at >= end);
        (!self.closed && !enough && !over).then_some(at)
    }

    /// There is no room for requests. What is due at the end, and finds none, is not sent any more.
    pub(super) fn no_room(&mut self, now: Instant) {
        self.closed |= self.end().is_some_and(|end| now >= end);
    }

    /// How many requests were due by the end and never left, since there was no room for them in flight.
    pub(super) fn missed(&self) -> u64 {
        let (Some(rate), Some(end)) = (self.pace.rate, self.end()) else {
            return 0;
        };
        let due = whole((end - self.start).as_secs_f64() * rate);
        let left = due.saturating_sub(self.issued);
        match self.pace.requests {
            Some(limit) => left.min(limit - self.measured),
            None => left,
        }
    }

    fn end(&self) -> Option<Instant> {
        Some(self.start + self.pace.warm_up + self.pace.duration?)
    }
}

#[allow(clippy::cast_precision_loss, reason = "exact for 2^53 requests")]
fn offset(issued: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(issued as f64 / rate)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative"
)]
fn whole(count: f64) -> u64 {
    count.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pace(rate: Option<f64>, warm_up: u32, duration: Option<u32>, requests: Option<u64>) -> Pace {
        Pace {
            rate,
            warm_up: warm_up * MS,
            duration: duration.map(|duration| duration * MS),
            requests,
        }
    }

    /// What is due at each look: when, in milliseconds, and whether it is measured; and how much is missed.
    fn issued(pace: Pace, room: usize, looks: &[u32]) -> (Vec<(u128, bool)>, u64) {
        let start = Instant::now();
        let mut schedule = Schedule::new(pace, start);
        let mut issued = Vec::new();
        for look in looks {
            let now = start + *look * MS;
            for _ in 0..room {
                let Some(due) = schedule.next(now) else { break };
                issued.push(((due.at - start).as_millis(), due.measured));
            }
            schedule.no_room(now);
        }
        (issued, schedule.missed())
    }

    #[test]
    fn the_open_loop_owes_what_was_due() {
        let pace = pace(Some(1000.0), 2, Some(4), None);
        let all = [
            (0, false),
            (1, false),
            (2, true),
            (3, true),
            (4, true),
            (5, true),
        ];
        assert_eq!(issued(pace, 9, &[0, 1, 2, 3, 4, 5, 6]), (all.to_vec(), 0));
        // A stall: what was due meanwhile is due still, since then.
        assert_eq!(issued(pace, 9, &[0, 5]), (all.to_vec(), 0));
        assert_eq!(issued(pace, 9, &[2, 7]), (all.to_vec(), 0));
        // What finds no room at the end is missing, and it is said how much that is.
        assert_eq!(issued(pace, 2, &[2, 7, 8]), (all[..4].to_vec(), 2));
    }

    #[test]
    fn the_closed_loop_asks_while_there_is_room() {
        let all = [(0, false), (0, false), (3, true), (3, true)];
        let looks = [0, 3, 5, 9];
        assert_eq!(
            issued(pace(None, 2, Some(3), None), 2, &looks),
            (all.to_vec(), 0)
        );
    }

    #[test]
    fn a_count_does_not_include_the_warm_up() {
        let looks = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let (closed, missed) = issued(pace(None, 2, None, Some(3)), 2, &looks);
        let measured = closed.iter().filter(|(_, measured)| *measured).count();
        assert_eq!((closed.len(), measured, missed), (7, 3, 0));
        let (open, missed) = issued(pace(Some(1000.0), 2, None, Some(3)), 9, &looks);
        let all = [(0, false), (1, false), (2, true), (3, true), (4, true)];
        assert_eq!((&open[..], missed), (&all[..], 0));
        // Whichever comes first.
        let (open, missed) = issued(pace(Some(1000.0), 0, Some(4), Some(3)), 1, &[0, 4, 5]);
        assert_eq!((open.len(), missed), (2, 1));
    }

    #[test]
    fn rates_need_not_divide_a_second() {
        let pace = pace(Some(3000.0), 0, Some(1000), None);
        let (all, missed) = issued(pace, 9, &(0..=1000).collect::<Vec<_>>());
        assert_eq!((all.len(), missed), (3000, 0));
        assert_eq!(all.last(), Some(&(999, true)));
    }
}
