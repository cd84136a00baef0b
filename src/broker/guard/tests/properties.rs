//! Any traffic, cut anyhow: what holds for all of it.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame::{self, BODY, HEADER, HEARTBEAT, METHOD};
use super::super::{Inbound, Limits, MAX_DEPTH, RAW_CORRELATION_ID};
use super::support::{
    CORRELATION_ID, body, content, deliver, depth, entry, header, headers, long, method, nested,
    receive, send, short, split,
};

const FRAME_MAX: usize = 8192;

/// Text that fits a short string.
fn text() -> impl Strategy<Value = Vec<u8>> {
    "[a-z\u{e9}\u{1f600}]{0,12}".prop_map(String::into_bytes)
}

/// A value of each of the field types, with its type octet.
fn leaf() -> impl Strategy<Value = Vec<u8>> {
    let fixed = |kinds: &'static [u8], size: usize| {
        (prop::sample::select(kinds), vec(any::<u8>(), size))
            .prop_map(|(kind, value)| [vec![kind], value].concat())
    };
    prop_oneof![
        fixed(b"V", 0),
        fixed(b"tbB", 1),
        fixed(b"sUu", 2),
        fixed(b"Iif", 4),
        fixed(b"D", 5),
        fixed(b"LldT", 8),
        (
            prop::sample::select(b"Sx".as_slice()),
            vec(any::<u8>(), 0..20)
        )
            .prop_map(|(kind, value)| [vec![kind], long(&value)].concat()),
    ]
}

/// Values in values, at most [`MAX_DEPTH`] deep.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let trees = leaf().prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4)
                .prop_map(|values| [b"A", &long(&values.concat())[..]].concat()),
            vec((text(), inner), 0..4).prop_map(|entries| {
                let entries: Vec<u8> = entries.iter().flat_map(|(k, v)| entry(k, v)).collect();
                [b"F", &long(&entries)[..]].concat()
            }),
        ]
    });
    let kind = prop::sample::select(b"AF".as_slice());
    (kind, 0..=MAX_DEPTH - 6, trees)
        .prop_map(|(kind, depth, value)| nested(kind, if depth < 20 { 0 } else { depth }, value))
}

/// A set of properties, in order.
fn properties() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let table = vec((text(), value()), 0..4).prop_map(|entries| {
        let entries: Vec<u8> = entries.iter().flat_map(|(k, v)| entry(k, v)).collect();
        long(&entries)
    });
    let strings = vec(text().prop_map(|text| short(&text)), 10);
    let numbers = vec(any::<u8>(), 10);
    (any::<u16>(), table, strings, numbers).prop_map(|(chosen, table, strings, numbers)| {
        let mut strings = strings.into_iter();
        (0..14)
            .filter(|index| chosen & (1 << index) != 0)
            .map(|index| {
                let value = match index {
                    2 => table.clone(),
                    3 | 4 => numbers[..1].to_vec(),
                    9 => numbers[..8].to_vec(),
                    _ => strings.next().unwrap_or_else(|| short(b"")),
                };
                (index, value)
            })
            .collect()
    })
}

/// A message in its frames.
fn message() -> impl Strategy<Value = Vec<u8>> {
    (
        1..4_u16,
        text(),
        properties(),
        vec(vec(any::<u8>(), 0..60), 0..4),
    )
        .prop_map(|(channel, key, properties, bodies)| {
            let size = bodies.iter().map(Vec::len).sum::<usize>() as u64;
            let mut frames = deliver(channel, b"", &key);
            frames.extend(header(channel, size, &properties));
            for bytes in bodies {
                frames.extend(body(channel, &bytes));
            }
            frames
        })
}

fn valid() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => message(),
        1 => Just(frame::write(HEARTBEAT, 0, b"")),
        1 => text().prop_map(|tag| method(1, 60, 21, &[&short(&tag)])),
        1 => any::<u64>().prop_map(|tag| method(1, 60, 80, &[&tag.to_be_bytes(), &[1]])),
        1 => text().prop_map(|text| method(0, 10, 50, &[&[1, 64], &short(&text), &[0; 4]])),
    ];
    vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// Bytes that look like a table's contents more or less.
fn odd_table() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![
        4 => (text(), value()).prop_map(|(key, value)| entry(&key, &value)),
        1 => (vec(any::<u8>(), 0..6), value()).prop_map(|(key, value)| entry(&key, &value)),
        1 => (prop::sample::select(b"AF".as_slice()), 20..60_usize, value())
            .prop_map(|(kind, depth, value)| entry(b"deep", &nested(kind, depth, value))),
        1 => vec(prop::sample::select(b"AFSxVtk\0\x01\x02\x05\xff".as_slice()), 0..12),
        1 => vec(any::<u8>(), 0..12),
        1 => Just(entry(RAW_CORRELATION_ID.as_bytes(), b"x\0\0\0\x01a")),
    ];
    vec(odd, 0..5).prop_map(|parts| parts.concat())
}

/// A payload that a content header may have.
fn odd_content() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0..300_u64, any::<u64>()];
    let id = vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (size, odd_table(), id.clone(), id).prop_map(|(size, table, id, reply_to)| {
            content(size, &[headers(&table), (CORRELATION_ID, short(&id)), (6, short(&reply_to))])
        }),
        2 => (any::<u16>(), vec(any::<u8>(), 0..80)).prop_map(|(flags, rest)| {
            [&content(1, &[])[..12], &flags.to_be_bytes(), &rest].concat()
        }),
        1 => (4000..9000_usize).prop_map(|bytes| {
            content(9, &[headers(&entry(b"k", &[b"S", &long(&vec![0; bytes])[..]].concat()))])
        }),
    ]
}

/// Frames, most of them well framed, and anything but well filled.
fn odd() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => (1..4_u16, odd_content()).prop_map(|(channel, c)| frame::write(HEADER, channel, &c)),
        2 => (1..4_u16, vec(any::<u8>(), 0..200)).prop_map(|(c, b)| frame::write(BODY, c, &b)),
        2 => (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..20))
            .prop_map(|(exchange, key)| deliver(1, &exchange, &key)),
        1 => (
            prop::sample::select([(10, 10), (10, 30), (60, 60), (60, 50), (50, 11)].as_slice()),
            vec(any::<u8>(), 0..40),
        )
            .prop_map(|((class, id), rest)| method(1, class, id, &[&rest])),
        1 => odd_table()
            .prop_map(|table| method(0, 10, 10, &[&[0, 9], &long(&table), &long(b""), &long(b"")])),
        1 => vec(any::<u8>(), 0..30).prop_map(|payload| frame::write(METHOD, 1, &payload)),
        2 => message(),
    ];
    vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// A stream with some bytes changed, taken out or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4);
    (prop_oneof![odd(), valid()], changes).prop_map(|(mut stream, changes)| {
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

fn inbound(max_body: Option<u64>) -> Inbound {
    Inbound::new(Limits {
        max_body,
        frame_max: FRAME_MAX,
    })
}

/// Checks what the library makes of the filter's output, up to where the framing breaks.
fn check_readable(output: &[u8], inbound: &Inbound) {
    let (frames, rest) = split(output);
    for frame in frames {
        let total = frame.len();
        match frame[0] {
            // Too short to be a content header at all: refused without being read.
            HEADER if total < frame::OVERHEAD + 14 => assert!(parse_frame(frame).is_err()),
            HEADER => {
                assert!(total <= FRAME_MAX, "{total} bytes");
                let (_, parsed) = parse_frame(frame).expect("a content header is readable");
                let AMQPFrame::Header(_, header) = parsed else {
                    panic!("{parsed:?}");
                };
                let deepest = header.properties.headers().as_ref().map_or(0, depth);
                assert!(deepest <= MAX_DEPTH + 1, "{deepest} deep");
            }
            METHOD if frame[7..].starts_with(&[0, 60, 0, 60]) && whole_deliver(frame) => {
                parse_frame(frame).expect("a deliver is readable");
            }
            METHOD if !inbound.broken() => drop(parse_frame(frame)),
            _ => {}
        }
    }
    if inbound.broken() {
        let error = parse_frame(rest).expect_err("the library refuses it");
        assert!(
            !error.is_incomplete() || rest[0] == b'A',
            "at once: {error}"
        );
    }
}

/// Whether the arguments of a deliver take exactly the frame.
fn whole_deliver(frame: &[u8]) -> bool {
    let mut at = 11;
    for skip in [9, 0, 0] {
        let Some(length) = frame.get(at) else {
            return false;
        };
        at += 1 + usize::from(*length) + skip;
    }
    at + 1 == frame.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_traffic_comes_in_unchanged(stream in valid(), reads in cuts(), capacities in cuts()) {
        let mut inbound = inbound(None);
        let (output, held) = receive(&mut inbound, &stream, &reads, &capacities);
        prop_assert_eq!(&output, &stream);
        prop_assert!(held <= FRAME_MAX + 100_000);
        prop_assert_eq!(inbound.buffered(), 0);
        check_readable(&output, &inbound);
    }

    #[test]
    fn any_traffic_comes_in_readable(
        stream in mutated(),
        max_body in prop::option::of(0..300_u64),
        reads in cuts(),
        capacities in cuts(),
    ) {
        let mut whole = inbound(max_body);
        let (expected, _) = receive(&mut whole, &stream, &[1_000_000], &[1_000_000]);
        check_readable(&expected, &whole);
        let mut parts = inbound(max_body);
        let (output, held) = receive(&mut parts, &stream, &reads, &capacities);
        prop_assert_eq!(output, expected, "the output depends on the split");
        let largest_read = reads.iter().max().unwrap().min(capacities.iter().max().unwrap());
        prop_assert!(held <= 2 * FRAME_MAX + largest_read + 4, "{} bytes held", held);
    }

    #[test]
    fn any_bytes_come_in_without_a_panic(
        start in prop::sample::select(&[0_u8, 1, 2, 3, 8, b'A'][..]),
        rest in vec(prop_oneof![any::<u8>(), Just(0_u8), Just(60_u8), Just(0xCE_u8)], 0..600),
        reads in cuts(),
    ) {
        let stream = [vec![start, 0, 1, 0], rest].concat();
        let mut whole = inbound(Some(10));
        let (expected, _) = receive(&mut whole, &stream, &[1_000_000], &[1_000_000]);
        check_readable(&expected, &whole);
        let (output, _) = receive(&mut inbound(Some(10)), &stream, &reads, &[37, 4096]);
        prop_assert_eq!(output, expected);
    }

    #[test]
    fn any_correlation_id_goes_back_as_it_came(
        id in vec(any::<u8>(), 0..=255),
        writes in cuts(),
        partial in cuts(),
    ) {
        let came = header(1, 2, &[(CORRELATION_ID, short(&id)), (6, short(b"caller"))]);
        let (seen, _) = receive(&mut inbound(None), &came, &writes, &[4096]);
        if std::str::from_utf8(&id).is_ok() {
            prop_assert_eq!(&seen, &came);
        }
        // The reply carries what the guard put in, as the broker layer would publish it.
        let reply = [b"AMQP\0\0\x09\x01".to_vec(), deliver(1, b"", b"q"), seen, body(1, b"30")].concat();
        let expected = [b"AMQP\0\0\x09\x01".to_vec(), deliver(1, b"", b"q"), came, body(1, b"30")].concat();
        prop_assert_eq!(send(true, &reply, &writes, &partial), expected);
    }

    #[test]
    fn valid_traffic_goes_out_unchanged(
        stream in valid(),
        armed in any::<bool>(),
        writes in cuts(),
        partial in cuts(),
    ) {
        let stream = [b"AMQP\0\0\x09\x01".to_vec(), stream].concat();
        prop_assert_eq!(send(armed, &stream, &writes, &partial), stream);
    }

    #[test]
    fn any_bytes_go_out_without_a_panic(stream in mutated(), writes in cuts(), partial in cuts()) {
        let whole = send(true, &stream, &[1_000_000], &[1_000_000]);
        prop_assert_eq!(send(true, &stream, &writes, &partial), whole);
        prop_assert_eq!(send(false, &stream, &writes, &partial), stream);
    }
}
