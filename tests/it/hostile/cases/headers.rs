//! Hostile headers: names, types, number and depth.

use super::Fate::{self, Value};
use super::{CANARY, Case, around, plain};
use crate::support::wire::properties::value;

pub fn headers() -> Vec<Case> {
    let mut cases = Vec::new();
    // Five bytes per level of arrays and six of tables; a content header is one frame of at most 128 KiB.
    for depth in [31, 33, 1_400, 1_600, 26_000] {
        let properties = plain().header("deep", value::nested_arrays(depth));
        cases.push(around(
            format!("arrays {depth} deep"),
            properties,
            Value("55"),
        ));
        let depth = depth.min(21_500);
        let properties = plain().header("deep", value::nested_tables(depth));
        cases.push(around(
            format!("tables {depth} deep"),
            properties,
            Value("55"),
        ));
    }
    let in_table = |content: Vec<u8>| {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [b"F".as_slice(), &length, &content].concat()
    };
    let text = value::text(CANARY);
    let nested_key = in_table([b"\x01\xff".as_slice(), &text].concat());
    cases.extend([
        around(
            "bad UTF-8 in a header's key",
            plain().header(b"\xff", &text),
            Value("55"),
        ),
        around(
            "bad UTF-8 in a nested key",
            plain().header("t", nested_key),
            Value("55"),
        ),
        around(
            "bad UTF-8 in a header's text",
            plain().header("t", value::text(b"\xff\xfe")),
            Value("55"),
        ),
        around(
            "a key of 255 bytes",
            plain().header([b'k'; 255], &text),
            Value("55"),
        ),
        around("an empty key", plain().header("", &text), Value("55")),
        around(
            "a value of 100 KiB",
            plain().header("v", value::text(vec![b'v'; 100 << 10])),
            Value("55"),
        ),
        around(
            "a forged delivery count",
            plain().header("x-delivery-count", value::integer(i64::MAX)),
            Value("55"),
        ),
        around(
            "a deadline of another type",
            plain().header("fibrpc-deadline", value::text(CANARY)),
            Value("55"),
        ),
        around(
            "the guard's own marks",
            plain()
                .header("fibrpc-raw-correlation-id", value::text(CANARY))
                .header("fibrpc-dropped-body", value::integer(-1)),
            Value("55"),
        ),
    ]);
    for (name, parent) in [
        ("malformed", CANARY.to_owned()),
        (
            "zero",
            format!("00-{}-{}-00", "0".repeat(32), "0".repeat(16)),
        ),
        (
            "uppercase",
            format!("00-{}-{}-01", "AB".repeat(16), "CD".repeat(8)),
        ),
    ] {
        let properties = plain().header("traceparent", value::text(parent));
        cases.push(around(
            format!("traceparent {name}"),
            properties,
            Value("55"),
        ));
    }
    cases.extend(many_headers());
    cases.extend(header_types());
    cases
}

fn many_headers() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut many = plain();
    for index in 0..6_000 {
        many = many.header(format!("h{index}"), value::integer(index));
    }
    cases.push(around("6,000 headers", many, Value("55")));
    // A few bytes per header: as many as fit into one frame.
    let mut most = Vec::new();
    for index in 0_u32..21_000 {
        let [.., a, b] = index.to_be_bytes();
        most.extend([2, b'a' + a % 16, b'a' + b % 16, b't', 1]);
    }
    cases.push(around(
        "21,000 headers",
        plain().raw_headers(most),
        Value("55"),
    ));
    cases
}

/// Types that the broker refuses, or converts to another type, do not matter to us.
fn header_types() -> Vec<Case> {
    let mut cases = Vec::new();
    let types: [&[u8]; 19] = [
        b"t\x01",
        b"b\x80",
        b"B\x80",
        b"s\x80\0",
        b"u\x80\0",
        b"I\x80\0\0\0",
        b"i\x80\0\0\0",
        b"l\x80\0\0\0\0\0\0\0",
        b"L\x80\0\0\0\0\0\0\0",
        b"f\x7f\xc0\0\0",
        b"d\x7f\xf8\0\0\0\0\0\0",
        b"D\x02\0\0\0\x05",
        b"S\0\0\0\x01x",
        b"x\0\0\0\x01\xff",
        b"A\0\0\0\0",
        b"F\0\0\0\0",
        b"T\xff\xff\xff\xff\xff\xff\xff\xff",
        b"V",
        b"A\0\0\0\x02V\x56",
    ];
    for bytes in types {
        let name = format!("header of type {}", bytes.escape_ascii());
        cases.push(around(name, plain().header("x", bytes), Fate::Broker));
    }
    for (name, bytes) in [
        ("of unknown type", b"Z\0\0".as_slice()),
        ("cut short", b"S\0\0\xff\xff"),
    ] {
        cases.push(around(
            format!("header {name}"),
            plain().header("x", bytes),
            Fate::Broker,
        ));
    }
    cases
}
