//! What becomes of replies with a raw correlation id on their way out.

use super::super::{MAX_HEADER_FRAME, RAW_CORRELATION_ID, frame};
use super::support::{CORRELATION_ID, body, deliver, entry, header, headers, long, send, short};

fn raw(kind: u8, id: &[u8]) -> Vec<u8> {
    entry(
        RAW_CORRELATION_ID.as_bytes(),
        &[&[kind], &long(id)[..]].concat(),
    )
}

fn stream(header: &[u8]) -> Vec<u8> {
    let publish = deliver(1, b"", b"caller");
    [
        b"AMQP\0\0\x09\x01",
        &publish[..],
        header,
        &body(1, b"832040"),
    ]
    .concat()
}

#[test]
fn the_entry_becomes_the_property() {
    let id = [0xFF, 0, 0xC3];
    let status = entry(b"fibrpc-status", b"S\0\0\0\x02OK");
    let restored = (CORRELATION_ID, short(&id));
    let cases = [
        (vec![headers(&raw(b'x', &id))], vec![restored.clone()]),
        (
            vec![
                headers(&[status.clone(), raw(b'x', &id)].concat()),
                (3, vec![1]),
            ],
            vec![headers(&status), (3, vec![1]), restored.clone()],
        ),
        (
            vec![headers(&raw(b'x', &id)), (CORRELATION_ID, short(b"other"))],
            vec![restored],
        ),
        (
            vec![headers(&raw(b'x', b""))],
            vec![(CORRELATION_ID, short(b""))],
        ),
    ];
    for (before, after) in cases {
        let output = send(true, &stream(&header(1, 6, &before)), &[10_000], &[10_000]);
        assert_eq!(output, stream(&header(1, 6, &after)));
    }
}

#[test]
fn what_cannot_be_meant_stays() {
    let cases = [
        ("not bytes", raw(b'S', &[0xFF])),
        ("too long", raw(b'x', &[0xFF; 256])),
        ("another name", entry(b"fibrpc-raw", b"x\0\0\0\x01\xff")),
    ];
    for (what, table) in cases {
        let stream = stream(&header(1, 6, &[headers(&table)]));
        assert_eq!(send(true, &stream, &[10_000], &[10_000]), stream, "{what}");
    }
}

#[test]
fn a_connection_that_is_not_armed_is_left_alone() {
    let stream = stream(&header(1, 6, &[headers(&raw(b'x', &[0xFF]))]));
    for write in [10_000, 7, 1] {
        assert_eq!(send(false, &stream, &[write], &[10_000]), stream);
    }
}

#[test]
fn a_header_frame_that_is_too_large_is_left_alone() {
    let inner = header(1, 6, &[headers(&raw(b'x', &[0xFF]))]);
    let large = frame::write(
        frame::HEADER,
        1,
        &inner.repeat(MAX_HEADER_FRAME / inner.len() + 1),
    );
    let stream = stream(&large);
    let before = 8 + deliver(1, b"", b"caller").len();
    for start in 1..10 {
        let output = send(true, &stream, &[before, start, 1_000_000], &[1_000_000]);
        assert!(output == stream, "cut after {start} bytes");
    }
}

#[test]
fn arming_within_a_frame_begins_with_the_next() {
    use super::super::{Outbound, Step};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let marked = header(1, 6, &[headers(&raw(b'x', &[0xFF]))]);
    let expected = header(1, 6, &[(CORRELATION_ID, short(&[0xFF]))]);
    for split in 1..marked.len() {
        let armed = Arc::new(AtomicBool::new(false));
        let mut outbound = Outbound::new(Arc::clone(&armed));
        outbound.advance(b"AMQP\0\0\x09\x01");
        outbound.advance(&marked[..split]);
        armed.store(true, Ordering::Release);
        let rest = [&marked[split..], &marked].concat();
        let first = marked.len() - split;
        assert_eq!(outbound.scan(&rest), Step::Write(first));
        outbound.advance(&rest[..first]);
        assert_eq!(outbound.scan(&rest[first..]), Step::Take(marked.len()));
        assert_eq!(outbound.pending(), expected);
    }
}
