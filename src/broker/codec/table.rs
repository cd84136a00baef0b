//! Header tables: their entries one by one, and how deep a table is. Stateless.
//!
//! A value is skipped by its length and only decoded if it is asked for, so that it does
//! not matter how deep or broken it is.

use super::frame::{append_short, append_sized, long_extent, short_extent};
use crate::protocol::HeaderValue;

/// How deep arrays and tables may be nested if the AMQP library gets to decode them.
pub(crate) const MAX_DEPTH: usize = 32;

/// One entry of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a [u8],
    /// The value's type octet.
    kind: u8,
    /// The value, with the length in front if its type has one.
    value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The value, if it is of one of the types that the protocol uses: a truth value, an integer of any
    /// width, a timestamp, or a string in UTF-8.
    pub(crate) fn value(&self) -> Option<HeaderValue> {
        Some(match self.kind {
            b't' => HeaderValue::Bool(*self.value.first()? != 0),
            b'S' => HeaderValue::Text(self.text()?.to_owned()),
            b'T' => HeaderValue::Time(u64::from_be_bytes(self.value.try_into().ok()?)),
            _ => HeaderValue::Int(self.integer()?),
        })
    }

    /// The value, if it is a string in UTF-8.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match self.kind {
            b'S' => std::str::from_utf8(self.value.get(4..)?).ok(),
            _ => None,
        }
    }

    /// Types and widths as RabbitMQ has them ("AMQP 0-9-1 Errata", section 3), which differ from the
    /// specification's.
    fn integer(&self) -> Option<i64> {
        match (self.kind, self.value) {
            (b'b', &[a]) => Some(i8::from_be_bytes([a]).into()),
            (b'B', &[a]) => Some(a.into()),
            (b's' | b'U', &[a, b]) => Some(i16::from_be_bytes([a, b]).into()),
            (b'u', &[a, b]) => Some(u16::from_be_bytes([a, b]).into()),
            (b'I', &[a, b, c, d]) => Some(i32::from_be_bytes([a, b, c, d]).into()),
            (b'i', &[a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d]).into()),
            (b'l' | b'L', value) => Some(i64::from_be_bytes(value.try_into().ok()?)),
            _ => None,
        }
    }
}

/// The entries of a table, from its contents (without the length in front). Ends early if lengths stop
/// making sense.
#[derive(Debug, Clone)]
pub(crate) struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    pub(crate) fn new(contents: &'a [u8]) -> Self {
        Self(contents)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let key_end = short_extent(self.0)?;
        let kind = *self.0.get(key_end)?;
        let value_at = key_end + 1;
        let end = value_at + value_extent(kind, &self.0[value_at..])?;
        let (entry, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(Entry {
            key: &entry[1..key_end],
            kind,
            value: &entry[value_at..],
        })
    }
}

/// Appends one entry. The key has at most 255 bytes. Integers take 32 bits if
/// they fit, since there are libraries (Perl's) that know no wider ones and end at the sight of one.
pub(crate) fn append(out: &mut Vec<u8>, key: &str, value: &HeaderValue) {
    append_short(out, key.as_bytes());
    match value {
        HeaderValue::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
        HeaderValue::Int(value) => {
            if let Ok(value) = i32::try_from(*value) {
                out.push(b'I');
                out.extend_from_slice(&value.to_be_bytes());
            } else {
                out.push(b'l');
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
        HeaderValue::Time(seconds) => {
            out.push(b'T');
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        HeaderValue::Text(text) => {
            out.push(b'S');
            append_sized(out, |out| out.extend_from_slice(text.as_bytes()));
        }
    }
}

/// Whether all that is in the contents of a table can be decoded by recursion, since it is nested no deeper
/// than [`MAX_DEPTH`], and all keys are UTF-8. Without recursion, in linear time.
pub(crate) fn is_shallow(contents: &[u8]) -> bool {
    // Where each open array or table ends, and whether it is a table. `at` never passes the innermost
    // end, since every extent is taken within it.
    let mut open = [(0, false); MAX_DEPTH];
    open[0] = (contents.len(), true);
    let mut depth = 1;
    let mut at = 0;
    while depth > 0 {
        let (end, table) = open[depth - 1];
        if at == end {
            depth -= 1;
            continue;
        }
        if table {
            let Some(extent) = short_extent(&contents[at..end]) else {
                return false;
            };
            if std::str::from_utf8(&contents[at + 1..at + extent]).is_err() {
                return false;
            }
            at += extent;
        }
        let Some(&kind) = contents[..end].get(at) else {
            return false;
        };
        at += 1;
        let Some(extent) = value_extent(kind, &contents[at..end]) else {
            return false;
        };
        if !matches!(kind, b'A' | b'F') {
            at += extent;
        } else if depth < MAX_DEPTH {
            open[depth] = (at + extent, kind == b'F');
            depth += 1;
            at += 4;
        } else {
            return false;
        }
    }
    true
}

/// How many bytes at the front of `bytes` the value of a type takes. `None`: there is no such type, or it
/// reaches past the end.
fn value_extent(kind: u8, bytes: &[u8]) -> Option<usize> {
    let extent = match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'd' | b'T' => 8,
        b'S' | b'x' | b'A' | b'F' => return long_extent(bytes),
        _ => return None,
    };
    (extent <= bytes.len()).then_some(extent)
}
