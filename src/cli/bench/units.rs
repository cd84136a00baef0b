//! Numbers and times in assertions and in the report. Pure. Times are in microseconds.

use crate::text::duration;
use std::time::Duration;

/// Units of time in microseconds.
const TIME: [(&str, f64); 6] = [
    ("us", 1.0),
    ("µs", 1.0),
    ("ms", 1e3),
    ("s", 1e6),
    ("m", 60e6),
    ("h", 3600e6),
];

/// A decimal number without a sign, `20` or `0.5`.
pub(super) fn number(text: &str) -> Option<f64> {
    let decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    decimal.then(|| text.parse().ok()).flatten()
}

/// A decimal number with one unit.
pub(super) fn parse_time(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (value, unit) = text.split_at(end);
    let (_, factor) = TIME.iter().find(|(name, _)| *name == unit.trim())?;
    Some(number(value)? * factor)
}

/// A time for people.
pub(super) fn time(micros: f64) -> String {
    duration(Duration::try_from_secs_f64(micros / 1e6).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, micros) in [
            ("20ms", Some(20_000.0)),
            ("1.5s", Some(1_500_000.0)),
            ("800us", Some(800.0)),
            ("800µs", Some(800.0)),
            ("0.5ms", Some(500.0)),
            (".5ms", Some(500.0)),
            ("2 ms", Some(2000.0)),
            ("1m", Some(60e6)),
            ("1h", Some(3600e6)),
            ("0s", Some(0.0)),
            ("20", None),
            ("", None),
            ("ms", None),
            (".ms", None),
            ("1.2.3ms", None),
            ("1e3ms", None),
            ("-1ms", None),
            ("1ns", None),
            ("1s2", None),
        ] {
            assert_eq!(parse_time(text), micros, "{text:?}");
        }
    }
}
