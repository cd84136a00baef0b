//! Frames by hand, and what the reader and the library make of them.

use amq_protocol::frame::{AMQPFrame, parse_frame};

use super::super::{Broken, Intake, MAX_HEADER_FRAME, Reader};
use crate::broker::codec::frame::{self, BODY, HEADER, METHOD};
use crate::broker::mailbox::{Arrival, Delivery};

pub(super) const CONTENT_TYPE: usize = 0;
pub(super) const HEADERS: usize = 2;
pub(super) const CORRELATION_ID: usize = 5;
pub(super) const REPLY_TO: usize = 6;
pub(super) const MESSAGE_ID: usize = 8;

pub(super) fn short(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text);
    bytes
}

pub(super) fn long(contents: &[u8]) -> Vec<u8> {
    let length = u32::try_from(contents.len()).unwrap();
    [&length.to_be_bytes(), contents].concat()
}

pub(super) fn entry(key: &[u8], value: &[u8]) -> Vec<u8> {
    [short(key), value.to_vec()].concat()
}

/// Arrays (`A`) or tables (`F`) in each other, around `value`.
pub(super) fn nested(kind: u8, depth: usize, mut value: Vec<u8>) -> Vec<u8> {
    for _ in 0..depth {
        if kind == b'F' {
            value = entry(b"k", &value);
        }
        value = [vec![kind], long(&value)].concat();
    }
    value
}

pub(super) fn framed(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, kind, channel, |out| {
        out.extend_from_slice(payload);
    });
    bytes
}

/// A content header's payload. Properties are encoded, and in order.
pub(super) fn content(body_size: u64, properties: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let flags = properties
        .iter()
        .fold(0_u16, |flags, (index, _)| flags | 1 << (15 - index));
    let mut payload = vec![0, 60, 0, 0];
    payload.extend_from_slice(&body_size.to_be_bytes());
    payload.extend_from_slice(&flags.to_be_bytes());
    for (_, property) in properties {
        payload.extend_from_slice(property);
    }
    payload
}

pub(super) fn header(channel: u16, body_size: u64, properties: &[(usize, Vec<u8>)]) -> Vec<u8> {
    framed(HEADER, channel, &content(body_size, properties))
}

pub(super) fn headers(contents: &[u8]) -> (usize, Vec<u8>) {
    (HEADERS, long(contents))
}

pub(super) fn body(channel: u16, bytes: &[u8]) -> Vec<u8> {
    framed(BODY, channel, bytes)
}

pub(super) fn method(channel: u16, class: u16, id: u16, arguments: &[&[u8]]) -> Vec<u8> {
    let mut payload = [class.to_be_bytes(), id.to_be_bytes()].concat();
    payload.extend(arguments.concat());
    framed(METHOD, channel, &payload)
}

pub(super) fn deliver(channel: u16, tag: u64) -> Vec<u8> {
    let (consumer, tag) = (short(b"consumer"), tag.to_be_bytes());
    // Publishers choose the exchange and the key.
    let arguments: [&[u8]; 5] = [&consumer, &tag, &[1], &short(b"\xff"), &short(b"\xfe")];
    method(channel, 60, 60, &arguments)
}

/// A delivery with this body and these properties.
pub(super) fn message(channel: u16, properties: &[(usize, Vec<u8>)], bytes: &[u8]) -> Vec<u8> {
    let mut frames = deliver(channel, 7);
    frames.extend(header(channel, bytes.len() as u64, properties));
    if !bytes.is_empty() {
        frames.extend(body(channel, bytes));
    }
    frames
}

/// Takes `stream` in reads of these sizes, gone through again and again. Also returns the most that was
/// held besides messages.
pub(super) fn take(
    max_body: Option<u64>,
    stream: &[u8],
    reads: &[usize],
) -> (Intake, Result<(), Broken>, usize) {
    let mut reader = Reader::new(max_body);
    let mut intake = Intake::default();
    let mut reads = reads.iter().cycle();
    let mut rest = stream;
    let mut held = 0;
    while !rest.is_empty() {
        let (read, after) = rest.split_at(rest.len().min(*reads.next().unwrap()));
        rest = after;
        if let Err(broken) = reader.take(read, &mut intake) {
            return (intake, Err(broken), held);
        }
        held = held.max(reader.begun.len());
    }
    (intake, Ok(()), held)
}

/// Takes `stream` whole and in two other splits, to the same end.
pub(super) fn taken(max_body: Option<u64>, stream: &[u8]) -> (Intake, Result<(), Broken>) {
    let trickle = 1 + stream.len() / 2000;
    let [whole, ..] = [stream.len().max(1), 1021, trickle].map(|read| {
        let (intake, outcome, held) = take(max_body, stream, &[read]);
        assert!(held <= MAX_HEADER_FRAME + read);
        (intake, outcome)
    });
    whole
}

/// The one delivery that a stream brings.
pub(super) fn delivered(max_body: Option<u64>, stream: &[u8]) -> Delivery {
    let (intake, outcome) = taken(max_body, stream);
    assert_eq!(outcome, Ok(()));
    let mut arrivals = intake.arrivals;
    match (arrivals.pop(), arrivals.pop()) {
        (Some((_, Arrival::Delivered(delivery))), None) => delivery,
        other => panic!("{other:?}"),
    }
}

/// All frames of a stream, as the library reads them.
pub(super) fn parsed(mut stream: &[u8]) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let (rest, frame) = parse_frame(stream).expect("the library reads it");
        frames.push(frame);
        stream = rest;
    }
    frames
}
