//! The methods of the message path, read and written, and those of the conversation that the reader looks at. Stateless.

use super::content::{self, BASIC};
use super::frame::{self, BODY, HEADER, METHOD, OVERHEAD, append_short};
use super::frame::{long_extent, short, short_extent, u16_at, u64_at};
use super::table::{self, Entries, Entry};
use crate::protocol::Message;

// Methods of the class `basic`. Acks and nacks go both ways.
const PUBLISH: u16 = 40;
const RETURN: u16 = 50;
const DELIVER: u16 = 60;
pub(crate) const ACK: u16 = 80;
pub(crate) const REJECT: u16 = 90;
pub(crate) const NACK: u16 = 120;

/// In an ack or nack: all deliveries up to the tag; tag 0 means all (RabbitMQ, "Negative Acknowledgements").
pub(crate) const MULTIPLE: u8 = 0b01;
/// In a nack: back to the queue.
pub(crate) const REQUEUE: u8 = 0b10;

/// Bytes of class and method.
const IDS: usize = 4;

/// A method that the broker sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Method {
    /// A message follows, for the consumer of the channel.
    Deliver {
        /// The last byte of the consumer's tag.
        consumer: u8,
        tag: u64,
        redelivered: bool,
    },
    /// A message follows that we published with this routing key and that no queue took (`basic.return`).
    Return { routing_key: String },
    /// A publisher confirm: it accepted (or refused) the publish with this number, or all up to it.
    Confirm {
        number: u64,
        multiple: bool,
        taken: bool,
    },
    /// It ended the consumer with this tag.
    Cancel { consumer: String },
    /// It is about the connection, or the channel as a whole.
    Control(Control),
    /// Anything else.
    Other,
}

/// A method about the connection, or about a channel as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// It begins the conversation.
    Start(Greeting),
    /// It has accepted the login.
    Tune,
    /// It stops reading from this connection; its reason.
    Blocked(String),
    /// It reads again.
    Unblocked,
    ChannelClose(Reason),
    ConnectionClose(Reason),
    /// It confirms that we close the connection.
    ConnectionCloseOk,
}

/// How a broker begins the conversation. What it does not name is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) product: String,
    pub(crate) version: String,
    /// Which a single broker has as well.
    pub(crate) cluster_name: String,
    /// The login mechanisms that it offers, separated by blanks.
    pub(crate) mechanisms: String,
}

/// Why a channel or connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// The method in a payload; `None`: its arguments end too early, or are too deep to be decoded.
pub(crate) fn read(payload: &[u8]) -> Option<Method> {
    let arguments = payload.get(IDS..)?;
    Some(match (u16_at(payload, 0)?, u16_at(payload, 2)?) {
        (BASIC, DELIVER) => {
            let (consumer, rest) = short(arguments)?;
            Method::Deliver {
                consumer: consumer.last().copied().unwrap_or_default(),
                tag: u64_at(rest, 0)?,
                redelivered: *rest.get(8)? != 0,
            }
        }
        (BASIC, RETURN) => {
            let (_, rest) = short(arguments.get(2..)?)?;
            let (_, rest) = short(rest)?;
            let routing_key = lossy(short(rest)?.0);
            Method::Return { routing_key }
        }
        (BASIC, id @ (ACK | NACK)) => Method::Confirm {
            number: u64_at(arguments, 0)?,
            multiple: *arguments.get(8)? & MULTIPLE != 0,
            taken: id == ACK,
        },
        (BASIC, 30) => Method::Cancel {
            consumer: lossy(short(arguments)?.0),
        },
        (20, 40) => Method::Control(Control::ChannelClose(reason(arguments)?)),
        (10, 50) => Method::Control(Control::ConnectionClose(reason(arguments)?)),
        (10, 51) => Method::Control(Control::ConnectionCloseOk),
        (10, 60) => Method::Control(Control::Blocked(lossy(short(arguments)?.0))),
        (10, 61) => Method::Control(Control::Unblocked),
        (10, 10) => {
            let rest = arguments.get(2..)?;
            let (properties, rest) = rest.split_at(long_extent(rest)?);
            let properties = &properties[4..];
            let mechanisms = &rest[4..long_extent(rest)?];
            if !table::is_shallow(properties) {
                return None;
            }
            let property = |name: &str| {
                let mut entries = Entries::new(properties);
                let entry = entries.find(|entry| entry.key == name.as_bytes());
                let text = entry.as_ref().and_then(Entry::text);
                text.unwrap_or_default().to_owned()
            };
            Method::Control(Control::Start(Greeting {
                product: property("product"),
                version: property("version"),
                cluster_name: property("cluster_name"),
                mechanisms: lossy(mechanisms),
            }))
        }
        (10, 30) => Method::Control(Control::Tune),
        // Methods with tables that only clients send: connection.start-ok, exchange.declare, bind, unbind,
        // queue.declare, bind, unbind, basic.consume. The library would decode them all the same.
        (10, 11) | (40, 10 | 30 | 40) | (50, 10 | 20 | 50) | (BASIC, 20) => return None,
        _ => Method::Other,
    })
}

/// Whether a method that the library sends is the login (`connection.start-ok`).
pub(crate) fn is_login(payload: &[u8]) -> bool {
    (u16_at(payload, 0), u16_at(payload, 2)) == (Some(10), Some(11))
}

/// Replaces each byte that is not UTF-8 by `?` in the strings of a method that is for the library, which gives up
/// the connection if it cannot decode one. Does nothing if the arguments end too early.
pub(crate) fn make_decodable(payload: &mut [u8]) {
    // How many bytes come before a method's short string.
    let skip = match (u16_at(payload, 0), u16_at(payload, 2)) {
        // connection.close, channel.close
        (Some(10), Some(50)) | (Some(20), Some(40)) => 2,
        // connection.open-ok, blocked, queue.declare-ok, basic.consume-ok, cancel, cancel-ok
        (Some(10), Some(41 | 60)) | (Some(50), Some(11)) | (Some(BASIC), Some(21 | 30 | 31)) => 0,
        _ => return,
    };
    let string = payload.get_mut(IDS + skip..).unwrap_or_default();
    if let Some(extent) = short_extent(string) {
        replace_invalid_utf8(&mut string[1..extent]);
    }
}

/// Appends the frames that publish a message; none is larger than `frame_max`. Exchange, key and the short
/// strings of the properties are known to fit.
pub(crate) fn append_publish(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: usize,
    exchange: &str,
    key: &str,
    mandatory: bool,
    message: &Message,
) {
    frame::append(out, METHOD, channel, |out| {
        append_ids(out, PUBLISH);
        out.extend_from_slice(&[0, 0]); // reserved
        append_short(out, exchange.as_bytes());
        append_short(out, key.as_bytes());
        out.push(u8::from(mandatory));
    });
    frame::append(out, HEADER, channel, |out| {
        content::append(out, message.body.len() as u64, &message.properties);
    });
    for part in message.body.chunks(frame_max - OVERHEAD) {
        frame::append(out, BODY, channel, |out| out.extend_from_slice(part));
    }
}

/// Appends [`ACK`], [`NACK`] or [`REJECT`] for a delivery.
pub(crate) fn append_settlement(out: &mut Vec<u8>, channel: u16, method: u16, tag: u64, bits: u8) {
    frame::append(out, METHOD, channel, |out| {
        append_ids(out, method);
        out.extend_from_slice(&tag.to_be_bytes());
        out.push(bits);
    });
}

fn append_ids(out: &mut Vec<u8>, method: u16) {
    out.extend_from_slice(&BASIC.to_be_bytes());
    out.extend_from_slice(&method.to_be_bytes());
}

fn reason(arguments: &[u8]) -> Option<Reason> {
    Some(Reason {
        code: u16_at(arguments, 0)?,
        text: lossy(short(arguments.get(2..)?)?.0),
    })
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn replace_invalid_utf8(mut bytes: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(bytes) {
        let start = error.valid_up_to();
        let end = error
            .error_len()
            .map_or(bytes.len(), |length| start + length);
        bytes[start..end].fill(b'?');
        bytes = &mut bytes[end..];
    }
}
