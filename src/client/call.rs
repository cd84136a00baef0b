//! [`Call`]: one call, set up step by step and then awaited.

use super::body::{FromReply, IntoBody};
use super::error::CallError;
use super::exchange::Exchange;
use super::pending::{Outgoing, Payload};
use super::shared::Shared;
use super::span::CallSpan;
use crate::protocol::reply;
use crate::protocol::request::check_method;
use crate::protocol::{Code, HeaderValue, Message, Status, TraceContext};
use crate::text;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// The largest request body, in bytes. A broker closes the channel, and with it all calls on it, if a message exceeds the
/// broker's limit (16 MiB by default since RabbitMQ 4.0).
pub const MAX_BODY: usize = 16 << 20;

/// The largest total size of the headers of a request, in bytes; brokers take no more than a frame.
const MAX_HEADERS: usize = 64 << 10;

/// The beginning of the header names that the protocol reserves.
const RESERVED: &str = "fibrpc-";

/// A call that is made once it is awaited; see [`Client::call`](super::Client::call).
///
/// What is wrong with it is its error then: `INVALID_ARGUMENT`, and nothing is sent.
#[must_use = "a call does nothing unless it is awaited"]
pub struct Call<R> {
    shared: Arc<Shared>,
    queue: Arc<str>,
    request: Result<Outgoing, Status>,
    timeout: Duration,
    since: Option<Instant>,
    reply: PhantomData<fn() -> R>,
}

impl<R> Call<R> {
    pub(super) fn new(shared: &Arc<Shared>, queue: Arc<str>, body: impl IntoBody) -> Self {
        Self {
            request: outgoing(&queue, body),
            queue,
            timeout: shared.timeout,
            shared: Arc::clone(shared),
            since: None,
            reply: PhantomData,
        }
    }

    /// How long to wait for the reply [default: the client's, 10 s]. The server learns the deadline and drops the request
    /// after it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The method (AMQP property `type`) that a [`Router`](crate::Router) passes the request to [default: none, for the
    /// router's default method]. Names that begin with `fibrpc.` are reserved.
    pub fn method(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.change(|request| {
            check_method(&name)?;
            request.method = Some(name).filter(|name| !name.is_empty());
            Ok(())
        })
    }

    /// The request's priority, on a queue that was declared with priorities.
    pub fn priority(self, priority: u8) -> Self {
        self.change(|request| {
            request.unread.get_or_insert_default().priority = Some(priority);
            Ok(())
        })
    }

    /// Makes the call a part of this trace. The server's span is a child of the call's, which is a child of this one.
    ///
    /// A service passes on its own place in a trace with the calls that it makes:
    ///
    /// ```no_run
    /// # use fibrpc::{Client, Reply, Status, Text, TraceContext};
    /// async fn total(trace: Option<TraceContext>, client: &Client, Text(item): Text) -> Result<Text, Status> {
    ///     Ok(client.call::<Text>("prices", item).trace_context(trace.as_ref()).await?)
    /// }
    /// ```
    ///
    /// Without it, a call begins a trace if a subscriber of `tracing` asks for spans (target `fibrpc::rpc`, level `INFO`).
    pub fn trace_context<'a>(self, context: impl Into<Option<&'a TraceContext>>) -> Self {
        let context = context.into().cloned().map(Box::new);
        self.change(|request| {
            request.trace = context;
            Ok(())
        })
    }

    /// Adds a header, for example for a server that is not of this crate: a [`Request`](crate::Request) does not show it. Names
    /// that begin with `fibrpc-` are reserved. With a header `traceparent`, the call has no other trace context.
    pub fn header(self, name: impl Into<Cow<'static, str>>, value: impl Into<HeaderValue>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.change(|request| {
            let headers = &mut request.unread.get_or_insert_default().headers;
            headers.push((name, value));
            check_headers(headers)
        })
    }

    /// The body's MIME type [default: the one of the body's type]. A server sends the details of an error only if this is
    /// JSON.
    pub fn content_type(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.change(|request| {
            check_short("the content type", &name)?;
            request.content_type = name;
            Ok(())
        })
    }

    /// For a call that began earlier, for example with connecting: the timeout counts from then.
    pub(crate) fn since(mut self, since: Instant) -> Self {
        self.since = Some(since);
        self
    }

    /// Changes the request, unless something is wrong with it already.
    fn change(mut self, change: impl FnOnce(&mut Outgoing) -> Result<(), Status>) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(status) = change(request)
        {
            self.request = Err(status);
        }
        self
    }
}

fn outgoing(queue: &str, body: impl IntoBody) -> Result<Outgoing, Status> {
    let (body, content_type) = body.into_body()?;
    if body.len() > MAX_BODY {
        let message = format!(
            "the request body has {} bytes; the limit is {MAX_BODY}",
            body.len()
        );
        return Err(Status::out_of_range(message));
    }
    check_queue(queue)?;
    Ok(Outgoing {
        body,
        content_type: content_type.into(),
        method: None,
        unread: None,
        trace: None,
    })
}

/// Checks the name of a queue to call.
pub(super) fn check_queue(name: &str) -> Result<(), Status> {
    if name.is_empty() {
        return Err(Status::invalid_argument(
            "the queue name is empty; name the server's queue",
        ));
    }
    check_short("the queue name", name)
}

fn check_headers(headers: &[(Cow<'static, str>, HeaderValue)]) -> Result<(), Status> {
    let mut size = 0;
    for (name, value) in headers {
        check_header(name)?;
        size += name.len() + value.size();
    }
    if size > MAX_HEADERS {
        return Err(Status::invalid_argument(format!(
            "the headers have {size} bytes; the limit is {MAX_HEADERS}"
        )));
    }
    Ok(())
}

/// Checks the name of a header.
pub(crate) fn check_header(name: &str) -> Result<(), Status> {
    check_short("a header's name", name)?;
    if name.is_empty() || name.starts_with(RESERVED) {
        let name = text::quoted(name.as_bytes());
        return Err(Status::invalid_argument(format!(
            "the header name {name} is reserved; choose another name"
        )));
    }
    Ok(())
}

/// Checks the length of a text for which AMQP has at most 255 bytes.
pub(crate) fn check_short(what: &str, value: &str) -> Result<(), Status> {
    if value.len() <= 255 {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "{what} is longer than the 255 bytes of AMQP"
    )))
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("queue", &self.queue)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<R: FromReply> IntoFuture for Call<R> {
    type Output = Result<R, CallError>;
    type IntoFuture = CallFuture<R>;

    fn into_future(self) -> CallFuture<R> {
        let queue = self.queue;
        let mut span = CallSpan::default();
        let request = self.request.map(|mut request| {
            span = CallSpan::begin(&mut request, &queue);
            (queue, Payload::Request(request))
        });
        CallFuture {
            span,
            exchange: Exchange::new(self.shared, request, self.timeout, self.since),
            reply: PhantomData,
        }
    }
}

/// A [`Call`] in progress.
///
/// The request is sent, and its timeout begins, when it is first polled. Dropping it forgets the call at once; a request
/// that was sent may still be worked on.
#[must_use = "futures do nothing unless they are polled"]
pub struct CallFuture<R> {
    exchange: Exchange,
    span: CallSpan,
    reply: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for CallFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}

impl<R: FromReply> Future for CallFuture<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.exchange).poll(context);
        this.span.sent(|| this.exchange.id());
        let trace_id = this.span.trace_id();
        let outcome = match ready!(polled) {
            Ok((message, round_trip)) => read(message, round_trip, trace_id),
            Err(status) => Err(status.into()),
        };
        let outcome = outcome.map_err(|error| error.in_trace(trace_id));
        let code = outcome.as_ref().map_or_else(CallError::code, |_| Code::Ok);
        this.span.end(code);
        Poll::Ready(outcome)
    }
}

/// Reads a reply that arrived after `round_trip`.
fn read<R: FromReply>(
    message: Message,
    round_trip: Duration,
    trace_id: Option<[u8; 16]>,
) -> Result<R, CallError> {
    let mut reply =
        reply::read(message).map_err(|(status, trailer)| CallError::of_server(status, trailer))?;
    reply.round_trip = Some(round_trip);
    reply.trailer.trace_id = trace_id.map(Box::new);
    R::from_reply(reply)
}

#[cfg(test)]
mod tests;
