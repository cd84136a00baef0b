//! The bounded queue between the threads that make spans and the thread that exports them. Never waits: if it is full, a span
//! is dropped and counted.

use super::span_data::SpanData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, mpsc};

/// The end for those who make spans.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<SpanData>,
    batch: usize,
    full_batch: Arc<Notify>,
    /// Spans that were lost.
    dropped: Arc<AtomicU64>,
}

/// The end of the exporter.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) spans: mpsc::Receiver<SpanData>,
    /// There may be enough spans for a batch.
    pub(super) full_batch: Arc<Notify>,
}

/// A queue for `capacity` spans, which are exported in batches of `batch`.
pub(super) fn queue(capacity: usize, batch: usize, dropped: Arc<AtomicU64>) -> (Queue, Queued) {
    let (sender, spans) = mpsc::channel(capacity);
    let full_batch = Arc::new(Notify::new());
    let queued = Queued {
        spans,
        full_batch: full_batch.clone(),
    };
    let queue = Queue {
        sender,
        batch,
        full_batch,
        dropped,
    };
    (queue, queued)
}

impl Queue {
    /// Adds a span, or drops it.
    pub(super) fn push(&self, data: SpanData) {
        if self.sender.try_send(data).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else if self.sender.max_capacity() - self.sender.capacity() + 1 >= self.batch {
            // The exporter may have taken the first one already.
            self.full_batch.notify_one();
        }
    }
}
