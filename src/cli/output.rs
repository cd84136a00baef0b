//! What `fibrpc` prints: data on standard output, everything else on standard error.
//!
//! A separate thread writes, so that a slow or stopped reader (`| less`) never delays heartbeats. Lines are
//! printed in the order in which they were queued; standard output is flushed as soon as the queue is empty.
//! [`Output::finish`] waits for the thread.

use super::exit;
use super::progress::{Done, Progress};
use super::terminal::{BAD, DOUBTFUL, painted};
use crate::protocol::{Code, Status};
use crate::stdio;
use crate::text::{safe, safe_json};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Capacity of the queue to the writer, in lines.
const LINES: usize = 256;

/// Size of a write, in bytes, if that much is ready.
const BUFFER: usize = 1 << 16;

/// The reader of the output is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

/// How to print.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// One JSON object per line, also for failures.
    pub(super) json: bool,
    /// Show where the time went.
    pub(super) verbose: bool,
}

#[derive(Debug)]
enum Line {
    Out(String),
    /// Without a line end.
    Bytes(Vec<u8>),
    /// A message for standard error, and the function that prints it.
    Message(String, fn(&str)),
    /// Something for the bar to show.
    Progress(Done),
    /// The same as text.
    Live(String),
    /// Tells when everything before it is written.
    Written(oneshot::Sender<()>),
}

/// Prints, and remembers the exit status.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) style: Style,
    lines: mpsc::Sender<Line>,
    writer: JoinHandle<io::Result<()>>,
    status: u8,
}

impl Output {
    /// Starts the writer, on a blocking thread of the runtime.
    pub(super) fn start(style: Style) -> Self {
        Self::start_with(Progress::new(None), style)
    }

    /// The same with a bar for [`Output::progress`].
    pub(super) fn start_with(progress: Progress, style: Style) -> Self {
        let (lines, mut receiver) = mpsc::channel(LINES);
        let write = move || {
            let written = write(&mut receiver, &progress);
            progress.end();
            written
        };
        Self {
            style,
            lines,
            writer: tokio::task::spawn_blocking(write),
            status: 0,
        }
    }

    pub(super) async fn line(&self, text: String) -> Result<(), Closed> {
        self.send(Line::Out(text)).await
    }

    /// Writes data as it is.
    pub(super) async fn bytes(&self, bytes: Vec<u8>) -> Result<(), Closed> {
        self.send(Line::Bytes(bytes)).await
    }

    /// Prints a failure that is not about a number, and remembers the exit status.
    pub(super) async fn failure(&mut self, status: &Status) -> Result<(), Closed> {
        self.failed(status.code());
        if self.style.json {
            self.line(line_of(&Failure::from(status))).await
        } else {
            self.complaint(status.message()).await
        }
    }

    /// Prints an error on standard error, in order with the other lines.
    pub(super) async fn complaint(&self, message: &str) -> Result<(), Closed> {
        self.send(Line::Message(message.to_owned(), complain)).await
    }

    /// Prints a note on standard error, in order with the other lines.
    pub(super) async fn note(&self, message: &str) -> Result<(), Closed> {
        self.send(Line::Message(message.to_owned(), note)).await
    }

    /// Updates the progress bar, unless the queue is full.
    pub(super) fn progress(&self, done: Done) {
        // If the queue is full, the next update will do.
        let _ = self.lines.try_send(Line::Progress(done));
    }

    /// Shows a line on standard error, which must be a terminal, until the next one.
    pub(super) fn live(&self, text: String) {
        // If the queue is full, the next update will do.
        let _ = self.lines.try_send(Line::Live(text));
    }

    /// Waits until everything so far is written.
    pub(super) async fn written(&self) -> Result<(), Closed> {
        let (written, is_written) = oneshot::channel();
        self.send(Line::Written(written)).await?;
        is_written.await.map_err(|_| Closed)
    }

    /// Waits until the reader is gone.
    pub(super) async fn closed(&self) {
        self.lines.closed().await;
    }

    /// Writes what is left and gives the exit status.
    pub(super) async fn finish(self) -> u8 {
        drop(self.lines);
        match self.writer.await {
            Ok(Ok(())) => self.status,
            Ok(Err(error)) => match not_written(&error) {
                0 => self.status,
                status => status,
            },
            Err(_) => Code::Internal.exit_status(),
        }
    }

    /// Remembers the exit status of this code, unless one is set.
    pub(super) fn failed(&mut self, code: Code) {
        self.exit_with(code.exit_status());
    }

    /// Remembers the exit status, unless one is set.
    pub(super) fn exit_with(&mut self, status: u8) {
        if self.status == 0 {
            self.status = status;
        }
    }

    async fn send(&self, line: Line) -> Result<(), Closed> {
        self.lines.send(line).await.map_err(|_| Closed)
    }
}

/// Prints an error on standard error.
pub(super) fn complain(message: &str) {
    message_line(
        &painted("fibrpc:", BAD, stdio::stderr().has_color()),
        message,
    );
}

/// Prints a warning on standard error.
pub(super) fn warn(message: &str) {
    let warning = painted("warning:", DOUBTFUL, stdio::stderr().has_color());
    message_line(&format!("fibrpc: {warning}"), message);
}

/// Prints a note on standard error.
pub(super) fn note(message: &str) {
    message_line("fibrpc:", message);
}

fn message_line(prefix: &str, message: &str) {
    let line = format!("{prefix} {}\n", safe(message));
    // If standard error cannot be written, the failure cannot be reported either.
    let _ = stdio::stderr().write_all(line.as_bytes());
}

/// Prints the text on standard output; returns the exit status.
pub(super) fn print(text: &str) -> u8 {
    let written = stdio::stdout().write_all(text.as_bytes());
    written.map_or_else(|error| not_written(&error), |()| 0)
}

/// Reports why standard output was not written, unless its reader is gone; returns the exit status.
pub(super) fn not_written(error: &io::Error) -> u8 {
    match stdio::not_written(error) {
        Some(why) => {
            complain(&why);
            exit::OUTPUT
        }
        None => 0,
    }
}

fn write(lines: &mut mpsc::Receiver<Line>, progress: &Progress) -> io::Result<()> {
    let mut out = stdio::stdout();
    let on_the_terminal = io::stdout().is_terminal();
    let mut flush = |ready: &mut Vec<u8>| {
        if ready.is_empty() {
            return Ok(());
        }
        let mut write = || out.write_all(ready);
        let written = if on_the_terminal {
            progress.aside(write)
        } else {
            write()
        };
        ready.clear();
        written
    };
    let mut ready = Vec::with_capacity(BUFFER);
    while let Some(line) = lines.blocking_recv() {
        match line {
            Line::Out(text) => {
                ready.extend_from_slice(text.as_bytes());
                ready.push(b'\n');
            }
            Line::Bytes(bytes) => ready.extend_from_slice(&bytes),
            Line::Message(text, print) => {
                flush(&mut ready)?;
                progress.aside(|| print(&text));
            }
            Line::Progress(done) => progress.draw(&done),
            Line::Live(text) => progress.say(&text),
            Line::Written(written) => {
                flush(&mut ready)?;
                let _ = written.send(());
            }
        }
        if ready.len() >= BUFFER || lines.is_empty() {
            flush(&mut ready)?;
        }
    }
    flush(&mut ready)
}

/// A failure in a line of `--json`.
#[derive(Serialize)]
pub(super) struct Failure<'a> {
    code: &'static str,
    message: &'a str,
    retryable: bool,
}

impl<'a> From<&'a Status> for Failure<'a> {
    fn from(status: &'a Status) -> Self {
        Self {
            code: status.code().name(),
            message: status.message(),
            retryable: status.code().retryable(),
        }
    }
}

/// A line of `--json`.
pub(super) fn line_of(record: &impl Serialize) -> String {
    // Text and numbers always serialise.
    safe_json(&serde_json::to_string(record).unwrap_or_default())
}
