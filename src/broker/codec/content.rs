//! Content headers: the size of a message's body, and its properties. Stateless.
//!
//! Read as brokers write them: sixteen flags, of which the lowest two are unused (the lowest would announce
//! continuation words, which no class has). Unknown properties are skipped by their length; what cannot be
//! read is left out, and marked as a [`Defect`] if it matters.

use super::frame::{append_short, append_sized, long_extent, short_extent, u16_at, u64_at};
use super::table::{self, Entries};
use crate::protocol::{Defect, HeaderValue, Properties, header};

/// The class of all that has to do with messages.
pub(crate) const BASIC: u16 = 60;

/// Bytes up to and including the flags: class, weight, body size, flags.
pub(crate) const FIXED: usize = 14;

/// In the order of their flags, highest first.
const CONTENT_TYPE: u16 = 0;
const HEADERS: u16 = 2;
const DELIVERY_MODE: u16 = 3;
const PRIORITY: u16 = 4;
const CORRELATION_ID: u16 = 5;
const REPLY_TO: u16 = 6;
const EXPIRATION: u16 = 7;
const MESSAGE_ID: u16 = 8;
const TIMESTAMP: u16 = 9;
const TYPE: u16 = 10;
const COUNT: u16 = 14;

/// `delivery_mode` of a message that the broker need not write to disk.
const TRANSIENT: u8 = 1;
/// `delivery_mode` of one that it must.
const PERSISTENT: u8 = 2;

/// The body's size, from the front of a content header's payload; `None`: it is shorter than [`FIXED`].
pub(crate) fn body_size(payload: &[u8]) -> Option<u64> {
    payload.get(..FIXED).and_then(|fixed| u64_at(fixed, 4))
}

/// The properties in a content header's payload.
pub(crate) fn read(payload: &[u8]) -> Properties {
    let mut read = Properties::default();
    let announced = u16_at(payload, 12).unwrap_or(0);
    if announced & flag(REPLY_TO) != 0 {
        // Until it is found: a caller whose address is unreadable may be waiting.
        read.defect = Some(Defect::ReplyTo(Vec::new()));
    }
    let mut rest = payload.get(FIXED..).unwrap_or_default();
    for index in (0..COUNT).filter(|index| announced & flag(*index) != 0) {
        let Some(extent) = extent(index, rest) else {
            // The end of this property is unknown, and so is the beginning of the next one.
            break;
        };
        let (property, after) = rest.split_at(extent);
        set(&mut read, index, property);
        rest = after;
    }
    read
}

fn set(read: &mut Properties, index: u16, property: &[u8]) {
    let string = property.get(1..).unwrap_or_default();
    let text = || std::str::from_utf8(string).ok().map(str::to_owned);
    match index {
        CONTENT_TYPE => read.content_type = text(),
        HEADERS => read.headers = headers(property.get(4..).unwrap_or_default()),
        DELIVERY_MODE => read.persistent = property == [PERSISTENT],
        CORRELATION_ID => read.correlation_id = Some(string.to_vec()),
        REPLY_TO => {
            read.reply_to = text();
            read.defect = match read.reply_to {
                Some(_) => None,
                None => Some(Defect::ReplyTo(string.to_vec())),
            };
        }
        EXPIRATION => read.expiration = text(),
        MESSAGE_ID => read.message_id = Some(string.to_vec()),
        TIMESTAMP => read.timestamp = u64_at(property, 0),
        TYPE => read.kind = text(),
        _ => {}
    }
}

/// The headers that the protocol uses.
fn headers(contents: &[u8]) -> Vec<(&'static str, HeaderValue)> {
    Entries::new(contents)
        .filter_map(|entry| {
            let known = header::ALL.iter();
            let name = known.copied().find(|name| name.as_bytes() == entry.key)?;
            Some((name, entry.value()?))
        })
        .collect()
}

/// Appends the payload of the content header of a message with this body size and these properties, whose
/// short strings are known to fit.
pub(crate) fn append(out: &mut Vec<u8>, body_size: u64, properties: &Properties) {
    out.extend_from_slice(&BASIC.to_be_bytes());
    out.extend_from_slice(&[0, 0]); // weight
    out.extend_from_slice(&body_size.to_be_bytes());
    let flags_at = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut writer = Writer { out, flags: 0 };
    writer.text(CONTENT_TYPE, properties.content_type.as_deref());
    writer.headers(properties);
    writer.byte(
        DELIVERY_MODE,
        if properties.persistent {
            PERSISTENT
        } else {
            TRANSIENT
        },
    );
    let unread = properties.unread.as_ref();
    if let Some(priority) = unread.and_then(|unread| unread.priority) {
        writer.byte(PRIORITY, priority);
    }
    writer.string(CORRELATION_ID, properties.correlation_id.as_deref());
    writer.text(REPLY_TO, properties.reply_to.as_deref());
    writer.text(EXPIRATION, properties.expiration.as_deref());
    writer.string(MESSAGE_ID, properties.message_id.as_deref());
    writer.timestamp(properties.timestamp);
    writer.text(TYPE, properties.kind.as_deref());
    let flags = writer.flags;
    out[flags_at..flags_at + 2].copy_from_slice(&flags.to_be_bytes());
}

/// Appends properties in the order of their flags.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    flags: u16,
}

impl Writer<'_> {
    fn text(&mut self, index: u16, value: Option<&str>) {
        self.string(index, value.map(str::as_bytes));
    }

    fn string(&mut self, index: u16, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.flags |= flag(index);
            append_short(self.out, value);
        }
    }

    fn byte(&mut self, index: u16, value: u8) {
        self.flags |= flag(index);
        self.out.push(value);
    }

    fn timestamp(&mut self, value: Option<u64>) {
        if let Some(value) = value {
            self.flags |= flag(TIMESTAMP);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    fn headers(&mut self, properties: &Properties) {
        let headers = &properties.headers;
        let others = properties.unread.as_ref();
        let others = others.map_or(&[][..], |unread| &unread.headers);
        if headers.is_empty() && others.is_empty() {
            return;
        }
        self.flags |= flag(HEADERS);
        append_sized(self.out, |out| {
            for (name, value) in headers {
                table::append(out, name, value);
            }
            for (name, value) in others {
                table::append(out, name, value);
            }
        });
    }
}

fn flag(index: u16) -> u16 {
    1 << (15 - index)
}

/// How many bytes at the front of `bytes` a property takes, if they are there.
fn extent(index: u16, bytes: &[u8]) -> Option<usize> {
    let extent = match index {
        HEADERS => return long_extent(bytes),
        DELIVERY_MODE | PRIORITY => 1,
        TIMESTAMP => 8,
        _ => return short_extent(bytes),
    };
    (extent <= bytes.len()).then_some(extent)
}
