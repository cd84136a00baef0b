//! Everything else: confirms, ends, the greeting, and frames that cannot be read.

use super::super::{Broken, Control, MAX_CHANNEL};
use super::support::{
    CORRELATION_ID, MESSAGE_ID, body, deliver, entry, framed, header, long, method, nested, parsed,
    short, taken,
};
use crate::broker::codec::frame::{A_HEARTBEAT, BODY, HEADER, METHOD, OVERHEAD};
use crate::broker::codec::method::{Greeting, Reason};
use crate::broker::mailbox::{Arrival, Returned};

#[test]
fn returns_and_confirms_arrive_in_order() {
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
fn ends_reach_the_link_and_the_library() {
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
        (
            2,
            Control::ChannelClose(reason(404, "NOT_FOUND - no exchange 'x\u{fffd}'")),
        ),
        (0, Control::Blocked("low on \u{fffd}".into())),
        (0, Control::Unblocked),
        (0, Control::ConnectionCloseOk),
        (0, Control::ConnectionClose(reason(320, "bye \u{fffd}"))),
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
fn a_harmless_greeting_is_read() {
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
        product: "RabbitMQ".into(),
        mechanisms: "PLAIN".into(),
        ..Greeting::default()
    };
    assert_eq!(intake.control, [(0, Control::Start(greeting))]);
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
fn an_invalid_stream_ends_the_connection() {
    let undecodable = "a method that cannot be decoded";
    for (stream, what) in [
        (
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            "HTTP instead of AMQP, as a web server does",
        ),
        (b"AMQP\0\0\x09\x01".to_vec(), "another version of AMQP"),
        (
            b"\x15\x03\x03\0\x02\x02\x46".to_vec(),
            "TLS instead of AMQP",
        ),
        (b"\x05\0\x01".to_vec(), "a frame of an invalid type"),
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
}

/// A method that only the library reads (queue.bind-ok has class 50), in a frame of this many bytes.
fn method_frame(bytes: usize) -> Vec<u8> {
    framed(
        METHOD,
        1,
        &[&[0, 50, 0, 21][..], &vec![0; bytes - OVERHEAD - 4]].concat(),
    )
}

#[test]
fn a_method_frame_has_at_most_32_kib() {
    let largest = method_frame(32_768);
    let (intake, outcome) = taken(None, &largest);
    assert_eq!((outcome, intake.library), (Ok(()), largest));
    assert_eq!(
        taken(None, &method_frame(32_769)).1,
        Err(Broken("a method frame that is too large"))
    );
}

#[test]
fn an_invalid_frame_ends_the_connection() {
    let mut unended = [deliver(1, 7), header(1, 2, &[]), body(1, b"30")].concat();
    *unended.last_mut().unwrap() = 0;
    assert_eq!(
        taken(None, &unended).1,
        Err(Broken("a frame without its end"))
    );
    let immense = [&[METHOD, 0, 1, 0x7f, 0xff, 0xff, 0xff][..], &[0; 20]].concat();
    assert_eq!(
        taken(None, &immense).1,
        Err(Broken("a method frame that is too large"))
    );
    let none = [BODY, 0, 9, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(
        taken(None, &none).1,
        Err(Broken("a body without a message"))
    );
}
