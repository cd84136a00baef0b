//! `--assert`: conditions on the figures of a run, such as `p99<20ms`. Pure.

use super::summary::Summary;
use super::units;
use std::fmt;
use std::str::FromStr;

/// One condition on the figures of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assertion {
    text: String,
    metric: Metric,
    operator: Operator,
    limit: f64,
}

/// The figure to compare. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    Rate,
    Errors,
    ErrorRatio,
    Min,
    Mean,
    Max,
    /// In percent.
    Percentile(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// The outcome of an assertion.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checked<'a> {
    /// As it was written.
    pub(super) assertion: &'a str,
    /// The figure in the assertion's unit: microseconds, a rate, a count or a ratio; `None` if it was not measured.
    pub(super) measured: Option<f64>,
    /// The same for people.
    pub(super) shown: String,
    /// Whether it holds.
    pub(super) holds: bool,
}

impl Assertion {
    /// Checks the figures. An assertion about a value that was not measured fails.
    pub(super) fn check(&self, summary: &Summary) -> Checked<'_> {
        let measured = self.metric.of(summary);
        Checked {
            assertion: &self.text,
            measured,
            shown: measured.map_or_else(
                || "nothing was measured".to_owned(),
                |value| format!("measured {}", self.metric.show(value)),
            ),
            holds: measured.is_some_and(|value| self.operator.holds(value, self.limit)),
        }
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text
            .find(['<', '>', '=', '!'])
            .ok_or("no comparison; write METRIC<VALUE, such as p99<20ms or errors==0")?;
        let (name, rest) = text.split_at(at);
        let end = rest
            .find(|c: char| !matches!(c, '<' | '>' | '=' | '!'))
            .ok_or_else(|| format!("nothing after {rest}"))?;
        let (operator, limit) = rest.split_at(end);
        let metric: Metric = name.trim().parse()?;
        Ok(Self {
            text: text.trim().to_owned(),
            metric,
            operator: operator.parse()?,
            limit: metric.limit(limit.trim())?,
        })
    }
}

impl Metric {
    fn of(self, summary: &Summary) -> Option<f64> {
        let latency = summary.latency.as_ref();
        match self {
            Self::Rate => Some(summary.rate),
            #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 errors")]
            Self::Errors => Some(summary.errors as f64),
            Self::ErrorRatio => summary.error_ratio(),
            Self::Min => latency.map(|latency| latency.min),
            Self::Mean => latency.map(|latency| latency.mean),
            Self::Max => latency.map(|latency| latency.max),
            Self::Percentile(percent) => latency.map(|latency| latency.percentile(percent)),
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Rate => format!("{value:.1}/s"),
            Self::Errors => format!("{value}"),
            Self::ErrorRatio => format!("{}%", 100.0 * value),
            _ => units::time(value),
        }
    }

    /// The value to compare with.
    fn limit(self, text: &str) -> Result<f64, String> {
        let number = |text: &str| units::number(text.trim());
        let (value, form) = match self {
            Self::Rate => (
                number(text.strip_suffix("/s").unwrap_or(text)),
                "a rate such as 5000 or 5000/s",
            ),
            Self::Errors => (
                number(text).filter(|value| value.fract() == 0.0),
                "a whole number",
            ),
            Self::ErrorRatio => (
                match text.strip_suffix('%') {
                    Some(percent) => number(percent).map(|value| value / 100.0),
                    None => number(text),
                },
                "a ratio such as 0.01 or 1%",
            ),
            _ => (
                units::parse_time(text),
                "a time with its unit, such as 20ms, 1.5s or 800us",
            ),
        };
        value.ok_or_else(|| format!("{text:?} is not {form}"))
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let percentile = name.strip_prefix('p').and_then(units::number);
        Ok(match name {
            "rate" => Self::Rate,
            "errors" => Self::Errors,
            "error-ratio" => Self::ErrorRatio,
            "min" => Self::Min,
            "mean" => Self::Mean,
            "max" => Self::Max,
            _ => match percentile {
                Some(percent) if percent > 0.0 && percent < 100.0 => Self::Percentile(percent),
                _ => {
                    return Err(format!(
                        "unknown metric {name:?}; use rate, errors, error-ratio, min, mean, max, or \
                         percentiles such as p50 and p99.9"
                    ));
                }
            },
        })
    }
}

impl Operator {
    #[allow(clippy::float_cmp, reason = "== is for counts and for exact zero")]
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::More => value > limit,
            Self::AtLeast => value >= limit,
            Self::Equal => value == limit,
        }
    }
}

impl FromStr for Operator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            "==" => Self::Equal,
            _ => return Err(format!("unknown comparison {text}; use < <= > >= or ==")),
        })
    }
}

impl fmt::Display for Checked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.holds { "holds" } else { "failed" };
        write!(f, "assertion {word}: {}: {}", self.assertion, self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::summary::tests::summary;

    #[test]
    fn figures_are_compared() {
        // 1000 answered in 2 s, latencies 1 to 1000 us, 250 errors.
        let summary = summary(1000, 250);
        for (text, holds, shown) in [
            ("p99<20ms", true, "measured 990µs"),
            ("p99 < 0.99ms", false, "measured 990µs"),
            ("p99<=990us", true, "measured 990µs"),
            ("p99.9>=1ms", false, "measured 999µs"),
            ("p50==500us", true, "measured 500µs"),
            ("max<=1ms", true, "measured 1ms"),
            ("max<1ms", false, "measured 1ms"),
            ("min>=1us", true, "measured 1µs"),
            ("mean>0.5ms", true, "measured 500µs"),
            ("rate>=500", true, "measured 500.0/s"),
            ("rate>500/s", false, "measured 500.0/s"),
            ("errors==0", false, "measured 250"),
            ("errors<=250", true, "measured 250"),
            ("error-ratio<=20%", true, "measured 20%"),
            ("error-ratio<0.2", false, "measured 20%"),
        ] {
            let assertion: Assertion = text.parse().unwrap();
            let checked = assertion.check(&summary);
            assert_eq!(
                (checked.holds, checked.shown.as_str()),
                (holds, shown),
                "{text}"
            );
            assert_eq!(checked.assertion, text);
        }
    }

    #[test]
    fn assertions_about_unmeasured_values_fail() {
        let summary = summary(0, 0);
        for text in ["p99<20ms", "max<1h", "min>=0s", "mean<1s", "error-ratio<=1"] {
            let assertion: Assertion = text.parse().unwrap();
            let line = format!("assertion failed: {text}: nothing was measured");
            assert_eq!(assertion.check(&summary).to_string(), line);
        }
        for (text, word) in [("errors==0", "holds"), ("rate>0", "failed")] {
            let assertion: Assertion = text.parse().unwrap();
            let checked = assertion.check(&summary).to_string();
            assert!(checked.starts_with(&format!("assertion {word}: {text}: measured 0")));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let metrics =
            "use rate, errors, error-ratio, min, mean, max, or percentiles such as p50 and p99.9";
        let time = "is not a time with its unit, such as 20ms, 1.5s or 800us";
        for (text, wrong) in [
            (
                "p99",
                "no comparison; write METRIC<VALUE, such as p99<20ms or errors==0".to_owned(),
            ),
            ("p99<", "nothing after <".to_owned()),
            ("<20ms", format!("unknown metric \"\"; {metrics}")),
            (
                "p99=20ms",
                "unknown comparison =; use < <= > >= or ==".to_owned(),
            ),
            (
                "p99=>20ms",
                "unknown comparison =>; use < <= > >= or ==".to_owned(),
            ),
            (
                "p99!=20ms",
                "unknown comparison !=; use < <= > >= or ==".to_owned(),
            ),
            ("p99<20", format!("\"20\" {time}")),
            ("p99<ms", format!("\"ms\" {time}")),
            ("p99<-1ms", format!("\"-1ms\" {time}")),
            ("p99<20ms<30ms", format!("\"20ms<30ms\" {time}")),
            ("max<20%", format!("\"20%\" {time}")),
            ("p100<1s", format!("unknown metric \"p100\"; {metrics}")),
            ("p0<1s", format!("unknown metric \"p0\"; {metrics}")),
            ("pinf<1s", format!("unknown metric \"pinf\"; {metrics}")),
            ("median<1s", format!("unknown metric \"median\"; {metrics}")),
            (
                "rate>5k",
                "\"5k\" is not a rate such as 5000 or 5000/s".to_owned(),
            ),
            ("errors<0.5", "\"0.5\" is not a whole number".to_owned()),
            ("errors==1%", "\"1%\" is not a whole number".to_owned()),
            (
                "error-ratio<1ms",
                "\"1ms\" is not a ratio such as 0.01 or 1%".to_owned(),
            ),
        ] {
            assert_eq!(text.parse::<Assertion>().unwrap_err(), wrong, "{text}");
        }
    }
}
