//! The spans of requests, as a subscriber sees them.

#![cfg(feature = "process")] // for the subscriber

use super::*;
use crate::server::testing::Server;
use crate::server::{Request as Served, handler};
use crate::{Reply, Status};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What was seen of a span.
#[derive(Debug, Default, Clone)]
struct Seen {
    fields: BTreeMap<&'static str, String>,
    events: Vec<String>,
    closed: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl Seen {
    fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// All spans, by id.
#[derive(Default, Clone)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

impl Spans {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Seen)) {
        change(self.0.lock().unwrap().entry(id.into_u64()).or_default());
    }

    fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    fn only(&self) -> Seen {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        self.change(id, |seen| attributes.record(seen));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |seen| values.record(seen));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Seen::default();
        event.record(&mut said);
        if let Some(span) = context.event_span(event) {
            let message = said.fields.remove("message").unwrap();
            self.change(&span.id(), |seen| seen.events.push(message));
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |seen| seen.closed = true);
    }
}

/// Sees the spans of requests with a trace context, and if it asks, of all others.
fn see(asks: bool) -> (Spans, DefaultGuard) {
    let spans = Spans::default();
    let root = if asks {
        LevelFilter::INFO
    } else {
        LevelFilter::OFF
    };
    let targets = Targets::new()
        .with_target("fibrpc", LevelFilter::INFO)
        .with_target(SPAN_TARGET, LevelFilter::DEBUG)
        .with_target(ROOT_TARGET, root);
    let subscriber = Registry::default().with(targets).with(spans.clone());
    (spans, set_default(subscriber))
}

fn parent() -> TraceContext {
    TraceContext::parse(PARENT, Some("v=1")).unwrap()
}

fn with_parent() -> RequestMessage {
    let message = Message::default();
    RequestMessage {
        trace: Some(Box::new(parent())),
        ..RequestMessage::read(message)
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    match message.properties.header(name)? {
        HeaderValue::Text(text) => Some(text),
        _ => None,
    }
}

#[tokio::test]
async fn a_request_is_a_child_of_its_caller() {
    let (spans, _guard) = see(false);
    let server = Server::new(handler(
        async |own: Option<TraceContext>, request: Served| {
            tracing::info!("inside");
            assert_eq!(request.trace_context(), own.as_ref());
            Reply::new(own.unwrap().to_string(), "text/plain")
        },
    ));
    let request = Served::new("").with_trace_context(parent());
    let reply = server.call(request).await.unwrap();
    let own = TraceContext::parse(std::str::from_utf8(&reply.body).unwrap(), None).unwrap();
    assert_eq!(own.trace_id(), parent().trace_id());
    assert_ne!(own.span_id(), parent().span_id());
    let seen = spans.only();
    assert!(seen.closed);
    let events = ["admitted", "inside", "computed", "confirmed", "acked"];
    assert_eq!(seen.events, events);
    let span_id = Hex(&own.span_id()).to_string();
    for (name, value) in [
        ("otel.name", Some("rabbitmq")),
        ("otel.kind", Some("server")),
        ("rpc.system.name", Some("rabbitmq")),
        ("rpc.method", None),
        ("rpc.status_code", Some("OK")),
        ("error.type", None),
        ("messaging.system", Some("rabbitmq")),
        ("messaging.destination.name", Some("rpc_queue")),
        ("messaging.message.conversation_id", None),
        ("fibrpc_trace_id", Some("0af7651916cd43dd8448eb211c80319c")),
        ("fibrpc_span_id", Some(&*span_id)),
        ("fibrpc_parent_id", Some("b7ad6b7169203331")),
        ("fibrpc_sampled", Some("true")),
        ("fibrpc_tracestate", Some("v=1")),
    ] {
        assert_eq!(seen.get(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_method_and_a_failure_are_fields() {
    let (spans, _guard) = see(false);
    let fail = async || Err::<Reply, _>(Status::not_found("no"));
    let server = Server::new(crate::Router::new().method("find", handler(fail)));
    for (method, shown, code) in [
        ("find", "find", "NOT_FOUND"),
        ("other", "_OTHER", "UNIMPLEMENTED"),
    ] {
        let request = Served::new("").with_method(method);
        let request = request.with_trace_context(parent());
        assert!(server.call(request).await.is_err());
        let seen = spans.all().pop().unwrap();
        assert_eq!(seen.get("rpc.method"), Some(shown));
        assert_eq!(seen.get("otel.name"), Some(shown));
        assert_eq!(seen.get("error.type"), Some(code));
        assert_eq!(seen.get("rpc.status_code"), Some(code));
    }
}

#[tokio::test]
async fn a_request_without_a_context_has_a_span_only_if_asked_for() {
    for asks in [false, true] {
        let (spans, _guard) = see(asks);
        let server = Server::new(handler(async |request: Served| {
            Reply::new(request.trace_context().is_some().to_string(), "text/plain")
        }));
        let reply = server.call(Served::new("")).await.unwrap();
        assert_eq!(reply.body, asks.to_string().into_bytes());
        if asks {
            let seen = spans.only();
            assert_eq!(seen.get("fibrpc_parent_id"), None);
            assert_eq!(seen.get("fibrpc_sampled"), Some("true"));
            assert!(seen.closed);
        } else {
            assert!(spans.all().is_empty());
        }
    }
}

#[test]
fn a_reply_has_a_context_only_if_its_request_had_one() {
    let (_, _guard) = see(true);
    for continued in [false, true] {
        let mut request = RequestMessage::read(Message::default());
        if continued {
            request = with_parent();
        }
        let span = RequestSpan::begin(&mut request, "q", |_| None);
        let mut reply = Message::default();
        span.answer(&request, &mut reply);
        let own = request.trace.unwrap().to_string();
        assert_eq!(
            header(&reply, header::TRACEPARENT),
            continued.then_some(&*own)
        );
        assert_eq!(
            header(&reply, header::TRACESTATE),
            continued.then_some("v=1")
        );
    }
}

#[test]
fn a_context_is_passed_on_without_a_subscriber() {
    let mut request = with_parent();
    let span = RequestSpan::begin(&mut request, "q", |_| None);
    let own = request.trace.clone().unwrap();
    assert_eq!(own.trace_id(), parent().trace_id());
    assert_ne!(own.span_id(), parent().span_id());
    let mut reply = Message::default();
    span.answer(&request, &mut reply);
    assert_eq!(header(&reply, header::TRACEPARENT), Some(&*own.to_string()));
}

#[test]
fn spans_wait_for_their_acks() {
    let (spans, _guard) = see(false);
    let mut unacked = Unacked::default();
    for tag in 1..=5 {
        let span = RequestSpan::begin(&mut with_parent(), "q", |_| None);
        unacked.add(tag, span);
    }
    unacked.add(6, RequestSpan::default());
    assert_eq!(unacked.0.len(), 5);
    let closed = || {
        spans
            .all()
            .iter()
            .map(|seen| seen.closed)
            .collect::<Vec<_>>()
    };
    for (tag, multiple, expected) in [
        (4, false, [false, false, false, true, false]),
        (2, true, [true, true, false, true, false]),
        (6, true, [true; 5]),
    ] {
        unacked.acked(&Ack { tag, multiple });
        assert_eq!(closed(), expected, "{tag}");
    }
    assert!(spans.all().iter().all(|seen| seen.events == ["acked"]));
}
