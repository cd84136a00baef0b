//! The number in a request's body, as decimal text or JSON.
//!
//! Guarantees: every body gives a number or a typed refusal, without recursion, within a millisecond
//! for any mebibyte, and a refusal quotes only a few characters of it.
//!
//! The text format is what all of RabbitMQ's tutorial servers that validate their input accept: a
//! plus sign, leading zeros (`+5`, `007`) and white space around the number are allowed. A minus
//! sign is not, not even `-0`. JSON numbers follow JSON's grammar: no plus sign, no leading zeros.

use crate::protocol::{Code, Format, Status};
use crate::text::quoted;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The largest JSON object that is parsed, in bytes; parsing one takes up to a fifth of a millisecond.
const MAX_OBJECT_BYTES: usize = 16 << 10;

/// The number in the body of a request, in this format.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if there is none, `OUT_OF_RANGE` if it exceeds 64 bits.
pub fn read(body: &[u8], format: Format) -> Result<u64, Status> {
    match format {
        Format::Text => from_text(body),
        Format::Json => from_json(body),
    }
}

/// The number in a decimal text body.
fn from_text(body: &[u8]) -> Result<u64, Status> {
    let text = trim(body);
    if text.is_empty() {
        return Err(invalid("the body is empty, send a decimal integer".into()));
    }
    if std::str::from_utf8(text).is_err() {
        return Err(invalid(format!(
            "the body is not UTF-8 text: {}, send a decimal integer",
            quoted(text)
        )));
    }
    let unsigned = match text {
        [b'+', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => digits,
        _ => text,
    };
    integer(unsigned)
        .unwrap_or_else(|| Err(invalid(format!("not a decimal integer: {}", quoted(text)))))
}

/// The number in a JSON body: a bare number, or the member `n` of an object, whose other members are
/// ignored. An object of more than 16 KiB is refused without parsing.
fn from_json(body: &[u8]) -> Result<u64, Status> {
    // A raw value is only checked for syntax: numbers keep all their digits, and nesting of any
    // depth is skipped without recursion. Only objects and arrays take long to parse, and no valid
    // request is that large.
    let value: &RawValue = match trim(body).first() {
        Some(b'[') => return Err(not_a_number("an array")),
        Some(b'{') if body.len() > MAX_OBJECT_BYTES => {
            let length = body.len();
            return Err(invalid(format!(
                "the JSON object has {length} bytes, at most {MAX_OBJECT_BYTES} are read"
            )));
        }
        Some(b'{') => {
            let object: Object = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            object.n
        }
        _ => serde_json::from_slice(body).map_err(|error| malformed(&error))?,
    };
    let text = value.get().as_bytes();
    integer(text).unwrap_or_else(|| {
        Err(match text.first() {
            Some(b'"') => not_a_number("a string"),
            Some(b'[') => not_a_number("an array"),
            Some(b'{') => not_a_number("an object"),
            Some(b't' | b'f') => not_a_number("a boolean"),
            Some(b'n') => not_a_number("null"),
            _ => invalid(format!("not an integer: {}", quoted(text))),
        })
    })
}

/// The object form of a JSON request.
#[derive(Deserialize)]
struct Object<'body> {
    #[serde(borrow)]
    n: &'body RawValue,
}

/// `text` as an integer within the protocol's range; `None` if it is not an integer.
fn integer(text: &[u8]) -> Option<Result<u64, Status>> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if negative {
        let message = format!("n is negative: {}, send 0 or more", quoted(text));
        return Some(Err(invalid(message)));
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let number = digits[zeros..].iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    Some(number.ok_or_else(|| {
        let message = format!("n is {}, the largest is {}", quoted(digits), u64::MAX);
        Status::new(Code::OutOfRange, message)
    }))
}

/// `bytes` without the ASCII white space around it, vertical tabs included.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let Some(start) = bytes.iter().position(|byte| !is_space(byte)) else {
        return &[];
    };
    let end = bytes.iter().rposition(|byte| !is_space(byte));
    &bytes[start..=end.unwrap_or(start)]
}

fn invalid(message: String) -> Status {
    Status::new(Code::InvalidArgument, message)
}

fn not_a_number(kind: &str) -> Status {
    invalid(format!(
        "n is {kind}, send an integer or {{\"n\": integer}}"
    ))
}

fn malformed(error: &serde_json::Error) -> Status {
    // The error names what was expected and where. It quotes nothing of the body, since no types are checked.
    invalid(format!("malformed JSON: {error}"))
}

#[cfg(test)]
mod tests;
