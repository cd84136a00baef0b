//! Whether a queue has servers: a single passive declare proves nothing, and the client leaves a broker that cannot
//! serve for another one.

mod refused;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fibrpc::{Client, Code, Text};

use crate::call::{Server, assert_answered, assert_fails, fibrpc};
use crate::faults::times;
use crate::support::proxy::Side;
use crate::support::proxy::answer::{
    Answering, Declares, Instead, close_channel, declare_ok, declared,
};
use crate::support::wire::frame::{BODY, HEADER, method};
use crate::support::wire::{self, Declare, Properties};
use crate::support::{Broker, Daemon, Fibrpc, Proxy, SOON, Settings, runtime, until};

const DOWN: &str = "NOT_FOUND - home node 'rabbit@b' of durable queue 'rpc_queue' in vhost '/' is down or inaccessible";

/// A daemon on a quorum queue.
fn daemon(broker: &Broker, vhost: &str) -> Daemon {
    Daemon::start_consuming(broker, vhost, &Settings::new(broker, vhost))
}

/// A proxy through which the queue seems to have no consumers.
fn deserted(broker: &Broker) -> Proxy {
    let proxy = Proxy::new(broker.port());
    let nobody = Answering::to_method(method::QUEUE_DECLARE, |frame| {
        let (name, passive) = declared(frame);
        (passive && name == "rpc_queue").then(|| declare_ok(frame, 0, 0))
    });
    proxy.set(|faults| faults.answer = Some(nobody));
    proxy
}

/// Settings with several brokers.
fn at(urls: &[String]) -> Settings {
    Settings::at(&urls[0]).set("broker.url", urls.to_vec())
}

#[test]
fn a_busy_leader_is_not_taken_for_an_empty_queue() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    for command in [&["30"][..], &["ping", "-c", "1"], &["status"], &["doctor"]] {
        let busy = Duration::from_secs(3);
        broker.keep_leader_busy(&vhost, "rpc_queue", [busy, busy], 1);
        let output = fibrpc(&settings, command);
        assert_eq!(output.code(), 0, "{command:?}: {output:?}");
        assert!(!output.stdout.contains("0 consumers"), "{output:?}");
        assert_eq!(output.stderr, "", "{command:?}");
    }
}

/// The leader does not answer half of the time, twice as long as the broker waits for it when somebody looks.
#[test]
fn many_streams_at_a_leader_that_is_busy_now_and_then_all_get_their_answers() {
    let (streams, calls) = (times(40, 200), times(100, 500));
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let _daemon = daemon(&broker, &vhost);
    let settings = Settings::new(&broker, &vhost).set("client.timeout", "60s");
    let [busy, idle] = [500, 500].map(Duration::from_millis);
    broker.keep_leader_busy(&vhost, "rpc_queue", [busy, idle], 600);
    let input = "30\n".repeat(calls);
    let streams: Vec<_> = (0..streams)
        .map(|_| {
            let stream = Fibrpc::new(&settings).args(["-"]).stdin(input.as_bytes());
            stream.start()
        })
        .collect();
    for (stream, _folder) in streams {
        let output = stream.output(10 * SOON);
        assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
        assert_eq!(output.stdout, "832040\n".repeat(calls));
    }
}

#[test]
fn a_server_that_polls_is_found_by_those_who_wait_and_is_thought_of_in_the_message() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = wire::Client::connect(broker.port(), &vhost).unwrap();
    server.declare("rpc_queue", &Declare::classic()).unwrap();
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    let output = fibrpc(&settings, &["30"]);
    assert_eq!((output.code(), output.stdout.as_str()), (69, ""));
    assert!(output.stderr.contains("polls"), "{output:?}");
    assert!(output.stderr.contains("--wait"), "{output:?}");
    assert_eq!(
        broker.depth(&vhost, "rpc_queue").unwrap().ready,
        0,
        "what fails as unavailable was not published"
    );
    let (process, _folder) = Fibrpc::new(&settings).args(["--wait", "30"]).start();
    let request = until(SOON, "the request", || {
        server.get("rpc_queue", true).unwrap()
    });
    let to = String::from_utf8(request.properties.reply_to.clone().unwrap()).unwrap();
    let id = request.properties.correlation_id.clone().unwrap();
    let properties = Properties::new().correlation_id(id);
    server.publish(&to, &properties, b"832040").unwrap();
    let output = process.output(SOON);
    assert_answered(&output, "832040\n");
}

#[test]
fn a_queue_that_is_down_is_told_from_one_that_is_missing() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    for text in [
        DOWN,
        "NOT_FOUND - failed to perform operation on queue 'rpc_queue' in vhost '/' due to timeout",
        "NOT_FOUND - queue 'rpc_queue' in vhost '/' process is stopped by supervisor",
    ] {
        let proxy = Proxy::new(broker.port());
        let down = Answering::refuse_declares("rpc_queue", Declares::All, 404, text);
        proxy.set(|faults| faults.answer = Some(down));
        let settings = Settings::at(&proxy.url(&vhost)).set("client.timeout", "60s");
        let message = format!("queue \"rpc_queue\" exists but is not available: {text}");
        let output = fibrpc(&settings, &["30"]);
        assert_fails(&output, 69, &format!("fibrpc: 30: {message}"));
        let output = fibrpc(&settings, &["status"]);
        assert_fails(&output, 69, &format!("fibrpc: {message}"));
    }
}

#[test]
fn a_queue_that_comes_back_within_a_moment_is_waited_for() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    let proxy = Proxy::new(broker.port());
    let looks = AtomicU32::new(0);
    let soon = Answering::to_method(method::QUEUE_DECLARE, move |frame| {
        let first = looks.fetch_add(1, Ordering::SeqCst) < 2;
        first.then(|| close_channel(frame, 404, DOWN))
    });
    proxy.set(|faults| faults.answer = Some(soon));
    let settings = Settings::at(&proxy.url(&vhost)).set("client.timeout", "60s");
    let output = fibrpc(&settings, &["30"]);
    assert_answered(&output, "832040\n");
}

/// A caller that waits reports the reason when its time is over, not that there is no queue.
#[test]
fn those_who_wait_for_a_queue_that_is_down_are_told_so() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    // There is none, so that the request is returned as it is if the queue is down.
    let down = Answering::refuse_declares("rpc_queue", Declares::All, 404, DOWN);
    proxy.set(|faults| faults.answer = Some(down));
    let settings = Settings::at(&proxy.url(&vhost));
    let output = fibrpc(&settings, &["--wait", "--timeout", "3s", "30"]);
    let message =
        format!("fibrpc: 30: queue \"rpc_queue\" exists but is not available: {DOWN}; waited 3s");
    assert_fails(&output, 69, &message);
}

/// Runs a command until it has tried the broker that is cut off; it succeeds each time. Which broker is tried first is
/// left to chance.
#[track_caller]
fn leaves(cut_off: &Proxy, settings: &Settings, command: &[&str], shown: &str) {
    until(10 * SOON, "the broker that is cut off to be tried", || {
        let before = cut_off.accepted();
        let output = fibrpc(settings, command);
        assert_eq!(
            (output.code(), output.stderr.as_str()),
            (0, ""),
            "{output:?}"
        );
        assert!(output.stdout.contains(shown), "{output:?}");
        (cut_off.accepted() > before).then_some(())
    });
}

#[test]
fn a_broker_where_nobody_serves_is_left_for_one_where_somebody_does() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    let cut_off = deserted(broker);
    let settings = at(&[cut_off.url(&vhost), broker.url(&vhost)]).set("client.timeout", "60s");
    leaves(&cut_off, &settings, &["30", "31"], "832040\n1346269\n");
}

/// A broker that cannot reach the queue's leader does not know the consumers: passive declares prove nothing, or hang.
#[test]
fn a_broker_that_does_not_know_who_serves_is_left_for_one_that_does() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    let cut_off = Proxy::new(broker.port());
    let looks = AtomicU32::new(0);
    let silent = Answering::to_method(method::QUEUE_DECLARE, move |frame| {
        let (name, passive) = declared(frame);
        // The first one is part of connecting, and would have another broker tried.
        (passive && name == "rpc_queue").then(|| match looks.fetch_add(1, Ordering::Relaxed) {
            0 => declare_ok(frame, 0, 0),
            _ => Instead::Nothing,
        })
    });
    cut_off.set(|faults| faults.answer = Some(silent));
    // Less than broker.confirm_timeout, after which the passive declare has failed.
    let settings = at(&[cut_off.url(&vhost), broker.url(&vhost)]).set("client.timeout", "20s");
    leaves(&cut_off, &settings, &["30", "31"], "832040\n1346269\n");
}

/// The same holds for a status query.
#[test]
fn a_look_goes_to_a_broker_where_somebody_serves() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let other_vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    // Another broker, in effect, that has the queue and no consumer on it.
    let mut idle = wire::Client::connect(broker.port(), &other_vhost).unwrap();
    idle.declare("rpc_queue", &Declare::classic()).unwrap();
    let cut_off = Proxy::new(broker.port());
    let settings =
        at(&[cut_off.url(&other_vhost), broker.url(&vhost)]).set("client.timeout", "60s");
    leaves(&cut_off, &settings, &["status"], " consuming ");
}

#[test]
fn no_server_at_any_broker_is_reported() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    let proxies = [deserted(broker), deserted(broker)];
    let settings =
        at(&proxies.each_ref().map(|proxy| proxy.url(&vhost))).set("client.timeout", "60s");
    let output = fibrpc(&settings, &["30", "31"]);
    assert_eq!(
        (output.code(), output.stdout.as_str()),
        (69, ""),
        "{output:?}"
    );
    assert!(
        output.stderr.starts_with("fibrpc: 30: no server on queue"),
        "{output:?}"
    );
    assert!(proxies.iter().all(|proxy| proxy.accepted() > 0));
}

/// It goes on to say that somebody consumes, and takes no message.
#[test]
fn a_broker_that_confirms_nothing_is_left_for_another_one() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    let cut_off = Proxy::new(broker.port());
    let swallow = Answering::new(|from, frame| {
        let content = matches!(frame.kind, HEADER | BODY);
        let publish = frame.method_id() == Some(method::BASIC_PUBLISH);
        let dropped = from == Side::Client && (content || publish);
        dropped.then_some(Instead::Nothing)
    });
    cut_off.set(|faults| faults.answer = Some(swallow));
    let settings = at(&[cut_off.url(&vhost), broker.url(&vhost)]).set("client.timeout", "60s");
    leaves(&cut_off, &settings, &["30", "31"], "832040\n1346269\n");
}

/// UNAVAILABLE promises that nobody has worked on the request: not returned for a request that was published once.
#[test]
fn what_was_published_before_is_not_called_unavailable() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start_on(broker, &vhost, &Declare::exclusive());
    let runtime = runtime();
    let half = Duration::from_millis(500);
    let builder = Client::builder(&broker.url(&vhost)).reconnect(half, half);
    let client = runtime.block_on(builder.timeout(10 * SOON).connect());
    let client = client.unwrap();
    let call = |body| client.call::<Text>("rpc_queue", body).into_future();
    let failure = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(server.request().body, b"30");
            // The queue is deleted with its server.
            assert_eq!(broker.close_connections(&vhost), 2);
        });
        runtime.block_on(call("30")).unwrap_err()
    });
    assert_eq!(failure.code(), Code::Unknown, "{failure}");
    assert!(
        failure.status().message().starts_with("no queue"),
        "{failure}"
    );

    let mut server = Server::start(broker, &vhost);
    let (asked, ask) = tokio::sync::oneshot::channel();
    let failure = std::thread::scope(|scope| {
        scope.spawn(move || {
            server.request();
            asked.send(()).unwrap();
        });
        let closed = async {
            ask.await.unwrap();
            client.close().await;
        };
        let (outcome, ()) = runtime.block_on(async { tokio::join!(call("31"), closed) });
        outcome.unwrap_err()
    });
    assert_eq!(failure.code(), Code::Unknown, "{failure}");
    let failure = runtime.block_on(call("32")).unwrap_err();
    assert_eq!(failure.code(), Code::Unavailable, "{failure}");
}
