//! Text for people. Pure.
//!
//! - Untrusted text is made safe before it reaches a terminal, the journal, systemd's STATUS or an error message:
//!   control characters could move the cursor, rewrite earlier lines or end a record early; bidirectional controls
//!   could make one text look like another; invisible characters make two texts look the same.
//! - Durations and counts have one format each, in both programs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

/// The most characters in a line of the log and in STATUS; in UTF-8 less than the 4096 bytes that systemd takes.
pub(crate) const MAX_LINE: usize = 1000;

/// The text on one line; characters that are not shown as they are appear in Rust's notation, such as `\u{1b}`.
/// Safe text is unchanged, so applying it twice makes no difference.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\0' => shown.push_str("\\0"),
            _ if is_unsafe(c) => shown.extend(c.escape_default()),
            _ => shown.push(c),
        }
    }
    shown.into()
}

/// The first `max_chars` characters, [`safe`], and `...` if something was left out.
pub(crate) fn excerpt(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}...", safe(&text[..end])).into(),
        None => safe(text),
    }
}

/// The beginning of untrusted bytes, at most 32 characters between backquotes; `...` marks what was left out.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    quoted_to(bytes, 32)
}

/// Like [`quoted`], with at most `max_chars` characters.
pub(crate) fn quoted_to(bytes: &[u8], max_chars: usize) -> String {
    // A character has at most four bytes, so this is enough.
    let beginning = &bytes[..bytes.len().min(4 * (max_chars + 1))];
    let text = String::from_utf8_lossy(beginning);
    format!("`{}`", excerpt(&text, max_chars))
}

/// [`safe`] for JSON: escapes in JSON's notation, so that the meaning stays the same.
pub(crate) fn safe_json(json: &str) -> String {
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

/// A duration in the units of the configuration: three significant digits below a minute (`830µs`, `4.95ms`, `1.5s`),
/// two units above (`1m30s`, `5h7m`, `12d3h`).
pub(crate) fn duration(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        ..0.005 => return "0s".to_owned(),
        // From these bounds on, three digits would round up to four.
        ..999.5 => (micros, "µs"),
        ..999.5e3 => (micros / 1e3, "ms"),
        ..59.95e6 => (micros / 1e6, "s"),
        _ => {
            let seconds = time.saturating_add(Duration::from_millis(500)).as_secs();
            let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
            let (large, small) = match seconds {
                86400.. => ((days, "d"), (hours % 24, "h")),
                3600.. => ((hours, "h"), (minutes % 60, "m")),
                _ => ((minutes, "m"), (seconds % 60, "s")),
            };
            let text = |(value, unit)| format!("{value}{unit}");
            return match small {
                (0, _) => text(large),
                _ => text(large) + &text(small),
            };
        }
    };
    let digits = match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => return format!("{value:.0}{unit}"),
    };
    format!(
        "{}{unit}",
        digits.trim_end_matches('0').trim_end_matches('.')
    )
}

/// A duration in whole microseconds, for JSON and statistics.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A number of things: `1 request`, `2 requests`.
pub(crate) fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whether a character is not shown as it is: control characters, line separators, bidirectional controls, and whatever
/// has no form of its own (Unicode's `Default_Ignorable_Code_Point` and most of its format characters).
///
/// Joiners and variation selectors are included, although emoji use them: two names that look the same must not differ,
/// and terminals disagree on the width of the result. Combining accents are visible and stay.
pub(crate) fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(
        c,
        '\u{80}'..='\u{9f}'
            | '\u{ad}' // soft hyphen
            | '\u{34f}' // combining grapheme joiner
            | '\u{61c}' // Arabic letter mark
            | '\u{115f}'..='\u{1160}' // Hangul fillers
            | '\u{17b4}'..='\u{17b5}' // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}' // Mongolian selectors
            | '\u{200b}'..='\u{200f}' // zero width, joiners, direction
            | '\u{2028}'..='\u{202e}' // separators, direction
            | '\u{2060}'..='\u{206f}' // joiners, invisible operators, isolates
            | '\u{3164}' // Hangul filler
            | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{feff}' // byte order mark
            | '\u{ffa0}' // Hangul filler
            | '\u{fff0}'..='\u{fffb}' // annotations
            | '\u{13430}'..='\u{1343f}' // hieroglyph joiners
            | '\u{1bca0}'..='\u{1bca3}' // shorthand controls
            | '\u{1d173}'..='\u{1d17a}' // musical controls
            | '\u{e0000}'..='\u{e0fff}' // tags, more variation selectors
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_and_control_characters_are_escaped() {
        for (text, shown) in [
            ("", ""),
            ("832040", "832040"),
            (
                "grüße, 世界 🦀, e\u{301}, עברית",
                "grüße, 世界 🦀, e\u{301}, עברית",
            ),
            (r"C:\x{1}", r"C:\x{1}"),
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("a\nREADY=1\r\0\t", r"a\nREADY=1\r\0\t"),
            ("\u{9b}2J\u{7f}\u{85}", r"\u{9b}2J\u{7f}\u{85}"),
            ("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            ("\u{202e}live\u{2066}", r"\u{202e}live\u{2066}"),
            (
                "\u{202a}\u{202b}\u{202c}\u{202d}\u{2067}\u{2068}\u{2069}",
                r"\u{202a}\u{202b}\u{202c}\u{202d}\u{2067}\u{2068}\u{2069}",
            ),
            ("\u{200c}\u{200d}\u{2060}", r"\u{200c}\u{200d}\u{2060}"),
            ("\u{200e}\u{200f}\u{61c}", r"\u{200e}\u{200f}\u{61c}"),
            ("we\u{200b}b\u{ad}\u{feff}", r"we\u{200b}b\u{ad}\u{feff}"),
            ("👩\u{200d}💻 ❤\u{fe0f}", r"👩\u{200d}💻 ❤\u{fe0f}"),
            ("\u{3164}\u{115f}", r"\u{3164}\u{115f}"),
            ("x\u{e0041}\u{e0100}", r"x\u{e0041}\u{e0100}"),
            ("\u{fffd}", "\u{fffd}"),
        ] {
            assert_eq!(safe(text), shown, "{text:?}");
            assert_eq!(safe(shown), shown);
        }
    }

    #[test]
    fn excerpts_are_cut_between_characters() {
        for (text, shown) in [
            ("", ""),
            ("abc", "abc"),
            ("abcd", "abc..."),
            ("üüüü", "üüü..."),
            ("\n12", r"\n12"),
            ("\n123", r"\n12..."),
        ] {
            assert_eq!(excerpt(text, 3), shown, "{text:?}");
        }
        let line = excerpt("a\n\u{7f}\\ \u{1f600} é", 100);
        assert_eq!(line, "a\\n\\u{7f}\\ \u{1f600} é");
        assert_eq!(excerpt(&line, 100), line);
        assert_eq!(excerpt(&"漢".repeat(5000), 1000).chars().count(), 1003);
    }

    #[test]
    fn json_keeps_its_meaning() {
        for (text, json) in [
            ("832040", "832040"),
            ("grüße, 世界 🦀", "grüße, 世界 🦀"),
            ("\u{1b}[2J", r"\u001b[2J"),
            ("a\nb\r\tc", r"a\u000ab\u000d\u0009c"),
            ("\u{9b}2J\u{7f}", r"\u009b2J\u007f"),
            ("\u{202e}live\u{2066}", r"\u202elive\u2066"),
            ("\u{2028}\u{feff}\u{e0041}", r"\u2028\ufeff\udb40\udc41"),
        ] {
            assert_eq!(safe_json(text), json, "{text:?}");
            let line = safe_json(&serde_json::to_string(text).unwrap());
            let read: String = serde_json::from_str(&line).unwrap();
            assert_eq!(read, text, "{line}");
        }
    }

    #[test]
    fn durations_have_three_digits_or_two_units() {
        for (nanos, shown) in [
            (0, "0s"),
            (1, "0s"),
            (500, "0.5µs"),
            (1_400, "1.4µs"),
            (20_000, "20µs"),
            (830_200, "830µs"),
            (999_600, "1ms"),
            (4_953_000, "4.95ms"),
            (9_996_000, "10ms"),
            (12_345_000, "12.3ms"),
            (99_960_000, "100ms"),
            (250_000_000, "250ms"),
            (999_600_000, "1s"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (59_940_000_000, "59.9s"),
            (59_960_000_000, "1m"),
            (90_000_000_000, "1m30s"),
            (3_599_400_000_000, "59m59s"),
            (3_600_000_000_000, "1h"),
            (18_420_000_000_000, "5h7m"),
            (90_061_000_000_000, "1d1h"),
            (8_640_000_000_000_000, "100d"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), shown, "{nanos}");
        }
        assert!(duration(Duration::MAX).starts_with("213503982334601d"));
    }

    #[test]
    fn only_one_is_singular() {
        let counts = [0, 1, 2].map(|n| count(n, "request"));
        assert_eq!(counts, ["0 requests", "1 request", "2 requests"]);
    }

    #[test]
    fn quoted_bytes_are_short_and_escaped() {
        let long = "7".repeat(1 << 20);
        let umlauts = "ü".repeat(33);
        let table: [(&[u8], String); 11] = [
            (b"", "``".into()),
            (b"abc", "`abc`".into()),
            (b"5\0", r"`5\0`".into()),
            (b"a\r\nb\tc", r"`a\r\nb\tc`".into()),
            (b"\x1b[2J", r"`\u{1b}[2J`".into()),
            ("a\u{202e}b".as_bytes(), r"`a\u{202e}b`".into()),
            ("a\u{2028}b\u{85}".as_bytes(), r"`a\u{2028}b\u{85}`".into()),
            (br#"\"'"#, r#"`\"'`"#.into()),
            (b"\xff\xfe1", "`\u{fffd}\u{fffd}1`".into()),
            (long.as_bytes(), format!("`{}...`", "7".repeat(32))),
            (umlauts.as_bytes(), format!("`{}...`", "ü".repeat(32))),
        ];
        for (bytes, shown) in table {
            assert_eq!(quoted(bytes), shown);
        }
    }
}
