//! Content headers: the properties of a message, judged, rebuilt and restored. Stateless.
//!
//! Read exactly as the library and the broker read them: sixteen flags, of which the lowest two say
//! nothing (continuation words, which the lowest announces by the book, exist for neither).

use super::frame::{long_extent, short_extent, u16_at, u64_at};
use super::table::{self, Entries, Survey};
use super::{
    DEFECT_HEADERS, DEFECT_REPLY_TO, DEFECTS, DROPPED_BODY, RAW_CORRELATION_ID, RAW_MESSAGE_ID,
};

/// Bytes up to and including the flags: class, weight, body size, flags.
pub(super) const FIXED: usize = 14;

/// In the order of their flags, highest first.
const PROPERTIES: usize = 14;
const HEADERS: usize = 2;
const DELIVERY_MODE: usize = 3;
const PRIORITY: usize = 4;
const CORRELATION_ID: usize = 5;
const REPLY_TO: usize = 6;
const MESSAGE_ID: usize = 8;
const TIMESTAMP: usize = 9;

/// A content header, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Content<'a> {
    /// Class and weight.
    prefix: [u8; 4],
    pub(super) body_size: u64,
    /// Each property as it is encoded; empty: not there.
    properties: [&'a [u8]; PROPERTIES],
    /// The flags of properties that were announced and could not be found.
    lost: u16,
    /// Whether bytes are left that are no property.
    trailing: bool,
}

impl<'a> Content<'a> {
    /// Takes a payload apart; `None`: it is shorter than [`FIXED`] bytes.
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let flags = u16_at(payload, 12)?;
        let mut content = Self {
            prefix: payload.get(..4)?.try_into().ok()?,
            body_size: u64_at(payload, 4)?,
            properties: [&[]; PROPERTIES],
            lost: flags & !3,
            trailing: false,
        };
        let mut rest = payload.get(FIXED..)?;
        for (index, property) in content.properties.iter_mut().enumerate() {
            if content.lost & flag(index) == 0 {
                continue;
            }
            let Some(extent) = extent(index, rest) else {
                break;
            };
            (*property, rest) = rest.split_at(extent);
            content.lost &= !flag(index);
        }
        content.trailing = !rest.is_empty();
        Some(content)
    }

    /// The header without any property, for a frame that is too large to be read: of its `fixed`
    /// first bytes only the body's size and which properties were announced are known.
    pub(super) fn stub(fixed: &[u8]) -> Option<Content<'static>> {
        let content = Content::read(fixed.get(..FIXED)?)?;
        Some(Content {
            properties: [&[]; PROPERTIES],
            trailing: true,
            ..content
        })
    }

    /// Whether the library decodes it as it is, and nothing in it is forged.
    pub(super) fn clean(&self) -> bool {
        self.lost == 0
            && !self.trailing
            && (0..PROPERTIES).all(|index| match index {
                HEADERS => self
                    .table()
                    .is_none_or(|t| table::survey(t) == Survey::Clean),
                _ => self.text(index),
            })
    }

    /// A payload with what can be decoded, no longer than `longest` bytes (of which 4,000 always
    /// do), and marks for what was dropped. `drop_body`: so was the body.
    pub(super) fn sanitized(&self, drop_body: bool, longest: usize) -> Vec<u8> {
        let full = self.rebuilt(drop_body, true);
        if full.len() <= longest {
            full
        } else {
            self.rebuilt(drop_body, false)
        }
    }

    /// The payload with the entry [`RAW_CORRELATION_ID`] turned into the property. `None`: there is
    /// no such entry, or it cannot be a `correlation_id`.
    pub(super) fn restored(&self) -> Option<Vec<u8>> {
        let name = RAW_CORRELATION_ID.as_bytes();
        let contents = self.table()?;
        let entry = Entries::new(contents).find(|entry| entry.key == name && entry.kind == b'x')?;
        let raw = entry.value.get(4..)?;
        let mut id = vec![u8::try_from(raw.len()).ok()?];
        id.extend_from_slice(raw);
        let others = table::retain(contents, |entry| entry.key != name);
        let headers = if others.is_empty() {
            Vec::new()
        } else {
            table::encoded(&others)
        };
        let mut properties = self.properties;
        properties[CORRELATION_ID] = &id;
        properties[HEADERS] = &headers;
        Some(write(self.prefix, self.body_size, &properties))
    }

    fn rebuilt(&self, drop_body: bool, keep_headers: bool) -> Vec<u8> {
        let mut properties = self.properties;
        let mut defects = 0;
        if self.trailing || self.lost != 0 {
            defects |= DEFECT_HEADERS;
        }
        if self.lost & flag(REPLY_TO) != 0 || !self.text(REPLY_TO) {
            defects |= DEFECT_REPLY_TO;
        }
        let mut headers = match self.table() {
            None => Vec::new(),
            Some(contents) if keep_headers => {
                if table::survey(contents) == (Survey::Dirty { defect: true }) {
                    defects |= DEFECT_HEADERS;
                }
                table::sanitized(contents)
            }
            Some(_) => {
                defects |= DEFECT_HEADERS;
                Vec::new()
            }
        };
        for (index, name) in [
            (CORRELATION_ID, RAW_CORRELATION_ID),
            (MESSAGE_ID, RAW_MESSAGE_ID),
        ] {
            if !self.text(index) {
                table::push_bytes(&mut headers, name, &self.properties[index][1..]);
            }
        }
        for (index, property) in properties.iter_mut().enumerate() {
            if index != HEADERS && !self.text(index) {
                *property = &[];
            }
        }
        if defects != 0 {
            table::push_integer(&mut headers, DEFECTS, defects);
        }
        let mut body_size = self.body_size;
        if drop_body {
            let size = i64::try_from(body_size).unwrap_or(i64::MAX);
            table::push_integer(&mut headers, DROPPED_BODY, size);
            body_size = 0;
        }
        let headers = table::encoded(&headers);
        if headers.len() > 4 || !self.properties[HEADERS].is_empty() {
            properties[HEADERS] = &headers;
        }
        write(self.prefix, body_size, &properties)
    }

    /// The contents of the headers table, if there is one.
    fn table(&self) -> Option<&'a [u8]> {
        self.properties[HEADERS].get(4..)
    }

    /// Whether a property is absent, no short string, or UTF-8.
    fn text(&self, index: usize) -> bool {
        match index {
            HEADERS | DELIVERY_MODE | PRIORITY | TIMESTAMP => true,
            _ => match self.properties[index] {
                [] => true,
                [_, text @ ..] => std::str::from_utf8(text).is_ok(),
            },
        }
    }
}

fn flag(index: usize) -> u16 {
    1 << (15 - index)
}

/// How many bytes at the front of `bytes` a property takes, if they are there.
fn extent(index: usize, bytes: &[u8]) -> Option<usize> {
    let extent = match index {
        HEADERS => return long_extent(bytes),
        DELIVERY_MODE | PRIORITY => 1,
        TIMESTAMP => 8,
        _ => return short_extent(bytes),
    };
    (extent <= bytes.len()).then_some(extent)
}

fn write(prefix: [u8; 4], body_size: u64, properties: &[&[u8]; PROPERTIES]) -> Vec<u8> {
    let mut flags = 0;
    let mut length = FIXED;
    for (index, property) in properties.iter().enumerate() {
        if !property.is_empty() {
            flags |= flag(index);
            length += property.len();
        }
    }
    let mut payload = Vec::with_capacity(length);
    payload.extend_from_slice(&prefix);
    payload.extend_from_slice(&body_size.to_be_bytes());
    payload.extend_from_slice(&flags.to_be_bytes());
    for property in properties {
        payload.extend_from_slice(property);
    }
    payload
}
