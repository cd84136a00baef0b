//! Common mistakes in values: quotes, brackets and blanks around them, and paths that only shells or browsers understand. Pure.

/// Whether a text starts and ends with matching quotation marks, as in values that `docker --env-file` took literally.
pub(super) fn is_quoted(text: &str) -> bool {
    const PAIRS: [(char, char); 5] = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('\u{201c}', '\u{201d}'),
        ('\u{2018}', '\u{2019}'),
    ];
    let inside = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    PAIRS.into_iter().any(|pair| inside(pair).is_some())
}

/// Whether a text is a list in the syntax of TOML or JSON.
pub(super) fn is_bracketed(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']')
}

/// Whether a character is invisible at the start or end of a text.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Whether a text starts or ends with such a character.
pub(super) fn has_outer_blank(text: &str) -> bool {
    text.starts_with(is_blank) || text.ends_with(is_blank)
}

/// What to do about a path that does not exist, if the path shows why.
pub(super) fn path_hint(path: &str) -> Option<&'static str> {
    let starts = |start: &str| path.starts_with(start);
    Some(match path {
        "-" => "write /dev/stdin for standard input",
        _ if is_quoted(path) => "its name contains quotes; remove them",
        _ if path.ends_with(is_blank) => "remove the blank at its end",
        _ if path.starts_with(is_blank) => "remove the blank at its start",
        _ if starts("~") => "only a shell expands ~; write the home directory in full",
        _ if starts("$") => "variables are not expanded; write the value",
        _ if starts("%") => "%d is expanded in units only; write the path in full",
        _ if starts("file:") => "write the path only, without file:",
        _ if starts("/dev/fd/") || starts("/proc/self/fd/") => {
            "that descriptor is not open (sudo closes them)"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{has_outer_blank, is_bracketed, is_quoted, path_hint};

    #[test]
    fn quotes_brackets_and_blanks_are_recognised() {
        for (text, quoted, bracketed, blank) in [
            ("", false, false, false),
            ("a", false, false, false),
            ("\"", false, false, false),
            ("''", true, false, false),
            ("\"a\"", true, false, false),
            ("`a`", true, false, false),
            ("\u{201c}a\u{201d}", true, false, false),
            ("\u{2018}a\u{2019}", true, false, false),
            ("\"a'", false, false, false),
            ("it's", false, false, false),
            ("[a]", false, true, false),
            ("[", false, false, false),
            ("[::1]:1", false, false, false),
            (" a", false, false, true),
            ("a\r", false, false, true),
            ("\u{feff}a", false, false, true),
            ("a b", false, false, false),
        ] {
            assert_eq!(is_quoted(text), quoted, "{text:?}");
            assert_eq!(is_bracketed(text), bracketed, "{text:?}");
            assert_eq!(has_outer_blank(text), blank, "{text:?}");
        }
    }

    #[test]
    fn an_ordinary_path_needs_no_hint() {
        for path in ["/etc/fibrpc.toml", "fibrpc.toml", "./-", "./~", "a$b"] {
            assert_eq!(path_hint(path), None, "{path}");
        }
    }
}
