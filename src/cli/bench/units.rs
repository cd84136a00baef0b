//! Figures as they are written in assertions and shown in the report. Pure. Times are in microseconds.

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

/// A time for people, with three digits that count.
pub(super) fn time(micros: f64) -> String {
    let (value, unit) = match micros {
        // From here on three digits would round up to four.
        _ if micros < 999.5 => return format!("{micros:.0} µs"),
        _ if micros < 999.5e3 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let decimals = match value {
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
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

    #[test]
    fn times_are_shown_with_three_digits() {
        for (micros, shown) in [
            (0.0, "0 µs"),
            (1.4, "1 µs"),
            (830.2, "830 µs"),
            (999.6, "1.00 ms"),
            (4953.0, "4.95 ms"),
            (9996.0, "10.0 ms"),
            (12_345.0, "12.3 ms"),
            (99_960.0, "100 ms"),
            (123_456.0, "123 ms"),
            (999_600.0, "1.00 s"),
            (1_000_000.0, "1.00 s"),
            (75_000_000.0, "75.0 s"),
            (7_500_000_000.0, "7500 s"),
        ] {
            assert_eq!(time(micros), shown, "{micros}");
        }
    }
}
