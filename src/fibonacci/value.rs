//! The number in a reply's body, as decimal text or JSON. Pure.
//!
//! [`read()`] also accepts replies from the servers of RabbitMQ's tutorial in all languages: a bare integer is the value, an
//! empty body an error without a reason.

use super::number::trim;
use crate::protocol::{Format, Reply, Status};
use crate::text::quoted;
use serde::Deserialize;
use std::borrow::Cow;

/// The part of a JSON reply that is read.
#[derive(Deserialize)]
struct JsonValue<'a> {
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// The n-th number in the requested format. `digits` must be decimal digits only; as text they are moved, not copied.
pub fn write(n: u64, digits: String, format: Format) -> Reply {
    match format {
        Format::Text => Reply::new(digits, "text/plain"),
        Format::Json => Reply::new(
            format!(r#"{{"n":{n},"value":"{digits}"}}"#),
            "application/json",
        ),
    }
}

/// The integer in a successful reply, or in any reply of a server without typed errors: digits, with a minus sign if a
/// server's integers overflowed.
///
/// A body that consists of digits only is not copied.
///
/// # Errors
///
/// `UNKNOWN` if there is none.
pub fn read(body: Vec<u8>, format: Format) -> Result<String, Status> {
    let unknown = |message: String| Err(Status::unknown(message));
    let text = trim(&body);
    if text.is_empty() {
        return unknown("server reported an error (empty reply)".into());
    }
    if is_integer(text) {
        let digits = if text.len() == body.len() {
            body
        } else {
            text.to_vec()
        };
        return String::from_utf8(digits) // cannot fail: digits are UTF-8
            .or_else(|error| unknown(format!("the reply is not text: {error}")));
    }
    if format == Format::Json && text.starts_with(b"{") {
        let reply: Option<JsonValue<'_>> = serde_json::from_slice(text).ok();
        if let Some(reply) = reply.filter(|reply| is_integer(reply.value.as_bytes())) {
            return Ok(reply.value.into_owned());
        }
    }
    unknown(format!("the reply is not an integer: {}", quoted(&body)))
}

/// Whether `text` is decimal digits with an optional minus sign.
fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;
    use proptest::prelude::*;

    #[test]
    fn digits_are_not_copied() {
        let digits = "8".repeat(1_000);
        let place = digits.as_ptr();
        let answer = write(30, digits, Format::Text);
        let digits = read(answer.body, Format::Text).unwrap();
        assert_eq!(digits.as_ptr(), place);
    }

    #[test]
    fn integers_from_any_server_are_read() {
        let table: [(&[u8], &str); 11] = [
            (b"832040", "832040"),
            (b" 832040\r\n", "832040"),
            (b"0", "0"),
            (b"-298632863", "-298632863"), // 32 bits wrapped round
            (b"354224848179261915075", "354224848179261915075"),
            (b"007", "007"),
            (b"\t1", "1"),
            (b"1\n", "1"),
            (b"\x0b1", "1"),
            (b"\n-1\n", "-1"),
            (b"9", "9"),
        ];
        for (body, digits) in table {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(
                read(body.to_vec(), Format::Text).as_deref(),
                Ok(digits),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn replies_other_than_integers_are_unknown() {
        let java = b"\xac\xed\0\x05sr\0\x11java.lang.Integer";
        let table: [(&[u8], &str); 15] = [
            (b"", "server reported an error (empty reply)"),
            (b" \n", "server reported an error (empty reply)"),
            (b"NaN", "the reply is not an integer: `NaN`"),
            (b"-", "the reply is not an integer: `-`"),
            (b"+5", "the reply is not an integer: `+5`"),
            (b"--5", "the reply is not an integer: `--5`"),
            (b"1.0E25", "the reply is not an integer: `1.0E25`"),
            (b"1 2", "the reply is not an integer: `1 2`"),
            (b"5\0", r"the reply is not an integer: `5\0`"),
            (b"\x1b[31m5", r"the reply is not an integer: `\u{1b}[31m5`"),
            (
                b"{\"n\":30,\"value\":\"1\"}",
                r#"the reply is not an integer: `{"n":30,"value":"1"}`"#,
            ),
            (
                b"error: INTERNAL: x",
                "the reply is not an integer: `error: INTERNAL: x`",
            ),
            (
                b"\0\0\0\0\0\x0c\xb2\x28",
                "the reply is not an integer: `\\0\\0\\0\\0\\0\\u{c}\u{fffd}(`",
            ),
            (
                java,
                "the reply is not an integer: `\u{fffd}\u{fffd}\\0\\u{5}sr\\0\\u{11}java.lang.Integer`",
            ),
            (
                &[b'x'; 1000],
                "the reply is not an integer: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...`",
            ),
        ];
        for (body, message) in table {
            let expected = Err(Status::new(Code::Unknown, message));
            assert_eq!(read(body.to_vec(), Format::Text), expected);
        }
    }

    #[test]
    fn json_replies_are_read() {
        let table: [(&[u8], Option<&str>); 8] = [
            (br#"{"n":30,"value":"832040"}"#, Some("832040")),
            (br#" {"value":"-5", "more":[1]} "#, Some("-5")),
            (br#"{"value":"\u0035"}"#, Some("5")),
            (b"832040", Some("832040")),
            (br#"{"n":30,"value":832040}"#, None),
            (br#"{"n":30}"#, None),
            (br#"{"value":"5 "}"#, None),
            (br#"{"value":"5"} x"#, None),
        ];
        for (body, digits) in table {
            let result = read(body.to_vec(), Format::Json);
            assert_eq!(result.as_deref().ok(), digits, "{result:?}");
            if let Err(status) = result {
                assert_eq!(status.code(), Code::Unknown);
            }
        }
    }

    proptest! {
        #[test]
        fn digits_round_trip(n: u64, digits in "[0-9]{1,60}", json: bool) {
            let format = if json { Format::Json } else { Format::Text };
            let answer = write(n, digits.clone(), format);
            prop_assert_eq!(Format::of(answer.content_type()), format);
            prop_assert_eq!(read(answer.body, format), Ok(digits));
        }

        #[test]
        fn arbitrary_replies_never_panic(body: Vec<u8>, json: bool) {
            let format = if json { Format::Json } else { Format::Text };
            if let Ok(digits) = read(body, format) {
                prop_assert!(is_integer(digits.as_bytes()));
            }
        }
    }
}
