//! When requests are due. Pure: time is an argument.
//!
//! In the closed loop, a request is due whenever fewer than the maximum are in flight. In the open loop, the n-th request
//! is due n intervals after the start, regardless of the others: the requests that become due while a server stalls are
//! still sent, and their latencies start when they were due.

use std::time::{Duration, Instant};

/// How many requests are sent, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// Requests per second; `None`: the closed loop.
    pub(super) rate: Option<f64>,
    /// Requests due earlier than this after the start are not measured.
    pub(super) warm_up: Duration,
    /// How long requests are due after the warm-up.
    pub(super) duration: Option<Duration>,
    /// How many requests there are after the warm-up.
    pub(super) requests: Option<u64>,
}

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    /// Whether it is measured; otherwise it belongs to the warm-up.
    pub(super) measured: bool,
}

/// Hands out what is due, each request once.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    start: Instant,
    issued: u64,
    measured: u64,
    /// The maximum has been in flight since the last request was sent.
    full: bool,
    closed: bool,
}

impl Schedule {
    pub(super) fn new(pace: Pace, start: Instant) -> Self {
        Self {
            pace,
            start,
            issued: 0,
            measured: 0,
            full: false,
            closed: false,
        }
    }

    /// The next request, if it is due by now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Due> {
        let at = self.next_due(now).filter(|at| *at <= now)?;
        let measured = at >= self.start + self.pace.warm_up;
        self.issued += 1;
        self.measured += u64::from(measured);
        self.full = false;
        Some(Due { at, measured })
    }

    /// When the next request is due; `None` if there are no more.
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

    /// The maximum is in flight. Requests that are still waiting at the end are not sent.
    pub(super) fn no_room(&mut self, now: Instant) {
        self.full = true;
        self.closed |= self.end().is_some_and(|end| now >= end);
    }

    /// How many requests were due by now, after the warm-up, and were not sent.
    pub(super) fn missed(&self, now: Instant) -> u64 {
        let Some(rate) = self.pace.rate else {
            return 0;
        };
        let passed = now.saturating_duration_since(self.start);
        let all = self.end().map(|end| end - self.start);
        let due = due_of(rate, |offset| {
            offset <= passed && all.is_none_or(|all| offset < all)
        });
        let warm_up = due_of(rate, |offset| offset < self.pace.warm_up);
        let left = due.saturating_sub(self.issued.max(warm_up));
        match self.pace.requests {
            Some(limit) => left.min(limit - self.measured),
            None => left,
        }
    }

    /// Whether some of them were not sent because the maximum was in flight.
    pub(super) fn is_crowded(&self, now: Instant) -> bool {
        self.full && self.missed(now) > 0
    }

    fn end(&self) -> Option<Instant> {
        Some(self.start + self.pace.warm_up + self.pace.duration?)
    }
}

#[allow(clippy::cast_precision_loss, reason = "exact for 2^53 requests")]
fn offset(issued: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(issued as f64 / rate)
}

/// How many requests are due; `is_due` must be monotonic. Binary search with [`offset`] alone, since multiplying with the
/// rate would round differently.
fn due_of(rate: f64, is_due: impl Fn(Duration) -> bool) -> u64 {
    // 2^53 are more than a run of years at the highest rate, and their time fits at the lowest.
    (0..53).rev().fold(0, |count, bit| {
        let more = count | 1 << bit;
        if is_due(offset(more - 1, rate)) {
            more
        } else {
            count
        }
    })
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
        (issued, schedule.missed(start + looks[looks.len() - 1] * MS))
    }

    #[test]
    fn the_open_loop_catches_up_after_a_stall() {
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
        // Requests that are still waiting at the end are counted as missed.
        assert_eq!(issued(pace, 2, &[2, 7, 8]), (all[..4].to_vec(), 2));
    }

    #[test]
    fn missed_requests_are_counted_at_any_time() {
        let start = Instant::now();
        for (warm_up, requests, missed) in [
            (0, None, [0, 2, 5, 7, 7]),
            (0, Some(4), [0, 2, 2, 2, 2]),
            // What belongs to the warm-up does not count.
            (5, None, [0, 0, 2, 4, 4]),
        ] {
            let pace = pace(Some(1000.0), warm_up, Some(9 - warm_up), requests);
            let mut schedule = Schedule::new(pace, start);
            let look = start + MS;
            assert!(schedule.next(look).is_some() && schedule.next(look).is_some());
            assert_eq!(schedule.missed(look), 0);
            let moments = [1, 3, 6, 9, 99].map(|moment| start + moment * MS);
            let found = moments.map(|moment| schedule.missed(moment));
            assert_eq!(found, missed, "{warm_up} {requests:?}");
            assert!(!schedule.is_crowded(moments[4]), "not reported");
            schedule.no_room(look);
            assert!(schedule.is_crowded(moments[4]) && !schedule.is_crowded(look));
        }
        // However slow, and without an end.
        let schedule = Schedule::new(pace(Some(0.001), 0, None, None), start);
        assert_eq!(schedule.missed(start + 1_000_000 * MS), 2);
    }

    #[test]
    fn the_closed_loop_sends_while_there_is_room() {
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
        // 1.1 * 3000 is a little more than 3300 in floating point.
        let pace = self::pace(Some(3000.0), 1000, Some(100), None);
        let (all, missed) = issued(pace, 9, &(0..=1100).collect::<Vec<_>>());
        assert_eq!((all.len(), missed), (3300, 0));
    }
}
