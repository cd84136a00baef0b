//! What becomes of messages on their way in: a table for each rule.

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, ByteArray, FieldTable};

use super::super::{
    DEFECT_HEADERS, DEFECT_REPLY_TO, DEFECTS, DROPPED_BODY, Inbound, Limits, MAX_DEPTH,
    RAW_CORRELATION_ID, RAW_MESSAGE_ID,
};
use super::support::{
    CLUSTER_ID, CONTENT_TYPE, CORRELATION_ID, FRAME_MAX, HEADERS, MESSAGE_ID, REPLY_TO, body,
    content, deliver, depth, entry, header, headers, long, method, nested, parsed, parsed_header,
    receive, short, split, through, through_with,
};

fn marks(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn defects(bits: i64) -> (&'static str, AMQPValue) {
    (DEFECTS, AMQPValue::LongLongInt(bits))
}

fn raw(name: &'static str, bytes: &[u8]) -> (&'static str, AMQPValue) {
    (name, AMQPValue::ByteArray(ByteArray::from(bytes)))
}

#[test]
fn properties_that_are_not_text_are_dropped_or_kept_raw() {
    let bad = || short(b"a\xff");
    let plain = BasicProperties::default;
    let cases = [
        (CONTENT_TYPE, plain()),
        (1, plain()),
        (
            CORRELATION_ID,
            plain().with_headers(marks(&[raw(RAW_CORRELATION_ID, b"a\xff")])),
        ),
        (
            REPLY_TO,
            plain().with_headers(marks(&[defects(DEFECT_REPLY_TO)])),
        ),
        (7, plain()),
        (
            MESSAGE_ID,
            plain().with_headers(marks(&[raw(RAW_MESSAGE_ID, b"a\xff")])),
        ),
        (10, plain()),
        (11, plain()),
        (12, plain()),
        (CLUSTER_ID, plain()),
    ];
    for (index, expected) in cases {
        let header = parsed_header(&through(&header(1, 5, &[(index, bad())])));
        assert_eq!(header.properties, expected, "property {index}");
        assert_eq!((header.class_id, header.body_size), (60, 5));
    }
}

#[test]
fn the_other_properties_stay() {
    let stream = header(
        1,
        5,
        &[
            (CONTENT_TYPE, short(b"text/plain")),
            (1, short(b"\xfe")),
            headers(&entry(b"traceparent", b"S\0\0\0\x02ab")),
            (3, vec![2]),
            (4, vec![9]),
            (CORRELATION_ID, short(&[0xF0, 0x00, 0xFF])),
            (REPLY_TO, short(b"caller")),
            (7, short(b"1000")),
            (9, vec![0, 0, 0, 0, 0, 0, 0, 42]),
        ],
    );
    let expected = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_headers(marks(&[
            ("traceparent", AMQPValue::LongString("ab".into())),
            raw(RAW_CORRELATION_ID, &[0xF0, 0x00, 0xFF]),
        ]))
        .with_delivery_mode(2)
        .with_priority(9)
        .with_reply_to("caller".into())
        .with_expiration("1000".into())
        .with_timestamp(42);
    assert_eq!(parsed_header(&through(&stream)).properties, expected);
}

#[test]
fn headers_that_cannot_be_decoded_are_dropped_alone() {
    let nest = |kind, depth| nested(kind, depth, b"V".to_vec());
    let hostile: &[(&str, Vec<u8>)] = &[
        ("arrays 33 deep", entry(b"bad", &nest(b'A', MAX_DEPTH + 1))),
        ("arrays 1600 deep", entry(b"bad", &nest(b'A', 1600))),
        (
            "arrays 26000 deep",
            entry(b"bad", &nested(b'A', 26_000, Vec::new())),
        ),
        ("tables 33 deep", entry(b"bad", &nest(b'F', MAX_DEPTH + 1))),
        ("tables 1600 deep", entry(b"bad", &nest(b'F', 1600))),
        ("tables 16000 deep", entry(b"bad", &nest(b'F', 16_000))),
        ("key not UTF-8", entry(b"\xff", b"V")),
        (
            "inner key not UTF-8",
            entry(b"bad", &[b"F", &long(b"\x01\xffV")[..]].concat()),
        ),
        ("unknown type", entry(b"bad", b"Z")),
        ("truncated", entry(b"bad", b"S\0\0\xff\xff")),
    ];
    for (what, bad) in hostile {
        let table = [
            entry(b"fibrpc-deadline", b"l\0\0\0\0\0\0\0\x09"),
            bad.clone(),
        ]
        .concat();
        let stream = header(1, 2, &[headers(&table), (REPLY_TO, short(b"caller"))]);
        let expected = BasicProperties::default()
            .with_headers(marks(&[
                ("fibrpc-deadline", AMQPValue::LongLongInt(9)),
                defects(DEFECT_HEADERS),
            ]))
            .with_reply_to("caller".into());
        assert_eq!(
            parsed_header(&through(&stream)).properties,
            expected,
            "{what}"
        );
    }
}

#[test]
fn headers_at_the_limit_pass_untouched() {
    for kind in [b'A', b'F'] {
        let table = entry(b"deep", &nested(kind, MAX_DEPTH, b"V".to_vec()));
        let stream = header(1, 0, &[headers(&table)]);
        let output = through(&stream);
        assert_eq!(output, stream);
        let properties = parsed_header(&output).properties;
        assert_eq!(depth(properties.headers().as_ref().unwrap()), MAX_DEPTH + 1);
    }
    let many: Vec<u8> = (0..5000)
        .flat_map(|n| entry(format!("header-{n}").as_bytes(), b"t\x01"))
        .collect();
    let stream = header(1, 0, &[headers(&many)]);
    assert_eq!(through(&stream), stream);
}

#[test]
fn what_only_the_guard_may_say_is_dropped() {
    let forged = [
        DEFECTS,
        DROPPED_BODY,
        RAW_CORRELATION_ID,
        RAW_MESSAGE_ID,
        "fibrpc-guard-x",
    ];
    let table: Vec<u8> = forged
        .iter()
        .flat_map(|name| entry(name.as_bytes(), b"V"))
        .collect();
    let output = through(&header(1, 0, &[headers(&table)]));
    let properties = parsed_header(&output).properties;
    assert_eq!(*properties.headers(), Some(FieldTable::default()));
}

#[test]
fn properties_cut_short_cost_no_more_than_themselves() {
    let whole = content(
        3,
        &[(CORRELATION_ID, short(b"id")), (REPLY_TO, short(b"caller"))],
    );
    let cut = frame(&whole[..whole.len() - 1]);
    let expected = BasicProperties::default()
        .with_correlation_id("id".into())
        .with_headers(marks(&[defects(DEFECT_HEADERS | DEFECT_REPLY_TO)]));
    assert_eq!(parsed_header(&through(&cut)).properties, expected);

    let trailing = frame(&[&whole[..], b"\x01\x02"].concat());
    let expected = BasicProperties::default()
        .with_correlation_id("id".into())
        .with_reply_to("caller".into())
        .with_headers(marks(&[defects(DEFECT_HEADERS)]));
    assert_eq!(parsed_header(&through(&trailing)).properties, expected);

    let announced = content(3, &[(REPLY_TO, Vec::new())]);
    let expected = BasicProperties::default()
        .with_headers(marks(&[defects(DEFECT_HEADERS | DEFECT_REPLY_TO)]));
    assert_eq!(
        parsed_header(&through(&frame(&announced))).properties,
        expected
    );

    let table = content(3, &[(HEADERS, b"\0\0\xff\xff\x01kV".to_vec())]);
    let expected = BasicProperties::default().with_headers(marks(&[defects(DEFECT_HEADERS)]));
    assert_eq!(parsed_header(&through(&frame(&table))).properties, expected);
}

#[test]
fn flags_without_a_meaning_have_none() {
    let mut payload = content(3, &[(CORRELATION_ID, short(b"id"))]);
    payload[13] |= 3;
    let stream = frame(&payload);
    assert_eq!(through(&stream), stream);
    parsed_header(&stream);
}

#[test]
fn a_header_frame_that_is_too_large_keeps_its_place() {
    let filler = [b"S", &long(&vec![b'x'; 300_000])[..]].concat();
    for (frame_max, name) in [(FRAME_MAX, "negotiated"), (0, "own limit")] {
        let large = header(
            1,
            2,
            &[
                headers(&entry(b"big", &filler)),
                (CORRELATION_ID, short(b"id")),
                (REPLY_TO, short(b"caller")),
            ],
        );
        let stream = [
            deliver(1, b"", b"q"),
            large,
            body(1, b"30"),
            deliver(2, b"", b"q"),
        ]
        .concat();
        let output = through_with(None, frame_max, &stream);
        let frames = parsed(&output);
        let [
            _,
            AMQPFrame::Header(1, header),
            AMQPFrame::Body(1, bytes),
            _,
        ] = &frames[..]
        else {
            panic!("{name}: {frames:?}");
        };
        let marked = marks(&[defects(DEFECT_HEADERS | DEFECT_REPLY_TO)]);
        assert_eq!(
            header.properties,
            BasicProperties::default().with_headers(marked)
        );
        assert_eq!((header.body_size, &bytes[..]), (2, &b"30"[..]));
    }
}

/// Brokers send a content header in one frame, whatever frame size its receiver asked for.
#[test]
fn a_header_frame_above_the_negotiated_size_loses_what_is_too_large_alone() {
    const SMALL: usize = 32 * 1024;
    let text = |bytes: usize| [b"S", &long(&vec![b'x'; bytes])[..]].concat();
    let properties = || {
        BasicProperties::default()
            .with_correlation_id("id".into())
            .with_reply_to("caller".into())
    };
    let stream = |table: &[u8]| {
        let large = header(
            1,
            2,
            &[
                headers(table),
                (CORRELATION_ID, short(b"id")),
                (REPLY_TO, short(b"caller")),
            ],
        );
        [deliver(1, b"", b"q"), large, body(1, b"30")].concat()
    };
    let dropped = marks(&[defects(DEFECT_HEADERS)]);
    for bytes in [SMALL, 100_000, 250_000] {
        let output = through_with(None, SMALL, &stream(&entry(b"big", &text(bytes))));
        let frames = parsed(&output);
        let [_, AMQPFrame::Header(1, header), AMQPFrame::Body(1, _)] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!(
            header.properties,
            properties().with_headers(dropped.clone())
        );
    }
    // What is left fits once the part that could not be decoded is gone.
    let deep = nested(b'A', 8_000, Vec::new());
    let table = [entry(b"deep", &deep), entry(b"x", b"V")].concat();
    let output = through_with(None, SMALL, &stream(&table));
    let kept = parsed_header(&output[deliver(1, b"", b"q").len()..]);
    let kept = kept.properties.headers().clone().unwrap();
    assert!(kept.inner().contains_key("x") && !kept.inner().contains_key("deep"));
}

#[test]
fn it_is_known_whether_the_broker_reads() {
    let mut inbound = Inbound::new(Limits::default());
    let notices = [
        (method(0, 10, 60, &[&short(b"low on memory")]), true),
        (method(0, 10, 31, &[]), true),
        (method(0, 10, 61, &[]), false),
    ];
    for (mut bytes, expected) in notices {
        let room = inbound.room(bytes.len());
        inbound.filter(&mut bytes, room);
        assert_eq!(inbound.blocked(), expected);
    }
}

#[test]
fn why_the_broker_closes_is_read() {
    let mut inbound = Inbound::new(Limits::default());
    let close = method(
        0,
        10,
        50,
        &[&541_u16.to_be_bytes(), &short(b"INTERNAL\xff"), &[0; 4]],
    );
    let channel = method(1, 20, 40, &[&404_u16.to_be_bytes(), &short(b"x"), &[0; 4]]);
    for (frame, expected) in [
        (channel, None),
        (close, Some((541, "INTERNAL?".to_owned()))),
    ] {
        let mut bytes = frame;
        let room = inbound.room(bytes.len());
        inbound.filter(&mut bytes, room);
        assert_eq!(inbound.closed(), expected.as_ref());
    }
}

#[test]
fn marks_never_make_a_frame_too_large() {
    let fill = |bytes: usize| [b"S", &long(&vec![b'x'; bytes])[..]].concat();
    for bytes in (3500..4100).step_by(5) {
        let table = [entry(b"big", &fill(bytes)), entry(b"\xff", b"V")].concat();
        let stream = header(
            1,
            0,
            &[headers(&table), (CORRELATION_ID, short(&[0xFF; 255]))],
        );
        let output = through_with(None, 4096, &stream);
        assert!(output.len() <= 4096, "{bytes}: {}", output.len());
        let table = parsed_header(&output).properties.headers().clone().unwrap();
        let bits = AMQPValue::LongLongInt(DEFECT_HEADERS);
        assert_eq!(table.inner().get(DEFECTS), Some(&bits), "{bytes}");
    }
}

#[test]
fn the_brokers_own_limit_counts() {
    let tune = |max: u32| method(0, 10, 30, &[&[0, 0], &max.to_be_bytes(), &[0, 10]]);
    let table = entry(b"big", &[b"S", &long(&[b'x'; 6000])[..]].concat());
    for (ours, theirs, passes) in [
        (0, 8192, true),
        (0, 4096, false),
        (8192, 4096, false),
        (8192, 0, true),
        (4096, 8192, false),
    ] {
        let stream = [tune(theirs), header(1, 0, &[headers(&table)])].concat();
        let output = through_with(None, ours, &stream);
        assert_eq!(output == stream, passes, "{ours} and {theirs}");
    }
}

#[test]
fn a_body_that_is_too_large_is_dropped_on_the_way() {
    let chunk = vec![b'1'; 60_000];
    let props = [(CORRELATION_ID, short(b"id")), (REPLY_TO, short(b"caller"))];
    let mut stream = [deliver(1, b"", b"q"), header(1, 100 * 60_000, &props)].concat();
    for n in 0..100 {
        stream.extend(body(1, &chunk));
        if n == 50 {
            stream.extend([deliver(2, b"", b"q"), header(2, 1, &[]), body(2, b"7")].concat());
        }
    }
    stream.extend([deliver(1, b"", b"q"), header(1, 2, &[]), body(1, b"30")].concat());

    let limits = Limits {
        max_body: Some(1000),
        frame_max: FRAME_MAX,
    };
    let mut inbound = Inbound::new(limits);
    let (output, held) = receive(&mut inbound, &stream, &[10_000], &[16_384]);
    assert!(held < 20_000, "{held}");
    let frames = parsed(&output);
    let [
        _,
        AMQPFrame::Header(1, header),
        _,
        _,
        AMQPFrame::Body(2, other),
        _,
        _,
        AMQPFrame::Body(1, last),
    ] = &frames[..]
    else {
        panic!("{frames:?}");
    };
    let size = (DROPPED_BODY, AMQPValue::LongLongInt(6_000_000));
    let expected = BasicProperties::default()
        .with_correlation_id("id".into())
        .with_reply_to("caller".into())
        .with_headers(marks(&[size]));
    assert_eq!((header.body_size, &header.properties), (0, &expected));
    assert_eq!((&other[..], &last[..]), (&b"7"[..], &b"30"[..]));
    assert_eq!(inbound.buffered(), 0);
}

#[test]
fn dropping_a_body_ends_with_it_or_with_the_next_frame_of_another_type() {
    let start = header(1, 3, &[]);
    let expected = marks(&[(DROPPED_BODY, AMQPValue::LongLongInt(3))]);
    let next: [(&str, Vec<u8>, Vec<u8>); 4] = [
        ("all of it", body(1, b"abc"), body(1, b"not of it")),
        (
            "more than all of it",
            body(1, b"abcd"),
            body(1, b"not of it"),
        ),
        (
            "a method",
            body(1, b"ab"),
            [method(1, 20, 41, &[]), body(1, b"c")].concat(),
        ),
        (
            "a header",
            body(1, b"ab"),
            [header(1, 1, &[]), body(1, b"c")].concat(),
        ),
    ];
    for (what, dropped, next) in next {
        let output = through_with(Some(1), FRAME_MAX, &[&start[..], &dropped, &next].concat());
        let header = parsed_header(&output);
        assert_eq!(
            (header.body_size, header.properties.headers()),
            (0, &Some(expected.clone()))
        );
        let first = split(&output).0[0].len();
        assert_eq!(output[first..], next, "{what}");
    }
    let endless = through_with(Some(1), FRAME_MAX, &header(1, u64::MAX, &[]));
    let expected = marks(&[(DROPPED_BODY, AMQPValue::LongLongInt(i64::MAX))]);
    assert_eq!(
        *parsed_header(&endless).properties.headers(),
        Some(expected)
    );
}

fn frame(payload: &[u8]) -> Vec<u8> {
    super::super::frame::write(2, 1, payload)
}
