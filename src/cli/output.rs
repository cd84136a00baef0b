//! What `fibrpc` prints: answers on standard output, everything else on standard error.
//!
//! A thread of its own writes, so that a reader who is slow or stops (`| less`) never keeps the client
//! from its heartbeats. Lines come out in the order they were put; standard output is flushed as soon
//! as nothing more is ready. [`Output::finish`] waits for the thread.

use super::text::{safe, safe_json, shorten};
use crate::client::{CallError, Reply};
use crate::protocol::reply::Trailer;
use crate::protocol::{Code, Status};
use serde::Serialize;
use std::io::{self, BufWriter, Write as _};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Lines on their way to the writer.
const LINES: usize = 256;

/// `EX_IOERR`: the answers could not be written.
pub(super) const EXIT_OUTPUT: u8 = 74;

/// Clears a terminal's line from the cursor on.
const ERASE: &str = "\u{1b}[K";

/// Nobody reads the output any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

/// How to print.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// One JSON object a line, failures too.
    pub(super) json: bool,
    /// Show where the time went.
    pub(super) verbose: bool,
}

#[derive(Debug)]
enum Line {
    Out(String),
    Err(String),
    /// Stays until the next line of any kind.
    Live(String),
}

/// Prints answers and failures, and remembers the exit status.
#[derive(Debug)]
pub(super) struct Output {
    style: Style,
    lines: mpsc::Sender<Line>,
    writer: JoinHandle<io::Result<()>>,
    status: u8,
    repeated: Repeated,
}

impl Output {
    /// Starts the writer, on a blocking thread of the runtime.
    pub(super) fn start(style: Style) -> Self {
        let (lines, receiver) = mpsc::channel(LINES);
        Self {
            style,
            lines,
            writer: tokio::task::spawn_blocking(move || write(receiver)),
            status: 0,
            repeated: Repeated::default(),
        }
    }

    /// Prints what became of one number.
    pub(super) async fn put(
        &mut self,
        n: &str,
        outcome: Result<Reply, CallError>,
    ) -> Result<(), Closed> {
        if let Err(error) = &outcome {
            self.failed(error.status.code);
        }
        match outcome {
            outcome if self.style.json => self.send(Line::Out(json(n, &outcome))).await,
            Ok(reply) => {
                self.send(Line::Out(safe(&reply.value).into_owned()))
                    .await?;
                if self.style.verbose {
                    let times = times(&reply.trailer, Some(reply.round_trip));
                    self.send(Line::Err(format!("{n}: {times}"))).await?;
                }
                Ok(())
            }
            Err(error) => {
                let Some(earlier) = self.repeated.next(&error.status) else {
                    return Ok(());
                };
                self.summary(earlier).await?;
                let line = format!("{}: {}", shorten(&safe(n)), safe(&error.status.message));
                self.send(Line::Err(line)).await?;
                if self.style.verbose && error.trailer != Trailer::default() {
                    let times = times(&error.trailer, None);
                    self.send(Line::Err(format!("{}: {times}", shorten(&safe(n)))))
                        .await?;
                }
                Ok(())
            }
        }
    }

    /// Prints a line of data.
    pub(super) async fn line(&self, text: String) -> Result<(), Closed> {
        self.send(Line::Out(text)).await
    }

    /// Shows a line on standard error, which is to be a terminal, until there is something else to print.
    /// Left out where the terminal does not keep up.
    pub(super) fn live(&self, text: String) {
        let _ = self.lines.try_send(Line::Live(text));
    }

    /// Prints a failure that concerns no number, and remembers the exit status.
    pub(super) async fn failure(&mut self, status: &Status) -> Result<(), Closed> {
        self.failed(status.code);
        if self.style.json {
            self.line(line_of(&Failure::from(status))).await
        } else {
            self.complaint(&status.message).await
        }
    }

    /// Prints one line on standard error, in its place among the others.
    pub(super) async fn complaint(&self, message: &str) -> Result<(), Closed> {
        self.send(Line::Err(safe(message).into_owned())).await
    }

    /// Prints a failure that concerns all numbers.
    pub(super) async fn put_for_all(
        &mut self,
        numbers: &[String],
        status: &Status,
    ) -> Result<(), Closed> {
        self.failed(status.code);
        if !self.style.json {
            return self
                .send(Line::Err(safe(&status.message).into_owned()))
                .await;
        }
        for n in numbers {
            self.send(Line::Out(json(n, &Err(status.clone().into()))))
                .await?;
        }
        Ok(())
    }

    /// Writes what is left and gives the exit status.
    pub(super) async fn finish(mut self) -> u8 {
        let last = self.repeated.take();
        // Where nobody reads any more there is nobody to tell.
        let _ = self.summary(last).await;
        drop(self.lines);
        match self.writer.await {
            Ok(Ok(())) => self.status,
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => self.status,
            Ok(Err(error)) => {
                complain(&format!("cannot write to standard output: {error}"));
                EXIT_OUTPUT
            }
            Err(_) => Code::Internal.exit_status(),
        }
    }

    /// Remembers the exit status of this code, unless there is one.
    pub(super) fn failed(&mut self, code: Code) {
        if self.status == 0 {
            self.status = code.exit_status();
        }
    }

    async fn summary(&self, more: u64) -> Result<(), Closed> {
        match more {
            0 => Ok(()),
            1 => {
                self.send(Line::Err("1 more number failed in the same way".into()))
                    .await
            }
            more => {
                self.send(Line::Err(format!(
                    "{more} more numbers failed in the same way"
                )))
                .await
            }
        }
    }

    async fn send(&self, line: Line) -> Result<(), Closed> {
        self.lines.send(line).await.map_err(|_| Closed)
    }
}

/// Prints one line on standard error.
pub(super) fn complain(message: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "fibrpc: {message}");
}

/// Counts failures that repeat the one before word for word and say nothing of the number, so that a
/// missing server is told once and not once a number.
#[derive(Debug, Default)]
struct Repeated {
    last: Option<Status>,
    more: u64,
}

impl Repeated {
    /// `None` where `status` repeats the last one; else how often that was repeated, unsaid so far.
    fn next(&mut self, status: &Status) -> Option<u64> {
        let about_the_number = matches!(
            status.code,
            Code::InvalidArgument | Code::OutOfRange | Code::Internal | Code::Unknown
        );
        if !about_the_number && self.last.as_ref() == Some(status) {
            self.more += 1;
            return None;
        }
        self.last = Some(status.clone());
        Some(self.take())
    }

    fn take(&mut self) -> u64 {
        std::mem::take(&mut self.more)
    }
}

fn write(mut lines: mpsc::Receiver<Line>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut live = false;
    while let Some(line) = lines.blocking_recv() {
        if std::mem::take(&mut live) {
            let _ = write!(io::stderr(), "\r{ERASE}");
        }
        match line {
            Line::Live(text) => {
                let _ = write!(io::stderr(), "{text}");
                live = true;
            }
            Line::Out(text) => {
                out.write_all(text.as_bytes())?;
                out.write_all(b"\n")?;
            }
            Line::Err(text) => {
                out.flush()?;
                complain(&text);
            }
        }
        if lines.is_empty() {
            out.flush()?;
        }
    }
    out.flush()
}

/// Where the time went, for people.
fn times(trailer: &Trailer, round_trip: Option<Duration>) -> String {
    let Trailer {
        server,
        queued,
        compute,
    } = trailer;
    let times = [
        (round_trip, "round trip"),
        (*queued, "queued"),
        (*compute, "computed"),
    ];
    let times = times
        .into_iter()
        .filter_map(|(time, what)| Some(format!("{what} {:.1?}", time?)));
    let server = server.as_deref().map(|name| format!("by {}", safe(name)));
    times.chain(server).collect::<Vec<_>>().join(", ")
}

/// A line of `--json`. Fields are added to it, never renamed.
#[derive(Serialize)]
struct Record<'a> {
    n: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_us: Option<u64>,
}

/// What went wrong, in lines of `--json`.
#[derive(Serialize)]
pub(super) struct Failure<'a> {
    code: &'static str,
    message: &'a str,
    retryable: bool,
}

impl<'a> From<&'a Status> for Failure<'a> {
    fn from(status: &'a Status) -> Self {
        Self {
            code: status.code.name(),
            message: &status.message,
            retryable: status.code.retryable(),
        }
    }
}

/// A line of `--json`.
pub(super) fn line_of(record: &impl Serialize) -> String {
    // Text and numbers always serialise.
    safe_json(&serde_json::to_string(record).unwrap_or_default())
}

fn json(n: &str, outcome: &Result<Reply, CallError>) -> String {
    let (status, trailer) = match outcome {
        Ok(reply) => (None, &reply.trailer),
        Err(error) => (Some(&error.status), &error.trailer),
    };
    let reply = outcome.as_ref().ok();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let record = Record {
        // A number where it is one, else what was typed.
        n: n.trim()
            .parse::<u64>()
            .map_or_else(|_| n.into(), serde_json::Value::from),
        value: reply.map(|reply| reply.value.as_str()),
        code: status.map(|status| status.code.name()),
        message: status.map(|status| status.message.as_str()),
        retryable: status.map(|status| status.code.retryable()),
        server: trailer.server.as_deref(),
        queued_us: trailer.queued.map(micros),
        compute_us: trailer.compute.map(micros),
        round_trip_us: reply.map(|reply| micros(reply.round_trip)),
    };
    line_of(&record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Reply {
        Reply {
            value: "832040".into(),
            trailer: Trailer {
                server: Some("a\u{202e}b".into()),
                queued: Some(Duration::from_micros(1500)),
                compute: Some(Duration::from_micros(20)),
            },
            round_trip: Duration::from_micros(2345),
        }
    }

    #[test]
    fn json_answers() {
        assert_eq!(
            json("30", &Ok(reply())),
            r#"{"n":30,"value":"832040","server":"a\u202eb","queued_us":1500,"compute_us":20,"round_trip_us":2345}"#
        );
        let bare = Reply {
            trailer: Trailer::default(),
            ..reply()
        };
        assert_eq!(
            json("+5", &Ok(bare)),
            r#"{"n":5,"value":"832040","round_trip_us":2345}"#
        );
    }

    #[test]
    fn json_failures() {
        let status = Status::new(Code::InvalidArgument, "not \"an\"\ninteger");
        let line = json("1e3", &Err(status.into()));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["n"], "1e3");
        assert_eq!(value["code"], Code::InvalidArgument.name());
        assert_eq!(value["message"], "not \"an\"\ninteger");
        assert_eq!(value["retryable"], Code::InvalidArgument.retryable());
        assert!(
            !line.contains('\n') && value.get("value").is_none(),
            "{line}"
        );
    }

    #[test]
    fn times_for_people() {
        let reply = reply();
        assert_eq!(
            times(&reply.trailer, Some(reply.round_trip)),
            "round trip 2.3ms, queued 1.5ms, computed 20.0µs, by a\\u{202e}b"
        );
        assert_eq!(
            times(&Trailer::default(), Some(Duration::from_secs(1))),
            "round trip 1.0s"
        );
    }

    #[test]
    fn the_same_failure_is_told_once_and_counted() {
        let status = |message| Status::new(Code::Unavailable, message);
        let mut repeated = Repeated::default();
        assert_eq!(repeated.next(&status("a")), Some(0));
        assert_eq!(repeated.next(&status("a")), None);
        assert_eq!(repeated.next(&status("a")), None);
        assert_eq!(repeated.next(&status("b")), Some(2));
        assert_eq!(repeated.next(&status("a")), Some(0));
        assert_eq!(repeated.next(&status("a")), None);
        assert_eq!(repeated.take(), 1);
        assert_eq!(repeated.take(), 0);
        for _ in 0..2 {
            let status = Status::new(Code::InvalidArgument, "not an integer");
            assert_eq!(repeated.next(&status), Some(0));
        }
    }
}
