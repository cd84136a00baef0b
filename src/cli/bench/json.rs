//! The figures of a run as the object of `--json`. Pure.

use super::assertion::Checked;
use super::summary::{
    Bar, Clients, FailureCount, Latency, Load, PERCENTILES, Punctuality, Summary,
};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(PERCENTILES.len() + 3))?;
        map.serialize_entry("min", &tenths(self.min))?;
        map.serialize_entry("mean", &tenths(self.mean))?;
        for (percent, name) in PERCENTILES {
            map.serialize_entry(name, &tenths(self.percentile(percent)))?;
        }
        map.serialize_entry("max", &tenths(self.max))?;
        map.end()
    }
}

/// The object of `--json`. Fields are added, never renamed.
#[derive(Serialize)]
pub(super) struct JsonReport<'a> {
    #[serde(flatten)]
    load: &'a Load,
    elapsed_s: f64,
    answered: u64,
    errors: u64,
    unfinished: u64,
    rate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<&'a Latency>,
    histogram: Vec<Bar>,
    failures: &'a [FailureCount],
    late: u64,
    latest_us: f64,
    missed: u64,
    in_flight_reached: bool,
    connections_lost: u64,
    unexpected_replies: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    processor_us: Option<f64>,
    interrupted: bool,
    assertions: Vec<Asserted<'a>>,
}

#[derive(Serialize)]
struct Asserted<'a> {
    assertion: &'a str,
    measured: Option<f64>,
    holds: bool,
}

impl<'a> JsonReport<'a> {
    pub(super) fn new(summary: &'a Summary, checks: &[Checked<'a>], interrupted: bool) -> Self {
        let asserted = |check: &Checked<'a>| Asserted {
            assertion: check.assertion,
            measured: check.measured,
            holds: check.holds,
        };
        let latency = summary.latency.as_ref();
        let Punctuality {
            late,
            latest,
            missed,
            crowded,
        } = summary.punctuality;
        let Clients { lost, unexpected } = summary.clients;
        let round = |bar: Bar| Bar {
            up_to_us: tenths(bar.up_to_us),
            ..bar
        };
        Self {
            load: &summary.load,
            elapsed_s: summary.elapsed.as_secs_f64(),
            answered: summary.answered,
            errors: summary.errors,
            unfinished: summary.in_flight,
            rate: tenths(summary.rate),
            error_ratio: summary.error_ratio(),
            latency_us: latency,
            histogram: latency.map_or_else(Vec::new, |latency| {
                latency.bars().into_iter().map(round).collect()
            }),
            failures: &summary.failures,
            late,
            latest_us: tenths(latest.as_secs_f64() * 1e6),
            missed,
            in_flight_reached: crowded,
            connections_lost: lost,
            unexpected_replies: unexpected,
            processor_us: summary.processor.map(tenths),
            interrupted,
            assertions: checks.iter().map(asserted).collect(),
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::assertion::Assertion;
    use crate::cli::bench::summary::Requests;
    use crate::cli::bench::summary::tests::summary;
    use serde_json::json;

    fn object(summary: &Summary, checks: &[Checked<'_>]) -> serde_json::Value {
        let value = serde_json::to_value(JsonReport::new(summary, checks, true)).unwrap();
        let manual = include_str!("../../../man/fibrpc.1");
        for name in value.as_object().unwrap().keys() {
            let documented = [
                format!("Sy {name}\n"),
                format!("Sy {name} ,"),
                format!(", {name}"),
            ];
            assert!(
                documented.iter().any(|form| manual.contains(form)),
                "{name}"
            );
        }
        value
    }

    #[test]
    fn any_requests_have_no_number() {
        let mut summary = summary(1, 0);
        for (method, given) in [(None, false), (Some("m".to_owned()), true)] {
            summary.load.requests = Requests::Any {
                method,
                body_bytes: 7,
            };
            let value = object(&summary, &[]);
            assert_eq!(value["body_bytes"], 7);
            assert_eq!(value.get("method").is_some(), given);
            assert_eq!(value.get("n"), None);
        }
    }

    #[test]
    fn the_object_of_json() {
        let summary = summary(1000, 1);
        let assertion: Assertion = "errors==0".parse().unwrap();
        let mut value = object(&summary, &[assertion.check(&summary)]);
        let histogram = value["histogram"].take();
        assert_eq!(histogram.as_array().unwrap().len(), 12);
        assert_eq!(histogram[11], json!({"up_to_us": 1000.0, "count": 438}));
        assert_eq!(
            value,
            json!({
                "queue": "q", "n": "30", "connections": 1, "in_flight": 100, "target_rate": null,
                "full": false,
                "warm_up_s": 1.0, "elapsed_s": 2.0, "answered": 1000, "errors": 1, "unfinished": 0,
                "rate": 500.0, "error_ratio": 1.0 / 1001.0,
                "latency_us": {
                    "min": 1.0, "mean": 500.5, "p50": 500.0, "p75": 750.0, "p90": 900.0, "p95": 950.0,
                    "p99": 990.0, "p99.9": 999.0, "p99.99": 1000.0, "max": 1000.0
                },
                "histogram": null,
                "failures": [{"code": "UNAVAILABLE", "count": 1, "message": "no server"}],
                "late": 0, "latest_us": 70.0, "missed": 0, "in_flight_reached": false, "connections_lost": 0,
                "unexpected_replies": 0, "processor_us": 12.3,
                "interrupted": true,
                "assertions": [{"assertion": "errors==0", "measured": 1.0, "holds": false}]
            })
        );
    }
}
