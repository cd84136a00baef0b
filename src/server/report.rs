//! The server's [`Report`] about itself: its counters, its state and the times of recent requests.
//!
//! Owns these times, and what the counters were when the present period and the previous one began. So recording takes a few
//! nanoseconds per request and never allocates, and counting what is recent takes nothing.

use super::histogram::Histogram;
use super::state::{Counters, ServerState};
use crate::broker::clock::unix_ms;
use crate::config::Config;
use crate::protocol::control::Report;
use crate::text::micros;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a period lasts. What is recent is the present one and the one before: the last 30 to 60 seconds.
const PERIOD: Duration = Duration::from_secs(30);

/// The times and counts of recent requests. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Times(Arc<Mutex<Recorded>>);

/// This period and the previous one.
#[derive(Debug)]
struct Recorded {
    current: Period,
    last: Period,
}

#[derive(Debug)]
struct Period {
    times: Histogram,
    since: Instant,
    /// The counters when it began.
    before: Answered,
}

/// How many requests were answered since the start.
#[derive(Debug, Clone, Copy, Default)]
struct Answered {
    all: u64,
    errors: u64,
}

impl Answered {
    fn of(counters: &Counters) -> Self {
        let errors = Counters::get(&counters.failed);
        Self {
            all: Counters::get(&counters.served) + errors,
            errors,
        }
    }
}

/// What happened recently.
#[derive(Debug, PartialEq, Eq)]
struct Recent<const N: usize> {
    length: Duration,
    requests: u64,
    errors: u64,
    /// Of the computed requests, in microseconds; `None` if there were none.
    percentiles: [Option<u64>; N],
}

impl Times {
    fn new(now: Instant) -> Self {
        let period = || Period {
            times: Histogram::new(),
            since: now,
            before: Answered::default(),
        };
        Self(Arc::new(Mutex::new(Recorded {
            current: period(),
            last: period(),
        })))
    }

    /// Records a request that was computed and took this long.
    pub(super) fn record(&self, took: Duration) {
        self.recorded().current.times.record(micros(took));
    }

    /// Begins another period if this one is over. To be called once per second.
    pub(super) fn tick(&self, now: Instant, counters: &Counters) {
        self.recorded().turn(now, Answered::of(counters));
    }

    /// What happened in this period and the previous one.
    fn recent<const N: usize>(
        &self,
        now: Instant,
        counters: &Counters,
        percents: [u64; N],
    ) -> Recent<N> {
        let answered = Answered::of(counters);
        let mut recorded = self.recorded();
        recorded.turn(now, answered);
        let Period {
            times,
            since,
            before,
        } = &recorded.last;
        let mut times = times.clone();
        times.add(&recorded.current.times);
        Recent {
            length: now.saturating_duration_since(*since),
            requests: answered.all.saturating_sub(before.all),
            errors: answered.errors.saturating_sub(before.errors),
            percentiles: percents.map(|percent| times.percentile(percent)),
        }
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    fn turn(&mut self, now: Instant, answered: Answered) {
        let age = now.saturating_duration_since(self.current.since);
        if age < PERIOD {
            return;
        }
        if age < PERIOD * 2 {
            std::mem::swap(&mut self.current, &mut self.last);
        } else {
            // There was no session, and nothing to count.
            self.last.times.clear();
            self.last.since = now.checked_sub(PERIOD).unwrap_or(now);
            self.last.before = answered;
        }
        self.current.times.clear();
        self.current.since = now;
        self.current.before = answered;
    }
}

/// What a session serves, or a server without one is to serve.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    pub(super) settings: Arc<Config>,
    /// The type of the queue, if the broker has revealed it.
    pub(super) queue_type: Option<&'static str>,
    pub(super) consumers: u32,
}

impl Serving {
    /// What a server with this configuration is to serve.
    pub(super) fn nothing_yet(settings: Arc<Config>) -> Self {
        Self {
            settings,
            queue_type: None,
            consumers: 0,
        }
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

    pub(super) fn report(
        &self,
        serving: &Serving,
        counters: &Counters,
        state: &ServerState,
    ) -> Report {
        let Serving {
            settings,
            queue_type,
            consumers,
        } = serving;
        let now = Instant::now();
        let recent = self.times.recent(now, counters, [50, 90, 99]);
        let [p50_us, p90_us, p99_us] = recent.percentiles;
        let count = Counters::get;
        Report {
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            host: host(),
            pid: std::process::id(),
            uptime_s: now.saturating_duration_since(self.started).as_secs(),
            clock_ms: unix_ms(),
            state: state.name().into(),
            reason: reason(state),
            queue: settings.queue.name.clone(),
            queue_type: queue_type.map(str::to_owned),
            prefetch: settings.server.prefetch,
            consumers: *consumers,
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
            recent_ms: Some(u64::try_from(recent.length.as_millis()).unwrap_or(u64::MAX)),
            recent_requests: Some(recent.requests),
            recent_errors: Some(recent.errors),
            p50_us,
            p90_us,
            p99_us,
        }
    }
}

pub(super) fn host() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// Why the server does not serve, or not with its present settings.
fn reason(state: &ServerState) -> Option<String> {
    match state {
        ServerState::Blocked { reason, .. } => Some(reason.clone()),
        ServerState::Waiting { error, .. } => Some(error.clone()),
        ServerState::Consuming { unopened, .. } => unopened.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    /// Two significant digits: within one in a hundred.
    fn about(us: u64, expected: u64) -> bool {
        us.abs_diff(expected) * 100 <= expected
    }

    fn recent(times: &Times, now: Instant) -> Recent<2> {
        times.recent(now, &Counters::default(), [50, 99])
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let now = Instant::now();
        let times = Times::new(now);
        assert_eq!(recent(&times, now).percentiles, [None, None]);
        for ms in 1..=1000 {
            times.record(Duration::from_millis(ms));
        }
        let [p50, p99] = recent(&times, now).percentiles.map(Option::unwrap);
        assert!(about(p50, 500_000), "{p50}");
        assert!(about(p99, 990_000), "{p99}");
    }

    #[test]
    fn the_extremes_are_recorded_too() {
        let now = Instant::now();
        for (took, expected) in [(Duration::ZERO, 0), (Duration::MAX, u32::MAX.into())] {
            let times = Times::new(now);
            times.record(took);
            let [p50, _] = recent(&times, now).percentiles.map(Option::unwrap);
            assert!(about(p50, expected), "{took:?}: {p50}");
        }
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let start = Instant::now();
        let counters = Counters::default();
        let times = Times::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let answer = |errors: u64| {
            times.record(Duration::from_millis(7));
            counters.served.fetch_add(10, Ordering::Relaxed);
            counters.failed.fetch_add(errors, Ordering::Relaxed);
        };
        let mut seen = Vec::new();
        for second in 0..200 {
            match second {
                0 => answer(1),
                50 => answer(2),
                _ => {}
            }
            times.tick(at(second), &counters);
            let recent = times.recent(at(second), &counters, [50]);
            assert_eq!(recent.percentiles[0].is_some(), recent.requests > 0);
            let length = recent.length.as_secs();
            let is_short = second < 30 && length == second;
            assert!(is_short || (30..60).contains(&length), "{second}: {length}");
            let counts = (recent.requests, recent.errors);
            if seen.last().is_none_or(|(_, last)| *last != counts) {
                seen.push((second, counts));
            }
        }
        let expected = [(0, (11, 1)), (50, (23, 3)), (60, (12, 2)), (90, (0, 0))];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_time_without_sessions_is_one_without_requests() {
        let start = Instant::now();
        let counters = Counters::default();
        let times = Times::new(start);
        times.record(Duration::from_millis(7));
        Counters::add(&counters.served);
        let recent = times.recent(start + PERIOD * 2, &counters, [50]);
        let expected = Recent {
            length: PERIOD,
            requests: 0,
            errors: 0,
            percentiles: [None],
        };
        assert_eq!(recent, expected);
    }

    #[test]
    fn a_report_has_the_counters_and_the_times() {
        let reporter = Reporter::new("blue");
        let counters = Counters::default();
        Counters::add(&counters.received);
        Counters::add(&counters.received);
        Counters::add(&counters.failed);
        let state = ServerState::Draining {
            until: Instant::now(),
        };
        let config = Config::default();
        let prefetch = config.server.prefetch;
        let serving = Serving {
            queue_type: Some("classic"),
            consumers: 2,
            ..Serving::nothing_yet(Arc::new(config))
        };
        let report = reporter.report(&serving, &counters, &state);
        assert_eq!(report.instance, "blue");
        assert_eq!(report.pid, std::process::id());
        assert_eq!(
            (report.state.as_str(), report.prefetch),
            ("draining", prefetch)
        );
        assert_eq!(
            (report.queue_type.as_deref(), report.consumers),
            (Some("classic"), 2)
        );
        assert_eq!((report.received, report.failed), (2, 1));
        assert_eq!((report.p50_us, report.p99_us), (None, None));
        assert_eq!(
            (report.recent_requests, report.recent_errors),
            (Some(1), Some(1))
        );
        assert!(report.clock_ms > 1_500_000_000_000, "{}", report.clock_ms);
        reporter.times.record(Duration::from_micros(50));
        let report = reporter.report(&serving, &counters, &state);
        let percentiles = [report.p50_us, report.p90_us, report.p99_us];
        assert_eq!(percentiles, [Some(50); 3]);
    }

    #[test]
    fn a_report_says_why_a_server_does_not_serve() {
        let endpoint = || "mq1:5672".to_owned();
        let blocked = ServerState::Blocked {
            endpoint: endpoint(),
            reason: "low on memory".into(),
        };
        let consuming = |unopened: Option<&str>| ServerState::Consuming {
            endpoint: endpoint(),
            queue: "q".into(),
            unopened: unopened.map(Into::into),
        };
        for (state, expected) in [
            (blocked, Some("low on memory")),
            (consuming(Some("refused")), Some("refused")),
            (consuming(None), None),
            (ServerState::Starting, None),
        ] {
            assert_eq!(reason(&state).as_deref(), expected, "{state:?}");
        }
    }
}
