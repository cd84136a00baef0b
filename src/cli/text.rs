//! Text for people: JSON that a terminal can be shown, beginnings of what is long, spans of time, columns. Pure.

use crate::text::is_unsafe;
use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

pub(super) use crate::text::safe;

/// As many characters of a number as an error line repeats.
const SHOWN: usize = 40;

/// What [`safe`] is for JSON: escapes in JSON's notation, so that the meaning stays the same.
pub(super) fn safe_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
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

/// How many columns of a terminal the text takes: two for a wide character, none for an accent that combines.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, &str)] = &[
        ("832040", "832040"),
        ("grüße, 世界 🦀", "grüße, 世界 🦀"),
        ("\u{1b}[2J", r"\u001b[2J"),
        ("a\nb\r\tc", r"a\u000ab\u000d\u0009c"),
        ("\u{9b}2J\u{7f}", r"\u009b2J\u007f"),
        ("\u{202e}live\u{2066}", r"\u202elive\u2066"),
        ("\u{2028}\u{feff}\u{e0041}", r"\u2028\ufeff\udb40\udc41"),
    ];

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, json) in CASES {
            assert_eq!(safe_json(text), *json, "{text:?}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        for (text, _) in CASES {
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

    #[test]
    fn columns_are_those_of_a_terminal() {
        for (text, count) in [
            ("", 0),
            ("blue", 4),
            ("grün", 4),
            ("gru\u{308}n", 4),
            ("日本", 4),
            ("🦀", 2),
            ("ｗｉｄｅ", 8),
        ] {
            assert_eq!(columns(text), count, "{text}");
        }
    }
}
