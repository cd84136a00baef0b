//! What a session asks of the function behind it: where each request is answered.
//!
//! There are three places. A computation that is known to be cheap runs on the session's task, any other one on the thread
//! pool (`pool.rs`), and what waits for something else is a future of the session (`futures.rs`). [`Backend::admit`] decides
//! per request. Sessions are generic over the backend, so a server of computations only does not pay for futures: it
//! never makes one, and the branch of the session's loop that polls them is switched off.

use super::asynchronous::Answering;
use super::cancel::Cancel;
use super::request::Request;
use super::service::{Cost, Service};
use crate::protocol::{self, Reply, Status};
use crate::text::duration;
use std::time::Duration;

/// The result of a request.
pub(super) type Outcome = Result<Reply, Status>;

/// An answer that waits for something.
pub(super) struct Waiting {
    pub(super) future: Answering,
    /// Cancelled once the future has ended or is dropped, for the threads that it has started.
    pub(super) cancel: Cancel,
}

/// How an admitted request is answered.
pub(super) enum Plan<J> {
    /// By a computation, on the session's task or on the pool.
    Compute(J, Cost),
    /// By a future of the session.
    Wait(Waiting),
}

/// The function behind a session.
pub(super) trait Backend: Send + Sync + 'static {
    /// A valid request that is to be computed.
    type Job: Send + 'static;

    /// Decides how a request is answered, or refuses it. May take the body out of the request. Must be quick.
    fn admit(&self, request: &mut Request) -> Result<Plan<Self::Job>, Status>;

    /// The method of a request, for spans: one of a closed set of names; `None`: the default one.
    fn method<'a>(&'a self, _: &protocol::RequestMessage) -> Option<&'a str> {
        None
    }

    /// Whether no request waits for a thread, because all of them are answered by futures.
    fn only_waits(&self) -> bool {
        false
    }

    /// Computes the answer; see [`Service::run`].
    fn run(&self, job: Self::Job, cancel: &Cancel) -> Outcome;
}

/// Computations only.
impl<S: Service> Backend for S {
    type Job = S::Job;

    fn admit(&self, request: &mut Request) -> Result<Plan<S::Job>, Status> {
        let (job, cost) = Service::admit(self, request)?;
        Ok(Plan::Compute(job, cost))
    }

    fn run(&self, job: S::Job, cancel: &Cancel) -> Outcome {
        Service::run(self, job, cancel)
    }
}

/// The status of a request whose function panicked.
pub(super) fn failed() -> Status {
    Status::internal("the computation failed; the server's log says where")
}

/// The status of a request whose deadline has passed here, this long after `meanwhile` began.
pub(super) fn expired(meanwhile: &str, took: Duration) -> Status {
    let took = duration(took);
    Status::deadline_exceeded(format!(
        "the caller's deadline passed while {meanwhile}, after {took}"
    ))
}
