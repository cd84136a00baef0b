//! The exporter: takes spans from the queue, and sends them in batches.
//!
//! Runs on a thread of its own. Everything that waits ends: each request and each batch has a limit, and the end of the
//! process has one for all that is left. Whatever is not accepted by then is dropped and counted.

use super::message;
use super::post::{Failure, Post};
use super::queue::Queued;
use super::settings::Settings;
use super::span_data::SpanData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// The first pause before a batch is sent again, doubled each time, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest time that a collector may ask us to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Until when everything has to be done; `None`: the process goes on.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// The exporter's state.
pub(super) struct Worker {
    settings: Arc<Settings>,
    queued: Queued,
    post: Post,
    /// Spans that were lost: the queue was full, the collector did not accept them, or time was up at the end.
    dropped: Arc<AtomicU64>,
    stop: Stop,
    /// Taken from the queue, and not yet accepted.
    batch: Vec<SpanData>,
    /// Whether the last batch failed.
    failing: bool,
}

impl Worker {
    pub(super) fn new(
        settings: Arc<Settings>,
        queued: Queued,
        dropped: Arc<AtomicU64>,
        stop: Stop,
    ) -> Self {
        Self {
            post: Post::new(settings.clone()),
            settings,
            queued,
            dropped,
            stop,
            batch: Vec::new(),
            failing: false,
        }
    }

    /// Exports until it is told to stop, then what is left.
    pub(super) async fn run(mut self) {
        let mut stop = self.stop.clone();
        let time_is_up = async {
            // Without a sender nobody waits for the end.
            let stop = stop.wait_for(Option::is_some).await;
            let end = stop.ok().and_then(|end| *end).unwrap_or_else(Instant::now);
            sleep_until(end).await;
        };
        tokio::select! {
            () = self.serve() => {}
            () = time_is_up => {}
        }
        self.queued.spans.close();
        while let Ok(data) = self.queued.spans.try_recv() {
            self.batch.push(data);
        }
        self.count_dropped(self.batch.len());
    }

    async fn serve(&mut self) {
        loop {
            if self.is_stopping() {
                self.queued.spans.close();
            }
            let first = tokio::select! {
                first = self.queued.spans.recv() => first,
                _ = self.stop.changed() => continue,
            };
            let Some(first) = first else {
                return;
            };
            self.batch.push(first);
            self.wait_for_more().await;
            while let Ok(data) = self.queued.spans.try_recv() {
                self.batch.push(data);
                if self.batch.len() == self.settings.max_batch {
                    self.export().await;
                }
            }
            self.export().await;
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Waits until there is a batch, or for the configured time.
    async fn wait_for_more(&mut self) {
        if self.is_stopping() {
            return;
        }
        let mut delay = pin!(sleep(self.settings.delay));
        while self.batch.len() + self.queued.spans.len() < self.settings.max_batch {
            tokio::select! {
                () = &mut delay => return,
                () = self.queued.full_batch.notified() => {}
                _ = self.stop.changed() => return,
            }
        }
    }

    /// Sends the batch until it is accepted, or is dropped.
    async fn export(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let spans = self.batch.len();
        let body = hyper::body::Bytes::from(message::request(&self.settings.resource, &self.batch));
        let end = Instant::now() + self.settings.export_timeout;
        let mut pause = FIRST_PAUSE;
        let cause = loop {
            let stopping = self.is_stopping();
            let (cause, after) = match self.post.send(body.clone()).await {
                Ok(rejected) => return self.accepted(spans, rejected),
                Err(Failure::Final(cause)) => break cause,
                Err(Failure::Temporary(cause, after)) => (cause, after),
            };
            // Before the end of the process there is no time for another pause.
            if stopping {
                break cause;
            }
            let asked = after.unwrap_or(pause).min(MAX_RETRY_AFTER);
            let until = Instant::now() + asked.mul_f64(1.0 + fastrand::f64() / 4.0);
            pause *= 2;
            let is_last = until > end;
            if is_last && after.is_none() {
                break cause;
            }
            tracing::debug!(
                "cannot export {spans} spans to {}: {cause}; trying again",
                self.settings.collector
            );
            // If it stops meanwhile, this is the moment for a last attempt.
            let _ = timeout_at(until, self.stop.changed()).await;
            if is_last && !self.is_stopping() {
                break cause;
            }
        };
        self.batch.clear();
        self.lost(spans, &cause);
    }

    fn accepted(&mut self, spans: usize, rejected: usize) {
        let rejected = rejected.min(spans);
        self.batch.clear();
        if rejected > 0 {
            self.lost(rejected, "it rejected them");
        } else if std::mem::take(&mut self.failing) {
            tracing::info!("exporting traces again to {}", self.settings.collector);
        }
    }

    fn count_dropped(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// Counts spans that the collector did not accept, and says so once per outage.
    fn lost(&mut self, spans: usize, cause: &str) {
        self.count_dropped(spans);
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        let spans = crate::text::count(spans as u64, "span");
        let collector = &self.settings.collector;
        tracing::warn!(
            "cannot export traces to {collector}: {cause}; {spans} dropped, and more until it works again"
        );
    }
}
