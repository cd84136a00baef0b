//! Keeps repeated events from flooding the log: a few per minute of each kind, and a count of the others.
//!
//! Events with the field [`LEFT_OUT`] are limited; a kind is a place in the code. Owns the last event of each kind that
//! was left out, which is written once the flood is over.

use super::limiter::Limiter;
use super::record::{LEFT_OUT, Record, Trace};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::Event;
use tracing::callsite::Identifier;

/// The limits of all kinds.
#[derive(Default)]
pub(super) struct Limits(Mutex<HashMap<Identifier, Kind>>);

#[derive(Default)]
struct Kind {
    limiter: Limiter,
    /// The last event that was left out.
    last: Option<Record>,
}

impl Limits {
    /// The record of an event at `now`, unless it is left out.
    pub(super) fn admit(
        &self,
        event: &Event<'_>,
        trace: Option<Trace>,
        now: Instant,
    ) -> Option<Record> {
        let mut record = Record::of(event, trace);
        if event.metadata().fields().field(LEFT_OUT).is_none() {
            return Some(record);
        }
        let mut kinds = self.kinds();
        let kind = kinds.entry(event.metadata().callsite()).or_default();
        if let Some(left_out) = kind.limiter.pass(now) {
            kind.last = None;
            record.count(left_out);
            Some(record)
        } else {
            kind.last = Some(record);
            None
        }
    }

    /// The last event of each kind whose flood is over at `now`.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Record> {
        self.take(|limiter| limiter.overdue(now))
    }

    /// The last event of each kind, at the end of the process.
    pub(super) fn rest(&self) -> Vec<Record> {
        self.take(Limiter::rest)
    }

    fn take(&self, left_out: impl Fn(&mut Limiter) -> Option<u64>) -> Vec<Record> {
        let take = |kind: &mut Kind| {
            let left_out = left_out(&mut kind.limiter)?;
            let mut last = kind.last.take()?;
            last.count(left_out - 1);
            Some(last)
        };
        self.kinds().values_mut().filter_map(take).collect()
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Identifier, Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::capture::Capture;
    use super::*;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    fn messages(records: impl IntoIterator<Item = Record>) -> Vec<String> {
        let message = |record: Record| record.value("message").unwrap().to_owned();
        records.into_iter().map(message).collect()
    }

    #[test]
    fn ten_of_a_flood_are_written_and_then_the_last() {
        let (queue, records) = mpsc::sync_channel(1000);
        let capture = Capture::new(queue, Arc::default());
        let limits = capture.limits.clone();
        let began = Instant::now();
        tracing::subscriber::with_default(Registry::default().with(capture), || {
            for n in 0..100 {
                tracing::info!(fibrpc_left_out = tracing::field::Empty, "limited {n}");
                tracing::info!("free {n}");
            }
            // One kind does not use up the other's limit.
            tracing::info!(fibrpc_left_out = tracing::field::Empty, "of another kind");
        });
        let written = messages(records.try_iter().flatten());
        let limited = |line: &&String| line.starts_with("limited");
        assert_eq!(written.iter().filter(limited).count(), 10);
        assert_eq!(written.len(), 111);
        assert!(limits.overdue(began + Duration::from_secs(50)).is_empty());
        let after = began + Duration::from_secs(70);
        let overdue = limits.overdue(after);
        assert_eq!(overdue[0].value(LEFT_OUT), Some("89"));
        assert_eq!(
            messages(overdue),
            ["limited 99 (89 more were left out before this)"]
        );
        assert!(limits.overdue(after).is_empty());
        assert!(limits.rest().is_empty());
    }

    #[test]
    fn the_next_record_counts_those_left_out_before() {
        let (queue, records) = mpsc::sync_channel(1000);
        let capture = Capture::new(queue, Arc::default());
        let limits = capture.limits.clone();
        tracing::subscriber::with_default(Registry::default().with(capture), || {
            for n in 0..13 {
                tracing::info!(fibrpc_left_out = tracing::field::Empty, "event {n}");
            }
        });
        assert_eq!(records.try_iter().count(), 10);
        assert_eq!(
            messages(limits.rest()),
            ["event 12 (2 more were left out before this)"]
        );
    }
}
