//! Spans as OTLP messages.

use super::span_data::{Kind, SpanData, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status};
use prost::Message as _;
use std::time::SystemTime;

/// The version of the semantic conventions that the attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The flag of a sampled span (W3C Trace Context).
const SAMPLED: u32 = 1;

/// The body of an export request.
pub(super) fn request(resource: &[(String, String)], spans: &[SpanData]) -> Vec<u8> {
    let attributes = resource.iter();
    let attributes = attributes.map(|(key, value)| attribute(key, Any::StringValue(value.clone())));
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = ScopeSpans {
        scope: Some(scope),
        spans: spans.iter().map(span).collect(),
        schema_url: SCHEMA.to_owned(),
    };
    let of_resource = ResourceSpans {
        resource: Some(Resource {
            attributes: attributes.collect(),
            ..Resource::default()
        }),
        scope_spans: vec![spans],
        schema_url: SCHEMA.to_owned(),
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![of_resource],
    };
    request.encode_to_vec()
}

fn span(data: &SpanData) -> Span {
    let bytes = |id: Option<&[u8]>| id.unwrap_or_default().to_vec();
    let parent = data.parent_id;
    // A parent is always in another process: the caller's, or the one that started ours.
    let remote = match parent {
        Some(_) => SpanFlags::ContextIsRemoteMask as u32,
        None => 0,
    };
    let event = |(after, name): &(_, String)| Event {
        time_unix_nano: nanoseconds(data.start + *after),
        name: name.clone(),
        ..Event::default()
    };
    let attributes = data.attributes.iter();
    let attributes = attributes.map(|(key, value)| {
        let value = match value {
            Value::Text(text) => Any::StringValue(text.clone()),
            Value::Number(number) => Any::IntValue(*number),
            Value::Switch(switch) => Any::BoolValue(*switch),
        };
        attribute(key, value)
    });
    Span {
        trace_id: bytes(data.trace_id.as_ref().map(|id| &id[..])),
        span_id: bytes(data.span_id.as_ref().map(|id| &id[..])),
        parent_span_id: bytes(parent.as_ref().map(|id| &id[..])),
        trace_state: data.state.clone(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
        name: data.name.clone(),
        kind: match data.kind {
            Kind::Server => SpanKind::Server.into(),
            Kind::Client => SpanKind::Client.into(),
        },
        start_time_unix_nano: nanoseconds(data.start),
        end_time_unix_nano: nanoseconds(data.start + data.took),
        attributes: attributes.collect(),
        events: data.events.iter().map(event).collect(),
        status: data.failed().then(|| Status {
            code: StatusCode::Error.into(),
            message: String::new(),
        }),
        ..Span::default()
    }
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Since 1970; 0 for a clock that is before that.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
