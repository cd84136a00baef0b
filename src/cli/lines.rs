//! Bytes as they come, cut into lines. Pure; keeps no more than what was pushed last and one line.

/// The longest line that is looked at, in bytes: no number of the protocol comes near it.
const LONGEST: usize = 1024;

/// What is wrong with a longer one.
const TOO_LONG: &str = "the line is longer than 1024 bytes";

/// A line that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, empty ones included.
    pub(super) number: u64,
    /// How many bytes end with it.
    pub(super) end: u64,
    /// What it says, without its end; the beginning, where it is too long.
    pub(super) text: String,
    /// Why it cannot be used.
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
        let length = self.buffer.len() - self.used;
        if length == 0 && self.head.is_none() {
            return None;
        }
        self.take(length, 0)
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
                (text, Some("not UTF-8"))
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
    fn what_is_not_utf_8_fails_alone() {
        let found = lines(b"1\n\xff\n3\n", 2);
        let faults: Vec<_> = found.iter().map(|line| line.fault).collect();
        assert_eq!(faults, [None, Some("not UTF-8"), None]);
        assert_eq!(found[1].text, "\u{fffd}");
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_makes_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'1'), any::<u8>()], 0..3000),
            chunk in 1_usize..100,
        ) {
            prop_assert_eq!(lines(&bytes, chunk), lines(&bytes, bytes.len().max(1)));
        }
    }
}
