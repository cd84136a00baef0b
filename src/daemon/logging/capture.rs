//! Queues a copy of each event, so that another thread can write it.

use super::limits::Limits;
use super::record::Record;
use crate::telemetry::source::ProcessCounters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Instant;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Queues a copy of each event. Never waits: if the queue is full, the event is counted as lost.
#[derive(Clone)]
pub(super) struct Capture {
    queue: SyncSender<Option<Record>>,
    pub(super) lost: Arc<AtomicU64>,
    pub(super) limits: Arc<Limits>,
    pub(super) counters: Arc<ProcessCounters>,
}

impl Capture {
    /// Uses this queue, and counts lost events in `lost`.
    pub(super) fn new(queue: SyncSender<Option<Record>>, lost: Arc<AtomicU64>) -> Self {
        Self {
            queue,
            lost,
            limits: Arc::default(),
            counters: Arc::default(),
        }
    }

    pub(super) fn write(&self, record: Record) {
        let level = *record.metadata.level();
        if self.queue.try_send(Some(record)).is_ok() {
            self.counters.logged(level);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.counters.left_out();
        }
    }
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        match self.limits.admit(event, Instant::now()) {
            Some(record) => self.write(record),
            None => self.counters.left_out(),
        }
    }
}
