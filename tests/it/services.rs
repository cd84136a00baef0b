//! Asynchronous services: a router in this process whose handlers wait, fail, panic and never end.

use std::thread::JoinHandle;
use std::time::Duration;

use fibrpc::server::{BuildError, Builder, Counters, Handle, Outcome, Stop};
use fibrpc::{Json, Router, Server, Text, handler};

use crate::support::wire::properties::{Properties, value};
use crate::support::wire::{Client, Delivery};
use crate::support::{Broker, SOON, runtime, unix_ms, until};

/// The queue of [`serve_router`].
pub const QUEUE: &str = "services";

fn json() -> Properties {
    Properties::new()
        .correlation_id("1")
        .content_type("application/json")
}

fn method(name: &str) -> Properties {
    let mut properties = json();
    properties.kind = Some(name.into());
    properties
}

fn ask(client: &mut Client, queue: &str, request: Properties, body: &str) -> Delivery {
    client.request(queue, request, body.as_bytes()).unwrap();
    client.next_delivery(SOON).unwrap()
}

fn status(reply: &Delivery) -> String {
    reply.properties.find_text("fibrpc-status").unwrap()
}

/// A router that serves in a thread of its own.
pub struct Serving {
    handle: Handle,
    thread: JoinHandle<Result<Outcome, BuildError>>,
}

fn serve(broker: &Broker, vhost: &str, set: impl FnOnce(Builder) -> Builder) -> Serving {
    serve_router(broker, vhost, router(), set)
}

/// Serves until [`Serving::drain`].
pub fn serve_router(
    broker: &Broker,
    vhost: &str,
    router: Router,
    set: impl FnOnce(Builder) -> Builder,
) -> Serving {
    let builder = Server::builder(broker.url(vhost)).queue(QUEUE);
    let serve = set(builder).serve(router);
    let handle = serve.handle();
    let thread = std::thread::spawn(|| runtime().block_on(serve.into_future()));
    broker.wait_for_consumers(vhost, QUEUE, 1);
    Serving { handle, thread }
}

impl Serving {
    /// Drains; returns how that ended.
    pub fn drain(self) -> Outcome {
        self.handle.stop(Stop::Drain);
        self.thread.join().unwrap().unwrap()
    }
}

fn router() -> Router {
    Router::new()
        .method("never", handler(std::future::pending::<Text>))
        .method(
            "panic",
            handler(async || -> Text { panic!("as requested") }),
        )
        .method(
            "sleep",
            handler(async |Json(ms): Json<u64>| {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Json(ms)
            }),
        )
        .default_method(handler(async |text: Text| text))
}

#[test]
fn a_handler_hurts_only_its_own_request() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let serving = serve(broker, &vhost, |builder| builder.prefetch(2));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    // Twice as many as are handled at once, so each frees its place.
    for _ in 0..4 {
        // Half a second is left: the tolerance is one second.
        let deadline = value::integer(unix_ms() - 500);
        let request = method("never").header("fibrpc-deadline", deadline);
        client.request(QUEUE, request, b"").unwrap();
    }
    for _ in 0..4 {
        let reply = client.next_delivery(SOON).unwrap();
        assert_eq!(status(&reply), "DEADLINE_EXCEEDED", "{}", reply.text());
    }
    assert_eq!(
        status(&ask(&mut client, QUEUE, method("panic"), "")),
        "INTERNAL"
    );
    assert_eq!(
        status(&ask(&mut client, QUEUE, method("other"), "")),
        "UNIMPLEMENTED"
    );
    let reply = client.call(QUEUE, b"as in the tutorial", SOON).unwrap();
    assert_eq!(reply.text(), "as in the tutorial");
    assert_eq!(serving.drain(), Outcome::default());
    // A quorum queue applies acks a moment after they have arrived.
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        (depth.ready, depth.unacked) == (0, 0)
    });
}

#[test]
fn handlers_wait_together_and_a_drain_waits_for_them() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let serving = serve(broker, &vhost, |builder| builder.prefetch(2));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    for time in ["1500", "10"] {
        let request = method("sleep").correlation_id(time);
        client.request(QUEUE, request, time.as_bytes()).unwrap();
    }
    assert_eq!(client.next_delivery(SOON).unwrap().correlation_id(), "10");
    assert_eq!(serving.drain(), Outcome::default());
    let reply = client.next_delivery(SOON).unwrap();
    assert_eq!((status(&reply), reply.text()), ("OK".into(), "1500".into()));
}

#[test]
fn a_handler_that_never_ends_is_handed_back_after_the_drain() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let limit = Duration::from_millis(300);
    let serving = serve(broker, &vhost, |builder| builder.drain_timeout(limit));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.request(QUEUE, method("never"), b"").unwrap();
    until(SOON, "a handler in progress", || {
        let in_flight = &serving.handle.counters().in_flight;
        (Counters::get(in_flight) == 1).then_some(())
    });
    assert_eq!(serving.drain().abandoned, 1);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.ready == 1);
}
