//! Makes texts that are meant as broker URLs safe to show. Pure.

/// Makes a text that is meant as a URL safe to show: user and password become `***`, and so does
/// everything that might be a password in a malformed URL.
pub fn redact(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (format!("{scheme}://"), rest),
        _ => (String::new(), text),
    };
    // The last `@`, since passwords with a raw `@`, `/`, `?` or `#` are the usual mistake.
    let (user_info, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let (address, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host_end = match address.strip_prefix('[') {
        Some(literal) => literal.find(']').map_or(0, |end| end + 2),
        None => address.find(':').unwrap_or(address.len()),
    };
    let (host, port) = address.split_at(host_end);
    // `user:password` without a host looks like `host:port`: only a real port is shown.
    let is_number = |digits: &str| digits.parse::<u16>().is_ok();
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
    if !is_port || !scheme.is_empty() && host.is_empty() {
        return format!("{scheme}{user_info}{host}:***");
    }
    let path = match path.find(['?', '#']) {
        Some(end) => format!("{}***", &path[..=end]),
        None => path.to_owned(),
    };
    format!("{scheme}{user_info}{address}{path}")
}

/// [`redact`] for any text: it is unchanged unless it resembles a URL.
pub(super) fn redact_urls(text: &str) -> String {
    if text.contains("://") || text.contains('@') || text.contains("amqp") {
        redact(text)
    } else {
        text.to_owned()
    }
}

fn is_scheme(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (1..=16).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_are_redacted() {
        for (text, shown) in [
            ("amqp://u:k4nary@h:1/v", "amqp://***@h:1/v"),
            ("amqp://u:k4@na#r/y?@h/v", "amqp://***@h/v"),
            ("amqp://u:k4nary", "amqp://u:***"),
            ("amqp://u:k4n/ary", "amqp://u:***"),
            ("amqp://h:5672/v", "amqp://h:5672/v"),
            ("amqp://[::1]:5672/v", "amqp://[::1]:5672/v"),
            ("amqp://[::1]é", "amqp://[::1]:***"),
            ("amqp://[k4nary", "amqp://:***"),
            ("amqp://h/v?password=k4nary", "amqp://h/v?***"),
            ("amqp://h#k4nary", "amqp://h#***"),
            ("u:k4nary@h", "***@h"),
            ("u:k4nary", "u:***"),
            ("amqp:/u:k4nary@h", "***@h"),
            ("localhost", "localhost"),
            ("k4nary k4nary://u@h", "***@h"),
        ] {
            assert_eq!(redact(text), shown, "{text}");
        }
    }
}
