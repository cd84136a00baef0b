//! Numbers in all spellings, and what is refused.

use super::*;
use proptest::prelude::*;

type Parser = fn(&[u8]) -> Result<u64, Status>;

fn assert_refused(parse: Parser, body: &[u8], code: Code, part: &str) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
    let status = parse(body).expect_err(&shown);
    assert_eq!(status.code(), code, "{shown:?}: {status}");
    assert!(status.message().contains(part), "{shown:?}: {status}");
    assert!(status.message().len() < 200, "{shown:?}: {status}");
    let clean = status.message().chars().all(|c| !c.is_control());
    assert!(clean, "{shown:?}: {status:?}");
}

#[test]
fn the_format_selects_the_parser_of_the_body() {
    let body = br#"{"n": 30}"#;
    assert_eq!(read(body, Format::Json), Ok(30));
    let status = read(body, Format::Text).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[test]
fn valid_text_is_accepted() {
    let table: [(&[u8], u64); 12] = [
        (b"30", 30),
        (b" 30\n", 30),
        (b"\r\n\t \x0b\x0c30\x0c\x0b \t\r\n", 30),
        (b"0", 0),
        (b"1", 1),
        (b"+5", 5),
        (b"007", 7),
        (b"+007", 7),
        (b"000", 0),
        (b"1000000", 1_000_000),
        (b"18446744073709551615", u64::MAX),
        (b"0000000000000000000000018446744073709551615", u64::MAX),
    ];
    for (body, n) in table {
        assert_eq!(
            from_text(body),
            Ok(n),
            "{:?}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn invalid_text_is_refused() {
    let (digits_400, mebibyte) = ("9".repeat(400), "1".repeat(1 << 20));
    let spaces = " ".repeat(1 << 20);
    let minus = format!("-{mebibyte}");
    let table: [(&[u8], Code, &str); 29] = [
        (b"", Code::InvalidArgument, "empty"),
        (b" \n", Code::InvalidArgument, "empty"),
        (spaces.as_bytes(), Code::InvalidArgument, "empty"),
        (b"-1", Code::InvalidArgument, "negative: `-1`"),
        (b"-0", Code::InvalidArgument, "negative: `-0`"),
        (minus.as_bytes(), Code::InvalidArgument, "negative"),
        (b"-", Code::InvalidArgument, "not a decimal integer: `-`"),
        (b"+", Code::InvalidArgument, "not a decimal integer: `+`"),
        (b"+-5", Code::InvalidArgument, "not a decimal integer"),
        (b"++5", Code::InvalidArgument, "not a decimal integer"),
        (b"-+5", Code::InvalidArgument, "not a decimal integer"),
        (b"- 5", Code::InvalidArgument, "not a decimal integer"),
        (
            b"abc",
            Code::InvalidArgument,
            "not a decimal integer: `abc`",
        ),
        (b"1e3", Code::InvalidArgument, "not a decimal integer"),
        (b"5.0", Code::InvalidArgument, "not a decimal integer"),
        (b"5.", Code::InvalidArgument, "not a decimal integer"),
        (b"0x10", Code::InvalidArgument, "not a decimal integer"),
        (b"1_000", Code::InvalidArgument, "not a decimal integer"),
        (b"1 2", Code::InvalidArgument, "not a decimal integer"),
        (b"5\0", Code::InvalidArgument, r"`5\0`"),
        (b"30\n40", Code::InvalidArgument, r"`30\n40`"),
        (
            "٣".as_bytes(),
            Code::InvalidArgument,
            "not a decimal integer",
        ),
        (
            "\u{a0}5".as_bytes(),
            Code::InvalidArgument,
            "not a decimal integer",
        ),
        (b"\xff\xfe", Code::InvalidArgument, "not UTF-8"),
        (
            &[0, 0, 0, 0, 0, 0, 0, 30],
            Code::InvalidArgument,
            "not a decimal",
        ),
        (
            b"{\"n\":30}",
            Code::InvalidArgument,
            "not a decimal integer",
        ),
        (
            b"18446744073709551616",
            Code::OutOfRange,
            "18446744073709551615",
        ),
        (digits_400.as_bytes(), Code::OutOfRange, "99..."),
        (mebibyte.as_bytes(), Code::OutOfRange, "largest"),
    ];
    for (body, code, part) in table {
        assert_refused(from_text, body, code, part);
    }
}

#[test]
fn valid_json_is_accepted() {
    let table = [
        ("30", 30),
        (" 30 \n", 30),
        ("0", 0),
        ("18446744073709551615", u64::MAX),
        (r#"{"n": 30}"#, 30),
        (" {\"n\"\n:\t30 } ", 30),
        (r#"{"\u006e": 30}"#, 30),
        (r#"{"id": "x", "n": 30, "more": [1, {"n": 2}]}"#, 30),
    ];
    for (body, n) in table {
        assert_eq!(from_json(body.as_bytes()), Ok(n), "{body}");
    }
}

#[test]
fn invalid_json_is_refused() {
    let invalid = Code::InvalidArgument;
    let table: [(&[u8], Code, &str); 35] = [
        (b"", invalid, "malformed JSON"),
        (b"  ", invalid, "malformed JSON"),
        (b"-1", invalid, "negative: `-1`"),
        (b"-0", invalid, "negative"),
        (b"5.0", invalid, "not an integer: `5.0`"),
        (b"1e3", invalid, "not an integer: `1e3`"),
        (b"-5.0", invalid, "not an integer"),
        (b"1E400", invalid, "not an integer"),
        (b"+5", invalid, "malformed JSON"),
        (b"007", invalid, "malformed JSON"),
        (b"0x10", invalid, "malformed JSON"),
        (b"NaN", invalid, "malformed JSON"),
        (b"5\0", invalid, "malformed JSON"),
        (b"30 40", invalid, "trailing"),
        (b"\"30\"", invalid, "a string"),
        (b"null", invalid, "null"),
        (b"true", invalid, "a boolean"),
        (b"false", invalid, "a boolean"),
        (b"[30]", invalid, "an array"),
        (b"{}", invalid, "missing field `n`"),
        (br#"{"N":30}"#, invalid, "missing field `n`"),
        (br#"{"n":30,"n":30}"#, invalid, "duplicate field `n`"),
        (br#"{"n":30}{"n":30}"#, invalid, "trailing"),
        (br#"{"n":30"#, invalid, "EOF"),
        (br#"{"n":30,}"#, invalid, "malformed JSON"),
        (br#"{"n":"30"}"#, invalid, "a string"),
        (br#"{"n":null}"#, invalid, "null"),
        (br#"{"n":[30]}"#, invalid, "an array"),
        (br#"{"n":{"n":30}}"#, invalid, "an object"),
        (br#"{"n":-1}"#, invalid, "negative"),
        (br#"{"n":3.5}"#, invalid, "not an integer: `3.5`"),
        (b"\xef\xbb\xbf30", invalid, "malformed JSON"),
        (b"\"\xff\"", invalid, "malformed JSON"),
        (
            b"18446744073709551616",
            Code::OutOfRange,
            "`18446744073709551616`",
        ),
        (
            br#"{"n": 18446744073709551616}"#,
            Code::OutOfRange,
            "`18446744073709551616`",
        ),
    ];
    for (body, code, part) in table {
        assert_refused(from_json, body, code, part);
    }
}

/// Most of these would overflow the stack of a recursive parser.
#[test]
fn large_or_deep_json_is_refused() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let digits = |length| "9".repeat(length);
    let invalid = Code::InvalidArgument;
    let table = [
        (nested(100_000), invalid, "an array"),
        (format!("\r\n\t {}", nested(100_000)), invalid, "an array"),
        ("[".repeat(100_000), invalid, "an array"),
        (r#"{"n":"#.repeat(100_000), invalid, "at most 16384"),
        (r#"{"n":"#.repeat(3_000), invalid, "malformed JSON"),
        (
            format!(r#"{{"n":{}}}"#, nested(100_000)),
            invalid,
            "at most 16384",
        ),
        (format!(r#"{{"n":{}}}"#, nested(8_000)), invalid, "an array"),
        (
            format!(r#"{{"x":{}}}"#, nested(8_000)),
            invalid,
            "missing field `n`",
        ),
        (format!("\"{}\"", "x".repeat(1 << 20)), invalid, "a string"),
        (digits(400), Code::OutOfRange, "99..."),
        (digits(1 << 20), Code::OutOfRange, "largest"),
        (
            format!(r#"{{"n":{}}}"#, digits(400)),
            Code::OutOfRange,
            "99...",
        ),
        (
            format!(r#"{{"n":{}}}"#, digits(16_000)),
            Code::OutOfRange,
            "99...",
        ),
        (
            format!(r#"{{"n":{}}}"#, digits(1 << 20)),
            invalid,
            "at most 16384",
        ),
    ];
    for (body, code, part) in table {
        assert_refused(from_json, body.as_bytes(), code, part);
    }
    let ignored = format!(r#"{{"x":{},"n":30}}"#, nested(8_000));
    assert_eq!(from_json(ignored.as_bytes()), Ok(30));
    let longest = format!(r#"{{"n":{}30}}"#, " ".repeat(MAX_OBJECT_BYTES - 8));
    assert_eq!(from_json(longest.as_bytes()), Ok(30));
    let longer = longest + " ";
    assert_refused(
        from_json,
        longer.as_bytes(),
        Code::InvalidArgument,
        "16385 bytes",
    );
}

proptest! {
    #[test]
    fn every_number_round_trips(n: u64) {
        prop_assert_eq!(from_text(n.to_string().as_bytes()), Ok(n));
        prop_assert_eq!(from_json(n.to_string().as_bytes()), Ok(n));
        prop_assert_eq!(from_json(format!(r#"{{"n":{n}}}"#).as_bytes()), Ok(n));
    }

    #[test]
    fn arbitrary_bodies_never_panic(body: Vec<u8>) {
        let _ = (from_text(&body), from_json(&body));
    }

    #[test]
    fn only_integers_are_numbers(body in "[-+0-9eE.nx\" {}:\\[\\]\\\\]{0,12}") {
        if let Ok(n) = from_text(body.as_bytes()) {
            prop_assert_eq!(body.trim().parse::<u64>(), Ok(n));
        }
        let value: Option<serde_json::Value> = serde_json::from_str(&body).ok();
        let value = value.map(|value| value.get("n").cloned().unwrap_or(value));
        let expected = value.as_ref().and_then(serde_json::Value::as_u64);
        prop_assert_eq!(from_json(body.as_bytes()).ok(), expected);
    }
}
