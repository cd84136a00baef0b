//! [`CallSpan`]: the span of a call in a distributed trace.
//!
//! A call has one if its caller gives it a trace context, or if a subscriber asks for it. The request carries the span's
//! context then, and no other does. The span ends with the call.

use super::pending::Outgoing;
use crate::broker::random_id;
use crate::protocol::trace_context::{Hex, ROOT_TARGET, TraceContext, record_code, rpc_span};
use crate::protocol::{Code, header};
use tracing::Span;
use tracing::field::Empty;
use uuid::Uuid;

/// The span of a call, if it has one.
#[derive(Debug, Default)]
pub(super) struct CallSpan(Option<Box<Traced>>);

#[derive(Debug)]
struct Traced {
    span: Span,
    trace_id: [u8; 16],
    /// Whether the id of the request is known.
    is_sent: bool,
}

impl CallSpan {
    /// Begins the span of a call, in whose request the context that was given is replaced by that of the span. A request with
    /// a header `traceparent` of its own has none.
    pub(super) fn begin(request: &mut Outgoing, queue: &str) -> Self {
        let asked = || tracing::enabled!(target: ROOT_TARGET, tracing::Level::INFO);
        if (request.trace.is_none() && !asked()) || has_own(request) {
            request.trace = None;
            return Self(None);
        }
        Self::make(request, queue)
    }

    #[cold]
    fn make(request: &mut Outgoing, queue: &str) -> Self {
        let parent = request.trace.take();
        let context = TraceContext::of_span(parent.as_deref(), random_id(), random_id());
        let method = request.method.as_deref();
        let span = rpc_span!(
            "rpc.client", "client", context, parent.as_ref(),
            method: method, queue: queue, id: Empty
        );
        let trace_id = context.trace_id();
        request.trace = Some(Box::new(context));
        Self(Some(Box::new(Traced {
            span,
            trace_id,
            is_sent: false,
        })))
    }

    /// The id of the trace.
    pub(super) fn trace_id(&self) -> Option<[u8; 16]> {
        self.0.as_deref().map(|traced| traced.trace_id)
    }

    /// Notes the id of the request once it is known.
    pub(super) fn sent(&mut self, id: impl FnOnce() -> Option<Uuid>) {
        if let Some(traced) = self.0.as_deref_mut()
            && !traced.is_sent
            && let Some(id) = id()
        {
            let id = tracing::field::display(id);
            traced.span.record("messaging.message.conversation_id", id);
            traced.is_sent = true;
        }
    }

    /// Ends the span with this code.
    pub(super) fn end(&mut self, code: Code) {
        if let Some(traced) = self.0.take() {
            record_code(&traced.span, code.name());
        }
    }
}

/// Whether the caller has added a `traceparent` itself.
fn has_own(request: &Outgoing) -> bool {
    let headers = request.unread.iter().flat_map(|unread| &unread.headers);
    headers
        .into_iter()
        .any(|(name, _)| name == header::TRACEPARENT)
}
