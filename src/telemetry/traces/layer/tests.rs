//! Spans made by hand, as the library makes them.

use super::super::message::request;
use super::super::queue::{Queued, queue};
use super::super::span_data::{Kind, Value};
use super::*;
use crate::protocol::trace_context::Hex;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::Empty;
use tracing::subscriber::with_default;
use tracing::{Level, event, span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A queue, what is in it and how many were dropped after something has happened under the layer.
fn seen(capacity: usize, act: impl FnOnce()) -> (Vec<SpanData>, u64) {
    let dropped = Arc::new(AtomicU64::new(0));
    let (queue, Queued { mut spans, .. }) = queue(capacity, capacity, dropped.clone());
    with_default(registry().with(layer(queue)), act);
    let seen = std::iter::from_fn(|| spans.try_recv().ok());
    (seen.collect(), dropped.load(Ordering::Relaxed))
}

#[test]
fn a_sampled_span_is_queued_with_what_is_known_when_it_closes() {
    let (spans, dropped) = seen(9, || {
        let span = span!(
            target: SPAN_TARGET, Level::INFO, "rpc.client",
            otel.name = "fib", otel.kind = "client", rpc.method = "fib", rpc.status_code = Empty, error.type = Empty,
            size = 7_u64, retried = false,
            fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN, fibrpc_parent_id = Empty, fibrpc_sampled = Empty,
            fibrpc_tracestate = "vendor=1",
        );
        event!(target: SPAN_TARGET, parent: &span, Level::INFO, "sent");
        event!(target: "fibrpc::client", parent: &span, Level::ERROR, "not an event of the trace");
        span.in_scope(|| event!(target: SPAN_TARGET, Level::INFO, message = "answered"));
        span.record("fibrpc_sampled", true);
        span.record("fibrpc_parent_id", "00f067aa0ba902b7");
        span.record("rpc.status_code", "UNAVAILABLE");
        span.record("error.type", tracing::field::display("OTHER"));
        span.record("error.type", "UNAVAILABLE");
    });
    assert_eq!(dropped, 0);
    let [data] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!((data.name.as_str(), data.kind), ("fib", Kind::Client));
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(
        data.attributes,
        [
            ("rpc.method", text("fib")),
            ("size", Value::Number(7)),
            ("retried", Value::Switch(false)),
            ("rpc.status_code", text("UNAVAILABLE")),
            ("error.type", text("UNAVAILABLE")),
        ]
    );
    let events: Vec<_> = data.events.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(events, ["sent", "answered"]);
    assert!(data.events[1].0 <= data.took);

    let resource = [("service.name".to_owned(), "test".to_owned())];
    let sent = ExportTraceServiceRequest::decode(&request(&resource, &spans)[..]).unwrap();
    let of_resource = &sent.resource_spans[0];
    let attribute = &of_resource.resource.as_ref().unwrap().attributes[0];
    assert_eq!(attribute.key, "service.name");
    let spans = &of_resource.scope_spans[0];
    assert_eq!(spans.scope.as_ref().unwrap().name, "fibrpc");
    let span = &spans.spans[0];
    let hex = |id: &[u8]| Hex(id).to_string();
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.span_id), SPAN);
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(
        (span.kind, span.flags),
        (3, 0x301),
        "a client, sampled, its parent is remote"
    );
    assert_eq!(span.trace_state, "vendor=1");
    assert_eq!(span.status.as_ref().unwrap().code, 2, "an error");
    let value = |key: &str| {
        let found = span
            .attributes
            .iter()
            .find(|attribute| attribute.key == key);
        found.and_then(|found| found.value.clone()?.value)
    };
    assert_eq!(
        value("rpc.status_code"),
        Some(Any::StringValue("UNAVAILABLE".to_owned()))
    );
    assert_eq!(value("size"), Some(Any::IntValue(7)));
    assert_eq!(value("retried"), Some(Any::BoolValue(false)));
    assert_eq!(value("fibrpc_sampled"), None);
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    assert!(
        span.events
            .iter()
            .all(|event| (start..=end).contains(&event.time_unix_nano))
    );
}

#[test]
fn a_root_span_without_an_error_has_no_parent_and_no_status() {
    let (spans, _) = seen(9, || {
        let fields = span!(
            target: SPAN_TARGET, Level::INFO, "rpc.server", otel.kind = "server",
            fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN, fibrpc_sampled = true,
        );
        drop(fields);
    });
    let sent = ExportTraceServiceRequest::decode(&request(&[], &spans)[..]).unwrap();
    let span = &sent.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(
        (span.name.as_str(), span.kind, span.flags),
        ("rpc.server", 2, 0x101)
    );
    assert_eq!(
        (span.parent_span_id.as_slice(), &span.status),
        (&[][..], &None)
    );
}

#[test]
fn nothing_else_is_queued() {
    let (spans, dropped) = seen(9, || {
        let unsampled = span!(
            target: SPAN_TARGET, Level::INFO, "rpc.server",
            fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN, fibrpc_sampled = false,
        );
        event!(target: SPAN_TARGET, parent: &unsampled, Level::INFO, "admitted");
        unsampled.record("fibrpc_sampled", true);
        let later = span!(
            target: SPAN_TARGET, Level::INFO, "rpc.server",
            fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN, fibrpc_sampled = Empty,
        );
        later.record("fibrpc_sampled", false);
        let _undecided = span!(
            target: SPAN_TARGET, Level::INFO, "rpc.server", fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN,
        );
        let _without_an_id = span!(
            target: SPAN_TARGET, Level::INFO, "rpc.server",
            fibrpc_trace_id = "xyz", fibrpc_span_id = SPAN, fibrpc_sampled = true,
        );
        let _other = span!(
            target: "fibrpc::other", Level::ERROR, "rpc.server",
            fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN, fibrpc_sampled = true,
        );
    });
    assert!(spans.is_empty(), "{spans:?}");
    assert_eq!(dropped, 0);
}

#[test]
fn what_the_queue_cannot_hold_is_dropped_and_counted() {
    let (spans, dropped) = seen(3, || {
        for _ in 0..10 {
            drop(span!(
                target: SPAN_TARGET, Level::INFO, "rpc.server",
                fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN, fibrpc_sampled = true,
            ));
        }
    });
    assert_eq!((spans.len(), dropped), (3, 7));
}

#[test]
fn a_share_of_traces_begins_here() {
    for (share, expect) in [(0.0, 0..=0), (0.25, 150..=350), (1.0, 1000..=1000)] {
        let (queue, _queued) = queue(1, 1, Arc::default());
        let roots = Roots::new(Share::of(share).unwrap());
        let subscriber = registry().with(layer(queue)).with(roots);
        let asked = || tracing::enabled!(target: ROOT_TARGET, Level::INFO);
        let begun = with_default(subscriber, || (0..1000).filter(|_| asked()).count());
        assert!(expect.contains(&begun), "{share}: {begun}");
    }
}

#[test]
fn a_span_after_the_question_is_seen() {
    let dropped = Arc::new(AtomicU64::new(0));
    let (queue, Queued { mut spans, .. }) = queue(9, 9, dropped);
    let subscriber = registry().with(layer(queue)).with(Roots::new(Share::ALL));
    with_default(subscriber, || {
        for _ in 0..3 {
            assert!(tracing::enabled!(target: ROOT_TARGET, Level::INFO));
            drop(span!(
                target: SPAN_TARGET, Level::INFO, "rpc.client",
                fibrpc_trace_id = TRACE, fibrpc_span_id = SPAN, fibrpc_sampled = true,
            ));
        }
    });
    assert_eq!(std::iter::from_fn(|| spans.try_recv().ok()).count(), 3);
}
