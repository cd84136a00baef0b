//! Frames by hand, a transport in memory, and what the library makes of the result.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, parse_frame};
use amq_protocol::types::{AMQPValue, FieldTable};

use super::super::frame::{self, BODY, END, HEADER, METHOD};
use super::super::{Inbound, Limits, MAX_HEADER_FRAME, Outbound, Step};

/// What the connection has negotiated.
pub(super) const FRAME_MAX: usize = 131_072;

pub(super) const CONTENT_TYPE: usize = 0;
pub(super) const HEADERS: usize = 2;
pub(super) const CORRELATION_ID: usize = 5;
pub(super) const REPLY_TO: usize = 6;
pub(super) const MESSAGE_ID: usize = 8;
pub(super) const CLUSTER_ID: usize = 13;

pub(super) fn short(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text);
    bytes
}

pub(super) fn long(contents: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(contents.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.extend_from_slice(contents);
    bytes
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
    frame::write(HEADER, channel, &content(body_size, properties))
}

pub(super) fn headers(contents: &[u8]) -> (usize, Vec<u8>) {
    (HEADERS, long(contents))
}

pub(super) fn body(channel: u16, bytes: &[u8]) -> Vec<u8> {
    frame::write(BODY, channel, bytes)
}

pub(super) fn method(channel: u16, class: u16, id: u16, arguments: &[&[u8]]) -> Vec<u8> {
    let mut payload = [class.to_be_bytes(), id.to_be_bytes()].concat();
    payload.extend(arguments.concat());
    frame::write(METHOD, channel, &payload)
}

pub(super) fn deliver(channel: u16, exchange: &[u8], key: &[u8]) -> Vec<u8> {
    let tag = [0, 0, 0, 0, 0, 0, 0, 7, 1];
    let (exchange, key) = (short(exchange), short(key));
    method(channel, 60, 60, &[&short(b"tag"), &tag, &exchange, &key])
}

/// Lets `stream` through as a transport would, in reads of these sizes into buffers of these
/// capacities (each list is gone through again and again). Also returns the most that was held.
pub(super) fn receive(
    inbound: &mut Inbound,
    stream: &[u8],
    reads: &[usize],
    capacities: &[usize],
) -> (Vec<u8>, usize) {
    let mut reads = reads.iter().cycle();
    let mut capacities = capacities.iter().cycle();
    let mut rest = stream;
    let mut output = Vec::new();
    let mut held = 0;
    let mut space = vec![0xEE; *capacities.clone().take(16).max().unwrap()];
    loop {
        let buf = &mut space[..*capacities.next().unwrap()];
        let mut bytes = inbound.drain(buf);
        if bytes == 0 {
            let room = inbound.room(buf.len());
            let read = *reads
                .next()
                .unwrap()
                .min(&rest.len())
                .min(&(buf.len() - room));
            if rest.is_empty() {
                return (output, held);
            }
            assert!(read > 0, "no room to read");
            buf[room..room + read].copy_from_slice(&rest[..read]);
            rest = &rest[read..];
            bytes = inbound.filter(&mut buf[..room + read], room);
        }
        output.extend_from_slice(&buf[..bytes]);
        held = held.max(inbound.buffered());
    }
}

/// Lets `stream` in without a limit on bodies.
pub(super) fn through(stream: &[u8]) -> Vec<u8> {
    through_with(None, FRAME_MAX, stream)
}

/// Lets `stream` in, whole and in two other splits, to the same end.
pub(super) fn through_with(max_body: Option<u64>, frame_max: usize, stream: &[u8]) -> Vec<u8> {
    let limits = Limits {
        max_body,
        frame_max,
    };
    let trickle = 1 + stream.len() / 2000;
    let mut outputs = [1_000_000, 1021, trickle].map(|read| {
        let mut inbound = Inbound::new(limits);
        let (output, held) = receive(
            &mut inbound,
            stream,
            &[read],
            &[1_000_000.min(read * 7), 4096],
        );
        assert!(held <= MAX_HEADER_FRAME + 1_000_000);
        output
    });
    assert!(outputs[0] == outputs[1], "the output depends on the split");
    assert!(outputs[0] == outputs[2], "the output depends on the split");
    std::mem::take(&mut outputs[0])
}

/// Lets `stream` out as a transport would: offered in writes of these sizes, of which the socket
/// takes at most so many bytes at a time.
pub(super) fn send(armed: bool, stream: &[u8], writes: &[usize], partial: &[usize]) -> Vec<u8> {
    let mut outbound = Outbound::new(Arc::new(AtomicBool::new(armed)));
    let mut writes = writes.iter().cycle();
    let mut partial = partial.iter().cycle();
    let mut rest = stream;
    let mut output = Vec::new();
    while !rest.is_empty() {
        let offered = &rest[..*writes.next().unwrap().min(&rest.len())];
        let taken = match outbound.scan(offered) {
            Step::Write(bytes) => {
                let bytes = bytes.min(*partial.next().unwrap());
                output.extend_from_slice(&offered[..bytes]);
                outbound.advance(&offered[..bytes]);
                bytes
            }
            Step::Take(bytes) => bytes,
        };
        assert!(taken > 0, "no progress");
        rest = &rest[taken..];
        while !outbound.pending().is_empty() {
            let bytes = outbound.pending().len().min(*partial.next().unwrap());
            output.extend_from_slice(&outbound.pending()[..bytes]);
            outbound.sent(bytes);
        }
        assert!(outbound.buffered() <= MAX_HEADER_FRAME);
    }
    output
}

/// The first content header in a stream of whole frames, as the library reads it.
pub(super) fn parsed_header(stream: &[u8]) -> AMQPContentHeader {
    parsed(stream)
        .into_iter()
        .find_map(|frame| match frame {
            AMQPFrame::Header(_, header) => Some(header),
            _ => None,
        })
        .expect("a content header")
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

/// How deep a header table is, itself included.
pub(super) fn depth(table: &FieldTable) -> usize {
    1 + table.inner().values().map(value_depth).max().unwrap_or(0)
}

fn value_depth(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::FieldTable(table) => depth(table),
        AMQPValue::FieldArray(array) => {
            1 + array.as_slice().iter().map(value_depth).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// The whole frames at the front of a stream, and what is left where the framing ends.
pub(super) fn split(mut stream: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut frames = Vec::new();
    while let Some(head) = frame::Head::read(stream) {
        let total = usize::try_from(head.total()).unwrap();
        if !matches!(head.kind, 1 | 2 | 3 | 8) || stream.get(total - 1) != Some(&END) {
            break;
        }
        let (frame, rest) = stream.split_at(total);
        frames.push(frame);
        stream = rest;
    }
    (frames, stream)
}
