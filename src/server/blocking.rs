//! [`blocking()`]: a computation as a service, or as a method of a router. Computations of different types are made one type.

use super::backend::Outcome;
use super::cancel::Cancel;
use super::request::Request;
use super::service::{Cost, Service};
use crate::protocol::Status;
use std::sync::Arc;

/// A computation as a service: [`Service::admit`] decides whether it runs and what it costs, and [`Service::run`] runs on the
/// thread pool, or on the session's task if it is known to be cheap.
///
/// ```
/// use fibrpc::Reply;
/// use fibrpc::server::{Cancel, Cost, Service};
/// use fibrpc::{Request, Router, Server, Status, blocking};
///
/// /// Sums the bytes of the request.
/// struct Sum;
///
/// impl Service for Sum {
///     type Job = Vec<u8>;
///
///     fn admit(&self, request: &Request) -> Result<(Vec<u8>, Cost), Status> {
///         Ok((request.body().to_vec(), Cost::default()))
///     }
///
///     fn run(&self, bytes: Vec<u8>, _: &Cancel) -> Result<Reply, Status> {
///         let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
///         Ok(Reply::new(sum.to_string(), "text/plain"))
///     }
/// }
///
/// let alone = Server::builder("amqp://localhost/%2f").serve(blocking(Sum));
/// let method = Server::builder("amqp://localhost/%2f").serve(Router::new().method("sum", blocking(Sum)));
/// ```
pub fn blocking<S: Service>(service: S) -> Blocking<S> {
    Blocking(service)
}

/// A computation as a service; see [`blocking()`].
#[derive(Debug)]
pub struct Blocking<S>(pub(super) S);

/// A job of any type, ready to be run.
pub(super) type Run = Box<dyn FnOnce(&Cancel) -> Outcome + Send>;

/// A [`Service`] with jobs of any type.
pub trait Computation: Send + Sync {
    /// Validates a request and estimates its cost; see [`Service::admit`].
    fn admit(self: Arc<Self>, request: &Request) -> Result<(Run, Cost), Status>;
}

impl<S: Service> Computation for S {
    fn admit(self: Arc<Self>, request: &Request) -> Result<(Run, Cost), Status> {
        let (job, cost) = Service::admit(self.as_ref(), request)?;
        let run = move |cancel: &Cancel| Service::run(self.as_ref(), job, cancel);
        Ok((Box::new(run), cost))
    }
}
