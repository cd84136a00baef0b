//! Test kit: a service behind everything that a server does with a request, without a broker (feature `testing`).
//!
//! Owns a task that does a session's part: it admits requests, at most `prefetch` at once, answers them on its own task, on the
//! pool or as futures, encodes replies, and settles deliveries, all with the server's own code. Replies count as confirmed as
//! soon as they are made. The task ends with the [`Server`].
//!
//! ```
//! use fibrpc::server::extract::Json;
//! use fibrpc::testing::Server;
//! use fibrpc::{Code, Request, Router, Status, handler};
//! use std::time::Duration;
//!
//! async fn half(Json(n): Json<u32>) -> Result<Json<u32>, Status> {
//!     if n % 2 == 1 {
//!         return Err(Status::invalid_argument("odd"));
//!     }
//!     Ok(Json(n / 2))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Status> {
//! // In a test: #[tokio::test(start_paused = true)]; deadlines then take no time.
//! let server = Server::new(Router::new().method("half", handler(half)));
//! let request = Request::new("4").with_method("half").with_timeout(Duration::from_secs(5));
//! assert_eq!(server.call(request).await?.json::<u32>()?, 2);
//!
//! let refused = server.call(Request::new("3").with_method("half")).await.unwrap_err();
//! assert_eq!(refused.code(), Code::InvalidArgument);
//! let unknown = server.call(Request::new("4").with_method("third")).await.unwrap_err();
//! assert_eq!(unknown.code(), Code::Unimplemented);
//! # Ok(())
//! # }
//! ```

mod delivery;
mod session;

pub use delivery::{Delivered, Settlement};

use super::builder::Builder;
use super::launch::{self, Handle};
use super::methods::IntoMethods;
use super::request::Request;
use super::state::{Counters, Stop};
use crate::protocol::{Reply, Status};
use delivery::Delivery;
use session::Session;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// A server without a broker. Dropping it is like a crash: its requests are handed back.
#[derive(Debug)]
pub struct Server {
    queue: mpsc::UnboundedSender<Delivery>,
    handle: Handle,
    problem: Option<Status>,
    _task: JoinSet<()>,
}

impl Server {
    /// A server of this service with the default settings. Needs a tokio runtime.
    pub fn new(service: impl IntoMethods) -> Self {
        Self::with_settings(Builder::new("amqp://localhost"), service)
    }

    /// The same with these settings: the prefetch, threads, the limits of bodies, and the drain time apply.
    pub fn with_settings(builder: Builder, service: impl IntoMethods) -> Self {
        let methods = service.into_methods();
        let (config, problem) = builder.checked(&methods);
        let (context, handle) = launch::prepare(config);
        let (queue, deliveries) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        let session = Session::new(Arc::new(methods), context, deliveries);
        task.spawn(session.run());
        Self {
            queue,
            handle,
            problem: problem.map(|problem| Status::failed_precondition(problem.to_string())),
            _task: task,
        }
    }

    /// Calls the service as a client does: the reply, or the status that the client would read in it. The status is
    /// `FAILED_PRECONDITION` if the server would not start, for example because of two methods with one name, and `UNKNOWN` if
    /// the request was handed back.
    pub async fn call(&self, request: Request) -> Result<Reply, Status> {
        self.deliver(request).await.into_reply()
    }

    /// The same, with what happened to the delivery.
    ///
    /// The request is on its way once this is called. Dropping the future changes nothing for the server, which does not learn
    /// that a caller has gone.
    pub fn deliver(&self, request: Request) -> impl Future<Output = Delivered> + use<> {
        let (settled, settlement) = oneshot::channel();
        let problem = self.problem.clone();
        if problem.is_none() {
            let _ = self.queue.send(Delivery { request, settled });
        }
        async move {
            match problem {
                Some(status) => Delivered::refused(status),
                None => settlement
                    .await
                    .unwrap_or_else(|_| Delivered::handed_back()),
            }
        }
    }

    /// Begins a drain, as a server does at shutdown: no other request is begun, those in progress have the drain time, and the
    /// rest is handed back.
    pub fn drain(&self) {
        self.handle.stop(Stop::Drain);
    }

    /// The server's counters.
    pub fn counters(&self) -> &Counters {
        self.handle.counters()
    }
}

#[cfg(all(test, feature = "json"))]
mod tests;
