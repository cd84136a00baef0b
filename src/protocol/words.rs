//! Words for people that depend on a number. Pure.

/// So many things of this kind: `1 request`, `2 requests`.
pub fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let said = [0, 1, 2].map(|count| plural(count, "request"));
        assert_eq!(said, ["0 requests", "1 request", "2 requests"]);
    }
}
