//! Queues a copy of each event, so that another thread can write it.
//!
//! An event inside the span of a request carries the ids of its trace. The events that describe the span itself are for
//! exporters of traces and are not queued.

use super::limits::Limits;
use super::record::{Record, Trace};
use crate::protocol::trace_context::SPAN_TARGET;
use crate::telemetry::source::ProcessCounters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Instant;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

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

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() == SPAN_TARGET
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(Trace::of(attributes));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() == SPAN_TARGET {
            return;
        }
        let mut spans = context.event_scope(event).into_iter().flatten();
        let trace = spans.find_map(|span| span.extensions().get::<Trace>().cloned());
        match self.limits.admit(event, trace, Instant::now()) {
            Some(record) => self.write(record),
            None => self.counters.left_out(),
        }
    }
}
