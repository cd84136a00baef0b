//! Extractors: the arguments of a [`handler`](super::handler()), and what it may return.
//!
//! Each argument of a handler is made from the request by its type. The body is taken by the last one; all others are
//! [`FromParts`]. A request that an extractor refuses does not reach the handler.

use super::cancel::Cancel;
use super::request::Request;
#[cfg(feature = "json")]
pub use crate::protocol::body::Json;
pub use crate::protocol::body::{Bytes, Text};
use crate::protocol::{Reply, Status, TraceContext};
#[cfg(feature = "json")]
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The state that a handler was given by [`with_state`](super::Handler::with_state): a clone of it for each request, so it
/// is an `Arc`, or something as cheap to clone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State<S>(pub S);

/// When the handler is dropped because the caller no longer waits, if that is known; see [`Request::deadline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Option<Instant>);

/// An argument that leaves the body alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an argument that a handler with state `{S}` can have before its last one",
    note = "only the last argument takes the body, and `State<S>` takes `handler(f).with_state(state)`"
)]
pub trait FromParts<S>: Sized {
    /// Makes it from a request.
    fn from_parts(request: &Request, state: &S) -> Result<Self, Status>;
}

/// An argument that may take the body: the last one of a handler. `M` tells apart what is implemented by [`FromParts`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an argument that a handler with state `{S}` can have",
    note = "`State<S>` takes `handler(f).with_state(state)`"
)]
pub trait FromRequest<S, M = ViaRequest>: Sized {
    /// Makes it from a request.
    fn from_request(request: Request, state: &S) -> Result<Self, Status>;
}

/// Marks arguments that take the body.
#[derive(Debug)]
pub enum ViaRequest {}

/// Marks arguments that leave the body alone.
#[derive(Debug)]
pub enum ViaParts {}

impl<T: FromParts<S>, S> FromRequest<S, ViaParts> for T {
    fn from_request(request: Request, state: &S) -> Result<Self, Status> {
        T::from_parts(&request, state)
    }
}

impl<S: Clone> FromParts<S> for State<S> {
    fn from_parts(_: &Request, state: &S) -> Result<Self, Status> {
        Ok(Self(state.clone()))
    }
}

impl<S> FromParts<S> for Deadline {
    fn from_parts(request: &Request, _: &S) -> Result<Self, Status> {
        Ok(Self(request.deadline()))
    }
}

/// For threads that a handler starts: the handler itself is dropped instead.
impl<S> FromParts<S> for Cancel {
    fn from_parts(request: &Request, _: &S) -> Result<Self, Status> {
        Ok(request.cancel().clone())
    }
}

/// The server's place in the trace of its caller, to pass on with the calls that the handler makes; see
/// [`Request::trace_context`].
impl<S> FromParts<S> for Option<TraceContext> {
    fn from_parts(request: &Request, _: &S) -> Result<Self, Status> {
        Ok(request.trace_context().cloned())
    }
}

impl<S> FromRequest<S> for Request {
    fn from_request(request: Request, _: &S) -> Result<Self, Status> {
        Ok(request)
    }
}

#[cfg(feature = "json")]
impl<T: for<'de> Deserialize<'de>, S> FromRequest<S> for Json<T> {
    fn from_request(request: Request, _: &S) -> Result<Self, Status> {
        Self::read(request.body())
    }
}

impl<S> FromRequest<S> for Text {
    fn from_request(request: Request, _: &S) -> Result<Self, Status> {
        Self::read(request.into_body())
    }
}

impl<S> FromRequest<S> for Bytes {
    fn from_request(request: Request, _: &S) -> Result<Self, Status> {
        Ok(Self(request.into_body()))
    }
}

/// What a handler returns: a reply, something that becomes one, or an error that becomes a [`Status`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reply",
    note = "a handler returns `Json<T>`, `Text`, `Bytes`, `Reply`, or a `Result` of these and an error that is `Into<Status>`"
)]
pub trait IntoReply {
    /// The reply.
    fn into_reply(self) -> Result<Reply, Status>;
}

impl IntoReply for Reply {
    fn into_reply(self) -> Result<Reply, Status> {
        Ok(self)
    }
}

#[cfg(feature = "json")]
impl<T: Serialize> IntoReply for Json<T> {
    fn into_reply(self) -> Result<Reply, Status> {
        Ok(Reply::new(self.write()?, Self::CONTENT_TYPE))
    }
}

impl IntoReply for Text {
    fn into_reply(self) -> Result<Reply, Status> {
        Ok(Reply::new(self.0, Self::CONTENT_TYPE))
    }
}

impl IntoReply for Bytes {
    fn into_reply(self) -> Result<Reply, Status> {
        Ok(Reply::new(self.0, Self::CONTENT_TYPE))
    }
}

impl<T: IntoReply, E: Into<Status>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<Reply, Status> {
        self.map_err(Into::into)?.into_reply()
    }
}
