//! Header tables: which entries can be decoded, and a table of those alone. Stateless.
//!
//! Promises work linear in the table's length, and neither recursion nor allocation to judge it,
//! however deep or broken the table is.

use super::frame::{length, long_extent, short_extent};
use super::{MAX_DEPTH, RESERVED};

/// One entry of a table, as far as it could be told apart from the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    /// The whole entry as it came.
    pub(super) raw: &'a [u8],
    pub(super) key: &'a [u8],
    /// The value's type octet.
    pub(super) kind: u8,
    /// The value, with the length in front where its type has one.
    pub(super) value: &'a [u8],
}

impl Entry<'_> {
    /// Whether the library decodes this entry, in bounded depth.
    pub(super) fn decodable(&self) -> bool {
        std::str::from_utf8(self.key).is_ok() && shallow(self.kind, self.value)
    }

    /// Whether the name is one that only the guard may give.
    pub(super) fn reserved(&self) -> bool {
        RESERVED.iter().any(|prefix| self.key.starts_with(prefix))
    }
}

/// The entries of a table, from its contents (without the length in front). Ends early where
/// lengths stop making sense; [`Entries::cut`] tells.
#[derive(Debug, Clone)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(super) fn new(contents: &'a [u8]) -> Self {
        Self { rest: contents }
    }

    /// Whether something was left that is no entry. Meaningful once the iterator has ended.
    pub(super) fn cut(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let key_end = short_extent(self.rest)?;
        let kind = *self.rest.get(key_end)?;
        let value_at = key_end + 1;
        let end = value_at + value_extent(kind, &self.rest[value_at..])?;
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Entry {
            raw,
            key: &raw[1..key_end],
            kind,
            value: &raw[value_at..],
        })
    }
}

/// What a table is like that a peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survey {
    /// It can be handed on as it is.
    Clean,
    /// Some entries must go; `defect`: because they cannot be decoded, not only for their names.
    Dirty { defect: bool },
}

/// Judges the contents of a table.
pub(super) fn survey(contents: &[u8]) -> Survey {
    let mut entries = Entries::new(contents);
    let (mut dirty, mut defect) = (false, false);
    for entry in &mut entries {
        defect |= !entry.decodable();
        dirty |= entry.reserved();
    }
    defect |= entries.cut();
    if dirty || defect {
        Survey::Dirty { defect }
    } else {
        Survey::Clean
    }
}

/// The entries of `contents` that may stay, byte for byte.
pub(super) fn sanitized(contents: &[u8]) -> Vec<u8> {
    retain(contents, |entry| entry.decodable() && !entry.reserved())
}

/// The entries of `contents` for which `keep` holds, byte for byte.
pub(super) fn retain(contents: &[u8], keep: impl Fn(&Entry<'_>) -> bool) -> Vec<u8> {
    let mut kept = Vec::with_capacity(contents.len());
    for entry in Entries::new(contents).filter(|entry| keep(entry)) {
        kept.extend_from_slice(entry.raw);
    }
    kept
}

/// Adds an entry of type `l`.
pub(super) fn push_integer(contents: &mut Vec<u8>, key: &str, value: i64) {
    push_key(contents, key);
    contents.push(b'l');
    contents.extend_from_slice(&value.to_be_bytes());
}

/// Adds an entry of type `x`.
pub(super) fn push_bytes(contents: &mut Vec<u8>, key: &str, value: &[u8]) {
    push_key(contents, key);
    contents.push(b'x');
    contents.extend_from_slice(&length(value).to_be_bytes());
    contents.extend_from_slice(value);
}

/// A table with its length in front.
pub(super) fn encoded(contents: &[u8]) -> Vec<u8> {
    let mut table = Vec::with_capacity(contents.len() + 4);
    table.extend_from_slice(&length(contents).to_be_bytes());
    table.extend_from_slice(contents);
    table
}

fn push_key(contents: &mut Vec<u8>, key: &str) {
    // Only the guard's own names come here, all far shorter than 255 bytes.
    contents.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    contents.extend_from_slice(key.as_bytes());
}

/// How many bytes at the front of `bytes` the value of a type takes. `None`: the library does not
/// decode that type, or it reaches past the end.
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

/// Whether all that is nested in a value can be decoded, no deeper than [`MAX_DEPTH`].
fn shallow(kind: u8, value: &[u8]) -> bool {
    if !nests(kind) {
        return true;
    }
    // Where each open array or table ends, and whether it is a table. `at` never passes the
    // innermost end, since every extent is taken within it.
    let mut open = [(0, false); MAX_DEPTH];
    open[0] = (value.len(), kind == b'F');
    let mut depth = 1;
    let mut at = 4;
    while depth > 0 {
        let (end, table) = open[depth - 1];
        if at == end {
            depth -= 1;
            continue;
        }
        if table {
            let Some(extent) = short_extent(&value[at..end]) else {
                return false;
            };
            if std::str::from_utf8(&value[at + 1..at + extent]).is_err() {
                return false;
            }
            at += extent;
        }
        let Some(&kind) = value[..end].get(at) else {
            return false;
        };
        at += 1;
        let Some(extent) = value_extent(kind, &value[at..end]) else {
            return false;
        };
        if !nests(kind) {
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

/// Whether values of this type contain others.
fn nests(kind: u8) -> bool {
    matches!(kind, b'A' | b'F')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(key.len()).unwrap()];
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        bytes
    }

    fn nested(kind: u8, depth: usize) -> Vec<u8> {
        let mut value = Vec::new();
        for _ in 0..depth {
            let inner = if kind == b'F' && !value.is_empty() {
                entry(b"k", &value)
            } else {
                value
            };
            value = vec![kind];
            value.extend(encoded(&inner));
        }
        value
    }

    #[test]
    fn an_entry_stays_or_goes() {
        let cases: &[(&str, Vec<u8>, bool)] = &[
            ("void", b"V".to_vec(), true),
            ("boolean that is neither 0 nor 1", b"t\x07".to_vec(), true),
            ("array in array", nested(b'A', 2), true),
            ("arrays 32 deep", nested(b'A', 32), true),
            ("arrays 33 deep", nested(b'A', 33), false),
            ("arrays 1600 deep", nested(b'A', 1600), false),
            ("arrays 26000 deep", nested(b'A', 26_000), false),
            ("tables 32 deep", nested(b'F', 32), true),
            ("tables 33 deep", nested(b'F', 33), false),
            ("tables 1600 deep", nested(b'F', 1600), false),
            ("tables 26000 deep", nested(b'F', 26_000), false),
            ("unknown type inside", b"A\0\0\0\x01Z".to_vec(), false),
            ("number cut short inside", b"A\0\0\0\x02I\0".to_vec(), false),
            (
                "inner length past the outer",
                b"A\0\0\0\x05A\0\0\0\x01".to_vec(),
                false,
            ),
            (
                "key inside not UTF-8",
                b"F\0\0\0\x03\x01\xffV".to_vec(),
                false,
            ),
            (
                "key inside without a value",
                b"F\0\0\0\x02\x01k".to_vec(),
                false,
            ),
            ("long string not UTF-8", b"S\0\0\0\x01\xff".to_vec(), true),
        ];
        for (what, value, stays) in cases {
            let before = entry(b"before", b"b\x01");
            let tested = entry(b"tested", value);
            let after = entry(b"after", b"b\x02");
            let all = [before.clone(), tested.clone(), after.clone()].concat();
            if *stays {
                assert_eq!(survey(&all), Survey::Clean, "{what}");
                assert_eq!(sanitized(&all), all, "{what}");
            } else {
                assert_eq!(survey(&all), Survey::Dirty { defect: true }, "{what}");
                assert_eq!(sanitized(&all), [before, after].concat(), "{what}");
            }
        }
    }

    #[test]
    fn a_key_that_is_not_text_takes_its_entry_along() {
        let good = entry(b"good", b"V");
        let all = [entry(b"\xff", b"V"), good.clone()].concat();
        assert_eq!(survey(&all), Survey::Dirty { defect: true });
        assert_eq!(sanitized(&all), good);
    }

    #[test]
    fn reserved_names_go_without_a_defect() {
        let good = entry(b"fibrpc-deadline", b"V");
        let forged = entry(super::super::DEFECTS.as_bytes(), b"l\0\0\0\0\0\0\0\x01");
        let all = [forged, good.clone()].concat();
        assert_eq!(survey(&all), Survey::Dirty { defect: false });
        assert_eq!(sanitized(&all), good);
    }

    #[test]
    fn a_table_is_cut_where_lengths_stop_making_sense() {
        let good = entry(b"good", b"V");
        let later = entry(b"later", b"V");
        let breaks: &[(&str, &[u8])] = &[
            ("unknown type", b"\x01kZ"),
            ("key past the end", b"\xffkV"),
            ("array past the end", b"\x01kA\0\0\xff\xff"),
            (
                "string past the end of what can be counted",
                b"\x01kS\xff\xff\xff\xff",
            ),
        ];
        for (what, bad) in breaks {
            let all = [&good[..], bad, &later].concat();
            assert_eq!(survey(&all), Survey::Dirty { defect: true }, "{what}");
            assert_eq!(sanitized(&all), good, "{what}");
        }
        for end in 1..good.len() {
            let all = [&later[..], &good[..end]].concat();
            assert_eq!(sanitized(&all), later, "cut at {end}");
        }
    }
}
