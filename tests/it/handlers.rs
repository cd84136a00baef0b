//! Asynchronous handlers over the life of a server: thousands that never end, lost connections, and how many are in progress
//! at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fibrpc::Reply;
use fibrpc::server::{
    BuildError, Builder, Cancel, Cost, Counters, Handle, Outcome, ServerState, Service, Stop,
};
use fibrpc::{Json, Router, Server, Status, Text, blocking, handler};
use tokio::sync::{Barrier, Notify};

use crate::support::wire::properties::{Properties, value};
use crate::support::wire::{Client, Delivery};
use crate::support::{Broker, Proxy, SOON, runtime, unix_ms, until};

const QUEUE: &str = "handlers";

/// A server in a thread of its own.
struct Serving {
    handle: Handle,
    thread: JoinHandle<Result<Outcome, BuildError>>,
}

impl Serving {
    fn start(broker: &Broker, vhost: &str, builder: Builder, router: Router) -> Self {
        let serve = builder.queue(QUEUE).serve(router);
        let handle = serve.handle();
        let thread = std::thread::spawn(|| runtime().block_on(serve.into_future()));
        broker.wait_for_consumers(vhost, QUEUE, 1);
        Self { handle, thread }
    }

    fn count(&self, counter: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        Counters::get(counter(self.handle.counters()))
    }

    fn drain(self) -> Outcome {
        self.handle.stop(Stop::Drain);
        self.thread.join().unwrap().unwrap()
    }
}

fn method(name: &str) -> Properties {
    let mut properties = Properties::new().content_type("application/json");
    properties.kind = Some(name.into());
    properties
}

fn status(reply: &Delivery) -> String {
    reply.properties.find_text("fibrpc-status").unwrap()
}

/// Counts handlers that have begun and have ended, by a reply or by being dropped.
#[derive(Default)]
struct Count {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Count {
    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

struct Entered(Arc<Count>);

impl Entered {
    fn new(count: &Arc<Count>) -> Self {
        count.begun.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

async fn never(fibrpc::State(count): fibrpc::State<Arc<Count>>) -> Text {
    let _entered = Entered::new(&count);
    std::future::pending().await
}

async fn sleep(Json(ms): Json<u64>) -> Json<u64> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(ms)
}

fn router(count: &Arc<Count>) -> Router {
    Router::new()
        .method("never", handler(never).with_state(count.clone()))
        .method("sleep", handler(sleep))
        .default_method(handler(async |text: Text| text))
}

#[test]
fn ten_thousand_handlers_that_never_return_leave_nothing() {
    const BATCH: usize = 1_000;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let count = Arc::new(Count::default());
    let builder = Server::builder(broker.url(&vhost)).prefetch(1_000);
    let serving = Serving::start(broker, &vhost, builder, router(&count));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    // Some are late when they arrive, on a machine that is busy.
    while count.begun() < 10_000 {
        for _ in 0..BATCH {
            // Half a second is left: the tolerance is one second.
            let deadline = value::integer(unix_ms() - 500);
            let request = method("never").header("fibrpc-deadline", deadline);
            client.request(QUEUE, request, b"").unwrap();
        }
        for _ in 0..BATCH {
            let reply = client.next_delivery(SOON).unwrap();
            assert_eq!(status(&reply), "DEADLINE_EXCEEDED", "{}", reply.text());
        }
        assert_eq!(count.ended(), count.begun());
    }
    // Every place is free again.
    let reply = client.call(QUEUE, b"as in the tutorial", SOON).unwrap();
    assert_eq!(reply.text(), "as in the tutorial");
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        (depth.ready, depth.unacked) == (0, 0)
    });
    until(SOON, "nothing in flight", || {
        (serving.count(|counters| &counters.in_flight) == 0).then_some(())
    });
    assert_eq!(serving.count(|counters| &counters.redelivered), 0);
    assert_eq!(serving.drain(), Outcome::default());
    assert_eq!(Arc::strong_count(&count), 1, "the handlers are gone");
}

#[test]
fn a_handler_is_dropped_with_its_session_and_the_request_redelivered() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let count = Arc::new(Count::default());
    let limit = Duration::from_millis(300);
    let builder = Server::builder(broker.url(&vhost)).drain_timeout(limit);
    let serving = Serving::start(broker, &vhost, builder, router(&count));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.request(QUEUE, method("never"), b"").unwrap();
    until(SOON, "the handler has begun", || {
        (count.begun() == 1).then_some(())
    });
    assert!(broker.close_connections(&vhost) > 0);
    until(SOON, "the handler was dropped", || {
        (count.ended() == 1).then_some(())
    });
    until(SOON, "another has begun", || {
        (count.begun() == 2).then_some(())
    });
    assert_eq!(serving.count(|counters| &counters.redelivered), 1);
    assert_eq!(serving.drain().abandoned, 1);
    assert_eq!((count.begun(), count.ended()), (2, 2));
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.ready == 1);
}

#[test]
fn a_lost_connection_loses_no_request_and_acks_none_twice() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let (open, gate) = tokio::sync::watch::channel(false);
    let through = move || {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            Text(String::new())
        }
    };
    let router = router(&Arc::default()).method("through", handler(through));
    let builder = Server::builder(proxy.url(&vhost));
    let serving = Serving::start(broker, &vhost, builder, router);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    for id in 0..120 {
        let (name, body) = [("through", ""), ("sleep", "1")][id % 2];
        let request = method(name).correlation_id(id.to_string());
        client.request(QUEUE, request, body.as_bytes()).unwrap();
    }
    // Some are answered, and others are in progress.
    let mut ids = BTreeSet::from([client.next_delivery(SOON).unwrap().correlation_id()]);
    assert!(proxy.reset(None) > 0);
    open.send_replace(true);
    while ids.len() < 120 {
        let reply = client.next_delivery(SOON).unwrap();
        assert_eq!(status(&reply), "OK", "{}", reply.text());
        ids.insert(reply.correlation_id());
    }
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        (depth.ready, depth.unacked) == (0, 0)
    });
    // The broker would have closed the channel for a second ack.
    assert_eq!(serving.count(|counters| &counters.sessions), 2);
    assert!(serving.count(|counters| &counters.redelivered) > 0);
    let state = serving.handle.state().borrow().clone();
    assert!(matches!(state, ServerState::Consuming { .. }), "{state:?}");
    assert_eq!(serving.drain(), Outcome::default());
    proxy.assert_clean();
}

/// A quorum queue takes 33 commands from a channel before it has carried out the first, and leaves the others in the channel.
#[test]
fn acks_that_a_busy_queue_has_not_taken_are_not_forgotten() {
    const OTHERS: usize = 99;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (open, gate) = tokio::sync::watch::channel(0);
    let through = move |Json(least): Json<usize>| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open >= least).await.unwrap();
            Text(String::new())
        }
    };
    let builder = Server::builder(broker.url(&vhost)).prefetch(200);
    let router = Router::new().default_method(handler(through));
    let serving = Serving::start(broker, &vhost, builder, router);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let mut least = vec!["2"; OTHERS];
    least[0] = "3";
    least.push("1");
    for least in least {
        client.request(QUEUE, method(""), least.as_bytes()).unwrap();
    }
    let wait_for_in_flight = |count| {
        until(SOON, "what is in flight", || {
            (serving.count(|counters| &counters.in_flight) == count).then_some(())
        });
    };
    wait_for_in_flight(100);
    serving.handle.stop(Stop::Drain);
    // It answers one once it has stopped consuming, and has no need of the queue any more.
    open.send_replace(1);
    assert_eq!(status(&client.next_delivery(SOON).unwrap()), "OK");
    wait_for_in_flight(99);
    let busy = Duration::from_secs(1);
    broker.keep_leader_busy(&vhost, QUEUE, [busy, Duration::ZERO], 1);
    open.send_replace(2);
    for _ in 1..OTHERS {
        assert_eq!(status(&client.next_delivery(SOON).unwrap()), "OK");
    }
    // Each takes a frame of its own, since the first request is in progress.
    wait_for_in_flight(1);
    open.send_replace(3);
    assert_eq!(serving.drain(), Outcome::default());
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        (depth.ready, depth.unacked) == (0, 0)
    });
}

#[test]
fn as_many_are_in_progress_as_the_prefetch_allows() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let barrier = Arc::new(Barrier::new(64));
    let meet = move || {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Text(String::new())
        }
    };
    let builder = Server::builder(broker.url(&vhost)).prefetch(64);
    let router = Router::new().default_method(handler(meet));
    let serving = Serving::start(broker, &vhost, builder, router);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    for _ in 0..64 {
        client.request(QUEUE, method(""), b"").unwrap();
    }
    // None is answered before all have begun.
    for _ in 0..64 {
        assert_eq!(status(&client.next_delivery(SOON).unwrap()), "OK");
    }
    assert_eq!(serving.drain(), Outcome::default());
}

/// Runs until the test ends it.
struct Busy(Arc<std::sync::atomic::AtomicBool>);

impl Service for Busy {
    type Job = ();

    fn admit(&self, _: &fibrpc::Request) -> Result<((), Cost), Status> {
        Ok(((), Cost::default()))
    }

    fn run(&self, (): (), cancel: &Cancel) -> Result<Reply, Status> {
        while !self.0.load(Ordering::Relaxed) && !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        Ok(Reply::new("", "text/plain"))
    }
}

#[test]
fn handlers_and_computations_do_not_wait_for_each_other() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::new(Notify::new());
    let wait = {
        let told = told.clone();
        move || {
            let told = told.clone();
            async move {
                told.notified().await;
                Text("told".into())
            }
        }
    };
    let router = Router::new()
        .method("busy", blocking(Busy(is_over.clone())))
        .method("wait", handler(wait))
        .method("sleep", handler(sleep));
    let builder = Server::builder(broker.url(&vhost)).threads(1).prefetch(8);
    let serving = Serving::start(broker, &vhost, builder, router);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    // The only thread is busy, and so is a handler.
    for name in ["busy", "wait", "sleep"] {
        client
            .request(QUEUE, method(name).correlation_id(name), b"1")
            .unwrap();
    }
    assert_eq!(
        client.next_delivery(SOON).unwrap().correlation_id(),
        "sleep"
    );
    is_over.store(true, Ordering::Relaxed);
    assert_eq!(client.next_delivery(SOON).unwrap().correlation_id(), "busy");
    told.notify_one();
    assert_eq!(client.next_delivery(SOON).unwrap().text(), "told");
    assert_eq!(serving.drain(), Outcome::default());
}
