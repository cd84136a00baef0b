//! Arguments of every kind, replies of every kind, and refusals.

use super::*;
use crate::protocol::{Code, Reply};
use crate::server::asynchronous::AsyncService;
use crate::server::cancel::Cancel;
use crate::server::extract::{Bytes, Deadline, Json, State, Text};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

async fn ask<T: AsyncService<Error = Status>>(
    service: T,
    request: Request,
) -> Result<Reply, Status> {
    let mut service = service.clone();
    std::future::poll_fn(|context| service.poll_ready(context)).await?;
    service.call(request).await
}

fn said(reply: Result<Reply, Status>) -> (String, String) {
    let reply = reply.unwrap();
    let body = String::from_utf8(reply.body().to_vec()).unwrap();
    (body, reply.content_type().unwrap().to_owned())
}

fn both(body: &str, content_type: &str) -> (String, String) {
    (body.into(), content_type.into())
}

async fn sum(Json(numbers): Json<Vec<u64>>) -> Json<u64> {
    Json(numbers.iter().sum())
}

#[tokio::test]
async fn bodies_are_json_text_or_bytes() {
    let json = said(ask(handler(sum), Request::new("[1, 2]")).await);
    assert_eq!(json, both("3", "application/json"));
    let text = handler(|Text(text): Text| async move { Text(text.to_uppercase()) });
    assert_eq!(
        said(ask(text, Request::new("π")).await),
        both("Π", "text/plain")
    );
    let bytes = handler(async |Bytes(bytes): Bytes| Bytes([bytes, b"!".to_vec()].concat()));
    let bytes = said(ask(bytes, Request::new("a")).await);
    assert_eq!(bytes, both("a!", "application/octet-stream"));
    let whole = handler(|request: Request| async move {
        Reply::new(request.method().unwrap_or_default(), "text/x")
    });
    let whole = said(ask(whole, Request::new("").with_method("m")).await);
    assert_eq!(whole, both("m", "text/x"));
    let none = handler(|| async { Text("none".into()) });
    assert_eq!(said(ask(none, Request::new("x")).await).0, "none");
}

#[tokio::test]
async fn a_body_of_another_type_does_not_reach_the_handler() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = |State(calls): State<Arc<AtomicUsize>>, Json(()): Json<()>| async move {
        calls.fetch_add(1, Ordering::Relaxed);
        Text(String::new())
    };
    let service = handler(counting).with_state(calls.clone());
    let refused = ask(service.clone(), Request::new("nul")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    ask(service, Request::new("null")).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let refused = ask(handler(async |text: Text| text), Request::new(b"\xff"));
    assert_eq!(refused.await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn state_deadline_and_cancel_come_before_the_body() {
    let at = Instant::now();
    let all = move |State(state): State<u8>,
                    Deadline(deadline): Deadline,
                    cancel: Cancel,
                    Text(text): Text| async move {
        assert_eq!((state, deadline, text.as_str()), (7, Some(at), "body"));
        assert!(cancel.is_cancelled(), "its deadline has passed");
        Text(String::new())
    };
    let request = Request::new("body").with_deadline(at);
    ask(handler(all).with_state(7), request).await.unwrap();
    let alone = handler(async |Deadline(deadline): Deadline| Json(deadline.is_none()));
    assert_eq!(said(ask(alone, Request::new("x")).await).0, "true");
}

struct OutOfStock;

impl From<OutOfStock> for Status {
    fn from(_: OutOfStock) -> Self {
        Self::new(Code::OutOfRange, "out of stock")
    }
}

#[tokio::test]
async fn errors_become_a_status() {
    let stock = handler(|Json(count): Json<u8>| async move {
        if count == 0 {
            Err(OutOfStock)
        } else {
            Ok(Json(count))
        }
    });
    assert_eq!(said(ask(stock.clone(), Request::new("1")).await).0, "1");
    let refused = ask(stock, Request::new("0")).await.unwrap_err();
    assert_eq!(refused, Status::from(OutOfStock));
    let odd = handler(async || Json(std::collections::HashMap::from([(vec![1], 2)])));
    assert_eq!(
        ask(odd, Request::new("")).await.unwrap_err().code(),
        Code::Internal
    );
}
