//! Export of traces over OTLP/HTTP: spans of requests and calls, as protobuf messages, to a collector.
//!
//! Exists only if a collector is configured. The threads that serve copy a sampled span and queue the copy; a thread of its
//! own exports batches. Nothing waits for that thread but the end of the process, and that for a limited time.

mod layer;
mod message;
mod post;
mod queue;
mod resource;
mod settings;
mod span_data;
mod tls;
mod variables;
mod worker;

use crate::config::{Loaded, Share};
use crate::telemetry::Program;
use layer::Roots;
use queue::Queue;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, thread};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Subscriber;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use worker::Worker;

/// The nice value of the exporting thread (nice(2)): requests come first if the processor is busy.
const NICE: i32 = 10;

/// The running exporter.
#[derive(Debug)]
pub(crate) struct Traces {
    queue: Queue,
    share: Share,
    stop: watch::Sender<Option<Instant>>,
    /// Disconnected when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Traces {
    /// Starts the exporter if a collector is configured. It adds the spans that are lost to `dropped`. The texts are warnings.
    pub(crate) fn start(
        loaded: &Loaded,
        program: &Program,
        dropped: &Arc<AtomicU64>,
    ) -> io::Result<(Option<Self>, Vec<String>)> {
        let (settings, warnings) =
            settings::settings(loaded, program, &|name| std::env::var_os(name));
        let traces = settings
            .map(|settings| Self::run(settings, dropped.clone()))
            .transpose()?;
        Ok((traces, warnings))
    }

    fn run(settings: settings::Settings, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let settings = Arc::new(settings);
        let share = settings.share;
        let (queue, queued) = queue::queue(settings.max_queue, settings.max_batch, dropped.clone());
        let (stop, stopped) = watch::channel(None);
        let (end, ended) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let worker = Worker::new(settings, queued, dropped, stopped);
        let export = move || {
            // Best effort.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            runtime.block_on(worker.run());
            // A name lookup that hangs is not waited for.
            runtime.shutdown_background();
            drop::<mpsc::Sender<()>>(end);
        };
        thread::Builder::new()
            .name("fibrpc-otlp".to_owned())
            .spawn(export)?;
        Ok(Self {
            queue,
            share,
            stop,
            ended,
        })
    }

    /// The layer that sees the spans.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        layer::layer(self.queue.clone())
    }

    /// A layer to be added after it, which decides for the whole subscriber which traces begin here.
    pub(crate) fn roots<S: Subscriber>(&self) -> impl Layer<S> + Send + Sync + 'static {
        Roots::new(self.share)
    }

    /// Exports what is queued, for this long at most; the rest is dropped. Blocks the calling thread.
    pub(crate) fn stop(self, limit: Duration) {
        self.stop.send_replace(Some(Instant::now() + limit));
        // The thread keeps the limit itself; it is not trusted with the end of the process.
        let _ = self.ended.recv_timeout(limit + Duration::from_millis(500));
    }
}

#[cfg(test)]
mod tests;
