//! Asynchronous services behind a session: each request is answered by a future (`futures.rs`).
//!
//! The service is any [`tower_service::Service`] of a [`Request`], so tower's layers apply. Each request has a clone of it,
//! which is made ready and called within the request's future: a service that is not ready, for example because of a
//! concurrency limit, delays its requests until their deadlines, and nothing else.

use super::backend::{Backend, Outcome, Plan};
use super::request::{Reply, Request};
use super::service::Cancel;
use crate::protocol::{self, Answer, Code, Status};
use std::convert::Infallible;
use std::time::Instant;

/// Any error.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service that a server runs for each request: [`tower_service::Service`] with the bounds that this takes.
///
/// Implemented for every such service. Its error is a [`Status`], or anything that layers make of one; an error that is no
/// status is an `INTERNAL`.
pub trait AsyncService:
    tower_service::Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> AsyncService for T where
    T: tower_service::Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A backend whose requests are all answered by futures.
pub(super) struct Asynchronous<T>(pub(super) T);

impl<T: AsyncService> Backend for Asynchronous<T> {
    type Job = Infallible;

    fn admit(
        &self,
        request: &mut protocol::Request,
        deadline: Option<Instant>,
    ) -> Result<Plan<Infallible>, Status> {
        let request = Request::take(request, deadline);
        Ok(Plan::Wait(Box::pin(answer(self.0.clone(), request))))
    }

    fn run(&self, job: Infallible, _: &Cancel) -> Outcome {
        match job {}
    }
}

/// Answers one request.
async fn answer<T: AsyncService>(service: T, request: Request) -> Outcome {
    let _cancelled_at_the_end = CancelOnDrop(request.cancel().clone());
    call(service, request).await.map(Answer::from)
}

/// Calls a service once it is ready.
pub(super) async fn call<T: AsyncService>(
    mut service: T,
    request: Request,
) -> Result<Reply, Status> {
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

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

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

    fn delivered(body: &str) -> protocol::Request {
        protocol::Request::read(Message {
            body: body.into(),
            ..Message::default()
        })
    }

    fn plan<T: AsyncService>(
        service: T,
        request: &mut protocol::Request,
    ) -> super::super::backend::Waiting {
        match Asynchronous(service)
            .admit(request, None)
            .map_err(|status| status.code())
        {
            Ok(Plan::Wait(future)) => future,
            Ok(Plan::Compute(never, _)) => match never {},
            Err(code) => panic!("{code}"),
        }
    }

    #[tokio::test]
    async fn it_is_called_once_it_is_ready() {
        let mut future = plan(
            Echo {
                fails: false,
                ready: false,
            },
            &mut delivered("30"),
        );
        assert!(futures_util::poll!(&mut future).is_pending());
        assert_eq!(future.await.unwrap().body, b"30");
    }

    #[tokio::test]
    async fn an_error_that_is_no_status_is_internal() {
        let failed = plan(
            Echo {
                fails: true,
                ready: true,
            },
            &mut delivered("why"),
        );
        assert_eq!(failed.await, Err(Status::new(Code::Internal, "why")));
        let refused = Status::new(Code::OutOfRange, "n");
        assert_eq!(status(refused.clone()), refused);
        assert_eq!(status(BoxError::from(refused.clone())), refused);
    }

    /// Never answers, and shows the cancel of its last request.
    #[derive(Clone)]
    struct Never(std::sync::Arc<Mutex<Option<Cancel>>>);

    impl tower_service::Service<Request> for Never {
        type Response = Reply;
        type Error = Status;
        type Future = std::future::Pending<Result<Reply, Status>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request) -> Self::Future {
            *self.0.lock().unwrap() = Some(request.cancel().clone());
            std::future::pending()
        }
    }

    #[tokio::test]
    async fn a_dropped_request_is_cancelled() {
        let shown = Never(std::sync::Arc::default());
        let mut future = plan(shown.clone(), &mut delivered("30"));
        assert!(futures_util::poll!(&mut future).is_pending());
        let cancel = shown.0.lock().unwrap().clone().unwrap();
        assert!(!cancel.is_cancelled());
        drop(future);
        assert!(cancel.is_cancelled());
    }
}
