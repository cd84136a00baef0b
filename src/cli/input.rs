//! The numbers to ask for, from the command line, a file, or standard input; the latter two are read on demand.

pub(super) mod chunks;
pub(super) mod source;

use super::common::DEFAULT_N;
use super::lines::{Line, Lines};
use crate::protocol::Status;
use chunks::Chunks;
use source::STDIN;
use std::path::Path;

/// Something to ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// What was written.
    pub(super) text: String,
    /// Its line number, if it was read from a line.
    pub(super) line: Option<u64>,
    /// How far into the input it ends, in the unit of [`Input::size`].
    pub(super) position: u64,
    /// Why it is not sent.
    pub(super) fault: Option<Status>,
}

/// Where the numbers come from.
#[derive(Debug)]
pub(super) enum Input {
    /// The command line.
    Words(std::iter::Enumerate<std::vec::IntoIter<String>>),
    /// One per line.
    Lines(Reader),
}

impl Input {
    /// Opens the source that the flags select. Fails with an exit status and an error in one line. Needs a tokio
    /// runtime.
    pub(super) fn open(file: Option<&Path>, numbers: &[String]) -> Result<Self, (u8, String)> {
        let file = match (file, numbers) {
            (None, [word]) if word == STDIN => Path::new(STDIN),
            (Some(file), _) => file,
            (None, words) => {
                let default = || vec![DEFAULT_N.to_owned()];
                let words = if words.is_empty() {
                    default()
                } else {
                    words.to_vec()
                };
                return Ok(Self::Words(words.into_iter().enumerate()));
            }
        };
        Chunks::open(file).map(Reader::new).map(Self::Lines)
    }

    /// The source, for messages.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Words(_) => "the command line",
            Self::Lines(reader) => &reader.chunks.name,
        }
    }

    /// Its size in words or bytes, if known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Words(words) => Some(words.len() as u64),
            Self::Lines(reader) => reader.chunks.size,
        }
    }

    /// Whether there is, or may be, more than one number.
    pub(super) fn is_many(&self) -> bool {
        match self {
            Self::Words(words) => words.len() > 1,
            Self::Lines(_) => true,
        }
    }

    /// Whether the numbers are typed at a terminal.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self, Self::Lines(reader) if reader.chunks.is_terminal)
    }

    /// The next item; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Item> {
        match self {
            Self::Words(_) => self.next_word(),
            Self::Lines(reader) => reader.next().await.map(Item::from),
        }
    }

    /// The next item, if the source is the command line.
    pub(super) fn next_word(&mut self) -> Option<Item> {
        let Self::Words(words) = self else {
            return None;
        };
        words.next().map(|(index, text)| Item {
            fault: check(&text).err(),
            text,
            line: None,
            position: index as u64 + 1,
        })
    }

    /// Stops reading. Fails with an error in one line if reading has failed.
    pub(super) async fn close(self) -> Result<(), String> {
        match self {
            Self::Words(_) => Ok(()),
            Self::Lines(reader) => reader.chunks.close().await,
        }
    }
}

impl From<Line> for Item {
    fn from(line: Line) -> Self {
        let fault = match line.fault {
            Some(fault) => Err(Status::invalid_argument(fault)),
            None => check(&line.text),
        };
        Self {
            text: line.text,
            line: Some(line.number),
            position: line.end,
            fault: fault.err(),
        }
    }
}

/// Rejects what no server accepts as a number, and what would crash a plain server; the server judges the rest.
fn check(text: &str) -> Result<(), Status> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "not an integer; ask for a whole number such as 30";
        Err(Status::invalid_argument(message))
    } else if text.starts_with('-') {
        Err(Status::invalid_argument("negative; ask for 0 or more"))
    } else {
        Ok(())
    }
}

/// A file that is read line by line.
#[derive(Debug)]
pub(super) struct Reader {
    lines: Lines,
    chunks: Chunks,
    ended: bool,
}

impl Reader {
    fn new(chunks: Chunks) -> Self {
        Self {
            lines: Lines::default(),
            chunks,
            ended: false,
        }
    }

    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.lines.next() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            let Some(chunk) = self.chunks.next().await else {
                self.ended = true;
                return self.lines.last();
            };
            self.lines.push(&chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;
    use std::fs::{File, OpenOptions};
    use std::io::Write as _;

    #[test]
    fn non_numbers_are_rejected_locally() {
        for (text, sent) in [
            ("30", true),
            (" 30\n", true),
            ("0", true),
            ("+5", true),
            ("007", true),
            ("18446744073709551616", true), // for the server to judge
            ("-1", false),
            ("-0", false),
            ("", false),
            (" ", false),
            ("+", false),
            ("-", false),
            ("abc", false),
            ("1e3", false),
            ("5.0", false),
            ("0x10", false),
            ("++5", false),
            ("1 2", false),
            ("\u{663}", false), // a digit, but not ASCII
        ] {
            assert_eq!(check(text).is_ok(), sent, "{text:?}");
        }
        assert_eq!(check("-1").unwrap_err().code(), Code::InvalidArgument);
    }

    /// A reader of a FIFO, and the end that writes to it.
    fn fifo(folder: &Path) -> (Input, File) {
        let path = folder.join("fifo");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let input = Input::open(Some(&path), &[]).unwrap();
        (input, OpenOptions::new().write(true).open(path).unwrap())
    }

    #[tokio::test]
    async fn lines_arrive_as_written_and_a_wait_can_be_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut input, mut writer) = fifo(folder.path());
        assert_eq!(input.size(), None);
        writer.write_all(b"1\n-2\n3").unwrap();
        let first = input.next().await.unwrap();
        assert_eq!(
            (first.text.as_str(), first.line, first.fault),
            ("1", Some(1), None)
        );
        let second = input.next().await.unwrap();
        assert_eq!((second.line, second.fault.is_some()), (Some(2), true));
        writer.write_all(b"0\n").unwrap();
        assert_eq!(input.next().await.unwrap().text, "30");
        // The writer is open and silent.
        assert_eq!(input.close().await, Ok(()));
        drop(writer);
    }

    #[tokio::test]
    async fn reading_is_on_demand() {
        let folder = tempfile::tempdir().unwrap();
        let (mut input, mut writer) = fifo(folder.path());
        let writer = std::thread::spawn(move || {
            let line = [b"7\n".as_slice(); 512].concat();
            (0..10_000)
                .map_while(|_| writer.write(&line).ok())
                .sum::<usize>()
        });
        for _ in 0..1000 {
            assert_eq!(input.next().await.unwrap().text, "7");
        }
        assert_eq!(input.close().await, Ok(()));
        // The other end was closed then; only a pipe and some chunks had been written.
        let written = writer.join().unwrap();
        assert!(written < 1 << 18, "{written}");
    }
}
