//! How many spans were exported and dropped, for whoever reports it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of spans.
#[derive(Debug, Default)]
pub(crate) struct SpanCounts {
    /// Accepted by the collector.
    exported: AtomicU64,
    /// Lost: the queue was full, the collector did not accept them, or time was up at the end.
    dropped: AtomicU64,
}

impl SpanCounts {
    /// How many the collector has accepted.
    #[cfg(test)]
    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// How many were lost.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn add_exported(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_dropped(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }
}
