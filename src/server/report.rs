//! The server's [`Report`] about itself: its counters, its state and the times of recent requests.
//!
//! Owns these times. Recording one takes a few nanoseconds and never allocates.

use super::histogram::Histogram;
use super::state::{Counters, State};
use crate::broker::clock::unix_ms;
use crate::config::Config;
use crate::protocol::control::Report;
use crate::text::micros;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a histogram is used before the next one.
const PERIOD: Duration = Duration::from_secs(60);

/// The times of recent requests. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Times(Arc<Mutex<Recorded>>);

/// The times of this period and the previous one.
#[derive(Debug)]
struct Recorded {
    current: Histogram,
    last: Histogram,
    since: Instant,
}

impl Times {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Recorded {
            current: Histogram::new(),
            last: Histogram::new(),
            since: now,
        })))
    }

    /// Records a request that took this long, at `now`.
    pub(super) fn record(&self, now: Instant, took: Duration) {
        self.recorded().record(now, took);
    }

    /// Percentiles of the times in microseconds; `None` if there were no requests.
    fn percentiles<const N: usize>(&self, now: Instant, percents: [u64; N]) -> [Option<u64>; N] {
        self.recorded().percentiles(now, percents)
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    fn record(&mut self, now: Instant, took: Duration) {
        self.turn(now);
        self.current.record(micros(took));
    }

    fn percentiles<const N: usize>(
        &mut self,
        now: Instant,
        percents: [u64; N],
    ) -> [Option<u64>; N] {
        self.turn(now);
        let mut all = self.current.clone();
        all.add(&self.last);
        percents.map(|percent| all.percentile(percent))
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < PERIOD {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.last);
        self.current.clear();
        if age >= PERIOD * 2 {
            self.last.clear();
        }
        self.since = now;
    }
}

#[derive(Debug, Clone)]
pub(super) struct Reporter {
    instance: String,
    started: Instant,
    pub(super) times: Times,
}

impl Reporter {
    /// The reporter of a server with this instance name, which starts now.
    pub(super) fn new(instance: &str) -> Self {
        let now = Instant::now();
        Self {
            instance: instance.to_owned(),
            started: now,
            times: Times::new(now),
        }
    }

    pub(super) fn report(&self, config: &Config, counters: &Counters, state: &State) -> Report {
        let now = Instant::now();
        let [p50_us, p99_us] = self.times.percentiles(now, [50, 99]);
        let count = Counters::get;
        Report {
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            host: host(),
            pid: std::process::id(),
            uptime_s: now.saturating_duration_since(self.started).as_secs(),
            clock_ms: unix_ms(),
            state: word(state).into(),
            queue: config.queue.name.clone(),
            queue_type: None,
            prefetch: config.server.prefetch,
            consumers: 0,
            in_flight: count(&counters.in_flight),
            received: count(&counters.received),
            redelivered: count(&counters.redelivered),
            served: count(&counters.served),
            failed: count(&counters.failed),
            pinged: count(&counters.pinged),
            unanswerable: count(&counters.unanswerable),
            refused: count(&counters.refused),
            returned: count(&counters.returned),
            nacked: count(&counters.nacked),
            expired: count(&counters.expired),
            poisoned: count(&counters.poisoned),
            sessions: count(&counters.sessions),
            p50_us,
            p99_us,
        }
    }
}

pub(super) fn host() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

fn word(state: &State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Connecting { .. } => "connecting",
        State::Waiting { .. } => "waiting",
        State::Consuming { .. } => "consuming",
        State::Blocked { .. } => "blocked",
        State::Draining { .. } => "draining",
        State::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENTS: [u64; 2] = [50, 99];

    /// Two significant digits: within one in a hundred.
    fn about(us: u64, expected: u64) -> bool {
        us.abs_diff(expected) * 100 <= expected
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let now = Instant::now();
        let times = Times::new(now);
        assert_eq!(times.percentiles(now, PERCENTS), [None, None]);
        for ms in 1..=1000 {
            times.record(now, Duration::from_millis(ms));
        }
        let [p50, p99] = times.percentiles(now, PERCENTS).map(Option::unwrap);
        assert!(about(p50, 500_000), "{p50}");
        assert!(about(p99, 990_000), "{p99}");
    }

    #[test]
    fn the_extremes_are_recorded_too() {
        let now = Instant::now();
        for (took, expected) in [(Duration::ZERO, 0), (Duration::MAX, u32::MAX.into())] {
            let times = Times::new(now);
            times.record(now, took);
            let [p50] = times.percentiles(now, [50]).map(Option::unwrap);
            assert!(about(p50, expected), "{took:?}: {p50}");
        }
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let start = Instant::now();
        let times = Times::new(start);
        times.record(start, Duration::from_millis(7));
        let seen = |times: &Times, after: Duration| times.percentiles(start + after, [50])[0];
        assert!(seen(&times, PERIOD.mul_f32(0.99)).is_some());
        assert!(seen(&times, PERIOD).is_some(), "the period before");
        assert!(seen(&times, PERIOD * 2).is_none());
        // Where nothing happened for long, the period before is not the last one.
        times.record(start + PERIOD * 2, Duration::from_millis(7));
        assert!(seen(&times, PERIOD * 4).is_none());
    }

    #[test]
    fn a_report_has_the_counters_and_the_times() {
        let reporter = Reporter::new("blue");
        let counters = Counters::default();
        Counters::add(&counters.received);
        Counters::add(&counters.received);
        Counters::add(&counters.failed);
        let state = State::Draining {
            until: Instant::now(),
        };
        let config = Config::default();
        let report = reporter.report(&config, &counters, &state);
        assert_eq!(report.instance, "blue");
        assert_eq!(report.pid, std::process::id());
        assert_eq!((report.state.as_str(), report.prefetch), ("draining", 64));
        assert_eq!((report.received, report.failed), (2, 1));
        assert_eq!((report.p50_us, report.p99_us), (None, None));
        assert!(report.clock_ms > 1_500_000_000_000, "{}", report.clock_ms);
        reporter
            .times
            .record(Instant::now(), Duration::from_micros(50));
        let report = reporter.report(&config, &counters, &state);
        assert_eq!((report.p50_us, report.p99_us), (Some(50), Some(50)));
    }
}
