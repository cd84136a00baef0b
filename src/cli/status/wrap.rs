//! Text in lines of a limited width. Pure.

use unicode_width::UnicodeWidthChar as _;

/// The text in lines of at most this width, if there is one; all but the first are indented. Breaks at blanks if possible.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    const INDENT: &str = "  ";
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(width) = width {
        let indent = if lines.is_empty() { "" } else { INDENT };
        let Some(end) = overflow(rest, width.saturating_sub(indent.len()).max(1)) else {
            break;
        };
        let is_blank = rest[end..].starts_with(' ');
        let blank = if is_blank {
            Some(end)
        } else {
            rest[..end].rfind(' ')
        };
        let (line, next) = match blank.filter(|blank| *blank > 0) {
            Some(blank) => (&rest[..blank], rest[blank..].trim_start()),
            None => rest.split_at(end),
        };
        lines.push(format!("{indent}{line}"));
        rest = next;
    }
    let indent = if lines.is_empty() { "" } else { INDENT };
    lines.push(format!("{indent}{rest}"));
    lines
}

/// Where the part that does not fit begins; `None` if all of it fits. At least one character fits.
pub(super) fn overflow(text: &str, width: usize) -> Option<usize> {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width && index > 0 {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_and_elsewhere_if_they_must() {
        for (text, width, lines) in [
            ("", Some(5), &[""][..]),
            ("one two", None, &["one two"]),
            ("one two", Some(7), &["one two"]),
            ("one two", Some(6), &["one", "  two"]),
            ("one two three", Some(7), &["one two", "  three"]),
            ("one two three", Some(6), &["one", "  two", "  thre", "  e"]),
            ("日本語", Some(4), &["日本", "  語"]),
            ("abc", Some(1), &["a", "  b", "  c"]),
        ] {
            assert_eq!(wrapped(text, width), lines, "{text} {width:?}");
        }
    }
}
