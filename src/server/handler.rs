//! [`handler()`]: an asynchronous function as a service.
//!
//! ```
//! use fibrpc::{Code, Status};
//! use fibrpc::server::extract::{Json, State};
//! use fibrpc::server::handler;
//! use std::{collections::HashMap, sync::Arc};
//!
//! type Prices = Arc<HashMap<String, u64>>;
//!
//! async fn price(State(prices): State<Prices>, Json(item): Json<String>) -> Result<Json<u64>, Status> {
//!     let price = prices.get(&item);
//!     price.copied().map(Json).ok_or_else(|| Status::new(Code::InvalidArgument, "no such item"))
//! }
//!
//! let service = handler(price).with_state(Prices::default());
//! # fn serve(_: impl fibrpc::server::AsyncService) {}
//! # serve(service);
//! ```

use super::extract::{FromParts, FromRequest, IntoReply};
use super::request::Request;
use crate::protocol::{Reply, Status};
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

type Answering = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;

/// An asynchronous function as a service: up to eight arguments that are made from the request (see
/// [`extract`](super::extract)), and a reply, or a `Result` with an error that is `Into<Status>`.
///
/// Its futures run on the session's own task, so it must not block: computations belong into a
/// [`Service`](super::Service), or on `tokio::task::spawn_blocking`.
pub fn handler<F, A>(function: F) -> Handler<F, A> {
    Handler {
        function,
        state: (),
        arguments: PhantomData,
    }
}

/// A function as a service; see [`handler()`].
pub struct Handler<F, A, S = ()> {
    function: F,
    state: S,
    arguments: PhantomData<fn() -> A>,
}

impl<F, A> Handler<F, A> {
    /// Gives it a state, which it takes as an argument [`State<S>`](super::extract::State).
    pub fn with_state<S>(self, state: S) -> Handler<F, A, S> {
        Handler {
            function: self.function,
            state,
            arguments: PhantomData,
        }
    }
}

impl<F: Clone, A, S: Clone> Clone for Handler<F, A, S> {
    fn clone(&self) -> Self {
        Self {
            function: self.function.clone(),
            state: self.state.clone(),
            arguments: PhantomData,
        }
    }
}

impl<F, A, S> fmt::Debug for Handler<F, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

impl<F: Function<A, S>, A, S> tower_service::Service<Request> for Handler<F, A, S> {
    type Response = Reply;
    type Error = Status;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        self.function.answer(request, &self.state)
    }
}

/// An asynchronous function with arguments `A`, made from a request and a state `S`. Implemented for functions of up to eight
/// arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an asynchronous function, `Clone + Send + Sync + 'static`, whose futures are `Send`",
    note = "its arguments are made from the request: see `fibrpc::server::extract`; only the last one takes the body",
    note = "it returns a reply, or a `Result` of one and an error that is `Into<Status>`"
)]
pub trait Function<A, S> {
    /// Calls it, unless an extractor refuses the request.
    fn answer(&self, request: Request, state: &S) -> Answering;
}

fn refuse(status: Status) -> Answering {
    Box::pin(std::future::ready(Err(status)))
}

fn reply<T: IntoReply>(future: impl Future<Output = T> + Send + 'static) -> Answering {
    Box::pin(async { future.await.into_reply() })
}

impl<F, R, T, S> Function<(), S> for F
where
    F: Fn() -> R,
    R: Future<Output = T> + Send + 'static,
    T: IntoReply,
{
    fn answer(&self, _: Request, _: &S) -> Answering {
        reply(self())
    }
}

macro_rules! function {
    ($($part:ident)* | $last:ident) => {
        impl<F, R, T, S, M, $($part,)* $last> Function<(M, $($part,)* $last), S> for F
        where
            F: Fn($($part,)* $last) -> R,
            R: Future<Output = T> + Send + 'static,
            T: IntoReply,
            $($part: FromParts<S>,)*
            $last: FromRequest<S, M>,
        {
            #[allow(non_snake_case, reason = "each argument has the name of its type")]
            fn answer(&self, request: Request, state: &S) -> Answering {
                $(let $part = match $part::from_parts(&request, state) {
                    Ok(argument) => argument,
                    Err(status) => return refuse(status),
                };)*
                match $last::from_request(request, state) {
                    Ok(argument) => reply(self($($part,)* argument)),
                    Err(status) => refuse(status),
                }
            }
        }
    };
}

function!(| A1);
function!(A1 | A2);
function!(A1 A2 | A3);
function!(A1 A2 A3 | A4);
function!(A1 A2 A3 A4 | A5);
function!(A1 A2 A3 A4 A5 | A6);
function!(A1 A2 A3 A4 A5 A6 | A7);
function!(A1 A2 A3 A4 A5 A6 A7 | A8);

#[cfg(test)]
mod tests;
