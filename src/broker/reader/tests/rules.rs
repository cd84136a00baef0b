//! What becomes of each kind of frame.

use super::super::{Broken, Control, Greeting, MAX_CHANNEL, MAX_HEADER_FRAME};
use super::support::{
    CONTENT_TYPE, CORRELATION_ID, MESSAGE_ID, REPLY_TO, body, content, deliver, delivered, entry,
    framed, header, headers, long, message, method, nested, parsed, short, taken,
};
use crate::broker::codec::frame::{A_HEARTBEAT, BODY, HEADER, METHOD};
use crate::broker::codec::method::Reason;
use crate::broker::mailbox::{Arrival, Delivery, Returned};
use crate::protocol::{Defect, HeaderValue};

/// A header that the protocol knows.
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
fn integers_are_of_any_width_and_timestamps_are_none() {
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

/// What stands before it does not keep a known header from being read, as long as it can be stepped over.
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
fn an_announced_size_sets_no_memory_aside() {
    let stream = [deliver(1, 7), header(1, u64::MAX, &[]), body(1, b"1")].concat();
    let (intake, outcome) = taken(None, &stream);
    assert_eq!((intake.arrivals.len(), outcome), (0, Ok(())));
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
        deliver(2, 2),
        header(2, 2, &[]),
        header(1, 4, &[]),
        body(1, b"on"),
        body(2, b"22"),
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
        [(2, 2, &b"22"[..]), (1, 1, b"one!")]
    );
}

#[test]
fn what_came_back_and_what_was_confirmed_is_told_in_order() {
    let key = short(b"gone");
    let text = short(b"NO_ROUTE");
    let stream = [
        method(5, 60, 50, &[&[1, 56], &text, &short(b""), &key]),
        header(
            5,
            2,
            &[(CORRELATION_ID, short(b"16")), (MESSAGE_ID, short(b"17"))],
        ),
        body(5, b"30"),
        method(5, 60, 80, &[&9_u64.to_be_bytes(), &[1]]),
        method(5, 60, 120, &[&10_u64.to_be_bytes(), &[2]]),
    ]
    .concat();
    let (intake, outcome) = taken(None, &stream);
    assert_eq!(outcome, Ok(()));
    assert_eq!(intake.library, b"", "the library published nothing");
    let [
        (5, Arrival::Returned(returned)),
        (
            5,
            Arrival::Confirmed {
                number: 9,
                multiple: true,
                taken: true,
            },
        ),
        (
            5,
            Arrival::Confirmed {
                number: 10,
                multiple: false,
                taken: false,
            },
        ),
    ] = &intake.arrivals[..]
    else {
        panic!("{:?}", intake.arrivals)
    };
    let expected = Returned {
        message_id: Some(b"17".to_vec()),
        correlation_id: Some(b"16".to_vec()),
        routing_key: "gone".into(),
    };
    assert_eq!(*returned, expected);
}

#[test]
fn ends_are_told_to_both() {
    let text = short(b"NOT_FOUND - no exchange 'x\xff'");
    let stream = [
        method(1, 60, 30, &[&short(b"consumer\xff"), &[1]]),
        method(2, 20, 40, &[&[1, 148], &text, &[0; 4]]),
        method(0, 10, 60, &[&short(b"low on \xff")]),
        method(0, 10, 61, &[]),
        method(0, 10, 51, &[]),
        method(0, 10, 50, &[&[1, 64], &short(b"bye \xff"), &[0; 4]]),
        A_HEARTBEAT.to_vec(),
    ]
    .concat();
    let (intake, outcome) = taken(None, &stream);
    assert_eq!(outcome, Ok(()));
    let reason = |code, text: &str| Reason {
        code,
        text: text.into(),
    };
    let control = [
        Control::ChannelClosed(2, reason(404, "NOT_FOUND - no exchange 'x\u{fffd}'")),
        Control::Blocked("low on \u{fffd}".into()),
        Control::Unblocked,
        Control::CloseConfirmed,
        Control::ConnectionClosed(reason(320, "bye \u{fffd}")),
    ];
    assert_eq!(intake.control, control);
    let [(1, Arrival::Cancelled(consumer))] = &intake.arrivals[..] else {
        panic!("{:?}", intake.arrivals)
    };
    assert_eq!(consumer, "consumer\u{fffd}");
    // In text that it can decode, and else byte for byte.
    assert_eq!(parsed(&intake.library).len(), 7);
    let mended: Vec<u8> = stream
        .iter()
        .map(|byte| if *byte == 0xff { b'?' } else { *byte })
        .collect();
    assert_eq!(intake.library, mended);
}

#[test]
fn the_broker_says_who_it_is() {
    let start = |properties: &[u8]| {
        let arguments = [
            &[0, 9][..],
            &long(properties),
            &long(b"PLAIN"),
            &long(b"en_US"),
        ];
        method(0, 10, 10, &arguments)
    };
    let product = entry(b"product", &[b"S", &long(b"RabbitMQ")[..]].concat());
    let shallow = [entry(b"k", &nested(b'F', 31, vec![b'V'])), product.clone()].concat();
    let (intake, outcome) = taken(None, &start(&shallow));
    assert_eq!(outcome, Ok(()));
    let greeting = Greeting {
        properties: shallow.clone(),
        mechanisms: "PLAIN".into(),
    };
    assert_eq!(intake.control, [Control::Greeting(greeting)]);
    assert_eq!(intake.library, start(&shallow));
    for (what, hostile) in [
        ("too deep", entry(b"k", &nested(b'F', 32, vec![b'V']))),
        (
            "far too deep",
            entry(b"k", &nested(b'A', 1_600, vec![b'V'])),
        ),
        ("a key that is not UTF-8", entry(b"\xff", b"V")),
        (
            "a key that is not UTF-8 inside",
            entry(b"k", b"F\0\0\0\x03\x01\xffV"),
        ),
        ("an unknown type", entry(b"k", b"Z")),
        ("cut short", b"\x01".to_vec()),
    ] {
        let (intake, outcome) = taken(None, &start(&[product.clone(), hostile].concat()));
        assert!(outcome.is_err() && intake.library.is_empty(), "{what}");
    }
}

#[test]
fn what_makes_no_sense_breaks_the_connection() {
    let undecodable = "a method that cannot be decoded";
    for (stream, what) in [
        (
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            "no AMQP but HTTP, as a web server does",
        ),
        (b"AMQP\0\0\x09\x01".to_vec(), "another version of AMQP"),
        (
            [&A_HEARTBEAT[..7], b"x"].concat(),
            "a frame without its end",
        ),
        (
            [&deliver(1, 7)[..], &framed(HEADER, 1, b"\0\x3c")].concat(),
            "a content header cut short",
        ),
        (header(1, 0, &[]), "a content header without a message"),
        (
            [deliver(1, 7), header(1, 1, &[]), header(1, 1, &[])].concat(),
            "a content header without a message",
        ),
        (
            deliver(MAX_CHANNEL + 1, 7),
            "a message on a channel that is not open",
        ),
        (
            method(
                u16::MAX,
                60,
                50,
                &[&[1, 56], &short(b""), &short(b""), &short(b"")],
            ),
            "a message on a channel that is not open",
        ),
        (
            header(u16::MAX, 0, &[]),
            "a content header without a message",
        ),
        (body(u16::MAX, b"30"), "a body without a message"),
        (body(1, b"30"), "a body without a message"),
        (
            [deliver(1, 7), body(1, b"30")].concat(),
            "a body without a message",
        ),
        (
            [deliver(1, 7), header(1, 1, &[]), body(1, b"30")].concat(),
            "a body longer than announced",
        ),
        (
            [deliver(1, 7), deliver(1, 8)].concat(),
            "a method within a message",
        ),
        (
            [
                deliver(1, 7),
                header(1, 1, &[]),
                method(1, 60, 21, &[&short(b"c")]),
            ]
            .concat(),
            "a method within a message",
        ),
        (framed(METHOD, 1, b"\0\x3c\0"), undecodable),
        (
            method(1, 60, 60, &[&short(b"consumer"), &[0; 8]]),
            undecodable,
        ),
        (method(1, 60, 80, &[&[0; 8]]), undecodable),
        (method(0, 10, 50, &[&[1, 64, 9]]), undecodable),
        // With a table that the library would decode, and only clients send it.
        (
            method(
                0,
                10,
                11,
                &[&long(&nested(b'A', 2_000, vec![b'V'])[..5]), b""],
            ),
            undecodable,
        ),
        (method(1, 50, 10, &[&[0; 9]]), undecodable),
    ] {
        let (intake, outcome) = taken(None, &stream);
        assert_eq!(outcome, Err(Broken(what)));
        assert!(
            intake.arrivals.is_empty() && intake.library.is_empty(),
            "{what}"
        );
    }
    let mut unended = [deliver(1, 7), header(1, 2, &[]), body(1, b"30")].concat();
    *unended.last_mut().unwrap() = 0;
    assert_eq!(
        taken(None, &unended).1,
        Err(Broken("a frame without its end"))
    );
    let immense = [&[METHOD, 0, 1, 0x7f, 0xff, 0xff, 0xff][..], &[0; 20]].concat();
    assert_eq!(
        taken(None, &immense).1,
        Err(Broken("a method larger than any"))
    );
    let none = [BODY, 0, 9, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(
        taken(None, &none).1,
        Err(Broken("a body without a message"))
    );
}
