//! The thread that writes log records, and its queue.

use super::capture::Capture;
use super::record::Record;
use super::target::Sink;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Capacity of the queue, in records of a few hundred bytes. Further records are counted and dropped.
const QUEUE: usize = 1024;

/// How long the end of the process waits for a blocked journal or pipe.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The writing thread. Dropping it writes the queued records, for [`CLOSE_GRACE`] at most.
pub(super) struct Writer {
    queue: SyncSender<Option<Record>>,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread ends.
    ended: Receiver<()>,
}

impl Writer {
    /// Starts the thread; it writes what the second value captures.
    pub(super) fn start(sink: Sink) -> io::Result<(Self, Capture)> {
        let (queue, records) = mpsc::sync_channel(QUEUE);
        let (ending, ended) = mpsc::channel();
        let lost = Arc::new(AtomicU64::new(0));
        let capture = Capture::new(queue.clone(), lost.clone());
        let thread = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                write(&records, &lost, sink);
                drop(ending);
            })?;
        let writer = Self {
            queue,
            thread: Some(thread),
            ended,
        };
        Ok((writer, capture))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let until = Instant::now() + CLOSE_GRACE;
        while self.queue.try_send(None).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = until.saturating_duration_since(Instant::now());
        if self.ended.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            // It has ended, so this does not wait; a panic in it was logged if possible.
            let _ = thread.join();
        }
    }
}

/// Writes until the queue is closed or has a `None`.
fn write(records: &Receiver<Option<Record>>, lost: &AtomicU64, mut sink: Sink) {
    let mut reported = 0;
    let mut last_report = None;
    while let Ok(Some(record)) = records.recv() {
        sink(&record);
        let lost = lost.load(Ordering::Relaxed);
        let recent = last_report.is_some_and(|at: Instant| at.elapsed() < Duration::from_secs(1));
        if lost > reported && !recent {
            reported = lost;
            last_report = Some(Instant::now());
            // Goes through the queue. If it is lost there, it is counted and reported again.
            tracing::warn!(
                fibrpc_lost = lost,
                "lost {lost} log records so far: their reader is too slow"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    type Lines = Arc<Mutex<Vec<String>>>;

    fn sink(lines: &Lines, gate: Receiver<()>) -> Sink {
        let lines = lines.clone();
        Box::new(move |record| {
            // Waits until the test drops its end.
            let _ = gate.recv();
            let message = record.value("message").unwrap_or_default().to_owned();
            lines.lock().unwrap().push(message);
        })
    }

    #[test]
    fn queued_records_are_written_at_the_end() {
        let lines = Lines::default();
        let (gate, closed) = mpsc::channel();
        let (writer, capture) = Writer::start(sink(&lines, closed)).unwrap();
        tracing::subscriber::with_default(Registry::default().with(capture), || {
            for i in 0..QUEUE {
                tracing::info!("{i}");
            }
        });
        drop(gate);
        drop(writer);
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), QUEUE);
        assert_eq!(lines.last().unwrap(), &(QUEUE - 1).to_string());
    }

    #[test]
    fn a_hung_sink_delays_nobody_and_losses_are_counted() {
        let lines = Lines::default();
        let (gate, closed) = mpsc::channel();
        let (writer, capture) = Writer::start(sink(&lines, closed)).unwrap();
        let lost = capture.lost.clone();
        tracing::subscriber::with_default(Registry::default().with(capture), || {
            // Would never end if an event waited for the sink.
            for i in 0..3 * QUEUE {
                tracing::info!("{i}");
            }
        });
        let lost = usize::try_from(lost.load(Ordering::Relaxed)).unwrap();
        drop(gate);
        drop(writer);
        assert_eq!(lines.lock().unwrap().len() + lost, 3 * QUEUE);
        assert!(lost >= 2 * QUEUE - 1, "{lost}");
    }
}
