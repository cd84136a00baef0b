//! Which method answers a request, and which routers are refused.

use super::*;
use crate::protocol::{Code, Reply, Status};
use crate::server;
use crate::server::backend::{Backend as _, Plan};
use crate::server::blocking::blocking;
use crate::server::cancel::Cancel;
use crate::server::extract::Text;
use crate::server::handler::handler;
use crate::server::request::Request;
use crate::server::service::{Cost, Service};
use std::pin::Pin;
use std::task::{Context, Poll};

async fn said(methods: &Methods, method: Option<&str>) -> Result<String, Status> {
    let mut request = Request::new("x");
    request.message.kind = method.map(Into::into);
    let body = match methods.admit(&mut request)? {
        Plan::Wait(waiting) => waiting.future.await?.body().to_vec(),
        Plan::Compute(run, _) => methods.run(run, &Cancel::default())?.body,
    };
    Ok(String::from_utf8(body).unwrap())
}

fn says(text: &'static str) -> impl AsyncService {
    handler(move || async move { Text(text.into()) })
}

/// Replies with its text and the request's.
struct Computes(&'static str);

impl Service for Computes {
    type Job = Vec<u8>;

    fn admit(&self, request: &Request) -> Result<(Vec<u8>, Cost), Status> {
        Ok((request.body().to_vec(), Cost::default()))
    }

    fn run(&self, body: Vec<u8>, _: &Cancel) -> Result<Reply, Status> {
        Ok(Reply::new(
            [self.0.as_bytes(), &body].concat(),
            "text/plain",
        ))
    }
}

#[tokio::test]
async fn requests_go_to_the_method_that_they_name() {
    let router = || {
        Router::new()
            .method("one", says("1"))
            .method("two", blocking(Computes("2")))
    };
    let methods = router().into_methods();
    assert_eq!(said(&methods, Some("one")).await.unwrap(), "1");
    assert_eq!(said(&methods, Some("two")).await.unwrap(), "2x");
    for (method, shown) in [
        (None, "names no method"),
        (Some(""), "names no method"),
        (Some("three"), "no method `three`"),
        (Some("One"), "no method `One`"),
        (Some("fibrpc.other"), "no method `fibrpc.other`"),
    ] {
        let refused = said(&methods, method).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{method:?}");
        for words in [shown, "one of `one, two`"] {
            assert!(refused.message().contains(words), "{refused}");
        }
    }
    let methods = router().default_method(says("0")).into_methods();
    for method in [None, Some(""), Some("amqp-1.0")] {
        assert_eq!(said(&methods, method).await.unwrap(), "0", "{method:?}");
    }
    let refused = said(&methods, Some("three")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert_eq!(methods.problems, Vec::<String>::new());
}

#[tokio::test]
async fn without_a_router_every_method_is_the_service() {
    let service = says("0").into_methods();
    let computation = blocking(Computes("1")).into_methods();
    for method in [None, Some(""), Some("three"), Some("amqp-1.0")] {
        assert_eq!(said(&service, method).await.unwrap(), "0", "{method:?}");
        let computed = said(&computation, method).await.unwrap();
        assert_eq!(computed, "1x", "{method:?}");
    }
}

#[test]
fn a_computation_among_the_methods_needs_threads() {
    let only_waits = |router: Router| router.into_methods().only_waits();
    let waits = || Router::new().method("one", says("1"));
    assert!(only_waits(waits()) && only_waits(waits().default_method(says("0"))));
    assert!(!only_waits(waits().method("two", blocking(Computes("2")))));
    assert!(!only_waits(waits().default_method(blocking(Computes("2")))));
}

#[test]
fn bad_names_are_problems() {
    let name = "m".repeat(256);
    let router = Router::new()
        .method("one", says("1"))
        .method("one", blocking(Computes("1")))
        .method("fibrpc.one", says("1"))
        .method("fibrpc.ping", says("1"))
        .method("amqp-1.0", says("1"))
        .method("", says("1"))
        .method(&name[..255], says("1"))
        .method(name, says("1"))
        .default_method(says("0"))
        .default_method(says("0"));
    let problems = router.into_methods().problems;
    let parts = [
        "two methods `one`",
        "`fibrpc.one` is reserved",
        "`fibrpc.ping` is reserved",
        "`amqp-1.0` is reserved",
        "name of a method is empty",
        "longer than the 255 bytes",
        "two default methods",
    ];
    assert_eq!(problems.len(), parts.len(), "{problems:?}");
    for (problem, part) in problems.iter().zip(parts) {
        assert!(problem.contains(part), "{problem}");
    }
    let problems = Router::new().into_methods().problems;
    assert_eq!(problems, ["the router has no methods; add one"]);
}

/// A layer that puts brackets around replies.
#[derive(Clone)]
struct Brackets<T>(T);

impl<T: AsyncService<Future: 'static>> tower_service::Service<server::Request> for Brackets<T> {
    type Response = Reply;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, T::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: server::Request) -> Self::Future {
        let reply = self.0.call(request);
        Box::pin(async {
            let reply = reply.await?;
            Ok(Reply::new(
                [b"[", reply.body(), b"]"].concat(),
                "text/plain",
            ))
        })
    }
}

#[tokio::test]
async fn layers_wrap_the_asynchronous_methods_added_so_far() {
    let methods = Router::new()
        .method("one", says("1"))
        .method("two", blocking(Computes("2")))
        .default_method(says("0"))
        .wrap(Brackets)
        .method("three", Brackets(Brackets(says("3"))))
        .method("four", says("4"))
        .into_methods();
    for (method, reply) in [
        (None, "[0]"),
        (Some("one"), "[1]"),
        (Some("two"), "2x"),
        (Some("three"), "[[3]]"),
        (Some("four"), "4"),
    ] {
        assert_eq!(said(&methods, method).await.unwrap(), reply);
    }
}
