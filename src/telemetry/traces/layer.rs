//! Copies the library's spans, and queues each copy when its span closes.
//!
//! Runs on the thread of the request. A span that is not sampled is not copied.

use super::queue::Queue;
use super::span_data::{MessageVisitor, SpanData};
use crate::config::Share;
use crate::protocol::trace_context::{ROOT_TARGET, SPAN_TARGET};
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::span::{self, Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, dynamic_filter_fn};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Queues the spans of requests and calls.
#[derive(Debug)]
struct Spans {
    queue: Queue,
}

/// A layer that sees nothing but the spans of requests and calls, and their events.
pub(super) fn layer<S>(queue: Queue) -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // `Sometimes`, so that it is asked for each span: after a question about `ROOT_TARGET` the registry has the answers of the
    // filters to that, and would apply them to a span for which it need not ask.
    let is_ours = |metadata: &Metadata<'_>| [SPAN_TARGET, ROOT_TARGET].contains(&metadata.target());
    let ours = dynamic_filter_fn(move |metadata, _: &Context<'_, S>| is_ours(metadata))
        .with_callsite_filter(move |metadata| {
            if is_ours(metadata) {
                Interest::sometimes()
            } else {
                Interest::never()
            }
        })
        .with_max_level_hint(LevelFilter::DEBUG);
    Spans { queue }.with_filter(ours)
}

/// Whenever the library asks whether to begin a trace, gives a random answer. To be added last and without a filter of its own:
/// filters of single layers do not decide what the subscriber as a whole enables.
#[derive(Debug)]
pub(super) struct Roots {
    chance: f64,
}

impl Roots {
    /// Begins this share of the traces that could begin here.
    pub(super) fn new(share: Share) -> Self {
        // `tracing::enabled!` asks twice, and takes two times yes for yes.
        Self {
            chance: share.as_f64().sqrt(),
        }
    }
}

impl<S: Subscriber> Layer<S> for Roots {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match metadata.target() {
            ROOT_TARGET => Interest::sometimes(),
            _ => Interest::always(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() != ROOT_TARGET || fastrand::f64() < self.chance
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut is_left_out = IsLeftOut(false);
        attributes.record(&mut is_left_out);
        if is_left_out.0 {
            return;
        }
        if let Some(span) = context.span(id) {
            let mut data = SpanData::begin(attributes.metadata().name());
            attributes.record(&mut data);
            span.extensions_mut().insert(data);
        }
    }

    fn on_record(&self, id: &Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let mut extensions = span.extensions_mut();
        if let Some(data) = extensions.get_mut::<SpanData>() {
            values.record(data);
            if data.sampled == Some(false) {
                extensions.remove::<SpanData>();
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else {
            return;
        };
        let mut extensions = span.extensions_mut();
        if let Some(data) = extensions.get_mut::<SpanData>() {
            let mut message = MessageVisitor::default();
            event.record(&mut message);
            data.event(message.0);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let data = context
            .span(&id)
            .and_then(|span| span.extensions_mut().remove::<SpanData>());
        if let Some(mut data) = data.filter(SpanData::is_wanted) {
            data.end();
            self.queue.push(data);
        }
    }
}

/// Whether a new span says that it is not sampled.
struct IsLeftOut(bool);

impl Visit for IsLeftOut {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "fibrpc_sampled" {
            self.0 = !value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

#[cfg(test)]
mod tests;
