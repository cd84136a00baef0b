//! [`Request`]: a request as a service gets it.

use super::cancel::Cancel;
use crate::protocol::{self, Format, Message, TraceContext};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A request: the message, its deadline, and whether its caller still waits.
#[derive(Debug, Clone)]
pub struct Request {
    /// As it was delivered.
    pub(super) message: protocol::RequestMessage,
    /// Set by its admission.
    pub(super) deadline: Option<Instant>,
    /// Made when somebody asks for it.
    cancel: OnceLock<Cancel>,
}

impl Request {
    /// A request with this body and nothing else, as a test of a service calls it.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        let mut message = protocol::RequestMessage::read(Message::default());
        message.body = body.into();
        Self::of(message)
    }

    /// A delivered one, before its admission.
    pub(super) fn of(message: protocol::RequestMessage) -> Self {
        Self {
            message,
            deadline: None,
            cancel: OnceLock::new(),
        }
    }

    /// Takes the body out, and copies the rest.
    pub(super) fn take(&mut self) -> Self {
        let body = std::mem::take(&mut self.message.body);
        let mut taken = self.clone();
        taken.message.body = body;
        taken
    }

    /// The same with another method.
    #[must_use]
    pub fn with_method(mut self, method: impl Into<String>) -> Self {
        self.message.kind = Some(method.into());
        self
    }

    /// The same with a deadline.
    #[must_use]
    pub fn with_deadline(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..Self::of(self.message)
        }
    }

    /// The same with a deadline this long from now, on the clock of tokio, which a test can pause.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        let deadline = tokio::time::Instant::now().into_std().checked_add(timeout);
        Self {
            deadline,
            ..Self::of(self.message)
        }
    }

    /// The same with a trace context. A server makes the span of the request its child.
    #[must_use]
    pub fn with_trace_context(mut self, context: TraceContext) -> Self {
        self.message.trace = Some(Box::new(context));
        self
    }

    /// The same with another `content_type`. JSON (see [`is_json`](Self::is_json)) decides how errors are sent.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &str) -> Self {
        self.message.format = Format::of(Some(content_type));
        self
    }

    /// The method that it names (AMQP property `type`); `None`: the default one.
    pub fn method(&self) -> Option<&str> {
        self.message.method()
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.message.body
    }

    /// The body, not copied.
    pub fn into_body(self) -> Vec<u8> {
        self.message.body
    }

    /// The format that its `content_type` names.
    pub(crate) fn format(&self) -> Format {
        self.message.format
    }

    /// Whether its `content_type` is JSON. Errors are sent as a problem object then, else as text.
    pub fn is_json(&self) -> bool {
        self.format() == Format::Json
    }

    /// The id that its reply carries.
    pub fn correlation_id(&self) -> Option<&[u8]> {
        self.message.correlation_id.as_deref()
    }

    /// Where its reply goes.
    pub fn reply_to(&self) -> Option<&str> {
        self.message.reply_to.as_deref()
    }

    /// How often it was delivered before, as counted by a quorum queue.
    pub fn delivery_count(&self) -> u64 {
        self.message.delivery_count
    }

    /// The server's place in the caller's trace, for requests that it causes
    /// ([`Call::trace_context`](crate::client::Call::trace_context)). `None`: the caller sent no valid `traceparent`, and no
    /// subscriber of `tracing` asks for spans.
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.message.trace.as_deref()
    }

    /// When its caller stops waiting, if that is known, plus a second of tolerance for clocks that differ.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// For how long its caller still waits, if that is known.
    pub fn time_left(&self) -> Option<Duration> {
        let left = self
            .deadline?
            .saturating_duration_since(tokio::time::Instant::now().into_std());
        Some(left)
    }

    /// Cancelled once the caller no longer waits, or the answer is no longer wanted. An asynchronous service need not ask
    /// that, because it is dropped then; threads that it has started should.
    pub fn cancel(&self) -> &Cancel {
        self.cancel.get_or_init(|| Cancel::new(self.deadline, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_moved_and_the_rest_copied() {
        let mut delivered = protocol::RequestMessage::read(Message::default());
        delivered.body = b"30".to_vec();
        delivered.correlation_id = Some(b"7".to_vec());
        delivered.reply_to = Some("amq.gen-1".into());
        let at = delivered.body.as_ptr();
        let mut delivered = Request::of(delivered);
        let request = delivered.take();
        assert_eq!((request.body().as_ptr(), request.body()), (at, &b"30"[..]));
        assert!(delivered.body().is_empty());
        assert_eq!(request.correlation_id(), delivered.correlation_id());
        assert_eq!(request.reply_to(), delivered.reply_to());
        let body = request.into_body();
        assert_eq!(body.as_ptr(), at);
    }

    #[test]
    fn a_deadline_cancels() {
        let request = Request::new("");
        assert_eq!((request.deadline(), request.time_left()), (None, None));
        assert!(!request.cancel().is_cancelled());
        let request = request.with_deadline(Instant::now());
        assert_eq!(request.time_left(), Some(Duration::ZERO));
        assert!(request.cancel().is_cancelled());
    }
}
