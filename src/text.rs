//! Text from elsewhere, made safe before it reaches a terminal, the journal, systemd's STATUS or an error
//! message. Pure.
//!
//! Control characters could move the cursor, rewrite what stands above or end a record early; marks of
//! direction could make one text look like another; invisible characters make two texts look the same.

use std::borrow::Cow;

/// The text on one line, with all that is not seen as it is in Rust's notation, such as `\u{1b}`. What is safe
/// stays as it is, so doing it twice changes nothing.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        push_safe(&mut shown, c);
    }
    shown.into()
}

/// Adds a character to a line, made safe.
pub(crate) fn push_safe(line: &mut String, c: char) {
    match c {
        '\0' => line.push_str("\\0"),
        _ if is_unsafe(c) => line.extend(c.escape_default()),
        _ => line.push(c),
    }
}

/// Whether a character is not shown as it is: controls, line separators, all marks of direction, and whatever has
/// no form of its own (Unicode's `Default_Ignorable_Code_Point`, and most of its format characters).
///
/// Joiners and variation selectors are among those, although emoji use them: two names that look the same must not
/// differ, and terminals do not agree on how wide what they make is. Accents that combine are visible and stay.
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
    fn what_is_not_seen_as_it_is_is_escaped() {
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
}
