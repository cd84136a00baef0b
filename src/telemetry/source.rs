//! What endpoint and encoder read, and the counters of the process around the server.

use crate::server::metrics::Metrics;
use crate::server::{Counters, Handle};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tracing::Level;

/// Everything that is shown to others. Reading it takes no lock that the message path holds.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The name of the service's only method.
    pub(crate) method: &'static str,
    /// State and counters of the server.
    pub(crate) handle: Handle,
    /// Its histograms.
    pub(crate) metrics: Arc<Metrics>,
    /// What the process counts.
    pub(crate) process: Arc<ProcessCounters>,
    /// How long the server may be without progress.
    pub(crate) patience: Duration,
}

/// Counters of the process around the server. They are always counted.
#[derive(Debug, Default)]
pub(crate) struct ProcessCounters {
    reloads: [AtomicU64; RELOADS.len()],
    log_records: [AtomicU64; LEVELS.len()],
    log_left_out: AtomicU64,
    /// Sampled spans that were not exported.
    pub(crate) spans_dropped: Arc<AtomicU64>,
}

/// How a reload can end, in the order of [`ProcessCounters::reloads`].
pub(crate) const RELOADS: [&str; 2] = ["applied", "refused"];

/// The levels of log records, in the order of [`ProcessCounters::log_records`].
pub(crate) const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

impl ProcessCounters {
    /// Counts a reload of the configuration.
    pub(crate) fn reloaded(&self, is_applied: bool) {
        let [applied, refused] = &self.reloads;
        Counters::add(if is_applied { applied } else { refused });
    }

    /// Counts a log record that was passed on to its writer.
    pub(crate) fn logged(&self, level: Level) {
        let [error, warn, info, debug] = &self.log_records;
        Counters::add(match level {
            Level::ERROR => error,
            Level::WARN => warn,
            Level::INFO => info,
            _ => debug,
        });
    }

    /// Counts a log record that was left out when it was made: it was one too many of its kind, or the writer was too slow.
    pub(crate) fn left_out(&self) {
        Counters::add(&self.log_left_out);
    }

    /// How many reloads ended in each way.
    pub(crate) fn reloads(&self) -> [u64; RELOADS.len()] {
        self.reloads.each_ref().map(Counters::get)
    }

    /// How many log records of each level were written.
    pub(crate) fn log_records(&self) -> [u64; LEVELS.len()] {
        self.log_records.each_ref().map(Counters::get)
    }

    /// How many log records were left out.
    pub(crate) fn log_left_out(&self) -> u64 {
        Counters::get(&self.log_left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_and_level_has_its_counter() {
        let counters = ProcessCounters::default();
        counters.reloaded(true);
        counters.reloaded(false);
        counters.reloaded(false);
        assert_eq!(counters.reloads(), [1, 2]);
        let levels = [
            Level::ERROR,
            Level::WARN,
            Level::INFO,
            Level::DEBUG,
            Level::DEBUG,
        ];
        for level in levels {
            counters.logged(level);
        }
        assert_eq!(counters.log_records(), [1, 1, 1, 2]);
        counters.left_out();
        assert_eq!(counters.log_left_out(), 1);
    }
}
