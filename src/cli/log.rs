//! The subscribers of `tracing`: the log of `-vv` on standard error, and the export of traces, each if it is wanted.

use crate::protocol::trace_context::SPAN_TARGET;
use crate::stdio;
use crate::telemetry::traces::Traces;
use crate::text::safe;
use std::io::{self, Write};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Installs them. Libraries are excluded from the log: the AMQP library would print whole messages.
pub(super) fn subscribe(is_verbose: bool, traces: Option<&Traces>) {
    // Spans are for the exporter.
    let ours = Targets::new()
        .with_target("fibrpc", LevelFilter::DEBUG)
        .with_target(SPAN_TARGET, LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| LogLine)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_filter(ours);
    // Not an `Option` of the lines: without them, it would disable the spans.
    match (is_verbose, traces) {
        (false, None) => {}
        (true, None) => registry().with(lines).init(),
        (false, Some(traces)) => {
            let spans = registry().with(traces.layer());
            spans.with(traces.roots()).init();
        }
        (true, Some(traces)) => {
            let both = registry().with(lines).with(traces.layer());
            both.with(traces.roots()).init();
        }
    }
}

/// Writes a log record, which comes in one piece and ends with a newline.
struct LogLine;

impl Write for LogLine {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        stdio::stderr().write_all(log_line(record).as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_line(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    format!("{}\n", safe(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_record_is_one_safe_line() {
        for (record, line) in [
            ("DEBUG connected\n", "DEBUG connected\n"),
            (
                "DEBUG \u{202e}a\nb\u{1b}[2J\n",
                "DEBUG \\u{202e}a\\nb\\u{1b}[2J\n",
            ),
            ("", "\n"),
        ] {
            assert_eq!(log_line(record.as_bytes()), line);
        }
    }
}
