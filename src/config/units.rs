//! How durations and sizes are written: `"250ms"`, `"1m30s"`, `"16MiB"`. Pure.

use std::time::Duration;

/// Units of time in milliseconds, largest first.
const TIME: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size in bytes, largest first.
const SIZE: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Parses whole numbers with the units `h`, `m`, `s` and `ms`, one after the other.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit());
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let (_, factor) = TIME.iter().find(|(name, _)| *name == unit.trim())?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = tail;
    }
    Some(Duration::from_millis(total))
}

/// The shortest text that [`parse_duration`] reads as this duration, whole milliseconds.
pub(super) fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in TIME {
        if rest >= factor {
            text += &(rest / factor).to_string();
            text += unit;
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Parses a whole number of bytes, `KiB`, `MiB` or `GiB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = SIZE.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The text in the largest unit that is exact.
pub(super) fn format_size(bytes: u64) -> String {
    let exact = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    match SIZE.iter().find(exact) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => "0B".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{format_duration, format_size, parse_duration, parse_size};
    use proptest::prelude::{ProptestConfig, any, proptest};
    use std::time::Duration;

    #[test]
    fn durations_are_parsed_and_formatted() {
        for (text, milliseconds, canonical) in [
            ("10s", 10_000, "10s"),
            ("250ms", 250, "250ms"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            (" 1m 30 s ", 90_000, "1m30s"),
            ("2h", 7_200_000, "2h"),
            ("1h1ms", 3_600_001, "1h1ms"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Some(duration), "{text}");
            assert_eq!(format_duration(duration), canonical, "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_durations() {
        for text in [
            "",
            " ",
            "10",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            "10 seconds",
            "1d",
            "10s5",
            "1S",
            "é",
            "1é",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_parsed_and_formatted() {
        for (text, bytes, canonical) in [
            ("16MiB", 16 << 20, "16MiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            (" 3 GiB ", 3 << 30, "3GiB"),
            ("1500B", 1500, "1500B"),
            ("0KiB", 0, "0B"),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(format_size(bytes), canonical, "{text}");
        }
        for text in [
            "",
            "16",
            "16M",
            "16MB",
            "1.5MiB",
            "-1B",
            "99999999999GiB",
            "MiB",
            "é",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn formatted_values_parse_to_the_same(number in any::<u64>(), small in any::<u16>()) {
            for number in [number, small.into()] {
                let duration = Duration::from_millis(number);
                assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
                assert_eq!(parse_size(&format_size(number)), Some(number));
            }
        }
    }
}
