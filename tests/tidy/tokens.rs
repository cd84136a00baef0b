//! Rust code as words and signs, without comments, literals and test items: enough to find the paths in it.

/// An identifier, `::`, or a single sign, with the line that it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

/// The tokens of a file, without comments, the contents of literals, and items that exist in tests only.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    without_tests(&all_tokens(text))
}

fn all_tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest);
        let length = length.unwrap_or_else(|| {
            let word = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            if !first.is_whitespace() {
                let text = &rest[..length];
                tokens.push(Token { line, text });
            }
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The length of the comment or literal that the text starts with, if it starts with one.
fn literal_or_comment(text: &str) -> Option<usize> {
    let through = |from: usize, end: &str| {
        let length = text[from..].find(end).map(|at| from + at + end.len());
        Some(length.unwrap_or(text.len()))
    };
    if text.starts_with("//") {
        return through(0, "\n");
    }
    if text.starts_with("/*") {
        return through(2, "*/");
    }
    // b"...", r"...", br#"..."#; `r` and `b` begin words as well.
    let marks = text.trim_start_matches('b');
    let raw = marks.trim_start_matches('r');
    let quoted = raw.trim_start_matches('#');
    let start = text.len() - quoted.len();
    let is_prefix = start <= 2 || raw.len() < marks.len();
    if quoted.starts_with('"') && is_prefix {
        if raw.len() < marks.len() {
            let end = format!("\"{}", &raw[..raw.len() - quoted.len()]);
            return through(start + 1, &end);
        }
        return Some(start + closing(quoted, '"')?);
    }
    // A character, not a lifetime: one character, or an escape, between quotes.
    let quoted = text.strip_prefix('b').unwrap_or(text);
    let mut chars = quoted.strip_prefix('\'')?.chars();
    let is_char = chars.next()? == '\\' || chars.next() == Some('\'');
    is_char.then_some(text.len() - quoted.len() + closing(quoted, '\'')?)
}

/// The length of a literal, quotes included, by the first closing quote that no backslash precedes.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let content = text.char_indices().skip(1);
    for (at, char) in content {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let texts = tokens[at..].iter().map(|token| token.text);
        if texts.take(6).eq(["#", "[", "cfg", "(", "test", ")"]) {
            at += item(&tokens[at..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// How many tokens an item has, with the attributes before it: up to its block, or its semicolon.
fn item(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            "}" if depth == 1 => return at + 1,
            ")" | "]" | "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[test]
fn comments_literals_and_tests_are_no_code() {
    let text = r##"
        a /* b */ // c
        "d \" d" 'e' b'\'' r#"f " f"# br"g" bytes
        #[cfg(test)]
        #[allow(x)]
        mod tests { fn h() { if i {} } }
        #[cfg(test)]
        mod more;
        j::<'k>('\u{1b}', "l
        l", m)
        #[cfg(not(test))] n
    "##;
    let tokens = tokens(text);
    let words = tokens
        .iter()
        .filter(|token| is_word(token.text.chars().next().unwrap()));
    let words: Vec<_> = words.map(|token| (token.line, token.text)).collect();
    let expected = [(2, "a"), (3, "bytes"), (9, "j"), (9, "k"), (10, "m")];
    assert_eq!(words[..5], expected);
    assert_eq!(words.last(), Some(&(11, "n")));
}
