//! The numbers to ask for, from the command line, a file, or standard input.
//!
//! What is read comes from a thread of its own, a chunk at a time and no more than is asked for. It waits
//! for its file and for [`Input::close`] at once, so a terminal or a pipe where nothing comes any more
//! does not keep it; it is joined there.

pub(super) mod source;

use super::common::DEFAULT_N;
use super::lines::{Line, Lines};
use crate::protocol::{Code, Status};
use crate::text::safe;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;
use source::{STDIN, Source, cannot_read, exit_status, open};
use std::io::{self, PipeReader, PipeWriter};
use std::path::Path;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The most that is read at once, in bytes.
const CHUNK: usize = 32 << 10;

/// Something to ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// What was written.
    pub(super) text: String,
    /// The line where it was, if it was on one.
    pub(super) line: Option<u64>,
    /// How far into the input it ends, in the unit of [`Input::size`].
    pub(super) position: u64,
    /// Why nobody is asked about it.
    pub(super) fault: Option<Status>,
}

/// Where the numbers come from.
#[derive(Debug)]
pub(super) enum Input {
    /// The command line; all are there.
    Words(std::iter::Enumerate<std::vec::IntoIter<String>>),
    /// One a line.
    Lines(Reader),
}

impl Input {
    /// Opens what the flags name; the exit status and an error in one line where that cannot be read. Needs a
    /// tokio runtime.
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
        let name = if file == Path::new(STDIN) {
            "standard input".into()
        } else {
            safe(&file.display().to_string()).into_owned()
        };
        let fault = |error: io::Error| (exit_status(&error), cannot_read(&name, &error));
        let file = open(file).map_err(fault)?;
        Reader::start(file, name.clone())
            .map(Self::Lines)
            .map_err(fault)
    }

    /// Where they come from, in words.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Words(_) => "the command line",
            Self::Lines(reader) => &reader.name,
        }
    }

    /// How much there is: words, or bytes; `None` where nobody knows.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Words(words) => Some(words.len() as u64),
            Self::Lines(reader) => reader.size,
        }
    }

    /// Whether there is, or may be, more than one number.
    pub(super) fn is_many(&self) -> bool {
        match self {
            Self::Words(words) => words.len() > 1,
            Self::Lines(_) => true,
        }
    }

    /// Whether somebody types the numbers.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self, Self::Lines(reader) if reader.is_terminal)
    }

    /// What comes next; `None` at the end. Loses nothing when it is dropped unfinished.
    pub(super) async fn next(&mut self) -> Option<Item> {
        match self {
            Self::Words(_) => self.next_word(),
            Self::Lines(reader) => reader.next().await.map(Item::from),
        }
    }

    /// What comes next on the command line, if it is from there.
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

    /// Reads no more. An error in one line where reading has failed.
    pub(super) async fn close(self) -> Result<(), String> {
        match self {
            Self::Words(_) => Ok(()),
            Self::Lines(reader) => reader.close().await,
        }
    }
}

impl From<Line> for Item {
    fn from(line: Line) -> Self {
        let fault = match line.fault {
            Some(fault) => Err(refusal(fault)),
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

/// Refuses what no server takes for a number, and what would bring a plain one down; the server is
/// the judge of the rest.
fn check(text: &str) -> Result<(), Status> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Err(refusal("not an integer; ask for a whole number such as 30"))
    } else if text.starts_with('-') {
        Err(refusal("negative; ask for 0 or more"))
    } else {
        Ok(())
    }
}

fn refusal(why: &str) -> Status {
    Status::new(Code::InvalidArgument, why)
}

/// A file that is read line by line.
#[derive(Debug)]
pub(super) struct Reader {
    name: String,
    is_terminal: bool,
    size: Option<u64>,
    lines: Lines,
    chunks: mpsc::Receiver<Vec<u8>>,
    ended: bool,
    thread: JoinHandle<io::Result<()>>,
    /// The thread is told to end by the end of this.
    stop: PipeWriter,
}

impl Reader {
    fn start(source: Source, name: String) -> io::Result<Self> {
        let status = rustix::fs::fstat(&source)?;
        let size = match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
            FileType::RegularFile => {
                let position = rustix::fs::seek(&source, SeekFrom::Current(0))?;
                let length = u64::try_from(status.st_size).unwrap_or(0);
                Some(length.saturating_sub(position))
            }
            _ => None,
        };
        let (stopped, stop) = io::pipe()?;
        let (sender, chunks) = mpsc::channel(1);
        Ok(Self {
            name,
            is_terminal: rustix::termios::isatty(&source),
            size,
            lines: Lines::default(),
            chunks,
            ended: false,
            thread: tokio::task::spawn_blocking(move || read(&source, &stopped, &sender)),
            stop,
        })
    }

    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.lines.next() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            let Some(chunk) = self.chunks.recv().await else {
                self.ended = true;
                return self.lines.last();
            };
            self.lines.push(&chunk);
        }
    }

    async fn close(self) -> Result<(), String> {
        drop(self.stop);
        drop(self.chunks);
        let read = self
            .thread
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|error| cannot_read(&self.name, &error))
    }
}

/// Reads to the end, or until somebody drops the other end of `stopped` or of `chunks`.
fn read(source: &Source, stopped: &PipeReader, chunks: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut ready = [
            PollFd::new(stopped, PollFlags::IN),
            PollFd::new(source, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) if !ready[0].revents().is_empty() => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if ready[1].revents().is_empty() {
            continue;
        }
        match rustix::io::read(source, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                if chunks.blocking_send(buffer[..length].to_vec()).is_err() {
                    return Ok(());
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::io::Write as _;

    #[test]
    fn what_is_no_number_is_refused_here() {
        for (text, sent) in [
            ("30", true),
            (" 30\n", true),
            ("0", true),
            ("+5", true),
            ("007", true),
            ("18446744073709551616", true), // the server's to judge
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
            ("\u{663}", false), // a digit, but not of ASCII
        ] {
            assert_eq!(check(text).is_ok(), sent, "{text:?}");
        }
        assert_eq!(check("-1").unwrap_err().code, Code::InvalidArgument);
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
    async fn lines_come_as_they_are_written_and_a_wait_can_be_ended() {
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
        // The writer is there and says nothing.
        assert_eq!(input.close().await, Ok(()));
        drop(writer);
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_asked_for() {
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
        // Then the other end was closed; what had been written is a pipe and some chunks.
        let written = writer.join().unwrap();
        assert!(written < 1 << 18, "{written}");
    }
}
