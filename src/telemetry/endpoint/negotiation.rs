//! Which format of metrics a client prefers, by its header `Accept` (RFC 9110). Pure.

use crate::telemetry::metrics::Format;

/// The format to send, given the values of the header.
pub(super) fn format<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let (mut open_metrics, mut text) = (0, 0);
    for range in accept.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let mut weight = 1000;
        let mut version = "";
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => weight = thousandths(value.trim()),
                "version" => version = value.trim().trim_matches('"'),
                _ => {}
            }
        }
        if kind.eq_ignore_ascii_case("application/openmetrics-text")
            && matches!(version, "" | "1.0.0")
        {
            open_metrics = weight.max(open_metrics);
        } else if kind.eq_ignore_ascii_case("text/plain") && matches!(version, "" | "0.0.4") {
            text = weight.max(text);
        }
    }
    if open_metrics > 0 && open_metrics >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// A weight from 0 to 1 in thousandths; 0 if it is none.
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if is_number => 1000,
        "0" if is_number => digits.fold(0, |all, digit| all * 10 + u32::from(digit - b'0')),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_format_is_sent() {
        // What Prometheus 2.42 and 3.5 send.
        let bookworm = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let newer = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html", Format::Text),
            ("text/plain", Format::Text),
            ("nonsense;;q=,=", Format::Text),
            (bookworm, Format::OpenMetrics),
            (newer, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.1",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=0.0000", Format::Text),
            (
                "application/openmetrics-text;q=0.5, text/plain",
                Format::Text,
            ),
            (
                "application/openmetrics-text;q=0.5, text/plain;q=0.49",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(format(accept.split('\n')), expected, "{accept}");
        }
        let lines = ["text/plain;q=0.1", "application/openmetrics-text;q=0.2"];
        assert_eq!(format(lines.into_iter()), Format::OpenMetrics);
    }
}
