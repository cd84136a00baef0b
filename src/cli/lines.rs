//! Splits a stream of bytes into lines, without a byte order mark at the beginning. Pure; keeps only what was pushed
//! last and one line.

use crate::config::{BYTE_ORDER_MARK, is_utf16};

/// Maximum length of a line, in bytes: no number of the protocol comes near it.
const MAX_LINE: usize = 1024;

const TOO_LONG: &str = "the line is longer than 1024 bytes; write one number per line";

const NOT_UTF_8: &str = "not UTF-8; write one number per line";

const UTF_16: &str = "UTF-16; save it as UTF-8";

/// A line that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, including empty lines.
    pub(super) number: u64,
    /// The position of its end in the input, in bytes.
    pub(super) end: u64,
    /// The text without line end; only the beginning if it is too long.
    pub(super) text: String,
    /// Why it cannot be used, and what to do.
    pub(super) fault: Option<&'static str>,
}

/// Bytes in, lines out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// How much of the buffer is used up.
    used: usize,
    /// The beginning of a line that is too long; its rest is discarded.
    head: Option<Vec<u8>>,
    /// Lines taken so far.
    count: u64,
    /// Bytes taken so far.
    bytes: u64,
    encoding: Encoding,
}

/// The encoding, by the first bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Too few bytes so far.
    #[default]
    Unknown,
    Utf8,
    /// Cannot be used.
    Utf16,
}

impl Lines {
    /// Adds bytes. To be called once [`Lines::next`] returns `None`.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line; blank lines are skipped.
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
                // One more byte may be the first half of the line end.
                if rest.len() > MAX_LINE + 1 {
                    self.head.get_or_insert_with(|| rest[..MAX_LINE].to_vec());
                    self.use_up(rest.len());
                }
                return None;
            };
            if let Some(line) = self.take(length, 1) {
                return Some(line);
            }
        }
    }

    /// The last line of the input, if it has no line end.
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

    /// Detects the encoding, and skips a byte order mark.
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

    /// Discards everything; the first time, reports why.
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
        // Windows ends lines with two characters.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let cut = self.head.take();
        let too_long = cut.is_some() || line.len() > MAX_LINE;
        let line = cut.unwrap_or_else(|| line[..line.len().min(MAX_LINE)].to_vec());
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

    /// All lines, if the bytes come in chunks of that size.
    fn lines(bytes: &[u8], chunk: usize) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in bytes.chunks(chunk) {
            lines.push(chunk);
            found.extend(std::iter::from_fn(|| lines.next()));
            // A line, and perhaps the first half of its line end.
            assert!(lines.buffer.len() <= MAX_LINE + 1 + chunk.len());
        }
        found.extend(lines.last());
        found
    }

    #[test]
    fn lines_are_numbered_and_empty_ones_skipped() {
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
        let long = "9".repeat(MAX_LINE + 1);
        let bytes = format!("1\n{long}\n{}\n2", "8".repeat(MAX_LINE));
        for chunk in [1, 7, MAX_LINE, 10 * MAX_LINE] {
            let found = lines(bytes.as_bytes(), chunk);
            assert_eq!(found.len(), 4, "{chunk}");
            assert_eq!(found[1].text, long[..MAX_LINE]);
            assert!(found[1].fault.is_some_and(|fault| fault.contains("longer")));
            assert_eq!((found[2].text.len(), found[2].fault), (MAX_LINE, None));
            assert_eq!((found[3].number, found[3].text.as_str()), (4, "2"));
        }
        assert!(
            lines(long.as_bytes(), 100)[0].fault.is_some(),
            "also at the end"
        );
    }

    #[test]
    fn a_line_end_does_not_count_as_length() {
        let longest = "9".repeat(MAX_LINE);
        for end in ["\n", "\r\n", "\r", ""] {
            let good = format!("{longest}{end}");
            let long = format!("9{good}");
            for chunk in [1, 7, MAX_LINE, MAX_LINE + 1, 10 * MAX_LINE] {
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
        let long = format!("9{}\n", "\u{e9}".repeat(MAX_LINE));
        for chunk in [1, MAX_LINE, 10 * MAX_LINE] {
            let found = lines(long.as_bytes(), chunk);
            let faults: Vec<_> = found.iter().map(|line| line.fault).collect();
            assert_eq!(faults, [Some(TOO_LONG)], "{chunk}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        for (bytes, expect) in [
            (
                &b"\xef\xbb\xbf30\n31"[..],
                &[(1, 6, "30"), (2, 8, "31")][..],
            ),
            (b"\xef\xbb\xbf\r\n7\n", &[(2, 7, "7")]),
            (b"\xef\xbb\xbf", &[]),
            // Anywhere else it is an ordinary character.
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
        let longest = "9".repeat(MAX_LINE);
        let found = lines(format!("\u{feff}{longest}\n").as_bytes(), 100);
        assert_eq!(
            (found[0].text.as_str(), found[0].fault),
            (longest.as_str(), None)
        );
        // The beginning of a mark only.
        for bytes in [&b"\xef"[..], b"\xef\xbb", b"\xef\n1", b"\xef\xbb1"] {
            assert!(lines(bytes, 1)[0].fault.is_some(), "{bytes:?}");
        }
    }

    #[test]
    fn utf_16_is_one_fault_for_the_whole_input() {
        let wide = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        let long = format!("\u{feff}30\r\n31\r\n{}", "9\r\n".repeat(2 * MAX_LINE));
        for text in [
            "\u{feff}",
            "\u{feff}3",
            "\u{feff}30\r\n31\r\n",
            long.as_str(),
        ] {
            for bytes in [wide(text, u16::to_le_bytes), wide(text, u16::to_be_bytes)] {
                for chunk in [1, 2, 7, 10 * MAX_LINE] {
                    let found = lines(&bytes, chunk);
                    assert_eq!(found.len(), 1, "{text:?} {chunk}");
                    assert_eq!((found[0].number, found[0].fault), (1, Some(UTF_16)));
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_not_utf_8_fails_alone() {
        let found = lines(b"1\n\xff\n3\n", 2);
        let faults: Vec<_> = found.iter().map(|line| line.fault).collect();
        assert_eq!(faults, [None, Some(NOT_UTF_8), None]);
        assert_eq!(found[1].text, "\u{fffd}");
    }

    proptest! {
        #[test]
        fn chunk_sizes_make_no_difference(
            start in prop_oneof![Just(&b""[..]), Just(BYTE_ORDER_MARK), Just(&b"\xff\xfe"[..]), Just(&b"\xef\xbb"[..])],
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'1'), any::<u8>()], 0..3000),
            chunk in 1_usize..100,
        ) {
            let bytes = [start, &bytes].concat();
            prop_assert_eq!(lines(&bytes, chunk), lines(&bytes, bytes.len().max(1)));
        }
    }
}
