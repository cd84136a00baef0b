//! Metrics in the formats of Prometheus: [`encode`] reads what a server counts and writes it as text.
//!
//! Holds no state but the start time of the process (`process.rs`): every scrape reads the counters where they are.
//!
//! All labels have values from closed sets, and each series is there from the start, so their number does not depend on what is
//! sent to the server. It is at most 219:
//!
//! - 120: `rpc_server_call_duration_seconds`, 6 status codes with 17 bounds and 3 more (`+Inf`, sum, count) each.
//! - 35: `fibrpc_queue_wait_seconds` (2 sources), `fibrpc_compute_seconds` (2 places) and `fibrpc_confirm_seconds`, each with only 4
//!   of these bounds and 3 more.
//! - 39: requests received (2), settled (7), in flight, prefetch, pool (4), replies (4), bytes (2), states (7), sessions, causes of
//!   failed sessions (8), attempts (2).
//! - 25: blocked time, broker, last reads (2), certificates (3), isolation, strikes, abandoned, reloads (2), log records (4), those left
//!   out, spans dropped, version, and 6 of the process.

mod output;
mod process;
mod server;
mod table;
#[cfg(test)]
mod tests;

use super::source::Source;
use crate::server::{BrokerInfo, ServerState};
use output::Output;
use process::Process;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Text,
}

/// All metrics as they are now.
pub(crate) fn encode(source: &Source, format: Format) -> String {
    let scrape = Scrape {
        state: source.handle.state().borrow().clone(),
        broker: source.handle.broker(),
        source: source.clone(),
        process: Process::read(),
        now: Instant::now(),
    };
    scrape.encode(format)
}

/// What one scrape shows.
#[derive(Debug)]
struct Scrape {
    source: Source,
    state: ServerState,
    broker: Option<Arc<BrokerInfo>>,
    process: Process,
    now: Instant,
}

impl Scrape {
    fn encode(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::with_capacity(32 * 1024);
        let result = match format {
            Format::OpenMetrics => text::encode(&mut written, &registry),
            Format::Text => prometheus_text::encode(&mut written, &registry),
        };
        // Writing to a string does not fail.
        debug_assert!(result.is_ok());
        written
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut output = Output(encoder);
        server::encode_times(self.source.method, &self.source.metrics, &mut output)?;
        let counters = self.source.handle.counters();
        server::encode_counters(counters, &mut output)?;
        server::encode_state(&self.state, self.now, &mut output)?;
        if let Some(broker) = &self.broker {
            let has_session = matches!(
                self.state,
                ServerState::Consuming { .. }
                    | ServerState::Blocked { .. }
                    | ServerState::Draining { .. }
            );
            server::encode_broker(broker, has_session, self.now, &mut output)?;
        }
        process::encode_counters(&self.source.process, &mut output)?;
        output.info(&table::BUILD_INFO, &[env!("CARGO_PKG_VERSION")])?;
        self.process.encode(&mut output)
    }
}
