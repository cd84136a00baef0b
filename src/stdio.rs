//! Standard input, output and error: the only place that opens the first and writes to the others.
//!
//! A descriptor is shared with other processes, any of which may have made it non-blocking. Writes here wait until they
//! can proceed, in either mode, and leave the mode as it is.

use crate::inherited::was_closed;
use anstream::{AutoStream, ColorChoice};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Standard input, unless it was closed when the process started.
pub(crate) fn stdin() -> io::Result<BorrowedFd<'static>> {
    if was_closed(0) {
        return Err(io::Error::other(
            "it is closed; redirect a file or a pipe to it",
        ));
    }
    Ok(rustix::stdio::stdin())
}

/// Whether this path leads to our standard input: /dev/stdin, /dev/fd/0, and what is linked to them.
pub(crate) fn is_stdin(path: &Path) -> bool {
    let Ok(ours) = std::fs::canonicalize("/proc/self/fd") else {
        return false;
    };
    let mut path = path.to_owned();
    // Link by link, since the last one leads away from there; as many as the kernel follows.
    for _ in 0..40 {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let folder = std::fs::canonicalize(folder);
        if folder.as_ref().is_ok_and(|folder| *folder == ours) {
            return path.file_name().is_some_and(|name| name == "0");
        }
        let (Ok(folder), Ok(link)) = (folder, std::fs::read_link(&path)) else {
            return false;
        };
        path = folder.join::<PathBuf>(link);
    }
    false
}

/// A stream to write to. Unbuffered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output. Unlike [`io::stdout`], it does not pretend to write if it cannot be written.
    Output,
    /// Standard error. The bytes of one [`Write::write_all`] stay together.
    Error,
}

/// Standard output.
pub(crate) fn stdout() -> Stream {
    Stream::Output
}

/// Standard error.
pub(crate) fn stderr() -> Stream {
    Stream::Error
}

impl Stream {
    /// Fails if it is standard output and was closed when the process started.
    pub(crate) fn open(self) -> io::Result<()> {
        if self == Self::Output && was_closed(1) {
            return Err(io::Error::other(
                "it is closed; redirect it to /dev/null to discard the output",
            ));
        }
        Ok(())
    }

    /// Whether it gets colors: on a terminal, if environment and user want them.
    pub(crate) fn has_color(self) -> bool {
        let choice = match self {
            Self::Output => AutoStream::choice(&io::stdout()),
            Self::Error => AutoStream::choice(&io::stderr()),
        };
        choice != ColorChoice::Never
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Output => rustix::stdio::stdout(),
            Self::Error => rustix::stdio::stderr(),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open()?;
        write_some(self.as_fd(), bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Partial writes of several threads would mix their lines.
        let _turn = (*self == Self::Error).then(|| io::stderr().lock());
        let mut left = bytes;
        while !left.is_empty() {
            match self.write(left)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => left = &left[written..],
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as much as possible, once something can be written.
fn write_some(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(descriptor, bytes) {
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for_room(descriptor)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until something can be written or the stream has failed; the next write shows which.
fn wait_for_room(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Prints help or version on standard output.
pub(crate) fn print_help(help: &clap::Error) -> io::Result<()> {
    let (help, mut out) = (help.render(), stdout());
    let text = if out.has_color() {
        help.ansi().to_string()
    } else {
        help.to_string()
    };
    out.write_all(text.as_bytes())
}

/// Why standard output could not be written; `None` if its reader is gone.
pub(crate) fn not_written(error: &io::Error) -> Option<String> {
    let is_gone = error.kind() == io::ErrorKind::BrokenPipe;
    (!is_gone).then(|| format!("cannot write to standard output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    /// Writes a megabyte to `writer` in non-blocking mode while `reader` is slow.
    fn all_arrives(mut reader: impl io::Read + Send + 'static, writer: impl AsFd) {
        let flags = fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK;
        fcntl_setfl(&writer, flags).unwrap();
        let sent: Vec<u8> = (0..1_000_000).map(|i: u32| i.to_le_bytes()[0]).collect();
        let (filled, full) = std::sync::mpsc::channel();
        let reading = std::thread::spawn(move || {
            full.recv().unwrap();
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            received
        });
        let mut left = sent.as_slice();
        // Up to here the kernel takes it without a reader.
        while let Ok(written) = rustix::io::write(&writer, left) {
            left = &left[written..];
        }
        filled.send(()).unwrap();
        while !left.is_empty() {
            left = &left[write_some(writer.as_fd(), left).unwrap()..];
        }
        assert_eq!(fcntl_getfl(&writer).unwrap(), flags, "the mode is not ours");
        drop(writer);
        assert!(reading.join().unwrap() == sent);
    }

    #[test]
    fn writes_wait_for_a_full_descriptor() {
        let (reader, writer) = io::pipe().unwrap();
        all_arrives(reader, writer);
        let (reader, writer) = UnixStream::pair().unwrap();
        all_arrives(reader, writer);
    }

    #[test]
    fn a_closed_reader_ends_the_wait() {
        let (mut reader, writer) = io::pipe().unwrap();
        let flags = fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK;
        fcntl_setfl(&writer, flags).unwrap();
        while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
        let leaving = std::thread::spawn(move || {
            // Some, so that the writer waits at least once more.
            reader.read_exact(&mut [0; 10_000]).unwrap();
        });
        let error = loop {
            if let Err(error) = write_some(writer.as_fd(), &[0; 4096]) {
                break error;
            }
        };
        leaving.join().unwrap();
        assert_eq!(not_written(&error), None);
    }

    #[test]
    fn paths_to_standard_input_are_recognized() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/stdin", &link).unwrap();
        for (path, expect) in [
            ("/dev/stdin", true),
            ("/dev/fd/0", true),
            ("/proc/self/fd/0", true),
            ("/proc/self/../self/fd/0", true),
            (link.to_str().unwrap(), true),
            ("/dev/stdout", false),
            ("/dev/fd/1", false),
            ("/dev/null", false),
            ("0", false),
            ("/", false),
            ("", false),
            ("/nowhere/0", false),
        ] {
            assert_eq!(is_stdin(Path::new(path)), expect, "{path}");
        }
    }

    #[test]
    fn write_errors_are_reported() {
        for (file, words) in [
            (std::fs::File::open("/dev/null"), "Bad file descriptor"),
            (
                std::fs::File::options().write(true).open("/dev/full"),
                "No space left on device",
            ),
        ] {
            let error = write_some(file.unwrap().as_fd(), b"x").unwrap_err();
            let said = not_written(&error).unwrap();
            assert!(
                said.starts_with(&format!("cannot write to standard output: {words}")),
                "{said}"
            );
        }
    }
}
