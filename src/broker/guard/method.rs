//! Methods from the broker: those that carry strings of foreign origin, made readable. Stateless.

use super::frame::{long_extent, short_extent, u16_at, u32_at};
use super::table::{self, Survey};

/// What there is to do about a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It carries nothing that could not be decoded.
    Plain,
    /// It carries short strings.
    Strings(&'static [Field]),
    /// `connection.start`, with a table.
    Start,
    /// `connection.tune`, with the broker's limits.
    Tune,
    /// It carries a table, and only clients send it.
    Absurd,
}

/// A part of a method's arguments, as far as the last short string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// So many bytes that are no text.
    Skip(usize),
    /// A short string.
    Text,
}

/// Bytes of class and method.
const IDS: usize = 4;

/// What to do about the method that `payload` begins with; `None`: it is too short to tell.
pub(super) fn kind(payload: &[u8]) -> Option<Kind> {
    use Field::{Skip, Text};
    Some(match (u16_at(payload, 0)?, u16_at(payload, 2)?) {
        // basic: deliver first, it is by far the most frequent
        (60, 60) => Kind::Strings(&[Text, Skip(9), Text, Text]),
        (60, 50) => Kind::Strings(&[Skip(2), Text, Text, Text]), // return
        (60, 71) => Kind::Strings(&[Skip(9), Text, Text]),       // get-ok
        (10, 10) => Kind::Start,
        (10, 30) => Kind::Tune,
        // connection.close, channel.close
        (10, 50) | (20, 40) => Kind::Strings(&[Skip(2), Text]),
        // connection.open-ok, blocked, queue.declare-ok, basic.consume-ok, cancel, cancel-ok, get-empty
        (10, 41 | 60) | (50, 11) | (60, 21 | 30 | 31 | 72) => Kind::Strings(&[Text]),
        // connection.start-ok, exchange.declare, bind, unbind, queue.declare, bind, unbind, consume
        (10, 11) | (40, 10 | 30 | 40) | (50, 10 | 20 | 50) | (60, 20) => Kind::Absurd,
        _ => Kind::Plain,
    })
}

/// Puts `?` for each byte that is not UTF-8 in the method's strings. Stops where the arguments end
/// too early: the library refuses such a method.
pub(super) fn mend(payload: &mut [u8], fields: &[Field]) {
    let mut at = IDS;
    for field in fields {
        let rest = payload.get_mut(at..).unwrap_or_default();
        at += match field {
            Field::Skip(bytes) => *bytes,
            Field::Text => {
                let Some(extent) = short_extent(rest) else {
                    return;
                };
                mend_text(&mut rest[1..extent]);
                extent
            }
        };
    }
}

/// `connection.start` with a table that can be decoded; `None`: it is fine, or broken in a way that
/// the library refuses before it decodes the table.
pub(super) fn sanitized_start(payload: &[u8]) -> Option<Vec<u8>> {
    let (front, rest) = payload.split_at_checked(IDS + 2)?;
    let (properties, back) = rest.split_at(long_extent(rest)?);
    if table::survey(&properties[4..]) == Survey::Clean {
        return None;
    }
    let properties = table::encoded(&table::sanitized(&properties[4..]));
    Some([front, &properties, back].concat())
}

/// Whether the broker says that it reads no more, or again; `None`: it is another method.
pub(super) fn blocked(payload: &[u8]) -> Option<bool> {
    match (u16_at(payload, 0)?, u16_at(payload, 2)?) {
        (10, 60) => Some(true),
        (10, 61) => Some(false),
        _ => None,
    }
}

/// The code and text of `connection.close`; `None`: it is another method. To be read once mended.
pub(super) fn closed(payload: &[u8]) -> Option<(u16, String)> {
    if (u16_at(payload, 0)?, u16_at(payload, 2)?) != (10, 50) {
        return None;
    }
    let text = payload.get(IDS + 2..)?;
    let text = text.get(1..short_extent(text)?)?;
    Some((u16_at(payload, IDS)?, String::from_utf8_lossy(text).into()))
}

/// The largest frame that the broker offers in `connection.tune`, in bytes; 0: no limit.
pub(super) fn tuned_frame_max(payload: &[u8]) -> Option<u32> {
    u32_at(payload, IDS + 2)
}

fn mend_text(mut bytes: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(bytes) {
        let start = error.valid_up_to();
        let end = error
            .error_len()
            .map_or(bytes.len(), |length| start + length);
        bytes[start..end].fill(b'?');
        bytes = &mut bytes[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_mended_in_place() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"plain", b"plain"),
            (
                "gr\u{fc}n \u{1f600}".as_bytes(),
                "gr\u{fc}n \u{1f600}".as_bytes(),
            ),
            (b"\xff", b"?"),
            (b"a\xffb\xfec", b"a?b?c"),
            (b"cut\xf0\x9f\x98", b"cut???"),
            (b"\xed\xa0\x80", b"???"),
        ];
        for (before, after) in cases {
            let mut bytes = before.to_vec();
            mend_text(&mut bytes);
            assert_eq!(&bytes, after);
        }
    }

    #[test]
    fn arguments_that_end_early_do_no_harm() {
        let deliver = b"\0\x3c\0\x3c\x01\xff\0\0\0\0\0\0\0\x01\0\x01\xff\x01\xff";
        for end in 4..=deliver.len() {
            let mut bytes = deliver[..end].to_vec();
            let Some(Kind::Strings(fields)) = kind(&bytes) else {
                panic!("not seen as a deliver");
            };
            mend(&mut bytes, fields);
            assert_eq!(bytes.len(), end);
        }
    }
}
