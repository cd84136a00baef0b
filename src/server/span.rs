//! [`RequestSpan`]: the span of a request in a distributed trace.
//!
//! A request has one if its caller sent a trace context, or if a subscriber asks for it. All others cost a comparison. The
//! span is entered while anything works on its request, so that whatever is logged meanwhile belongs to it, and is closed
//! once the request is acknowledged or has ended otherwise. This crate does not export spans; a subscriber may.

use super::acks::Ack;
use super::state::Settled;
use crate::broker::random_id;
use crate::protocol::trace_context::{
    Hex, ROOT_TARGET, SPAN_TARGET, TraceContext, record_code, rpc_span,
};
use crate::protocol::{HeaderValue, Message, RequestMessage, header};
use crate::text::excerpt;
use tracing::Span;
use tracing::span::EnteredSpan;

/// The most characters of a correlation id in a span.
const MAX_ID_CHARS: usize = 255;

/// The span of a request, if it has one.
#[derive(Debug, Default)]
pub(super) struct RequestSpan(Option<Box<Traced>>);

#[derive(Debug)]
struct Traced {
    span: Span,
    /// Whether the caller sent a context: the reply carries ours then.
    continued: bool,
}

impl RequestSpan {
    /// Begins the span of a request, in which the caller's trace context is replaced by that of the span.
    pub(super) fn begin<'a>(
        request: &mut RequestMessage,
        queue: &str,
        method: impl FnOnce(&RequestMessage) -> Option<&'a str>,
    ) -> Self {
        if request.trace.is_none() && !tracing::enabled!(target: ROOT_TARGET, tracing::Level::INFO)
        {
            return Self(None);
        }
        Self::make(request, queue, method(request))
    }

    #[cold]
    fn make(request: &mut RequestMessage, queue: &str, method: Option<&str>) -> Self {
        let caller = request.trace.take();
        let context = TraceContext::of_span(caller.as_deref(), random_id(), random_id());
        let id = request
            .correlation_id
            .as_deref()
            .map(String::from_utf8_lossy);
        let id = id.as_deref().map(|id| excerpt(id, MAX_ID_CHARS));
        let span = rpc_span!(
            parent: None, "rpc.server", "server", context, caller.as_ref(),
            method: method, queue: queue, id: id.as_deref()
        );
        request.trace = Some(Box::new(context));
        Self(Some(Box::new(Traced {
            span,
            continued: caller.is_some(),
        })))
    }

    /// Enters the span until the guard is dropped.
    pub(super) fn enter(&self) -> Option<EnteredSpan> {
        let traced = self.0.as_deref()?;
        Some(traced.span.clone().entered())
    }

    /// Notes how far the request has come.
    pub(super) fn event(&self, what: &'static str) {
        if let Some(Traced { span, .. }) = self.0.as_deref()
            && !span.is_disabled()
        {
            // Not for those who only want to see what a service logs.
            tracing::debug!(target: SPAN_TARGET, parent: span, "{what}");
        }
    }

    /// Notes that the request ends without a reply.
    pub(super) fn fail(&self, how: Settled) {
        if let Some(traced) = self.0.as_deref() {
            traced.span.record("error.type", how.name());
        }
    }

    /// Notes the code of the reply to the request, and adds our trace context to the reply if the caller sent one.
    pub(super) fn answer(&self, request: &RequestMessage, reply: &mut Message) {
        let Some(traced) = self.0.as_deref() else {
            return;
        };
        let headers = &mut reply.properties.headers;
        let code = headers.iter().find(|(name, _)| *name == header::STATUS);
        if let Some((_, HeaderValue::Text(code))) = code {
            record_code(&traced.span, code);
        }
        if traced.continued {
            headers.extend(request.trace.iter().flat_map(|context| context.headers()));
        }
    }
}

/// The spans of requests that are settled and not acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Unacked(Vec<(u64, RequestSpan)>);

impl Unacked {
    /// The request with this delivery tag is settled.
    pub(super) fn add(&mut self, tag: u64, span: RequestSpan) {
        if span.0.is_some() {
            self.0.push((tag, span));
        }
    }

    /// Closes the spans of all requests that this acknowledges.
    pub(super) fn acked(&mut self, ack: &Ack) {
        self.0.retain(|(tag, span)| {
            let is_acked = *tag == ack.tag || (ack.multiple && *tag < ack.tag);
            if is_acked {
                span.event("acked");
            }
            !is_acked
        });
    }
}

#[cfg(test)]
mod tests;
