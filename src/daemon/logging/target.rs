//! Log destinations: the journal, by its native protocol, or lines on stderr.

use super::record::{LEFT_OUT, Record, Trace};
use crate::stdio;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use tracing::field::{Value, ValueSet};
use tracing::span::Attributes;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

/// Writes one record. May block; failures cannot be reported.
pub(super) type Sink = Box<dyn FnMut(&Record) + Send>;

/// The journal. Fails if there is none.
pub(super) fn journal() -> io::Result<Sink> {
    let layer = tracing_journald::layer()?
        .with_syslog_identifier("fibrpcd".into())
        // Our fields have their own prefix, since MESSAGE_ID must have none.
        .with_field_prefix(None)
        .with_priority_mappings(PriorityMappings {
            info: Priority::Informational,
            debug: Priority::Debug,
            ..PriorityMappings::new()
        });
    // Not a dispatcher, so that it does not take part in filtering: it receives events that have passed the filter.
    let journal = Registry::default().with(layer);
    Ok(Box::new(move |record| replay(record, &journal)))
}

pub(super) fn stderr() -> Sink {
    let style = if stderr_is_journal() {
        Style::Prefix
    } else {
        Style::Time
    };
    Box::new(move |record| {
        let _ = stdio::stderr().write_all(line(record, style).as_bytes());
    })
}

/// Whether stderr is connected to the journal, which then adds a timestamp to each line.
pub(in super::super) fn stderr_is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = rustix::fs::fstat(stdio::stderr());
    stderr.is_ok_and(|file| stream.to_str() == Some(&journal_stream(file.st_dev, file.st_ino)))
}

/// The value of `JOURNAL_STREAM` for the journal's file (systemd.exec(5)).
fn journal_stream(device: u64, inode: u64) -> String {
    format!("{device}:{inode}")
}

/// Passes a copied event to a subscriber as if it happened now, in a span with the ids of its own one.
fn replay(record: &Record, subscriber: &impl Subscriber) {
    let span = record.trace.as_ref().map(|trace| {
        let id = with_values(
            trace.metadata,
            |field| trace.value(field),
            |values| subscriber.new_span(&Attributes::new_root(trace.metadata, values)),
        );
        subscriber.enter(&id);
        id
    });
    with_values(
        record.metadata,
        |field| record.value(field),
        |values| subscriber.event(&Event::new(record.metadata, values)),
    );
    if let Some(id) = span {
        subscriber.exit(&id);
        subscriber.try_close(id);
    }
}

/// Calls `body` with the values of the fields that have one.
fn with_values<'a, T>(
    metadata: &'static Metadata<'static>,
    value: impl Fn(&str) -> Option<&'a str>,
    body: impl FnOnce(&ValueSet<'_>) -> T,
) -> T {
    let fields = metadata.fields();
    let texts: Vec<_> = fields.iter().map(|field| value(field.name())).collect();
    let values: Vec<Option<&dyn Value>> = texts
        .iter()
        .map(|text| text.as_ref().map(|text| text as &dyn Value))
        .collect();
    body(&fields.value_set_all(&values))
}

/// How a line on stderr begins.
#[derive(Clone, Copy)]
enum Style {
    /// With the time and the name of the level.
    Time,
    /// With the priority in the form that the journal reads; it adds the time itself.
    Prefix,
}

fn line(record: &Record, style: Style) -> String {
    let level = *record.metadata.level();
    let mut line = match style {
        Style::Time => format!("{} {level} ", record.time),
        Style::Prefix => format!("<{}>", priority(level)),
    };
    line.push_str(record.value("message").unwrap_or_default());
    // The message of an event with an id is complete; its fields are for machines.
    if record.value("message_id").is_none() {
        for (field, value) in &record.values {
            let name = field.name();
            // The message includes how many were left out.
            if name == "message" || name == LEFT_OUT {
                continue;
            }
            let name = name.strip_prefix("fibrpc_").unwrap_or(name);
            // Writing to a string cannot fail.
            let _ = if value.is_empty() || value.contains([' ', '"', '=']) {
                write!(line, " {name}={value:?}")
            } else {
                write!(line, " {name}={value}")
            };
        }
    }
    if let Some(Trace { id, .. }) = &record.trace {
        let _ = write!(line, " trace_id={id}");
    }
    line.push('\n');
    line
}

/// The syslog priority of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::super::capture::Capture;
    use super::*;
    use crate::protocol::trace_context::SPAN_TARGET;
    use std::sync::{Arc, mpsc};

    /// The records that `body` makes.
    fn records(body: impl FnOnce()) -> Vec<Record> {
        let (queue, records) = mpsc::sync_channel(100);
        let capture = Registry::default().with(Capture::new(queue, Arc::default()));
        tracing::subscriber::with_default(capture, body);
        records.try_iter().flatten().collect()
    }

    #[test]
    fn lines_are_for_people() {
        let records = records(|| {
            crate::server::log::cancelled("mq1:5672", "evil\nqueue");
            tracing::debug!(fibrpc_n = 30, why = "no reason", "answered");
            tracing::error!("{}", "x\u{1b}[2J");
        });
        let lines: Vec<String> = records
            .iter()
            .map(|record| line(record, Style::Prefix))
            .collect();
        assert_eq!(
            lines,
            [
                "<4>cancelled by the broker mq1:5672: no longer consuming evil\\nqueue\n",
                "<7>answered n=30 why=\"no reason\"\n",
                "<3>x\\u{1b}[2J\n",
            ]
        );
        let stamped = line(&records[0], Style::Time);
        let (time, rest) = stamped.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == "2000-01-01T00:00:00.000000Z".len());
        assert!(rest.starts_with("WARN cancelled by"), "{rest}");
    }

    #[test]
    fn a_replayed_event_is_the_event() {
        let original = records(|| crate::server::log::blocked("mq1:5672", "low on memory"));
        let (queue, replayed) = mpsc::sync_channel(100);
        let subscriber = Registry::default().with(Capture::new(queue, Arc::default()));
        replay(&original[0], &subscriber);
        let replayed = replayed.try_recv().unwrap().unwrap();
        assert_eq!(format!("{replayed:?}"), format!("{:?}", original[0]));
        assert_eq!(replayed.value("fibrpc_reason"), Some("low on memory"));
        assert!(replayed.value("message_id").is_some());
    }

    #[test]
    fn a_record_carries_the_ids_of_its_span() {
        let in_span = || {
            let span = tracing::info_span!(
                target: SPAN_TARGET,
                "rpc.server",
                rpc.method = "m",
                fibrpc_trace_id = "aa",
                fibrpc_span_id = "bb",
            );
            let _entered = span.entered();
            let _inner = tracing::info_span!("of a service").entered();
            tracing::info!(target: SPAN_TARGET, "admitted");
            tracing::info!("inside");
            crate::server::log::cancelled("mq1:5672", "q");
        };
        let mut records = records(in_span);
        assert_eq!(records.len(), 2, "{records:?}");
        assert_eq!(line(&records[0], Style::Prefix), "<6>inside trace_id=aa\n");
        let text = line(&records[1], Style::Prefix);
        assert!(text.ends_with("consuming q trace_id=aa\n"), "{text}");

        let (queue, replayed) = mpsc::sync_channel(100);
        let subscriber = Registry::default().with(Capture::new(queue, Arc::default()));
        let plain = Record {
            trace: None,
            ..records.remove(1)
        };
        for record in [&records[0], &plain] {
            replay(record, &subscriber);
        }
        let replayed: Vec<_> = replayed.try_iter().flatten().collect();
        let trace = replayed[0].trace.as_ref().unwrap();
        assert_eq!((&*trace.id, &*trace.span_id), ("aa", "bb"));
        assert!(replayed[1].trace.is_none(), "the span has ended");
    }

    #[test]
    fn the_journal_stream_is_device_and_inode() {
        assert_eq!(journal_stream(8, 123_456_789_012), "8:123456789012");
        // Whatever stderr is here, it is not the file with this number.
        assert!(!stderr_is_journal());
    }
}
