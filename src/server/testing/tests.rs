//! Deadlines in paused time, panics, refusals, layers of tower, computations, settlement.

use super::*;
use crate::protocol::{Code, Reply};
use crate::server::cancel::Cancel;
use crate::server::extract::{Deadline, Json, State, Text};
use crate::server::service::{Cost, Service};
use crate::server::{Router, blocking, handler};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tower::limit::ConcurrencyLimit;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{BoxError, ServiceBuilder};

const SECOND: Duration = Duration::from_secs(1);

fn method(name: &str, body: &str) -> Request {
    Request::new(body).with_method(name)
}

fn code(delivered: &Delivered) -> Code {
    delivered.reply().map_or_else(Status::code, |_| Code::Ok)
}

/// Counts those that are in progress.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn one(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }
}

struct Entered(Count);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sleeps for the seconds in the body.
async fn nap(State(count): State<Count>, Json(seconds): Json<u64>) -> Json<u64> {
    let _in_progress = count.one();
    sleep(Duration::from_secs(seconds)).await;
    Json(seconds)
}

/// `nap`, and how many of it are in progress.
macro_rules! napping {
    () => {{
        let count = Count::default();
        (count.clone(), handler(nap).with_state(count))
    }};
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_returns_is_dropped_at_its_deadline() {
    let (count, nap) = napping!();
    let server = Server::with_settings(Builder::new("amqp://localhost").prefetch(1), nap);
    let began = Instant::now();
    let [first, second] = [20, 5].map(|seconds| {
        let request = Request::new("100").with_timeout(seconds * SECOND);
        server.deliver(request)
    });
    let third = server.deliver(Request::new("1"));
    // One at a time: the second has waited in the queue for longer than its caller.
    assert_eq!(code(&second.await), Code::DeadlineExceeded);
    let first = first.await;
    assert_eq!(code(&first), Code::DeadlineExceeded);
    assert_eq!(first.settlement(), Some(Settlement::Acked));
    assert!(first.compute_time() >= Some(20 * SECOND));
    assert_eq!(code(&third.await), Code::Ok);
    let took = began.elapsed();
    assert!(took >= 21 * SECOND && took < 22 * SECOND, "{took:?}");
    assert_eq!(
        (count.get(), Counters::get(&server.counters().expired)),
        (0, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_on_the_clock_of_the_test() {
    let server = Server::new(handler(async |Deadline(at): Deadline, request: Request| {
        sleep(2 * SECOND).await;
        assert_eq!(request.deadline(), at);
        Json(request.time_left().map(|left| left.as_millis()))
    }));
    let left = server.call(Request::new("").with_timeout(5 * SECOND)).await;
    let left: u128 = left.unwrap().json::<Option<u128>>().unwrap().unwrap();
    assert!((2_990..=3_000).contains(&left), "{left}");
    let none = server.call(Request::new("")).await.unwrap();
    assert_eq!(none.json::<Option<u128>>().unwrap(), None);
}

#[tokio::test]
async fn failures_are_what_the_client_would_read() {
    let server = Server::with_settings(
        Builder::new("amqp://localhost")
            .max_request_bytes(100)
            .max_reply_bytes(1_024),
        Router::new()
            .method(
                "panic",
                handler(async || -> Text { panic!("as requested") }),
            )
            .method(
                "refuse",
                handler(async || -> Result<Text, Status> {
                    Err(Status::not_found("no tea\n").with_details("tea"))
                }),
            )
            .method("long", handler(async || Text("x".repeat(1_025))))
            .default_method(handler(async |text: Text| text)),
    );
    let ask = async |request| server.deliver(request).await;
    let echoed = server.call(Request::new("x")).await.unwrap();
    assert_eq!(echoed.content_type(), Some("text/plain"));
    assert_eq!(echoed.text().unwrap(), "x");
    for (name, body, expected) in [
        ("panic", "", Code::Internal),
        ("none", "", Code::Unimplemented),
        ("long", "", Code::OutOfRange),
        ("refuse", &*"x".repeat(101), Code::InvalidArgument),
        ("refuse", "", Code::NotFound),
    ] {
        let delivered = ask(method(name, body)).await;
        assert_eq!(
            (code(&delivered), delivered.settlement()),
            (expected, Some(Settlement::Acked))
        );
    }
    // As in the protocol: details are for callers that ask in JSON.
    let text = ask(method("refuse", "")).await.into_reply().unwrap_err();
    assert_eq!((text.message(), text.details()), ("no tea\\n", None));
    let json = method("refuse", "").with_content_type("application/json");
    let json = ask(json).await.into_reply().unwrap_err();
    assert_eq!(json.details(), Some(&"tea".into()));
    assert_eq!(Counters::get(&server.counters().in_flight), 0);
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let server = Server::new(Router::new());
    let delivered = server.deliver(Request::new("")).await;
    assert_eq!(delivered.settlement(), None);
    let status = delivered.into_reply().unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("no methods"), "{status}");
}

/// Doubles numbers below 100; zero never ends unless it is cancelled.
struct Double;

impl Service for Double {
    type Job = u8;

    fn admit(&self, request: &Request) -> Result<(u8, Cost), Status> {
        let Json(n) = Json::<u8>::read(request.body())?;
        if n >= 100 {
            return Err(Status::out_of_range("100 or more"));
        }
        Ok((n, Cost::default()))
    }

    fn run(&self, n: u8, cancel: &Cancel) -> Result<Reply, Status> {
        if n == 0 {
            while !cancel.is_cancelled() {
                std::thread::yield_now();
            }
            return Err(Status::internal("cancelled"));
        }
        Ok(Reply::new((2 * n).to_string().into_bytes(), "text/plain"))
    }
}

#[tokio::test]
async fn computations_run_on_the_pool() {
    let server = Server::with_settings(
        Builder::new("amqp://localhost")
            .threads(1)
            .drain_timeout(SECOND),
        Router::new().method("double", blocking(Double)),
    );
    let ask = |body| server.deliver(method("double", body));
    assert_eq!(ask("21").await.into_reply().unwrap().body(), b"42");
    assert_eq!(code(&ask("100").await), Code::OutOfRange);
    let late = method("double", "0").with_timeout(Duration::from_millis(10));
    assert_eq!(code(&server.deliver(late).await), Code::DeadlineExceeded);
    let never = ask("0");
    server.drain();
    assert_eq!(never.await.settlement(), Some(Settlement::HandedBack));
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_it_can() {
    let (count, nap) = napping!();
    let builder = Builder::new("amqp://localhost")
        .prefetch(2)
        .drain_timeout(10 * SECOND);
    let server = Server::with_settings(builder, nap);
    let began = ["5", "20", "1"].map(|seconds| server.deliver(Request::new(seconds)));
    while count.get() < 2 {
        tokio::task::yield_now().await;
    }
    server.drain();
    let mut ends = Vec::new();
    for delivered in began {
        let delivered = delivered.await;
        ends.push((code(&delivered), delivered.settlement().unwrap()));
    }
    let handed_back = (Code::Unknown, Settlement::HandedBack);
    assert_eq!(
        ends,
        [(Code::Ok, Settlement::Acked), handed_back, handed_back]
    );
    assert_eq!(count.get(), 0);
    let late = server.deliver(Request::new("1")).await;
    assert_eq!(late.settlement(), Some(Settlement::HandedBack));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_server_drops_its_handlers() {
    let (count, nap) = napping!();
    let server = Server::new(nap);
    let never = server.deliver(Request::new("100"));
    while count.get() < 1 {
        tokio::task::yield_now().await;
    }
    drop(server);
    assert_eq!(never.await.settlement(), Some(Settlement::HandedBack));
    assert_eq!(count.get(), 0);
}

/// The mapping that `AsyncService` documents.
fn status(error: BoxError) -> BoxError {
    let status = if error.is::<Elapsed>() {
        Status::deadline_exceeded("no answer within a second")
    } else if error.is::<Overloaded>() {
        Status::resource_exhausted("too many requests")
    } else {
        return error;
    };
    status.into()
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_tower_ends_a_handler() {
    let (count, nap) = napping!();
    let layers = ServiceBuilder::new().map_err(status).timeout(SECOND);
    let server = Server::new(
        Router::new()
            .default_method(nap)
            .wrap(|method| layers.service(method)),
    );
    let began = Instant::now();
    let ended = server.call(Request::new("5")).await.unwrap_err();
    assert_eq!(
        ended,
        Status::deadline_exceeded("no answer within a second")
    );
    assert!(began.elapsed() < 2 * SECOND);
    assert_eq!(count.get(), 0);
    assert!(server.call(Request::new("0")).await.is_ok());
    // A status goes through the layers as it is.
    let refused = server.call(Request::new("many")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_delays_its_own_requests_only() {
    let (count, nap) = napping!();
    let server = Server::new(
        Router::new()
            .method("limited", ConcurrencyLimit::new(nap.clone(), 2))
            .method("free", nap),
    );
    let limited = [3, 3, 3, 3].map(|_| server.deliver(method("limited", "3")));
    let late = server.deliver(method("limited", "3").with_timeout(SECOND));
    let began = Instant::now();
    assert_eq!(code(&server.deliver(method("free", "0")).await), Code::Ok);
    assert_eq!((began.elapsed(), count.get()), (Duration::ZERO, 2));
    // It never became ready in time, and its place in the line is free again.
    assert_eq!(code(&late.await), Code::DeadlineExceeded);
    for limited in limited {
        assert_eq!(code(&limited.await), Code::Ok);
    }
    let took = began.elapsed();
    assert!(took >= 6 * SECOND && took < 7 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn load_that_is_shed_is_refused_at_once() {
    let (count, nap) = napping!();
    let shedding = ServiceBuilder::new()
        .map_err(status)
        .load_shed()
        .concurrency_limit(2)
        .service(nap);
    let server = Server::new(shedding);
    let [first, second, third] = [1, 2, 3].map(|_| server.deliver(Request::new("3")));
    let began = Instant::now();
    let shed = third.await.into_reply().unwrap_err();
    assert_eq!(shed, Status::resource_exhausted("too many requests"));
    assert_eq!((began.elapsed(), count.get()), (Duration::ZERO, 2));
    assert_eq!(
        (code(&first.await), code(&second.await)),
        (Code::Ok, Code::Ok)
    );
}
