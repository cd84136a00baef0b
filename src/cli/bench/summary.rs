//! The figures of a run. Pure.

use crate::protocol::Code;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Bars of the histogram.
const BARS: usize = 12;

/// The percentiles of the report, with their names in JSON.
pub(super) const PERCENTILES: [(f64, &str); 7] = [
    (50.0, "p50"),
    (75.0, "p75"),
    (90.0, "p90"),
    (95.0, "p95"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
];

/// What was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Requests {
    Numbers {
        n: String,
    },
    Any {
        #[serde(skip_serializing_if = "Option::is_none")]
        method: Option<String>,
        body_bytes: usize,
    },
}

impl Default for Requests {
    fn default() -> Self {
        Self::Numbers { n: String::new() }
    }
}

/// The load that was requested.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Load {
    pub(super) queue: String,
    #[serde(flatten)]
    pub(super) requests: Requests,
    pub(super) connections: usize,
    /// The maximum in flight.
    pub(super) in_flight: usize,
    /// Requests per second; `None`: the closed loop.
    pub(super) target_rate: Option<f64>,
    /// Whether requests have deadlines and are confirmed.
    pub(super) full: bool,
    pub(super) warm_up_s: f64,
}

/// All requests that failed with one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FailureCount {
    /// The code's name, or [`WRONG_VALUE`](super::tally::WRONG_VALUE).
    pub(super) code: &'static str,
    pub(super) count: u64,
    /// The message of the first of them.
    pub(super) message: String,
}

/// The figures of the measurement.
#[derive(Debug, Clone)]
pub(super) struct Summary {
    pub(super) load: Load,
    pub(super) answered: u64,
    pub(super) errors: u64,
    /// Neither answered nor failed yet.
    pub(super) in_flight: u64,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// Answers per second in that time.
    pub(super) rate: f64,
    /// Processor time of this process per request, in microseconds.
    pub(super) processor: Option<f64>,
    pub(super) latency: Option<Latency>,
    pub(super) failures: Vec<FailureCount>,
    /// The code of the first failure.
    pub(super) first_failure: Option<Code>,
    pub(super) punctuality: Punctuality,
    pub(super) clients: Clients,
}

/// How well the schedule of the open loop was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Punctuality {
    /// Requests that were sent noticeably later than they were due.
    pub(super) late: u64,
    /// The largest delay.
    pub(super) latest: Duration,
    /// Requests that were due and never sent.
    pub(super) missed: u64,
    /// Whether a request was delayed because the maximum was in flight.
    pub(super) crowded: bool,
}

/// Events of the connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Clients {
    /// Connections lost.
    pub(super) lost: u64,
    /// Late and duplicate replies.
    pub(super) unexpected: u64,
}

impl Summary {
    /// Errors per ended request; `None` if no request ended.
    #[allow(clippy::cast_precision_loss, reason = "exact for 2^53 requests")]
    pub(super) fn error_ratio(&self) -> Option<f64> {
        let ended = self.answered + self.errors;
        (ended > 0).then(|| self.errors as f64 / ended as f64)
    }
}

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Latency {
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) max: f64,
    histogram: Histogram<u64>,
}

/// The number of latencies up to a bound, and above the bound of the bar before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Bar {
    pub(super) up_to_us: f64,
    pub(super) count: u64,
}

impl Latency {
    pub(super) fn new(
        histogram: &Histogram<u64>,
        sum: Duration,
        min: Duration,
        max: Duration,
    ) -> Option<Self> {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        #[allow(clippy::cast_precision_loss, reason = "exact for 2^53 requests")]
        (!histogram.is_empty()).then(|| Self {
            min: micros(min),
            mean: micros(sum) / histogram.len() as f64,
            max: micros(max),
            histogram: histogram.clone(),
        })
    }

    /// The latency that this percentage did not exceed, accurate to a thousandth.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a day has less than 2^53 microseconds"
    )]
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        // Slightly less, so that rounding does not make 99.9 % of 1000 the 1000th.
        let quantile = percent / 100.0 * (1.0 - 1e-12);
        let value = self.histogram.value_at_quantile(quantile);
        (value as f64).clamp(self.min, self.max)
    }

    /// The histogram in logarithmic bars, which show the tail as well as the bulk.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a day has less than 2^53 microseconds"
    )]
    pub(super) fn bars(&self) -> Vec<Bar> {
        let (low, high) = (self.min.max(1.0), self.max.max(1.0));
        let factor = (high / low).powf(1.0 / BARS as f64);
        let mut bars: Vec<Bar> = (1..=BARS)
            .map(|bar| Bar {
                up_to_us: low * factor.powi(i32::try_from(bar).unwrap_or(i32::MAX)),
                count: 0,
            })
            .collect();
        // Latencies that the histogram does not distinguish are one bar.
        if factor < 1.001 {
            bars.truncate(1);
        }
        if let Some(last) = bars.last_mut() {
            last.up_to_us = self.max;
        }
        let last = bars.len().saturating_sub(1);
        for recorded in self.histogram.iter_recorded() {
            let value = recorded.value_iterated_to() as f64;
            let bar = bars.partition_point(|bar| bar.up_to_us < value);
            bars[bar.min(last)].count += recorded.count_since_last_iteration();
        }
        bars
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn latency(latencies: impl IntoIterator<Item = u64>) -> Option<Latency> {
        let mut histogram = Histogram::new(3).unwrap();
        let (mut sum, mut min, mut max) = (Duration::ZERO, Duration::MAX, Duration::ZERO);
        for micros in latencies {
            let latency = Duration::from_micros(micros);
            histogram.record(micros).unwrap();
            (sum, min, max) = (sum + latency, min.min(latency), max.max(latency));
        }
        Latency::new(&histogram, sum, min, max)
    }

    /// Figures for which the n-th answer took n microseconds.
    pub(crate) fn summary(answered: u64, errors: u64) -> Summary {
        let failure = FailureCount {
            code: "UNAVAILABLE",
            count: errors,
            message: "no server".into(),
        };
        Summary {
            load: Load {
                queue: "q".into(),
                requests: Requests::Numbers { n: "30".into() },
                connections: 1,
                in_flight: 100,
                target_rate: None,
                full: false,
                warm_up_s: 1.0,
            },
            answered,
            errors,
            in_flight: 0,
            elapsed: Duration::from_secs(2),
            #[allow(clippy::cast_precision_loss)]
            rate: answered as f64 / 2.0,
            processor: Some(12.34),
            latency: latency(1..=answered),
            failures: Vec::from_iter((errors > 0).then_some(failure)),
            first_failure: (errors > 0).then_some(Code::Unavailable),
            punctuality: Punctuality {
                latest: Duration::from_micros(70),
                ..Punctuality::default()
            },
            clients: Clients::default(),
        }
    }

    #[test]
    fn percentiles_are_accurate_to_a_thousandth() {
        let latency = latency((1..=100_000).map(|n| n * 10)).unwrap();
        for (percent, expected) in [(50.0, 5e5), (99.0, 9.9e5), (99.9, 9.99e5), (99.99, 9.999e5)] {
            let value: f64 = latency.percentile(percent);
            assert!((value / expected - 1.0).abs() < 0.001, "{percent} {value}");
        }
        assert!((latency.mean - 500_005.0).abs() < 0.01);
        assert!(latency.percentile(99.9999) <= latency.max);
    }

    #[test]
    fn bars_hold_every_latency_once() {
        for (latencies, bars) in [
            (vec![5], 1),
            (vec![5, 5, 5], 1),
            (vec![1, 1000], 12),
            ((1..=1000).collect(), 12),
            (vec![0, 3, 1_000_000, 2_000_000], 12),
            (vec![1_000_000, 1_000_001], 1),
        ] {
            let count = latencies.len() as u64;
            let found = latency(latencies).unwrap();
            let shown = found.bars();
            assert_eq!(shown.iter().map(|bar| bar.count).sum::<u64>(), count);
            assert_eq!(shown.len(), bars, "{shown:?}");
            assert!(shown.is_sorted_by(|one, next| one.up_to_us < next.up_to_us));
            let last = shown.last().unwrap();
            assert!(last.count > 0 && last.up_to_us >= found.max, "{shown:?}");
        }
        assert!(latency([]).is_none());
    }
}
