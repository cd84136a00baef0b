//! Untrusted input shortened and escaped for a message: one line, a few characters. Pure functions, no
//! state.

use crate::text;

/// The default length of an [`excerpt`], in characters.
const EXCERPT_CHARS: usize = 32;

/// The beginning of untrusted bytes, between backquotes; `...` marks what was left out.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    excerpt_of(bytes, EXCERPT_CHARS)
}

/// Like [`excerpt`], with at most `limit` characters.
pub(super) fn excerpt_of(bytes: &[u8], limit: usize) -> String {
    // A character has at most four bytes, so this is enough for `limit` of them.
    let beginning = &bytes[..bytes.len().min(4 * (limit + 1))];
    let text = String::from_utf8_lossy(beginning);
    format!("`{}`", text::excerpt(&text, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_escaped() {
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
            assert_eq!(excerpt(bytes), shown);
        }
    }
}
