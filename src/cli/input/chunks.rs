//! The bytes of a file or of standard input.
//!
//! A separate thread reads, one chunk at a time and only on demand. It waits for its file and for [`Chunks::close`] at
//! once, so a silent terminal or pipe does not block the close, which joins it.

use super::source::{STDIN, cannot_read, exit_status, open};
use crate::text::safe;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Size of a read, in bytes.
const CHUNK: usize = 32 << 10;

/// A file that is read.
#[derive(Debug)]
pub(in crate::cli) struct Chunks {
    /// The source, for messages.
    pub(in crate::cli) name: String,
    pub(in crate::cli) is_terminal: bool,
    /// What is left of it, in bytes, if known.
    pub(in crate::cli) size: Option<u64>,
    ready: mpsc::Receiver<Vec<u8>>,
    thread: JoinHandle<io::Result<()>>,
    /// Closing this end stops the thread.
    stop: PipeWriter,
}

impl Chunks {
    /// Opens a file; `-` is standard input. Fails with an exit status and an error in one line. Needs a tokio runtime.
    pub(in crate::cli) fn open(path: &Path) -> Result<Self, (u8, String)> {
        let name = if path == Path::new(STDIN) {
            "standard input".into()
        } else {
            safe(&path.display().to_string()).into_owned()
        };
        let fault = |error: io::Error| (exit_status(&error), cannot_read(&name, &error));
        let source = open(path).map_err(fault)?;
        Self::start(source, name.clone()).map_err(fault)
    }

    fn start(source: OwnedFd, name: String) -> io::Result<Self> {
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
        let (sender, ready) = mpsc::channel(1);
        Ok(Self {
            name,
            is_terminal: rustix::termios::isatty(&source),
            size,
            ready,
            thread: tokio::task::spawn_blocking(move || read(&source, &stopped, &sender)),
            stop,
        })
    }

    /// The next chunk; `None` at the end. Cancel-safe.
    pub(in crate::cli) async fn next(&mut self) -> Option<Vec<u8>> {
        self.ready.recv().await
    }

    /// Stops reading. Fails with an error in one line if reading has failed.
    pub(in crate::cli) async fn close(self) -> Result<(), String> {
        drop(self.stop);
        drop(self.ready);
        let read = self
            .thread
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|error| cannot_read(&self.name, &error))
    }
}

/// Reads to the end, or until the other end of `stopped` or `chunks` is dropped.
fn read(source: &OwnedFd, stopped: &PipeReader, chunks: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
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
