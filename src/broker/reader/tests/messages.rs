//! Messages as they are, and as hostile publishers make them.

use super::super::{Intake, MAX_HEADER_FRAME, Reader};
use super::support::{
    CONTENT_TYPE, CORRELATION_ID, MESSAGE_ID, REPLY_TO, body, content, deliver, delivered, entry,
    framed, header, headers, long, message, nested, short, taken,
};
use crate::broker::codec::content::FIXED;
use crate::broker::codec::frame::{HEADER, OVERHEAD};
use crate::broker::mailbox::{Arrival, Delivery};
use crate::protocol::{Defect, HeaderValue};

/// A header that the protocol uses.
fn deadline() -> Vec<u8> {
    entry(b"fibrpc-deadline", b"l\0\0\0\0\0\0\0\x07")
}

#[test]
fn a_message_comes_whole() {
    let properties = [
        (CONTENT_TYPE, short(b"text/plain")),
        headers(&deadline()),
        (CORRELATION_ID, short(b"id")),
        (REPLY_TO, short(b"caller")),
    ];
    let Delivery {
        consumer: _,
        tag,
        redelivered,
        message,
    } = delivered(Some(2), &message(3, &properties, b"30"));
    assert_eq!(
        (tag, redelivered, message.body.as_slice()),
        (7, true, b"30".as_slice())
    );
    let read = message.properties;
    assert_eq!(read.content_type.as_deref(), Some("text/plain"));
    assert_eq!(read.correlation_id.as_deref(), Some(b"id".as_slice()));
    assert_eq!(read.reply_to.as_deref(), Some("caller"));
    assert_eq!(read.headers, [("fibrpc-deadline", HeaderValue::Int(7))]);
    assert_eq!((read.defect, read.persistent), (None, false));
}

#[test]
fn integers_have_any_width_and_timestamps_are_not_integers() {
    let int = |value| Some(HeaderValue::Int(value));
    for (value, expected) in [
        (&b"b\xff"[..], int(-1)),
        (b"B\xff", int(255)),
        (b"s\xff\xfe", int(-2)),
        (b"U\xff\xfe", int(-2)),
        (b"u\xff\xfe", int(65_534)),
        (b"I\xff\xff\xff\xfd", int(-3)),
        (b"i\xff\xff\xff\xfd", int(4_294_967_293)),
        (b"l\xff\xff\xff\xff\xff\xff\xff\xfc", int(-4)),
        (b"L\x00\x00\x00\x00\x00\x00\x00\x05", int(5)),
        (
            b"T\x00\x00\x00\x00\x00\x00\x00\x05",
            Some(HeaderValue::Time(5)),
        ),
        (b"S\0\0\0\x017", Some(HeaderValue::Text("7".into()))),
        (b"d\0\0\0\0\0\0\0\0", None),
        (b"f\0\0\0\0", None),
        (b"D\0\0\0\0\x05", None),
        (b"x\0\0\0\x017", None),
    ] {
        let properties = [headers(&entry(b"fibrpc-deadline", value))];
        let read = delivered(None, &message(1, &properties, b"")).message;
        let found = read.properties.header("fibrpc-deadline");
        assert_eq!(found, expected.as_ref(), "{value:?}");
    }
}

#[test]
fn ids_may_be_any_bytes() {
    for id in [&b""[..], b"\xff", &[0; 255], b"\xed\xa0\x80\0\n"] {
        let properties = [(CORRELATION_ID, short(id)), (MESSAGE_ID, short(id))];
        let read = delivered(None, &message(1, &properties, b""))
            .message
            .properties;
        assert_eq!(read.correlation_id.as_deref(), Some(id));
        assert_eq!(read.message_id.as_deref(), Some(id));
        assert_eq!(read.defect, None);
    }
}

/// A known header is read whatever precedes it, if that can be skipped.
#[test]
fn no_header_is_too_deep() {
    let long_key = vec![b'k'; 255];
    for (what, odd) in [
        (
            "arrays 33 deep",
            entry(b"odd", &nested(b'A', 33, vec![b'V'])),
        ),
        (
            "arrays 1600 deep",
            entry(b"odd", &nested(b'A', 1_600, vec![b'V'])),
        ),
        (
            "arrays 26000 deep",
            entry(b"odd", &nested(b'A', 26_000, vec![b'V'])),
        ),
        (
            "tables 16000 deep",
            entry(b"odd", &nested(b'F', 16_000, vec![b'V'])),
        ),
        (
            "nonsense in an array",
            entry(b"odd", b"A\0\0\0\x03Z\xff\xff"),
        ),
        ("a key that is not UTF-8", entry(b"\xff", b"V")),
        ("the longest key", entry(&long_key, b"V")),
        ("text that is not UTF-8", entry(b"odd", b"S\0\0\0\x01\xff")),
        (
            "our own name, of another type",
            entry(b"fibrpc-server", b"V"),
        ),
        (
            "our own name, not UTF-8",
            entry(b"fibrpc-server", b"S\0\0\0\x01\xff"),
        ),
    ] {
        let table = [odd, deadline()].concat();
        let properties = [headers(&table), (REPLY_TO, short(b"caller"))];
        let read = delivered(None, &message(1, &properties, b"30"))
            .message
            .properties;
        assert_eq!(
            read.headers,
            [("fibrpc-deadline", HeaderValue::Int(7))],
            "{what}"
        );
        assert_eq!(read.reply_to.as_deref(), Some("caller"), "{what}");
    }
}

/// Where a table's own entries make no sense, what comes before is read, and the properties behind it.
#[test]
fn a_broken_table_costs_the_rest_of_the_table() {
    for broken in [
        &b"\x03oddZ"[..],
        b"\x03oddS\xff\xff\xff\xff",
        b"\x03odd",
        b"\xffodd",
        b"\x03oddA\0\0\xff\xff",
    ] {
        let table = [&deadline()[..], broken].concat();
        let properties = [headers(&table), (REPLY_TO, short(b"caller"))];
        let read = delivered(None, &message(1, &properties, b"30"))
            .message
            .properties;
        assert_eq!(read.headers, [("fibrpc-deadline", HeaderValue::Int(7))]);
        assert_eq!(read.reply_to.as_deref(), Some("caller"));
    }
}

#[test]
fn a_reply_address_that_cannot_be_read_is_a_defect() {
    let past_the_end = content(0, &[(REPLY_TO, b"\x09short".to_vec())]);
    let behind_nonsense = content(
        0,
        &[(CORRELATION_ID, b"\xffx".to_vec()), (REPLY_TO, short(b"q"))],
    );
    let announced = content(0, &[(REPLY_TO, vec![])]);
    let not_text = content(0, &[(REPLY_TO, short(b"\xff"))]);
    for (payload, bytes) in [
        (past_the_end, &b""[..]),
        (behind_nonsense, b""),
        (announced, b""),
        (not_text, b"\xff"),
    ] {
        let stream = [deliver(1, 7), framed(HEADER, 1, &payload)].concat();
        let read = delivered(None, &stream).message.properties;
        assert_eq!(
            (read.reply_to, read.defect),
            (None, Some(Defect::ReplyTo(bytes.into())))
        );
    }
}

#[test]
fn a_body_that_is_too_large_is_not_kept() {
    let parts = [vec![b'1'; 100], vec![b'2'; 50]];
    let stream = [
        deliver(1, 7),
        header(1, 150, &[(REPLY_TO, short(b"caller"))]),
        body(1, &parts[0]),
        body(1, b""),
        body(1, &parts[1]),
    ]
    .concat();
    let message = delivered(Some(149), &stream).message;
    assert_eq!(message.body.capacity(), 0);
    assert_eq!(message.properties.defect, Some(Defect::Body(150)));
    assert_eq!(message.properties.reply_to.as_deref(), Some("caller"));
    let message = delivered(Some(150), &stream).message;
    assert_eq!(message.body, parts.concat());
    assert_eq!(message.properties.defect, None);
}

#[test]
fn another_limit_holds_for_the_next_message() {
    let mut reader = Reader::new(None);
    let mut intake = Intake::default();
    let first = message(1, &[], b"123");
    reader.take(&first, &mut intake).unwrap();
    reader.limit_bodies(2);
    reader.take(&first, &mut intake).unwrap();
    let defects = intake.arrivals.iter().map(|(_, arrival)| match arrival {
        Arrival::Delivered(delivery) => delivery.message.properties.defect.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(defects.collect::<Vec<_>>(), [None, Some(Defect::Body(3))]);
}

#[test]
fn an_announced_size_sets_at_most_64_kib_aside() {
    for (announced, reserved) in [(u64::MAX, 65_536), (65_537, 65_536), (40_000, 40_000)] {
        let stream = [deliver(1, 7), header(1, announced, &[]), body(1, b"1")].concat();
        let mut reader = Reader::new(None);
        let mut intake = Intake::default();
        reader.take(&stream, &mut intake).unwrap();
        assert_eq!(intake.arrivals.len(), 0);
        let partial = reader.partial[1].as_ref().unwrap();
        assert_eq!(partial.delivery.message.body.capacity(), reserved);
    }
}

#[test]
fn a_content_header_of_256_kib_is_decoded() {
    // Around the value: the frame, the fixed part, the table's length, a key with its length, a type and a length; the
    // reply address.
    let around = OVERHEAD + FIXED + 4 + 2 + 1 + 4 + 2;
    for (bytes, defect) in [(262_144, None), (262_145, Some(Defect::ReplyTo(vec![])))] {
        let value = vec![b'x'; bytes - around];
        let table = entry(b"k", &[b"S", &long(&value)[..]].concat());
        let stream = message(1, &[headers(&table), (REPLY_TO, short(b"c"))], b"30");
        let properties = delivered(None, &stream).message.properties;
        assert_eq!(properties.defect, defect, "{bytes}");
    }
}

#[test]
fn of_an_immense_header_the_size_of_the_body_is_kept() {
    let table = entry(
        b"k",
        &[b"S", &long(&vec![b'x'; MAX_HEADER_FRAME])[..]].concat(),
    );
    for bytes in [&b"30"[..], b""] {
        let properties = [headers(&table), (REPLY_TO, short(b"caller"))];
        let stream = [message(1, &properties, bytes), message(1, &[], b"31")].concat();
        let (intake, outcome) = taken(None, &stream);
        assert_eq!(outcome, Ok(()));
        let bodies = intake.arrivals.iter().map(|(_, arrival)| match arrival {
            Arrival::Delivered(delivery) => (
                &delivery.message.body[..],
                delivery.message.properties.defect.clone(),
            ),
            other => panic!("{other:?}"),
        });
        let expected = [(bytes, Some(Defect::ReplyTo(vec![]))), (b"31", None)];
        assert_eq!(bodies.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn messages_on_different_channels_may_be_mixed() {
    let stream = [
        deliver(1, 1),
        deliver(16, 2),
        header(16, 2, &[]),
        header(1, 4, &[]),
        body(1, b"on"),
        body(16, b"22"),
        body(1, b"e!"),
    ]
    .concat();
    let (intake, outcome) = taken(None, &stream);
    assert_eq!(outcome, Ok(()));
    let bodies = intake
        .arrivals
        .iter()
        .map(|(channel, arrival)| match arrival {
            Arrival::Delivered(delivery) => (*channel, delivery.tag, &delivery.message.body[..]),
            other => panic!("{other:?}"),
        });
    assert_eq!(
        bodies.collect::<Vec<_>>(),
        [(16, 2, &b"22"[..]), (1, 1, b"one!")]
    );
}
