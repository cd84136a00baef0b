//! [`Router`]: a service for each method that a request may name in its AMQP property `type`.

use super::asynchronous::{AnyService, AsyncService};
use super::methods::{IntoMethod, IntoMethods, Method, Methods};
use crate::protocol::request;
use crate::text;
use std::collections::btree_map::{BTreeMap, Entry};

/// A service for each method.
///
/// A request names its method in the AMQP property `type`. One without a name, as the clients of RabbitMQ's tutorial send
/// them, goes to the default method. A method that the router does not have is `UNIMPLEMENTED`. Names that begin with `fibrpc.`
/// are reserved for the protocol. A server with a bad name, with two methods of one name, or with none does not start.
///
/// Methods are asynchronous services and computations, side by side:
///
/// ```
/// use fibrpc::Reply;
/// use fibrpc::server::{Cancel, Cost, Service};
/// use fibrpc::{Router, Server, Status, Text, blocking, handler};
///
/// async fn upper(Text(text): Text) -> Text {
///     Text(text.to_uppercase())
/// }
///
/// struct Report;
///
/// impl Service for Report {
///     type Job = ();
///
///     fn admit(&self, _: &fibrpc::Request) -> Result<((), Cost), Status> {
///         Ok(((), Cost::default()))
///     }
///
///     fn run(&self, (): (), _: &Cancel) -> Result<Reply, Status> {
///         Ok(Reply::new("42", "text/plain"))
///     }
/// }
///
/// let router = Router::new()
///     .method("upper", handler(upper))
///     .method("report", blocking(Report))
///     .default_method(handler(async |text: Text| text));
/// let server = Server::builder("amqp://localhost/%2f").serve(router);
/// ```
///
/// tower's layers go around a method, as in `.method("upper", Timeout::new(handler(upper), limit))`, or around all asynchronous
/// ones: see [`wrap`](Self::wrap).
#[derive(Debug)]
#[must_use = "a router does nothing unless it is served"]
pub struct Router(Methods);

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl Router {
    /// A router without methods.
    pub fn new() -> Self {
        Self(Methods {
            named: Some(BTreeMap::new()),
            ..Methods::default()
        })
    }

    /// Adds a method.
    pub fn method(mut self, name: impl Into<String>, service: impl IntoMethod) -> Self {
        let name = name.into();
        let problem = match self.named().entry(name) {
            Entry::Vacant(entry) => {
                let problem = bad_name(entry.key());
                entry.insert(service.into_method());
                problem
            }
            Entry::Occupied(entry) => Some(format!(
                "the router has two methods {}; rename one",
                text::quoted(entry.key().as_bytes())
            )),
        };
        self.0.problems.extend(problem);
        self
    }

    /// Sets the service for requests that name no method.
    pub fn default_method(mut self, service: impl IntoMethod) -> Self {
        if self.0.default.replace(service.into_method()).is_some() {
            let problem = "the router has two default methods; give one a name";
            self.0.problems.push(problem.into());
        }
        self
    }

    /// Wraps each asynchronous method added so far, the default one included, for example in a layer of tower. Computations
    /// stay as they are: they have costs instead.
    ///
    /// ```
    /// use fibrpc::{Router, Text, handler};
    /// use std::time::Duration;
    /// use tower::limit::GlobalConcurrencyLimitLayer;
    /// use tower::ServiceBuilder;
    ///
    /// async fn upper(Text(text): Text) -> Text {
    ///     Text(text.to_uppercase())
    /// }
    ///
    /// // At most ten requests at once, whatever their methods, and a second for each.
    /// let limits = ServiceBuilder::new()
    ///     .timeout(Duration::from_secs(1))
    ///     .layer(GlobalConcurrencyLimitLayer::new(10));
    /// let router = Router::new()
    ///     .method("upper", handler(upper))
    ///     .method("echo", handler(async |text: Text| text))
    ///     .wrap(|method| limits.service(method));
    /// ```
    pub fn wrap<T: AsyncService>(mut self, layer: impl Fn(AnyService) -> T) -> Self {
        let named = self.0.named.iter_mut().flat_map(BTreeMap::values_mut);
        for method in named.chain(&mut self.0.default) {
            if let Method::Wait(service) = method {
                *service = AnyService::new(layer(service.clone()));
            }
        }
        self
    }

    fn named(&mut self) -> &mut BTreeMap<String, Method> {
        self.0.named.get_or_insert_default()
    }
}

impl IntoMethods for Router {
    fn into_methods(mut self) -> Methods {
        if self.named().is_empty() && self.0.default.is_none() {
            let problem = "the router has no methods; add one";
            self.0.problems.push(problem.into());
        }
        self.0
    }
}

/// What is wrong with a method's name.
fn bad_name(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name of a method is empty; use default_method".into());
    }
    let problem = request::check_method(name).err()?;
    Some(problem.message().to_owned())
}

#[cfg(test)]
mod tests;
