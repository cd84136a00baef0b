//! Asynchronous services: any [`tower_service::Service`] of a [`Request`], so tower's layers apply.
//!
//! Each request has a clone of the service, which is made ready and called within the request's future (`futures.rs`): a
//! service that is not ready, for example because of a concurrency limit, delays its own requests until their deadlines,
//! and nothing else.

use super::request::Request;
use crate::protocol::{Code, Reply, Status};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Any error.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The future of a reply.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;

/// A service that a server runs for each request: [`tower_service::Service`] with the bounds that this takes.
///
/// Implemented for every such service. Its error is a [`Status`], or anything that layers make of one. An error that is no
/// status is an `INTERNAL` with its text; tower's `map_err` gives it another code:
///
/// ```
/// use fibrpc::server::{AsyncService, handler};
/// use fibrpc::{Status, Text};
/// use std::time::Duration;
/// use tower::timeout::error::Elapsed;
/// use tower::{BoxError, ServiceBuilder};
///
/// fn status(error: BoxError) -> BoxError {
///     if error.is::<Elapsed>() {
///         return Status::deadline_exceeded("no answer within a second").into();
///     }
///     error
/// }
///
/// let service = ServiceBuilder::new()
///     .map_err(status)
///     .timeout(Duration::from_secs(1))
///     .service(handler(async |text: Text| text));
/// # fn serve(_: impl AsyncService) {}
/// # serve(service);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an asynchronous service",
    label = "not a service of `fibrpc::Request`",
    note = "a function becomes one by `fibrpc::handler`, a computation is served by `fibrpc::blocking`",
    note = "other services are `tower_service::Service<Request, Response = Reply>` with an error that is a `Status` or can be \
            boxed, and `Clone + Send + Sync + 'static`, with futures that are `Send`"
)]
pub trait AsyncService:
    tower_service::Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

#[diagnostic::do_not_recommend]
impl<T> AsyncService for T where
    T: tower_service::Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// An asynchronous service of any type. It is always ready: the service behind it is made ready in each request's future.
#[derive(Clone)]
pub struct AnyService(Arc<dyn Fn(Request) -> Answering + Send + Sync>);

impl AnyService {
    pub(super) fn new<T: AsyncService>(service: T) -> Self {
        let service = Arc::new(service);
        Self(Arc::new(move |request| {
            Box::pin(answer(service.clone(), request))
        }))
    }

    /// The future of the reply to this request. No code of the service runs before it is polled.
    pub(super) fn answer(&self, request: Request) -> Answering {
        self.0(request)
    }
}

impl fmt::Debug for AnyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyService").finish_non_exhaustive()
    }
}

impl tower_service::Service<Request> for AnyService {
    type Response = Reply;
    type Error = Status;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        self.answer(request)
    }
}

/// Calls a clone of the service once that is ready.
async fn answer<T: AsyncService>(service: Arc<T>, request: Request) -> Result<Reply, Status> {
    let mut service = T::clone(&service);
    let ready = std::future::poll_fn(|context| service.poll_ready(context));
    ready.await.map_err(status)?;
    service.call(request).await.map_err(status)
}

/// The status that an error is.
fn status(error: impl Into<BoxError>) -> Status {
    match error.into().downcast::<Status>() {
        Ok(status) => *status,
        Err(error) => Status::new(Code::Internal, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies with the body, or fails with it.
    #[derive(Clone)]
    struct Echo {
        fails: bool,
        ready: bool,
    }

    impl tower_service::Service<Request> for Echo {
        type Response = Reply;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Reply, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            // Ready when polled again.
            if std::mem::replace(&mut self.ready, true) {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }

        fn call(&mut self, request: Request) -> Self::Future {
            assert!(self.ready, "called before it was ready");
            let text = String::from_utf8_lossy(request.body()).into_owned();
            std::future::ready(if self.fails {
                Err(text.into())
            } else {
                Ok(Reply::new(text, "text/plain"))
            })
        }
    }

    #[tokio::test]
    async fn it_is_called_once_it_is_ready() {
        let echo = Echo {
            fails: false,
            ready: false,
        };
        let mut future = AnyService::new(echo).answer(Request::new("30"));
        assert!(futures_util::poll!(&mut future).is_pending());
        assert_eq!(future.await.unwrap().body(), b"30");
    }

    #[tokio::test]
    async fn an_error_that_is_no_status_is_internal() {
        let echo = Echo {
            fails: true,
            ready: true,
        };
        let failed = AnyService::new(echo).answer(Request::new("why"));
        assert_eq!(failed.await, Err(Status::internal("why")));
        let refused = Status::out_of_range("n");
        assert_eq!(status(refused.clone()), refused);
        assert_eq!(status(BoxError::from(refused.clone())), refused);
    }
}
