//! Bytes as they come, cut into lines, without the byte order mark that an editor may have put first. Pure; keeps no more than what was pushed last and one line.

use crate::config::{BYTE_ORDER_MARK, is_utf16};

/// The longest line that is looked at, in bytes: no number of the protocol comes near it.
const LONGEST: usize = 1024;

/// What is wrong with a longer one.
const TOO_LONG: &str = "the line is longer than 1024 bytes; write one number per line";

const NOT_UTF_8: &str = "not UTF-8; write one number per line";

/// What is wrong with all lines at once.
const UTF_16: &str = "UTF-16; save it as UTF-8";

/// A line that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, empty ones included.
    pub(super) number: u64,
    /// How many bytes end with it.
    pub(super) end: u64,
    /// What it says, without its end; the beginning, where it is too long.
    pub(super) text: String,
    /// Why it cannot be used, and what to do.
    pub(super) fault: Option<&'static str>,
}

/// Takes bytes, gives lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// What is used up of the buffer.
    used: usize,
    /// The beginning of a line that is too long, whose rest is thrown away.
    head: Option<Vec<u8>>,
    /// Lines taken so far.
    count: u64,
    /// Bytes taken so far.
    bytes: u64,
    encoding: Encoding,
}

/// What the first bytes say of the others.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// There are too few yet.
    #[default]
    Unknown,
    Utf8,
    /// Nothing of it can be used.
    Utf16,
}

impl Lines {
    /// Adds bytes. To be called where [`Lines::next`] has nothing more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line; lines of white space are left out.
    pub(super) fn next(&mut self) -> Option<Line> {
        let enough = self.buffer.len() >= BYTE_ORDER_MARK.len() || self.buffer.contains(&b'\n');
        if self.encoding == Encoding::Unknown && enough {
            self.begin();
        }
        if self.encoding == Encoding::Utf16 {
            return self.only_fault();
        }
        loop {
            let rest = &self.buffer[self.used..];
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                // With one byte more, which may be the first half of its end, it may be short enough.
                if rest.len() > LONGEST + 1 {
                    self.head.get_or_insert_with(|| rest[..LONGEST].to_vec());
                    self.use_up(rest.len());
                }
                return None;
            };
            if let Some(line) = self.take(length, 1) {
                return Some(line);
            }
        }
    }

    /// What is left at the end of the input: a line without an end.
    pub(super) fn last(&mut self) -> Option<Line> {
        if self.encoding == Encoding::Unknown {
            self.begin();
        }
        if self.encoding == Encoding::Utf16 {
            return self.only_fault();
        }
        let length = self.buffer.len() - self.used;
        if length == 0 && self.head.is_none() {
            return None;
        }
        self.take(length, 0)
    }

    /// Looks at the first bytes, and steps over a mark.
    fn begin(&mut self) {
        self.encoding = if is_utf16(&self.buffer) {
            Encoding::Utf16
        } else {
            Encoding::Utf8
        };
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.use_up(BYTE_ORDER_MARK.len());
        }
    }

    /// Throws everything away; the first time, says why.
    fn only_fault(&mut self) -> Option<Line> {
        self.use_up(self.buffer.len() - self.used);
        self.count += 1;
        (self.count == 1).then(|| Line {
            number: 1,
            end: 2,
            text: "\u{fffd}\u{fffd}".into(),
            fault: Some(UTF_16),
        })
    }

    fn take(&mut self, length: usize, end: usize) -> Option<Line> {
        let line = &self.buffer[self.used..self.used + length];
        // Some end a line with two characters.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let cut = self.head.take();
        let too_long = cut.is_some() || line.len() > LONGEST;
        let line = cut.unwrap_or_else(|| line[..line.len().min(LONGEST)].to_vec());
        self.use_up(length + end);
        self.count += 1;
        let (text, fault) = match String::from_utf8(line) {
            Ok(text) => (text, None),
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                (text, Some(NOT_UTF_8))
            }
        };
        // The cut may have split a character.
        let fault = if too_long { Some(TOO_LONG) } else { fault };
        (fault.is_some() || !text.trim().is_empty()).then_some(Line {
            number: self.count,
            end: self.bytes,
            text,
            fault,
        })
    }

    fn use_up(&mut self, length: usize) {
        self.used += length;
        self.bytes += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All lines, where the bytes come in chunks of that size.
    fn lines(bytes: &[u8], chunk: usize) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in bytes.chunks(chunk) {
            lines.push(chunk);
            found.extend(std::iter::from_fn(|| lines.next()));
            // A line, and perhaps the first half of its end.
            assert!(lines.buffer.len() <= LONGEST + 1 + chunk.len());
        }
        found.extend(lines.last());
        found
    }

    #[test]
    fn lines_are_numbered_and_empty_ones_left_out() {
        let bytes = b"1\n\n 22 \r\n\t\n333";
        let expect = [(1, 2, "1"), (3, 9, " 22 "), (5, 14, "333")];
        for chunk in 1..=bytes.len() {
            let found = lines(bytes, chunk);
            let found: Vec<_> = found
                .iter()
                .map(|line| (line.number, line.end, line.text.as_str()))
                .collect();
            assert_eq!(found, expect, "{chunk}");
        }
        assert_eq!(lines(b"", 1), []);
        assert_eq!(lines(b"\n\n", 1), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_is_whole() {
        let long = "9".repeat(LONGEST + 1);
        let bytes = format!("1\n{long}\n{}\n2", "8".repeat(LONGEST));
        for chunk in [1, 7, LONGEST, 10 * LONGEST] {
            let found = lines(bytes.as_bytes(), chunk);
            assert_eq!(found.len(), 4, "{chunk}");
            assert_eq!(found[1].text, long[..LONGEST]);
            assert!(found[1].fault.is_some_and(|fault| fault.contains("longer")));
            assert_eq!((found[2].text.len(), found[2].fault), (LONGEST, None));
            assert_eq!((found[3].number, found[3].text.as_str()), (4, "2"));
        }
        assert!(
            lines(long.as_bytes(), 100)[0].fault.is_some(),
            "at the end, too"
        );
    }

    #[test]
    fn the_end_of_a_line_is_no_part_of_its_length() {
        let longest = "9".repeat(LONGEST);
        for end in ["\n", "\r\n", "\r", ""] {
            let good = format!("{longest}{end}");
            let long = format!("9{good}");
            for chunk in [1, 7, LONGEST, LONGEST + 1, 10 * LONGEST] {
                let found = lines(good.as_bytes(), chunk);
                let found: Vec<_> = found.iter().map(|line| (&line.text, line.fault)).collect();
                assert_eq!(found, [(&longest, None)], "{end:?} {chunk}");
                let found = lines(long.as_bytes(), chunk);
                let found: Vec<_> = found.iter().map(|line| (&line.text, line.fault)).collect();
                assert_eq!(found, [(&longest, Some(TOO_LONG))], "{end:?} {chunk}");
            }
        }
    }

    #[test]
    fn a_line_whose_cut_splits_a_character_is_too_long() {
        let long = format!("9{}\n", "\u{e9}".repeat(LONGEST));
        for chunk in [1, LONGEST, 10 * LONGEST] {
            let found = lines(long.as_bytes(), chunk);
            let faults: Vec<_> = found.iter().map(|line| line.fault).collect();
            assert_eq!(faults, [Some(TOO_LONG)], "{chunk}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        for (bytes, expect) in [
            (
                &b"\xef\xbb\xbf30\n31"[..],
                &[(1, 6, "30"), (2, 8, "31")][..],
            ),
            (b"\xef\xbb\xbf\r\n7\n", &[(2, 7, "7")]),
            (b"\xef\xbb\xbf", &[]),
            // Anywhere else, and a second one, it is a character like any other.
            (b"\xef\xbb\xbf\xef\xbb\xbf1", &[(1, 7, "\u{feff}1")]),
            (b"1\n\xef\xbb\xbf2", &[(1, 2, "1"), (2, 6, "\u{feff}2")]),
        ] {
            for chunk in 1..=bytes.len() {
                let found = lines(bytes, chunk);
                let found: Vec<_> = found
                    .iter()
                    .map(|line| (line.number, line.end, line.text.as_str()))
                    .collect();
                assert_eq!(found, expect, "{bytes:?} {chunk}");
            }
        }
        let longest = "9".repeat(LONGEST);
        let found = lines(format!("\u{feff}{longest}\n").as_bytes(), 100);
        assert_eq!(
            (found[0].text.as_str(), found[0].fault),
            (longest.as_str(), None)
        );
        // What only begins like one.
        for bytes in [&b"\xef"[..], b"\xef\xbb", b"\xef\n1", b"\xef\xbb1"] {
            assert!(lines(bytes, 1)[0].fault.is_some(), "{bytes:?}");
        }
    }

    #[test]
    fn utf_16_is_one_fault_and_the_rest_is_not_looked_at() {
        let wide = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        let long = format!("\u{feff}30\r\n31\r\n{}", "9\r\n".repeat(2 * LONGEST));
        for text in [
            "\u{feff}",
            "\u{feff}3",
            "\u{feff}30\r\n31\r\n",
            long.as_str(),
        ] {
            for bytes in [wide(text, u16::to_le_bytes), wide(text, u16::to_be_bytes)] {
                for chunk in [1, 2, 7, 10 * LONGEST] {
                    let found = lines(&bytes, chunk);
                    assert_eq!(found.len(), 1, "{text:?} {chunk}");
                    assert_eq!((found[0].number, found[0].fault), (1, Some(UTF_16)));
                }
            }
        }
    }

    #[test]
    fn what_is_not_utf_8_fails_alone() {
        let found = lines(b"1\n\xff\n3\n", 2);
        let faults: Vec<_> = found.iter().map(|line| line.fault).collect();
        assert_eq!(faults, [None, Some(NOT_UTF_8), None]);
        assert_eq!(found[1].text, "\u{fffd}");
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_makes_no_difference(
            start in prop_oneof![Just(&b""[..]), Just(BYTE_ORDER_MARK), Just(&b"\xff\xfe"[..]), Just(&b"\xef\xbb"[..])],
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'1'), any::<u8>()], 0..3000),
            chunk in 1_usize..100,
        ) {
            let bytes = [start, &bytes].concat();
            prop_assert_eq!(lines(&bytes, chunk), lines(&bytes, bytes.len().max(1)));
        }
    }
}
