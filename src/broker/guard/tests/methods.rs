//! What becomes of methods, and of what is no frame at all.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic, connection};

use super::support::{
    FRAME_MAX, REPLY_TO, body, deliver, entry, header, long, method, nested, parsed, short, split,
    through, through_with,
};

#[test]
fn strings_in_methods_are_mended() {
    let text = short(b"a\xffb");
    let fine = "a?b";
    let cases: &[(Vec<u8>, AMQPClass)] = &[
        (
            deliver(1, b"a\xffb", b"a\xffb"),
            AMQPClass::Basic(basic::AMQPMethod::Deliver(basic::Deliver {
                consumer_tag: "tag".into(),
                delivery_tag: 7,
                redelivered: true,
                exchange: fine.into(),
                routing_key: fine.into(),
            })),
        ),
        (
            method(1, 60, 50, &[&[1, 56], &text, &text, &text]),
            AMQPClass::Basic(basic::AMQPMethod::Return(basic::Return {
                reply_code: 312,
                reply_text: fine.into(),
                exchange: fine.into(),
                routing_key: fine.into(),
            })),
        ),
        (
            method(1, 60, 71, &[&[0; 9], &text, &text, &[0; 4]]),
            AMQPClass::Basic(basic::AMQPMethod::GetOk(basic::GetOk {
                exchange: fine.into(),
                routing_key: fine.into(),
                ..basic::GetOk::default()
            })),
        ),
        (
            method(1, 60, 30, &[&text, &[1]]),
            AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel {
                consumer_tag: fine.into(),
                nowait: true,
            })),
        ),
        (
            method(0, 10, 50, &[&[1, 64], &text, &[0; 4]]),
            AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
                reply_code: 320,
                reply_text: fine.into(),
                ..connection::Close::default()
            })),
        ),
        (
            method(0, 10, 60, &[&text]),
            AMQPClass::Connection(connection::AMQPMethod::Blocked(connection::Blocked {
                reason: fine.into(),
            })),
        ),
    ];
    for (stream, expected) in cases {
        let frames = parsed(&through(stream));
        let [AMQPFrame::Method(_, method)] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!(method, expected);
    }
    let others = [
        method(1, 20, 40, &[&[1, 64], &text, &[0; 4]]),
        method(1, 50, 11, &[&text, &[0; 8]]),
        method(1, 60, 21, &[&text]),
        method(1, 60, 31, &[&text]),
        method(1, 60, 72, &[&text]),
        method(0, 10, 41, &[&text]),
    ];
    for stream in others {
        assert_eq!(parsed(&through(&stream)).len(), 1);
    }
}

#[test]
fn server_properties_are_sanitized() {
    let start = |table: &[u8]| {
        let (mechanisms, locales) = (long(b"PLAIN"), long(b"en_US"));
        method(0, 10, 10, &[&[0, 9], &long(table), &mechanisms, &locales])
    };
    let good = entry(b"product", &[b"S", &long(b"RabbitMQ")[..]].concat());
    let bad = entry(b"deep", &nested(b'A', 20_000, Vec::new()));
    assert_eq!(through(&start(&good)), start(&good));
    let output = through(&start(&[bad, entry(b"\xff", b"V"), good.clone()].concat()));
    assert_eq!(output, start(&good));
    assert_eq!(parsed(&output).len(), 1);
}

#[test]
fn what_no_broker_sends_is_refused_unread() {
    let deep = long(&entry(b"deep", &nested(b'A', 20_000, Vec::new())));
    let hostile = [
        method(0, 10, 11, &[&deep, &short(b""), &long(b""), &short(b"")]),
        method(1, 50, 10, &[&[0, 0], &short(b"q"), &[0], &deep]),
        method(
            1,
            60,
            20,
            &[&[0, 0], &short(b"q"), &short(b""), &[0], &deep],
        ),
        // too large to be looked at
        method(0, 10, 10, &[&[0, 9], &long(&vec![0; 300_000])]),
        // larger than all that the library can hold
        vec![3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF],
    ];
    for stream in hostile {
        let output = through(&stream);
        assert!(output.len() >= 7);
        let error = parse_frame(&output[..7]).expect_err("the library refuses it");
        assert!(!error.is_incomplete(), "at once");
    }
}

#[test]
fn what_is_no_frame_passes_for_the_library_to_refuse() {
    let mut bad_end = header(1, 0, &[(REPLY_TO, short(b"\xff"))]);
    *bad_end.last_mut().unwrap() = 0;
    let next = header(1, 0, &[(REPLY_TO, short(b"\xff"))]);
    for first in [b"AMQP\0\0\x09\x01".to_vec(), vec![7; 20], bad_end] {
        let stream = [first, next.clone()].concat();
        assert_eq!(through(&stream), stream);
    }
    let mut dropped = body(1, b"abc");
    *dropped.last_mut().unwrap() = b'\x02';
    let stream = [header(1, 3, &[]), dropped, next].concat();
    let output = through_with(Some(1), FRAME_MAX, &stream);
    let (frames, rest) = split(&output);
    assert_eq!(frames.len(), 1);
    parse_frame(&rest[..1]).expect_err("the library refuses it");
}
