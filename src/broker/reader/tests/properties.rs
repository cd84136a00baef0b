//! Any traffic, cut anyhow: what holds for all of it.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::{Intake, MAX_HEADER_FRAME};
use super::support::{
    CORRELATION_ID, REPLY_TO, body, content, deliver, entry, framed, headers, long, method, nested,
    parsed, short, take,
};
use crate::broker::codec::frame::{A_HEARTBEAT, BODY, HEADER, METHOD};
use crate::broker::codec::{content as codec, method as methods};
use crate::broker::mailbox::Arrival;
use crate::protocol::{HeaderValue, Message, Properties, Unread, header as names};

/// Text that fits a short string.
fn text() -> impl Strategy<Value = String> {
    "[a-z\u{e9}\u{1f600}]{0,12}"
}

/// A message as the protocol has them.
fn any_message() -> impl Strategy<Value = Message> {
    let value = prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i64>().prop_map(HeaderValue::Int),
        text().prop_map(HeaderValue::Text),
    ];
    let strings = (
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    );
    let ids = (
        option::of(vec(any::<u8>(), 0..=255)),
        option::of(vec(any::<u8>(), 0..=255)),
    );
    let rest = (option::of(any::<u64>()), any::<bool>());
    let headers = vec((prop::sample::select(names::ALL), value), 0..5);
    let body = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 4_000..9_000)];
    (strings, ids, rest, headers, body).prop_map(|(strings, ids, rest, headers, body)| Message {
        body,
        properties: Properties {
            content_type: strings.0,
            reply_to: strings.1,
            expiration: strings.2,
            kind: strings.3,
            correlation_id: ids.0,
            message_id: ids.1,
            timestamp: rest.0,
            persistent: rest.1,
            headers,
            ..Properties::default()
        },
    })
}

/// A message as a broker would deliver it, in body frames of this size.
fn delivery(channel: u16, message: &Message, part: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    codec::append(&mut payload, message.body.len() as u64, &message.properties);
    let mut frames = [deliver(channel, 7), framed(HEADER, channel, &payload)].concat();
    for bytes in message.body.chunks(part) {
        frames.extend(body(channel, bytes));
    }
    frames
}

/// A frame for the library.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(A_HEARTBEAT.to_vec()),
        text().prop_map(|tag| method(1, 60, 21, &[&short(tag.as_bytes())])),
        text().prop_map(|name| method(2, 50, 11, &[&short(name.as_bytes()), &[0; 8]])),
        text().prop_map(|why| method(0, 10, 60, &[&short(why.as_bytes())])),
        Just(method(0, 10, 61, &[])),
        Just(method(3, 20, 11, &[&long(b"")])),
    ]
}

/// Bytes that look like a table's contents more or less.
fn odd_table() -> impl Strategy<Value = Vec<u8>> {
    let deep = (prop::sample::select(b"AF".as_slice()), 0..60_usize)
        .prop_map(|(kind, depth)| nested(kind, depth, b"V".to_vec()));
    let known = prop::sample::select(names::ALL).prop_map(|name| name.as_bytes().to_vec());
    let key = prop_oneof![known, vec(any::<u8>(), 0..6)];
    let odd = prop_oneof![
        4 => (key, deep).prop_map(|(key, value)| entry(&key, &value)),
        1 => vec(prop::sample::select(b"AFSxVtk\0\x01\x02\x05\xff".as_slice()), 0..12),
        1 => vec(any::<u8>(), 0..12),
    ];
    vec(odd, 0..5).prop_map(|parts| parts.concat())
}

/// A payload that a content header may have.
fn odd_content() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0..300_u64, any::<u64>()];
    let id = vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (size, odd_table(), id.clone(), id).prop_map(|(size, table, id, reply_to)| {
            let ids = [(CORRELATION_ID, short(&id)), (REPLY_TO, short(&reply_to))];
            content(size, &[&[headers(&table)][..], &ids].concat())
        }),
        2 => (any::<u16>(), vec(any::<u8>(), 0..80)).prop_map(|(flags, rest)| {
            [&content(1, &[])[..12], &flags.to_be_bytes(), &rest].concat()
        }),
    ]
}

/// Frames, most of them well framed, and anything but well filled.
fn odd() -> impl Strategy<Value = Vec<u8>> {
    let ids = [
        (10, 10),
        (10, 30),
        (10, 50),
        (20, 40),
        (60, 60),
        (60, 50),
        (60, 80),
        (50, 11),
    ];
    let part = prop_oneof![
        4 => (1..4_u16, odd_content())
            .prop_map(|(channel, c)| [deliver(channel, 7), framed(HEADER, channel, &c)].concat()),
        1 => (1..4_u16, odd_content()).prop_map(|(channel, c)| framed(HEADER, channel, &c)),
        2 => (1..4_u16, vec(any::<u8>(), 0..200)).prop_map(|(c, b)| framed(BODY, c, &b)),
        1 => (prop::sample::select(ids.to_vec()), vec(any::<u8>(), 0..40))
            .prop_map(|((class, id), rest)| method(1, class, id, &[&rest])),
        1 => odd_table()
            .prop_map(|table| method(0, 10, 10, &[&[0, 9], &long(&table), &long(b""), &long(b"")])),
        1 => vec(any::<u8>(), 0..30).prop_map(|payload| framed(METHOD, 1, &payload)),
        2 => (1..4_u16, any_message()).prop_map(|(channel, m)| delivery(channel, &m, 100)),
        2 => conversation(),
    ];
    vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// A stream with some bytes changed, taken out or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4);
    (odd(), changes).prop_map(|(mut stream, changes)| {
        for (index, byte, how) in changes {
            if stream.is_empty() {
                break;
            }
            let at = index.index(stream.len());
            match how {
                0 => drop(stream.remove(at)),
                1 => stream.insert(at, byte),
                2 => stream.truncate(at),
                _ => stream[at] = byte,
            }
        }
        stream
    })
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        vec(1..40_usize, 1..6),
        vec(1..2000_usize, 1..6),
        Just(vec![1]),
        Just(vec![100_000]),
    ]
}

/// All that came of a stream, to be compared.
fn seen(intake: &Intake) -> String {
    format!("{intake:?}")
}

/// Takes a stream in any split; checks that it does not matter, and what reaches the library.
fn check(stream: &[u8], max_body: Option<u64>, reads: &[usize]) -> Result<(), TestCaseError> {
    let (whole, outcome, _) = take(max_body, stream, &[stream.len().max(1)]);
    let (parts, other, held) = take(max_body, stream, reads);
    prop_assert_eq!(outcome, other, "the outcome depends on the split");
    prop_assert_eq!(
        seen(&whole),
        seen(&parts),
        "what comes of it depends on the split"
    );
    prop_assert!(held <= MAX_HEADER_FRAME + reads.iter().max().unwrap());
    let mut rest = &whole.library[..];
    while !rest.is_empty() {
        // Methods that this parser refuses are the library's to complain of; what matters is that it comes
        // back at all, and that there are no messages among them.
        let head = crate::broker::codec::frame::Head::read(rest).expect("whole frames");
        let (frame, after) = rest.split_at(usize::try_from(head.total()).unwrap());
        rest = after;
        let frame = parse_frame(frame);
        let message = matches!(frame, Ok((_, AMQPFrame::Header(..) | AMQPFrame::Body(..))));
        prop_assert!(!message, "{:?}", frame);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_conversation_is_unchanged_and_messages_come_out_of_it(
        parts in vec((conversation(), option::of(any_message())), 0..8),
        part in prop_oneof![1..50_usize, Just(4_088)],
        reads in cuts(),
    ) {
        let (mut stream, mut library, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        for (frame, message) in parts {
            stream.extend_from_slice(&frame);
            library.extend(frame);
            if let Some(message) = message {
                stream.extend(delivery(9, &message, part));
                messages.push(message);
            }
        }
        let (intake, outcome, _) = take(None, &stream, &reads);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(&intake.library, &library);
        parsed(&library);
        prop_assert_eq!(intake.arrivals.len(), messages.len());
        for ((channel, arrival), message) in intake.arrivals.into_iter().zip(messages) {
            let Arrival::Delivered(delivery) = arrival else { panic!("{arrival:?}") };
            prop_assert_eq!((channel, delivery.tag), (9, 7));
            prop_assert_eq!(delivery.message, message);
        }
    }

    #[test]
    fn any_traffic_in_any_split_comes_to_the_same_end(
        stream in mutated(),
        max_body in option::of(0..300_u64),
        reads in cuts(),
    ) {
        check(&stream, max_body, &reads)?;
    }

    #[test]
    fn any_bytes_come_in_without_a_panic(
        start in prop::sample::select(&[0_u8, 1, 2, 3, 8, b'A'][..]),
        rest in vec(prop_oneof![any::<u8>(), Just(0_u8), Just(60_u8), Just(0xCE_u8)], 0..600),
        reads in cuts(),
    ) {
        let stream = [vec![start, 0, 1, 0], rest].concat();
        check(&stream, Some(10), &reads)?;
        check(&[deliver(1, 7), stream].concat(), Some(10), &reads)?;
    }

    /// Against the library's parser, since the reader cannot judge its own writing.
    #[test]
    fn what_is_published_is_what_others_read(
        mut message in any_message(),
        priority in option::of(any::<u8>()),
        others in vec(any::<i64>(), 0..3),
        exchange in text(),
        key in text(),
        mandatory in any::<bool>(),
    ) {
        const FRAME_MAX: usize = 4_096;
        let named = |(index, value): (usize, &i64)| (format!("x-{index}").into(), (*value).into());
        let headers = others.iter().enumerate().map(named).collect();
        message.properties.unread = Some(Box::new(Unread { priority, headers }));
        // The library reads ids as text alone.
        let ids = |id: &Option<Vec<u8>>| id.as_ref().is_none_or(|id| std::str::from_utf8(id).is_ok());
        prop_assume!(ids(&message.properties.correlation_id) && ids(&message.properties.message_id));
        let mut bytes = Vec::new();
        methods::append_publish(&mut bytes, 5, FRAME_MAX, &exchange, &key, mandatory, &message);
        let mut frames = parsed(&bytes).into_iter();
        let Some(AMQPFrame::Method(5, amq_protocol::protocol::AMQPClass::Basic(
            amq_protocol::protocol::basic::AMQPMethod::Publish(publish)
        ))) = frames.next() else { panic!("no publish") };
        prop_assert_eq!(publish.exchange.as_str(), exchange);
        prop_assert_eq!(publish.routing_key.as_str(), key);
        prop_assert_eq!((publish.mandatory, publish.immediate), (mandatory, false));
        let Some(AMQPFrame::Header(5, header)) = frames.next() else { panic!("no header") };
        prop_assert_eq!(header.body_size, message.body.len() as u64);
        let (read, sent) = (header.properties, message.properties);
        let text = |text: &Option<amq_protocol::types::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
        let id = |id: &Option<amq_protocol::types::ShortString>| id.as_ref().map(|id| id.as_str().as_bytes().to_vec());
        prop_assert_eq!(text(read.content_type()), sent.content_type);
        prop_assert_eq!(text(read.reply_to()), sent.reply_to);
        prop_assert_eq!(text(read.expiration()), sent.expiration);
        prop_assert_eq!(text(read.kind()), sent.kind);
        prop_assert_eq!(id(read.correlation_id()), sent.correlation_id);
        prop_assert_eq!(id(read.message_id()), sent.message_id);
        prop_assert_eq!(*read.timestamp(), sent.timestamp);
        prop_assert_eq!(*read.delivery_mode(), Some(if sent.persistent { 2 } else { 1 }));
        let names: std::collections::BTreeSet<_> = sent.headers.iter().map(|(name, _)| *name).collect();
        let count = read.headers().as_ref().map_or(0, |headers| headers.inner().len());
        prop_assert_eq!(count, names.len() + others.len());
        prop_assert_eq!(*read.priority(), priority);
        let mut body = Vec::new();
        for frame in frames {
            let AMQPFrame::Body(5, part) = frame else { panic!("{frame:?}") };
            prop_assert!(!part.is_empty() && part.len() <= FRAME_MAX - 8);
            body.extend(part);
        }
        prop_assert_eq!(body, message.body);
    }
}
