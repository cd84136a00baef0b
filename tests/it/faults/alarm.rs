//! A broker short of memory: it stops reading from connections that publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{CONSUMING, Held, PREFETCH, QUEUE, Scene, full, prefetch};
use crate::support::proxy::Confirms;
use crate::support::proxy::answer::Answering;
use crate::support::wire::frame::method;
use crate::support::wire::{Client, Properties};
use crate::support::{Broker, Daemon, Proxy, SOON, Settings, until};

#[test]
fn an_alarm_is_waited_out() {
    let broker = Broker::exclusive();
    let mut scene = Scene::new(&broker);
    let held = Held::by(&scene.daemon);
    // With requests behind those whose replies wait for confirms, there is something left to reply to.
    scene.proxy.set(|faults| faults.confirms = Confirms::Hold);
    broker.wait_for_depth(&scene.vhost, QUEUE, SOON, |depth| {
        super::is_full(depth) && depth.ready > 0
    });
    broker.memory_alarm(true);
    scene.proxy.set(|faults| faults.confirms = Confirms::Pass);
    scene.wait_for_status("blocked by the broker", SOON);
    std::thread::sleep(Duration::from_secs(if full() { 60 } else { 3 })); // the fault itself
    broker.memory_alarm(false);
    scene.wait_for_status(CONSUMING, SOON);
    scene.load.wait_for_answers(40, SOON);
    held.assert_returned(&scene.daemon);
    let log = scene.daemon.stderr().join("\n");
    assert!(!log.contains("disconnected"), "{log}");
    let report = scene.finish(&broker);
    assert_eq!(report.duplicated, 0);
}

/// Requests that need no reply are processed while one that does is waiting: acks and replies use different
/// connections.
#[test]
fn acks_go_on_while_replies_are_blocked() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let settings = Settings::new(&broker, &vhost)
        .set("queue.type", "classic")
        .set("server.prefetch", prefetch());
    drop(Daemon::start_consuming(&broker, &vhost, &settings));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    let request = Properties::new().correlation_id("first");
    client.request(QUEUE, request, b"30").unwrap();
    for _ in 0..100 {
        client.publish(QUEUE, &Properties::new(), b"30").unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();

    broker.memory_alarm(true);
    let daemon = Daemon::start(&settings);
    daemon.wait_for_line("blocked by the broker", SOON);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        (depth.ready, depth.unacked) == (0, 1)
    });
    broker.memory_alarm(false);
    assert_eq!(client.next_delivery(SOON).unwrap().text(), "832040");
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked == 0);
}

#[test]
fn a_stop_under_an_alarm_ends_by_the_drain_deadline() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let settings = Settings::new(&broker, &vhost)
        .set("queue.type", "classic")
        .set("server.prefetch", prefetch())
        .set("broker.confirm_timeout", "10m")
        .set("server.drain_timeout", "2s");
    drop(Daemon::start_consuming(&broker, &vhost, &settings));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    for index in 0..2 * PREFETCH {
        let request = Properties::new().correlation_id(format!("stuck-{index}"));
        client.request(QUEUE, request, b"30").unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();

    broker.memory_alarm(true);
    let proxy = Proxy::new(broker.port());
    let published = Arc::new(AtomicU64::new(0));
    let count = published.clone();
    let counting = Answering::to_method(method::BASIC_PUBLISH, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        None
    });
    proxy.set(|faults| faults.answer = Some(counting));
    let through = settings.clone().set("broker.url", proxy.url(&vhost));
    let mut daemon = Daemon::start(&through);
    daemon.wait_for_line("blocked by the broker", SOON);
    until(SOON, "a window full of replies", || {
        (published.load(Ordering::Relaxed) == PREFETCH).then_some(())
    });
    daemon.signal("TERM");
    let status = daemon.wait(SOON);
    assert_eq!(status.code(), Some(75), "something was abandoned");
    daemon.wait_for_line(&format!("abandoned {PREFETCH}"), SOON);
    broker.memory_alarm(false);

    let _next = Daemon::start_consuming(&broker, &vhost, &settings);
    let mut ids = std::collections::BTreeSet::new();
    while (ids.len() as u64) < 2 * PREFETCH {
        ids.insert(client.next_delivery(SOON).unwrap().correlation_id());
    }
}
