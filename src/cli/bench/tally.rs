//! Counts during a run. Owns the latency histogram; reads no clock except processor time.
//!
//! Latencies include requests that were answered and requests that timed out, which waited at least that long. Other
//! failures, perhaps immediate, say nothing about latency; they are counted by code.

use super::schedule::Due;
use super::summary::{Clients, FailureCount, Latency, Load, Punctuality, Summary};
use super::units::time;
use super::work::Answer;
use crate::client::CallError;
use crate::protocol::Code;
use crate::text::{count, duration};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The largest latency that is recorded exactly, in microseconds.
const MAX_LATENCY: u64 = 24 * 3600 * 1_000_000;

/// A request that is sent later than this after its due time is late.
const PUNCTUAL: Duration = Duration::from_millis(10);

/// The code for a reply with another number than the one requested.
pub(super) const WRONG_VALUE: &str = "WRONG_VALUE";

/// A request that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) due: Due,
    pub(super) at: Instant,
    pub(super) outcome: Result<Answer, CallError>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tally {
    sent: u64,
    answered: u64,
    failures: BTreeMap<&'static str, FailureCount>,
    first_failure: Option<Code>,
    latencies: Histogram<u64>,
    sum: Duration,
    min: Duration,
    max: Duration,
    began: Option<Instant>,
    last_answer: Option<Instant>,
    processor: Duration,
    punctuality: Punctuality,
}

impl Tally {
    pub(super) fn new() -> Self {
        #[allow(
            clippy::expect_used,
            reason = "fails for bad bounds only, and these are good"
        )]
        let latencies = Histogram::new_with_bounds(1, MAX_LATENCY, 3).expect("good bounds");
        Self {
            sent: 0,
            answered: 0,
            failures: BTreeMap::new(),
            first_failure: None,
            latencies,
            sum: Duration::ZERO,
            min: Duration::MAX,
            max: Duration::ZERO,
            began: None,
            last_answer: None,
            processor: Duration::ZERO,
            punctuality: Punctuality::default(),
        }
    }

    /// Counts a request that is sent.
    pub(super) fn sent(&mut self, due: Due, now: Instant) {
        if !due.measured {
            return;
        }
        if self.began.is_none() {
            self.began = Some(due.at);
            self.processor = processor_time();
        }
        self.sent += 1;
        let delay = now.saturating_duration_since(due.at);
        self.punctuality.late += u64::from(delay > PUNCTUAL);
        self.punctuality.latest = self.punctuality.latest.max(delay);
    }

    /// A request is due, but the maximum number is in flight.
    pub(super) fn crowded(&mut self) {
        self.punctuality.crowded = true;
    }

    /// Sets the number of requests that were due and never sent.
    pub(super) fn missed(&mut self, requests: u64) {
        self.punctuality.missed = requests;
    }

    /// Counts a request that has ended.
    pub(super) fn ended(&mut self, ended: Ended) {
        let Ended { due, at, outcome } = ended;
        if !due.measured {
            return;
        }
        let failure = match outcome {
            Ok(answer) => match answer.fault() {
                None => {
                    self.answered += 1;
                    self.last_answer = Some(at);
                    return self.took(at - due.at);
                }
                Some(message) => (Code::Unknown, WRONG_VALUE, message),
            },
            Err(error) => {
                let status = error.status();
                if status.code() == Code::DeadlineExceeded {
                    self.took(at - due.at);
                }
                (
                    status.code(),
                    status.code().name(),
                    status.message().to_owned(),
                )
            }
        };
        let (status, code, message) = failure;
        self.first_failure.get_or_insert(status);
        let failures = self.failures.entry(code);
        failures
            .or_insert(FailureCount {
                code,
                count: 0,
                message,
            })
            .count += 1;
    }

    fn took(&mut self, latency: Duration) {
        self.sum += latency;
        self.min = self.min.min(latency);
        self.max = self.max.max(latency);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY);
        self.latencies.saturating_record(micros.max(1));
    }

    /// A line of progress.
    pub(super) fn progress(&self, now: Instant) -> String {
        let Some(began) = self.began else {
            return "warming up".into();
        };
        let summary = self.summary(Load::default(), Clients::default());
        let elapsed = Duration::from_secs(now.saturating_duration_since(began).as_secs());
        let times = summary
            .latency
            .as_ref()
            .map_or_else(String::new, |latency| {
                let [p50, p99] = [50.0, 99.0].map(|percent| time(latency.percentile(percent)));
                format!(", p50 {p50}, p99 {p99}")
            });
        let Summary {
            rate,
            errors,
            in_flight,
            ..
        } = summary;
        format!(
            "{}: {rate:.0}/s{times}, {}, {in_flight} in flight",
            duration(elapsed),
            count(errors, "error")
        )
    }

    /// The figures so far.
    pub(super) fn summary(&self, load: Load, clients: Clients) -> Summary {
        let errors = self.failures.values().map(|failure| failure.count).sum();
        let ended = self.answered + errors;
        let elapsed = match (self.began, self.last_answer) {
            (Some(began), Some(last)) => last.saturating_duration_since(began),
            _ => Duration::ZERO,
        };
        let busy = processor_time().saturating_sub(self.processor);
        Summary {
            load,
            answered: self.answered,
            errors,
            in_flight: self.sent - ended,
            elapsed,
            rate: per(self.answered, elapsed.as_secs_f64()),
            processor: (ended > 0).then(|| 1e6 / per(ended, busy.as_secs_f64())),
            latency: Latency::new(&self.latencies, self.sum, self.min, self.max),
            failures: self.failures.values().cloned().collect(),
            first_failure: self.first_failure,
            punctuality: self.punctuality,
            clients,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "exact for 2^53 requests")]
fn per(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// Processor time of all threads of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().unwrap_or_default()
}
