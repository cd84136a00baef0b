//! Tables of URLs, good and bad.

use super::{BrokerUrl, Scheme};

fn parse(text: &str) -> BrokerUrl {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn missing_parts_have_defaults() {
    for text in [
        "amqp://localhost",
        "AMQP://localhost:5672/%2f",
        "amqp://guest:guest@localhost",
    ] {
        assert_eq!(parse(text), BrokerUrl::default(), "{text}");
    }
    for (text, default_login) in [
        ("amqp://guest:guest@h", true),
        ("amqp://guest:other@h", false),
        ("amqp://guest@h", false),
        ("amqps://h", true),
        ("amqps://guest:guest@h", false),
    ] {
        assert_eq!(parse(text).default_login, default_login, "{text}");
    }
    assert_eq!(parse("amqps://h").port, 5671);
}

#[test]
#[rustfmt::skip]
fn all_parts() {
    for (text, user, password, address, vhost) in [
        ("amqp://u:p@h:1/v", "u", Some("p"), "h:1", "v"),
        ("amqp://a%40b:p%23%2F%3f%25%3a@h/a%2fb", "a@b", Some("p#/?%:"), "h:5672", "a/b"),
        ("amqp://u:p:q@h", "u", Some("p:q"), "h:5672", "/"),
        ("amqp://u:@h", "u", Some(""), "h:5672", "/"),
        ("amqp://u@h", "u", None, "h:5672", "/"),
        ("amqp://u:%c3%a9@h/%c3%a9", "u", Some("é"), "h:5672", "é"),
        ("amqp://u:p@[::1]:7/v", "u", Some("p"), "[::1]:7", "v"),
        ("amqp://u:p@[fe80::1%25eth0]:7/v", "u", Some("p"), "[fe80::1%eth0]:7", "v"),
        ("amqp://[fe80::1%eth0.1]", "guest", Some("guest"), "[fe80::1%eth0.1]:5672", "/"),
        ("amqp://[fe80::1%2525]", "guest", Some("guest"), "[fe80::1%25]:5672", "/"),
        ("amqp://[2001:db8::2]", "guest", Some("guest"), "[2001:db8::2]:5672", "/"),
        ("amqp://192.0.2.1:65535", "guest", Some("guest"), "192.0.2.1:65535", "/"),
        ("amqp://rabbit_1.mq-2.example", "guest", Some("guest"), "rabbit_1.mq-2.example:5672", "/"),
    ] {
        let url = parse(text);
        assert_eq!(url.scheme, Scheme::Amqp, "{text}");
        assert_eq!(url.user, user, "{text}");
        assert_eq!(
            url.password.as_ref().map(super::Secret::expose),
            password,
            "{text}"
        );
        assert_eq!(
            (url.address(), url.to_string()),
            (address.into(), address.into()),
            "{text}"
        );
        assert_eq!(url.vhost, vhost, "{text}");
    }
}

#[test]
#[rustfmt::skip]
fn refusals_say_what_to_do() {
    for (text, words) in [
        ("", "is empty; write for example"),
        ("localhost", "has no scheme"),
        ("guest:guest@localhost", "has no scheme"),
        ("http://h:15672", "management interface; AMQP is at amqp://HOST:5672"),
        ("amqp+ssl://h", "must start with amqp:// or amqps://; did you mean amqps://"),
        ("rabbit://h", "did you mean amqp://?"),
        ("amqp://u:k4n#ary@h", "raw `#`; in a user name, password or vhost write %23"),
        ("amqp://u:k4n@ary@h", "raw `@`; in a user name, password or vhost write %40"),
        ("amqp://u:k4n/ary@h", "raw `/`; in a user name, password or vhost write %2f"),
        ("amqp://u:k4n?ary@h", "raw `?`; in a user name, password or vhost write %3f"),
        ("amqp://u:k4n ary@h", "percent-encode it"),
        ("amqp://u:k4nàry@h", "percent-encode it"),
        ("amqp://u:k4nary%@h", "write %25"),
        ("amqp://u:k4nary%zz@h", "write %25"),
        ("amqp://u:k4nary%é@h", "percent-encode it"),
        ("amqp://u:k4nary%ff@h", "not UTF-8"),
        ("amqp://u:k4nary%00@h", "NUL"),
        ("amqp://:k4nary@h", "empty user"),
        ("amqp://@h", "empty user"),
        ("amqp://h/", "which means the empty vhost; remove that `/`, or write /%2f"),
        ("amqp://h//", "raw `/` in the vhost; write %2f"),
        ("amqp://h/a/b", "raw `/` in the vhost"),
        ("amqp://", "has no host"),
        ("amqp:///v", "has no host"),
        ("amqp://u:k4nary@", "has no host"),
        ("amqp://u:k4nary", "bad port; write a number from 1 to 65535, and user and password before"),
        ("amqp://h:0", "bad port"),
        ("amqp://h:65536", "bad port"),
        ("amqp://h:", "bad port"),
        ("amqp://h:+1", "bad port"),
        ("amqp://::1", "more than one `:` in host and port; write an IPv6 address in brackets"),
        ("amqp://[::1", "`[` without a `]`"),
        ("amqp://[h]", "no IPv6 address between"),
        ("amqp://[::1]x", "bad port"),
        ("amqp://[]", "no IPv6 address between"),
        ("amqp://[fe80::1]", "without its interface; write for example [fe80::1%25eth0]"),
        ("amqp://[fe80::1%]", "bad zone"),
        ("amqp://[fe80::1%25a/b]", "`[` without a `]`"),
        ("amqp://[fe80::1%25k4n%41]", "bad zone"),
        ("amqp://[fe80::1%25sixteen-bytes-ab]", "bad zone"),
        ("amqp://[::1%25]:0", "bad port"),
        ("amqp://h%25eth0", "bad host name"),
        ("amqp://h%41", "bad host name"),
        ("amqp://h?heartbeat=5", "the query parameter `heartbeat`; set broker.heartbeat"),
        ("amqps://h/v?cacertfile=/x", "set broker.tls.ca_file"),
        ("amqps://h/v?k4nary=/x", "query parameters are not supported"),
    ] {
        let error = text.parse::<BrokerUrl>().expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert!(
            !error.contains("k4n") && !error.contains("ary"),
            "{text}: {error}"
        );
    }
    let long = format!("amqp://h/{}", "v".repeat(256));
    assert!(long.parse::<BrokerUrl>().is_err());
    assert!(long[..long.len() - 1].parse::<BrokerUrl>().is_ok());
}

#[test]
fn the_canonical_form_keeps_all_but_the_password() {
    assert_eq!(
        BrokerUrl::default().redacted(),
        "amqp://guest:guest@localhost:5672/%2f"
    );
    for (text, canonical) in [
        (
            "amqps://a%40b:k4nary@[::1]/x%2fy",
            "amqps://a%40b:***@[::1]:5671/x%2fy",
        ),
        ("amqp://U@H/V", "amqp://U@H:5672/V"),
        (
            "amqp://U@[fe80::1%eth0]/V",
            "amqp://U@[fe80::1%25eth0]:5672/V",
        ),
        ("amqp://U@[fe80::1%25]/V", "amqp://U@[fe80::1%2525]:5672/V"),
        ("amqp://guest:k4nary@h", "amqp://guest:***@h:5672/%2f"),
        ("amqps://h", "amqps://h:5671/%2f"),
        ("amqps://guest:guest@h", "amqps://guest:guest@h:5671/%2f"),
    ] {
        let url = parse(text);
        assert_eq!(url.redacted(), canonical);
        let again = BrokerUrl {
            password: url.password.clone(),
            ..parse(canonical)
        };
        assert_eq!(again, url);
    }
}

#[test]
fn a_certificate_has_no_zone() {
    for (text, name, loopback) in [
        ("amqps://[fe80::1%25eth0]", "fe80::1", false),
        ("amqps://[::1%251]", "::1", true),
        ("amqps://[::1]", "::1", true),
        ("amqps://h.example", "h.example", false),
    ] {
        let url = parse(text);
        assert_eq!((url.tls_name(), url.is_loopback()), (name, loopback));
    }
}
