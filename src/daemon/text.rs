//! Foreign text made fit for one line: of a log, of systemd's STATUS, of a terminal.

use crate::text::push_safe;

/// The longest text that is kept, in bytes; what a broker or a request says is cut there.
const LONGEST: usize = 1000;

/// `text` made safe, cut where it is too long. A newline would end a log record early and, in STATUS, begin a variable
/// of its own.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST));
    for c in text.chars() {
        if line.len() >= LONGEST {
            line.push('…');
            break;
        }
        push_safe(&mut line, c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stays_one_line() {
        for (text, expect) in [
            ("", ""),
            ("plain, ünïcode, 漢", "plain, ünïcode, 漢"),
            ("a\nREADY=1\r\0\t", r"a\nREADY=1\r\0\t"),
            ("\u{1b}[31mred\u{9b}", r"\u{1b}[31mred\u{9b}"),
            (
                "a\u{2028}b\u{202e}c\u{2066}d",
                r"a\u{2028}b\u{202e}c\u{2066}d",
            ),
        ] {
            assert_eq!(one_line(text), expect);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let cut = one_line(&"漢".repeat(5000));
        assert!(cut.ends_with("漢…"));
        assert!(cut.len() < LONGEST + 10);
    }
}
