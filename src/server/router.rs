//! [`Router`]: a service for each method that a request may name in its AMQP property `type`.

use super::asynchronous::{AsyncService, call};
use super::request::{Reply, Request};
use crate::protocol::{Code, Status};
use crate::text;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How much of an unknown name an error shows.
const MAX_NAME_CHARS: usize = 100;

type Answering = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;

/// Passes each request to the service of its method.
///
/// The method is the AMQP property `type`. Requests without one, as the clients of RabbitMQ's tutorial send them, go to the
/// default method. A method that the router does not know is `UNIMPLEMENTED`. Names that begin with `fibrpc.` are
/// reserved for the protocol. A router is itself a service, so tower's layers apply to it and to each of its methods.
///
/// ```
/// use fibrpc::server::extract::Text;
/// use fibrpc::server::{Router, handler};
///
/// async fn upper(Text(text): Text) -> Text {
///     Text(text.to_uppercase())
/// }
///
/// async fn echo(text: Text) -> Text {
///     text
/// }
///
/// let router = Router::new().method("upper", handler(upper)).default_method(handler(echo));
/// # fn serve(_: impl fibrpc::server::AsyncService) {}
/// # serve(router);
/// ```
#[derive(Clone, Default)]
pub struct Router {
    methods: Arc<HashMap<String, Method>>,
    default: Option<Method>,
}

/// A service of any type.
type Method = Arc<dyn Fn(Request) -> Answering + Send + Sync>;

impl Router {
    /// A router without methods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method; the last one with a name counts.
    #[must_use]
    pub fn method<T: AsyncService>(mut self, name: impl Into<String>, service: T) -> Self {
        Arc::make_mut(&mut self.methods).insert(name.into(), erase(service));
        self
    }

    /// Sets the service for requests that name no method.
    #[must_use]
    pub fn default_method<T: AsyncService>(mut self, service: T) -> Self {
        self.default = Some(erase(service));
        self
    }

    fn find(&self, method: Option<&str>) -> Result<&Method, Status> {
        let found = match method {
            Some(name) => self.methods.get(name),
            None => self.default.as_ref(),
        };
        found.ok_or_else(|| {
            let message = match method {
                Some(name) => format!(
                    "the server has no method \"{}\"; check the property type",
                    text::excerpt(name, MAX_NAME_CHARS)
                ),
                None => "the request names no method; set the property type".to_owned(),
            };
            Status::new(Code::Unimplemented, message)
        })
    }
}

fn erase<T: AsyncService>(service: T) -> Method {
    Arc::new(move |request| Box::pin(call(service.clone(), request)))
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("methods", &self.methods.keys())
            .field("default", &self.default.is_some())
            .finish()
    }
}

impl tower_service::Service<Request> for Router {
    type Response = Reply;
    type Error = Status;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        match self.find(request.method()) {
            Ok(method) => method(request),
            Err(status) => Box::pin(std::future::ready(Err(status))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::extract::Text;
    use crate::server::handler::handler;
    use tower_service::Service as _;

    async fn said(router: &Router, method: Option<&str>) -> Result<String, Status> {
        let mut request = Request::new("x");
        if let Some(method) = method {
            request = request.with_method(method);
        }
        let reply = router.clone().call(request).await?;
        Ok(String::from_utf8(reply.body().to_vec()).unwrap())
    }

    fn says(text: &'static str) -> impl AsyncService {
        handler(move || async move { Text(text.into()) })
    }

    #[tokio::test]
    async fn requests_go_to_the_method_that_they_name() {
        let router = Router::new()
            .method("one", says("1"))
            .method("two", says("replaced"))
            .method("two", says("2"));
        assert_eq!(said(&router, Some("one")).await.unwrap(), "1");
        assert_eq!(said(&router, Some("two")).await.unwrap(), "2");
        for method in [None, Some(""), Some("three"), Some("One")] {
            let refused = said(&router, method).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented, "{method:?}");
        }
        let router = router.default_method(says("0"));
        for method in [None, Some(""), Some("amqp-1.0")] {
            assert_eq!(said(&router, method).await.unwrap(), "0", "{method:?}");
        }
        let refused = said(&router, Some("three")).await.unwrap_err();
        assert!(refused.message().contains("\"three\""), "{refused}");
    }

    #[tokio::test]
    async fn a_router_is_a_method() {
        let inner = Router::new().method("one", says("1"));
        let router = Router::new().method("one", inner);
        assert_eq!(said(&router, Some("one")).await.unwrap(), "1");
    }
}
