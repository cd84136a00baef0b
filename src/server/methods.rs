//! What a server of the builder serves: one service for all requests, or a service for each method ([`Router`](super::Router)).
//!
//! Asynchronous services and computations stand side by side. They are made one type here, so that a program compiles the
//! session once, whatever it serves.

use super::asynchronous::{AnyService, AsyncService};
use super::backend::{Backend, Outcome, Plan, Waiting};
use super::blocking::{Blocking, Computation, Run};
use super::cancel::Cancel;
use super::request::Request;
use super::service::Service;
use crate::protocol::{self, Status};
use crate::text;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How much of an unknown name, and of the known ones, an error shows.
const MAX_SHOWN_CHARS: usize = 200;

/// What answers the requests of one method.
#[derive(Clone)]
pub enum Method {
    /// An asynchronous service.
    Wait(AnyService),
    /// A computation.
    Compute(Arc<dyn Computation>),
}

/// What answers all requests of a server.
#[derive(Default)]
pub struct Methods {
    /// By name; `None`: the names that requests give are ignored.
    pub(super) named: Option<BTreeMap<String, Method>>,
    /// For requests without a name.
    pub(super) default: Option<Method>,
    /// What is wrong with them.
    pub(super) problems: Vec<String>,
}

/// What can be a method: an asynchronous service, or a computation in [`blocking`](super::blocking()).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a method",
    note = "methods are `handler(function)`, `blocking(computation)`, and services of tower's type: see \
            `fibrpc::server::AsyncService`",
    note = "the arguments and the result of a handler's function: see `fibrpc::server::extract`"
)]
pub trait IntoMethod {
    #[doc(hidden)]
    fn into_method(self) -> Method;
}

/// What can be served: a [`Router`](super::Router), an asynchronous service, or a computation in
/// [`blocking`](super::blocking()).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served",
    note = "a server serves a `Router`, `handler(function)`, `blocking(computation)`, and services of tower's type: see \
            `fibrpc::server::AsyncService`",
    note = "the arguments and the result of a handler's function: see `fibrpc::server::extract`"
)]
pub trait IntoMethods {
    #[doc(hidden)]
    fn into_methods(self) -> Methods;
}

impl<T: AsyncService> IntoMethod for T {
    fn into_method(self) -> Method {
        Method::Wait(AnyService::new(self))
    }
}

impl<S: Service> IntoMethod for Blocking<S> {
    fn into_method(self) -> Method {
        Method::Compute(Arc::new(self.0))
    }
}

impl<T: IntoMethod> IntoMethods for T {
    fn into_methods(self) -> Methods {
        Methods {
            default: Some(self.into_method()),
            ..Methods::default()
        }
    }
}

impl Methods {
    fn find(&self, request: &Request) -> Result<&Method, Status> {
        let name = request.method();
        let found = match (&self.named, name) {
            (Some(named), Some(name)) => named.get(name),
            _ => self.default.as_ref(),
        };
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: Option<&str>) -> Status {
        let known = self.named.iter().flatten().map(|(name, _)| name.as_str());
        let known = known.collect::<Vec<_>>().join(", ");
        let known = text::quoted_to(known.as_bytes(), MAX_SHOWN_CHARS);
        Status::unimplemented(match name {
            Some(name) => format!(
                "the server has no method {}; set the property type to one of {known}",
                text::quoted_to(name.as_bytes(), MAX_SHOWN_CHARS)
            ),
            None => format!("the request names no method; set the property type to one of {known}"),
        })
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Option<Vec<_>> = self.named.as_ref().map(|named| named.keys().collect());
        f.debug_struct("Methods")
            .field("named", &names)
            .field("default", &self.default.is_some())
            .finish_non_exhaustive()
    }
}

impl Backend for Methods {
    type Job = Run;

    fn admit(&self, request: &mut Request) -> Result<Plan<Run>, Status> {
        match self.find(request)? {
            Method::Wait(service) => {
                let request = request.take();
                let cancel = request.cancel().clone();
                let future = service.answer(request);
                Ok(Plan::Wait(Waiting { future, cancel }))
            }
            Method::Compute(computation) => {
                let (run, cost) = computation.clone().admit(request)?;
                Ok(Plan::Compute(run, cost))
            }
        }
    }

    fn method<'a>(&'a self, request: &protocol::RequestMessage) -> Option<&'a str> {
        let (named, name) = (self.named.as_ref()?, request.method()?);
        let known = named.get_key_value(name);
        Some(known.map_or("_OTHER", |(name, _)| name.as_str()))
    }

    fn only_waits(&self) -> bool {
        let named = self.named.iter().flat_map(BTreeMap::values);
        let mut methods = named.chain(&self.default);
        methods.all(|method| matches!(method, Method::Wait(_)))
    }

    fn run(&self, run: Run, cancel: &Cancel) -> Outcome {
        run(cancel)
    }
}
