//! Logs.
//!
//! Events are copied on the thread where they happen (`capture.rs`) into a bounded queue, and a separate thread
//! (`writer.rs`) sends them to the journal or to stderr. So a hung journal or a full pipe costs log records, which are
//! counted, and never delays a request.

mod capture;
mod limiter;
mod limits;
mod record;
mod target;
mod writer;

use crate::config::{Level, Log, LogTarget};
use crate::protocol::trace_context::{ROOT_TARGET, SPAN_TARGET};
use crate::telemetry::source::ProcessCounters;
use crate::telemetry::traces::Traces;
use capture::Capture;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tracing::field::Empty;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{Registry, reload};
use writer::Writer;

pub(super) use target::stderr_is_journal;

/// The running log. Dropping it writes the queued records, for a second at most.
pub(super) struct Logging {
    filter: reload::Handle<Targets, Registry>,
    capture: Capture,
    _writer: Writer,
}

impl Logging {
    /// Starts logging for the whole process, and passes spans to `traces`. May be called once.
    ///
    /// If the journal is wanted and not available, stderr takes its place.
    pub(super) fn start(
        log: &Log,
        counters: Arc<ProcessCounters>,
        traces: Option<&Traces>,
    ) -> io::Result<Self> {
        let journal = match log.target {
            LogTarget::Auto => stderr_is_journal(),
            LogTarget::Journald => true,
            LogTarget::Stderr => false,
        };
        let (sink, problem) = match journal.then(target::journal) {
            Some(Ok(sink)) => (sink, None),
            Some(Err(error)) => (target::stderr(), Some(error)),
            None => (target::stderr(), None),
        };
        let (filter, handle) = reload::Layer::new(targets(log.level));
        let (writer, mut capture) = Writer::start(sink)?;
        capture.counters = counters;
        let subscribed = match traces {
            None => set_global_default(Registry::default().with(filter).with(capture.clone())),
            // What one of them leaves out, the other one may want.
            Some(traces) => {
                let log = capture.clone().with_filter(filter);
                let both = Registry::default().with(log).with(traces.layer());
                set_global_default(both.with(traces.roots()))
            }
        };
        subscribed.map_err(io::Error::other)?;
        log_panics();
        if let Some(error) = problem {
            tracing::warn!("no journal, logging to stderr: {error}");
        }
        Ok(Self {
            filter: handle,
            capture,
            _writer: writer,
        })
    }

    /// Writes records that were held back by the limit on repetitions. To be called once per second.
    pub(super) fn write_overdue(&self) {
        for record in self.capture.limits.overdue(Instant::now()) {
            self.capture.write(record);
        }
    }

    /// Changes the level of a running log.
    pub(super) fn set_level(&self, level: Level) {
        // Fails only without a subscriber or after a panic inside the filter.
        if let Err(error) = self.filter.reload(targets(level)) {
            tracing::warn!("the log level stays as it was: {error}");
        }
    }
}

/// Enables our own events down to `level`, and those of no library. The spans of requests that have a trace context are enabled
/// for their ids; a log does not ask for others.
fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    Targets::new()
        .with_target("fibrpc", level)
        .with_target(SPAN_TARGET, LevelFilter::INFO)
        .with_target(ROOT_TARGET, LevelFilter::OFF)
}

impl Drop for Logging {
    fn drop(&mut self) {
        for record in self.capture.limits.rest() {
            self.capture.write(record);
        }
    }
}

/// Logs panics as one line; limited in number, since a request may cause them.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.to_string().replace('\n', " ");
        tracing::error!(fibrpc_left_out = Empty, "{what}");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level as Severity;

    #[test]
    fn only_our_own_records_pass() {
        for (level, target, severity, expect) in [
            (Level::Info, "fibrpc", Severity::INFO, true),
            (Level::Info, "fibrpc::server::log", Severity::WARN, true),
            (Level::Info, "fibrpc::server", Severity::DEBUG, false),
            (Level::Debug, "fibrpc::server", Severity::DEBUG, true),
            (Level::Error, "fibrpc::server", Severity::WARN, false),
            (
                Level::Debug,
                "some_library::channel",
                Severity::ERROR,
                false,
            ),
            (Level::Debug, "tokio", Severity::ERROR, false),
            (Level::Error, SPAN_TARGET, Severity::INFO, true),
            (Level::Debug, ROOT_TARGET, Severity::INFO, false),
        ] {
            assert_eq!(
                targets(level).would_enable(target, &severity),
                expect,
                "{level:?} {target} {severity}"
            );
        }
    }
}
