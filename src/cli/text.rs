//! Text from elsewhere, made safe before it reaches a terminal; spans of time for people. Pure.
//!
//! Control characters could move the cursor or rewrite what stands above, and direction marks could
//! make one text look like another; both are shown as escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// As many characters of a number as an error line repeats.
const SHOWN: usize = 40;

/// The text on one line, with what a terminal would not show as it is in Rust's notation, `\u{1b}`.
pub(super) fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(unsafe_to_show) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if unsafe_to_show(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// The same for JSON, in JSON's notation, so that the meaning stays the same.
pub(super) fn safe_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if unsafe_to_show(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The beginning of a text that may be very long.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// `42s`, `3m12s`, `5h7m`, `12d3h`.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if days > 0 {
        format!("{days}d{}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h{}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m{}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// Control characters, line separators, direction marks, invisible and tag characters.
fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, &str, &str)] = &[
        ("832040", "832040", "832040"),
        ("grüße, 世界 🦀", "grüße, 世界 🦀", "grüße, 世界 🦀"),
        ("\u{1b}[2J", "\\u{1b}[2J", "\\u001b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc", "a\\u000ab\\u000d\\u0009c"),
        ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}", "\\u009b2J\\u007f"),
        (
            "\u{202e}live\u{2066}",
            "\\u{202e}live\\u{2066}",
            "\\u202elive\\u2066",
        ),
        (
            "\u{2028}\u{feff}\u{e0041}",
            "\\u{2028}\\u{feff}\\u{e0041}",
            "\\u2028\\ufeff\\udb40\\udc41",
        ),
    ];

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, shown, json) in CASES {
            assert_eq!(safe(text), *shown, "{text:?}");
            assert_eq!(safe_json(text), *json, "{text:?}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        for (text, ..) in CASES {
            let line = safe_json(&serde_json::to_string(text).unwrap());
            assert_eq!(
                serde_json::from_str::<String>(&line).unwrap(),
                *text,
                "{line}"
            );
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shorten("30"), "30");
        assert_eq!(shorten(&"9".repeat(SHOWN)), "9".repeat(SHOWN));
        assert_eq!(
            shorten(&"ü".repeat(SHOWN + 1)),
            format!("{}...", "ü".repeat(SHOWN))
        );
    }

    #[test]
    fn times_read_well() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3_600, "1h0m"),
            (90_061, "1d1h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
