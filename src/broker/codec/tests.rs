//! Frames, tables and methods byte by byte. What the reader makes of whole messages is tested with the reader.

use super::content;
use super::frame::{self, Head};
use super::method::{self, Control, Method, Reason};
use super::table::{self, Entries, MAX_DEPTH};
use crate::protocol::{Defect, HeaderValue, Message, Properties};

/// A short string.
fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// Bytes behind their length.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// An entry of a table: a key, the type of its value, and that.
fn entry(key: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    [short(key), vec![kind], value.to_vec()].concat()
}

/// The payload of a method.
fn payload(class: u16, id: u16, arguments: &[&[u8]]) -> Vec<u8> {
    let ids = [class.to_be_bytes(), id.to_be_bytes()].concat();
    [ids, arguments.concat()].concat()
}

/// A method is read, and what is cut off anywhere in its arguments is not.
#[track_caller]
fn assert_read(payload: &[u8], expected: &Method) {
    assert_eq!(method::read(payload).as_ref(), Some(expected));
    for length in 0..payload.len() {
        assert_eq!(method::read(&payload[..length]), None, "{length} bytes");
    }
}

#[test]
fn the_head_of_a_frame() {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, frame::BODY, 0x0102, |out| {
        out.extend_from_slice(b"abc");
    });
    assert_eq!(bytes, b"\x03\x01\x02\0\0\0\x03abc\xce");
    let head = Head::read(&bytes).unwrap();
    assert_eq!(
        (head.kind, head.channel, head.size),
        (frame::BODY, 0x0102, 3)
    );
    assert_eq!(head.total(), bytes.len() as u64);
    assert!(Head::read(&bytes[..frame::HEAD]).is_some());
    for length in 0..frame::HEAD {
        assert!(Head::read(&bytes[..length]).is_none(), "{length} bytes");
    }
}

#[test]
fn strings_and_numbers_end_with_their_bytes() {
    assert_eq!(frame::short(b"\x02abc"), Some((&b"ab"[..], &b"c"[..])));
    assert_eq!(frame::short_extent(b"\x02ab"), Some(3));
    assert_eq!(frame::short_extent(b"\x03ab"), None);
    assert_eq!(frame::short_extent(b""), None);
    assert_eq!(frame::long_extent(b"\0\0\0\x02abc"), Some(6));
    assert_eq!(frame::long_extent(b"\0\0\0\x02ab"), Some(6));
    assert_eq!(frame::long_extent(b"\0\0\0\x03ab"), None);
    assert_eq!(frame::long_extent(b"\0\0\0"), None);
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert_eq!(frame::u16_at(&bytes, 7), Some(0x0809));
    assert_eq!(frame::u16_at(&bytes, 8), None);
    assert_eq!(frame::u32_at(&bytes, 5), Some(0x0607_0809));
    assert_eq!(frame::u64_at(&bytes, 1), Some(0x0203_0405_0607_0809));
    assert_eq!(frame::u64_at(&bytes, usize::MAX), None);
    let mut out = Vec::new();
    frame::append_short(&mut out, &[b'x'; 300]);
    assert_eq!(out, [&[255][..], &[b'x'; 255]].concat());
}

#[test]
fn values_of_every_type_are_read_or_skipped() {
    let int = |value: i64| Some(HeaderValue::Int(value));
    let cases: [(u8, &[u8], Option<HeaderValue>); 22] = [
        (b't', &[0], Some(HeaderValue::Bool(false))),
        (b't', &[2], Some(HeaderValue::Bool(true))),
        (b'b', &[0xff], int(-1)),
        (b'B', &[0xff], int(255)),
        (b's', &[0xff, 0xfe], int(-2)),
        (b'U', &[0xff, 0xfe], int(-2)),
        (b'u', &[0xff, 0xfe], int(0xfffe)),
        (b'I', &[0xff, 0xff, 0xff, 0xfd], int(-3)),
        (b'i', &[0xff, 0xff, 0xff, 0xfd], int(0xffff_fffd)),
        (b'l', &[0xff; 8], int(-1)),
        (b'L', &[0, 0, 0, 0, 0, 0, 1, 0], int(256)),
        (
            b'T',
            &[0, 0, 0, 0, 0, 0, 1, 0],
            Some(HeaderValue::Time(256)),
        ),
        (b'S', b"\0\0\0\x02ab", Some(HeaderValue::Text("ab".into()))),
        (b'S', b"\0\0\0\x01\xff", None),
        (b'x', b"\0\0\0\x02ab", None),
        (b'V', b"", None),
        (b'f', &[0; 4], None),
        (b'd', &[0; 8], None),
        (b'D', &[0; 5], None),
        (b'A', b"\0\0\0\x01V", None),
        (b'F', b"\0\0\0\0", None),
        (b'S', b"\0\0\0\0", Some(HeaderValue::Text(String::new()))),
    ];
    for (kind, value, expected) in cases {
        let table = [entry("k", kind, value), entry("next", b'b', &[7])].concat();
        let entries: Vec<_> = Entries::new(&table)
            .map(|entry| (entry.key, entry.value()))
            .collect();
        let case = kind.escape_ascii();
        let next = (&b"next"[..], int(7));
        assert_eq!(entries, [(&b"k"[..], expected), next], "{case}");
        assert!(table::is_shallow(&table), "{case}");
        // Cut off within the first entry, there is none.
        for length in 0..entry("k", kind, value).len() {
            assert_eq!(
                Entries::new(&table[..length]).count(),
                0,
                "{case}, {length} bytes"
            );
            assert_eq!(
                table::is_shallow(&table[..length]),
                length == 0,
                "{case}, {length} bytes"
            );
        }
    }
    assert_eq!(Entries::new(&entry("k", b'Z', &[0; 9])).count(), 0);
    assert!(!table::is_shallow(&entry("k", b'Z', &[0; 9])));
}

#[test]
fn tables_are_shallow_up_to_the_limit() {
    let arrays = |depth| {
        let mut value = entry("", b'V', b"")[1..].to_vec();
        for _ in 0..depth {
            value = [vec![b'A'], sized(&value)].concat();
        }
        [short("k"), value].concat()
    };
    let tables = |depth| {
        let mut contents = entry("k", b'V', b"");
        for _ in 0..depth {
            contents = entry("k", b'F', &sized(&contents));
        }
        contents
    };
    // The table itself is the first level.
    for (depth, shallow) in [(0, true), (MAX_DEPTH - 1, true), (MAX_DEPTH, false)] {
        assert_eq!(table::is_shallow(&arrays(depth)), shallow, "{depth} arrays");
        assert_eq!(table::is_shallow(&tables(depth)), shallow, "{depth} tables");
    }
    // Side by side they may be as many as there is room for.
    let many = vec![entry("k", b'A', &sized(b"VV")); 100].concat();
    assert!(table::is_shallow(&many));
    let nested = |key: &[u8]| {
        let inner = [&[1], key, b"V"].concat();
        entry("k", b'F', &sized(&inner))
    };
    assert!(table::is_shallow(&nested(b"k")));
    assert!(
        !table::is_shallow(&nested(b"\xff")),
        "a key that is not UTF-8"
    );
}

#[test]
fn what_is_appended_is_read_again() {
    for value in [
        HeaderValue::Bool(true),
        HeaderValue::Int(i32::MAX.into()),
        HeaderValue::Int(i64::from(i32::MAX) + 1),
        HeaderValue::Time(7),
        HeaderValue::Text("text".into()),
    ] {
        let mut table = Vec::new();
        table::append(&mut table, "fibrpc-deadline", &value);
        let entries: Vec<_> = Entries::new(&table).map(|entry| entry.value()).collect();
        assert_eq!(entries, [Some(value)]);
    }
    let properties = Properties {
        content_type: Some("text/plain".into()),
        headers: vec![("fibrpc-deadline", HeaderValue::Int(1))],
        persistent: true,
        correlation_id: Some(vec![0xff]),
        reply_to: Some("amq.gen-1".into()),
        expiration: Some("1000".into()),
        message_id: Some(b"m".to_vec()),
        timestamp: Some(8),
        kind: Some("kind".into()),
        ..Properties::default()
    };
    let mut header = Vec::new();
    content::append(&mut header, 9, &properties);
    assert_eq!(content::body_size(&header), Some(9));
    assert_eq!(content::read(&header), properties);
    assert_eq!(content::body_size(&header[..content::FIXED - 1]), None);
    let mut plain = Vec::new();
    content::append(&mut plain, 0, &Properties::default());
    assert_eq!(content::read(&plain), Properties::default());
    // Cut off before the reply address: a caller waits at an unknown address.
    let cut = content::read(&header[..content::FIXED]);
    assert_eq!(cut.defect, Some(Defect::ReplyTo(Vec::new())));
    assert_eq!(content::read(&plain[..content::FIXED]).defect, None);
}

#[test]
fn methods_of_the_message_path_are_read() {
    let tag = 0x0102_u64.to_be_bytes();
    let deliver = |redelivered: u8| payload(60, 60, &[&short("c7"), &tag, &[redelivered]]);
    let delivery = |redelivered| Method::Deliver {
        consumer: b'7',
        tag: 0x0102,
        redelivered,
    };
    assert_read(&deliver(0), &delivery(false));
    assert_read(&deliver(1), &delivery(true));
    for (id, bits, multiple, taken) in [
        (80, 0, false, true),
        (80, 1, true, true),
        (120, 0, false, false),
        (120, 0b11, true, false),
        (120, 0b10, false, false),
    ] {
        let confirm = Method::Confirm {
            number: 0x0102,
            multiple,
            taken,
        };
        assert_read(&payload(60, id, &[&tag, &[bits]]), &confirm);
    }
    let returned = payload(
        60,
        50,
        &[&[1, 56], &short("NO_ROUTE"), &short(""), &short("key")],
    );
    let routing_key = "key".to_owned();
    assert_read(&returned, &Method::Return { routing_key });
    let consumer = "c7".to_owned();
    assert_read(
        &payload(60, 30, &[&short("c7")]),
        &Method::Cancel { consumer },
    );
    let reason = || Reason {
        code: 404,
        text: "gone".into(),
    };
    let close = [&[1, 148][..], &short("gone")].concat();
    assert_read(
        &payload(20, 40, &[&close]),
        &Method::Control(Control::ChannelClose(reason())),
    );
    assert_read(
        &payload(10, 50, &[&close]),
        &Method::Control(Control::ConnectionClose(reason())),
    );
}

#[test]
fn methods_of_the_conversation_are_distinguished() {
    let properties = entry("product", b'S', &sized(b"RabbitMQ"));
    let start = |properties: &[u8]| {
        let arguments: [&[u8]; 3] = [&[0, 9], &sized(properties), &sized(b"PLAIN EXTERNAL")];
        payload(10, 10, &arguments)
    };
    let expected = Method::Control(Control::Start(method::Greeting {
        product: "RabbitMQ".into(),
        mechanisms: "PLAIN EXTERNAL".into(),
        ..method::Greeting::default()
    }));
    assert_read(&start(&properties), &expected);
    assert_eq!(method::read(&start(b"\x01k")), None, "not to be decoded");
    assert_eq!(
        method::read(&payload(10, 30, &[&[0; 8]])),
        Some(Method::Control(Control::Tune))
    );
    assert_eq!(
        method::read(&payload(20, 11, &[&[0; 4]])),
        Some(Method::Other)
    );
    assert_eq!(method::read(&payload(60, 11, &[])), Some(Method::Other));
    // Only clients send these, with tables.
    for (class, id) in [
        (10, 11),
        (40, 10),
        (40, 30),
        (40, 40),
        (50, 10),
        (50, 20),
        (50, 50),
        (60, 20),
    ] {
        assert_eq!(
            method::read(&payload(class, id, &[&[0; 8]])),
            None,
            "{class}.{id}"
        );
    }
    assert!(method::is_login(&payload(10, 11, &[])));
    assert!(!method::is_login(&payload(10, 10, &[])));
    assert!(!method::is_login(&payload(20, 11, &[])));
}

#[test]
fn settlements_are_written_as_the_broker_reads_them() {
    let written = |append: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        append(&mut out);
        assert_eq!(out[..7], [1, 0, 3, 0, 0, 0, 13]);
        assert_eq!((out[7], out[8], out.last()), (0, 60, Some(&frame::END)));
        let tag = frame::u64_at(&out, 11).unwrap();
        (frame::u16_at(&out, 9).unwrap(), tag, out[19])
    };
    for settlement in [
        (method::ACK, 9, 0),
        (method::ACK, 9, method::MULTIPLE),
        (method::NACK, 9, method::REQUEUE),
        (method::NACK, 0, method::MULTIPLE | method::REQUEUE),
        (method::REJECT, 9, 0),
    ] {
        let (id, tag, bits) = settlement;
        let append = |out: &mut Vec<u8>| method::append_settlement(out, 3, id, tag, bits);
        assert_eq!(written(&append), settlement);
    }
    let requeue_all = (method::NACK, method::MULTIPLE | method::REQUEUE);
    assert_eq!(requeue_all, (120, 0b11));
    assert_eq!((method::ACK, method::REJECT), (80, 90));
}

#[test]
fn a_message_is_published_in_frames_that_fit() {
    let message = Message {
        body: b"12345678901".to_vec(),
        properties: Properties::default(),
    };
    let mut out = Vec::new();
    method::append_publish(&mut out, 3, frame::OVERHEAD + 5, "x", "key", true, &message);
    let mut frames = Vec::new();
    let mut rest = out.as_slice();
    while let Some(head) = Head::read(rest) {
        let (frame, after) = rest.split_at(usize::try_from(head.total()).unwrap());
        frames.push((head.kind, frame[frame::HEAD..frame.len() - 1].to_vec()));
        rest = after;
    }
    let publish = payload(60, 40, &[&[0, 0], &short("x"), &short("key"), &[1]]);
    assert_eq!(frames[0], (frame::METHOD, publish));
    assert_eq!(content::body_size(&frames[1].1), Some(11));
    let bodies: Vec<_> = frames[2..]
        .iter()
        .map(|(kind, part)| (*kind, part.as_slice()))
        .collect();
    let parts = [&b"12345"[..], b"67890", b"1"];
    assert_eq!(bodies, parts.map(|part| (frame::BODY, part)));
}
