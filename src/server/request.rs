//! A request as an asynchronous service gets it, and its reply.

use super::service::Cancel;
use crate::protocol::{self, Answer, Format, Message};
use std::time::{Duration, Instant};

/// A request to an asynchronous service: the message, its deadline, and whether its caller still waits.
#[derive(Debug, Clone)]
pub struct Request {
    message: protocol::Request,
    deadline: Option<Instant>,
    cancel: Cancel,
}

impl Request {
    /// A request with this body and nothing else, as a test of a service calls it.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        let mut message = protocol::Request::read(Message::default());
        message.body = body.into();
        Self::with(message, None)
    }

    /// Takes the body out of a delivered request, and copies the rest.
    pub(super) fn take(message: &mut protocol::Request, deadline: Option<Instant>) -> Self {
        let body = std::mem::take(&mut message.body);
        let mut message = message.clone();
        message.body = body;
        Self::with(message, deadline)
    }

    fn with(message: protocol::Request, deadline: Option<Instant>) -> Self {
        Self {
            message,
            deadline,
            cancel: Cancel::new(deadline, None),
        }
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
        Self::with(self.message, Some(deadline))
    }

    /// The same with a deadline this long from now, on the clock of tokio, which a test can pause.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        let deadline = tokio::time::Instant::now().into_std().checked_add(timeout);
        Self::with(self.message, deadline)
    }

    /// The same with another `content_type`. JSON (see [`is_json`](Self::is_json)) decides how errors are sent.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &str) -> Self {
        self.message.format = Format::of(Some(content_type));
        self
    }

    /// The message, for the test kit.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn into_message(self) -> protocol::Request {
        self.message
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

    /// Whether its `content_type` is JSON. Errors are sent as a problem object then, else as text.
    pub fn is_json(&self) -> bool {
        self.message.format == Format::Json
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

    /// W3C trace context, unparsed: `traceparent` and `tracestate`.
    pub fn trace_context(&self) -> (Option<&str>, Option<&str>) {
        let message = &self.message;
        (
            message.trace_parent.as_deref(),
            message.trace_state.as_deref(),
        )
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
        &self.cancel
    }
}

/// The reply of an asynchronous service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    body: Vec<u8>,
    content_type: &'static str,
}

impl Reply {
    /// A reply with this body and MIME type.
    pub fn new(body: impl Into<Vec<u8>>, content_type: &'static str) -> Self {
        Self {
            body: body.into(),
            content_type,
        }
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body's MIME type.
    pub fn content_type(&self) -> &str {
        self.content_type
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            body: reply.body,
            content_type: reply.content_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_moved_and_the_rest_copied() {
        let mut delivered = protocol::Request::read(Message::default());
        delivered.body = b"30".to_vec();
        delivered.correlation_id = Some(b"7".to_vec());
        delivered.reply_to = Some("amq.gen-1".into());
        let at = delivered.body.as_ptr();
        let request = Request::take(&mut delivered, None);
        assert_eq!((request.body().as_ptr(), request.body()), (at, &b"30"[..]));
        assert!(delivered.body.is_empty());
        assert_eq!(
            request.correlation_id(),
            delivered.correlation_id.as_deref()
        );
        assert_eq!(request.reply_to(), delivered.reply_to.as_deref());
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
