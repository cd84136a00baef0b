//! A daemon whose broker has lost the request queue: nothing on the connection shows it, and the daemon detects it
//! nevertheless.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::call::fibrpc;
use crate::support::proxy::answer::{Answering, Instead, declare_ok, declared};
use crate::support::wire::frame::method;
use crate::support::{Broker, Daemon, Proxy, SOON, Settings, until};

/// From now on the queue seems to have no consumers, as on a node that does not reach the queue's leader.
fn desert(proxy: &Proxy) {
    let nobody = Answering::to_method(method::QUEUE_DECLARE, |frame| {
        let (name, passive) = declared(frame);
        (passive && name == "rpc_queue").then(|| declare_ok(frame, 0, 0))
    });
    proxy.set(|faults| faults.answer = Some(nobody));
}

/// A daemon with two addresses of the broker, the one that it uses first.
fn scene(broker: &Broker, vhost: &str) -> (Daemon, [Proxy; 2]) {
    let mut proxies = [Proxy::new(broker.port()), Proxy::new(broker.port())];
    let urls = proxies.each_ref().map(|proxy| proxy.url(vhost));
    let settings = Settings::at(&urls[0]).set("broker.url", urls.to_vec());
    let daemon = Daemon::start_consuming(broker, vhost, &settings);
    if proxies[0].accepted() == 0 {
        proxies.reverse();
    }
    assert_eq!(proxies[1].accepted(), 0);
    (daemon, proxies)
}

#[test]
fn a_broker_that_has_lost_the_queue_is_left_for_another_one() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (daemon, [lost, other]) = scene(broker, &vhost);
    desert(&lost);
    daemon.wait_for_line("is out of reach", SOON);
    until(SOON, "a session by the other way", || {
        (other.open(None) == 2).then_some(())
    });
    let settings = Settings::new(broker, &vhost).set("client.timeout", "20s");
    let output = fibrpc(&settings, &["--wait", "30"]);
    assert_eq!(output.stdout, "832040\n", "{output:?}");
    assert_eq!(lost.open(None), 0);
}

/// A leader that is too busy to be asked looks the same, but what it delivers is proof.
#[test]
fn a_broker_that_goes_on_delivering_is_not_left() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (_daemon, [used, other]) = scene(broker, &vhost);
    desert(&used);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "20s");
    // As long as it takes to give up a broker without a delivery, and half as long again.
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        let output = fibrpc(&settings, &["30"]);
        assert_eq!(output.stdout, "832040\n", "{output:?}");
    }
    assert_eq!((used.open(None), other.accepted()), (2, 0));
}

/// A leader that is cut off together with its clients reports its consumers, but cannot change them.
#[test]
fn a_broker_that_lets_no_consumer_begin_is_left() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (daemon, [lost, other]) = scene(broker, &vhost);
    let stuck = Answering::to_method(method::BASIC_CONSUME, |_| Some(Instead::Nothing));
    lost.set(|faults| faults.answer = Some(stuck));
    daemon.wait_for_line("has not let a consumer begin", SOON * 2);
    until(SOON, "a session by the other way", || {
        (other.open(None) == 2).then_some(())
    });
}

/// What proves that all is well must not cost what it watches over.
#[test]
fn a_daemon_at_rest_stays_where_it_is_and_keeps_its_requests() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (daemon, [used, other]) = scene(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "20s");
    let begun = Arc::new(AtomicU32::new(0));
    let counting = Answering::to_method(method::BASIC_CONSUME, {
        let begun = begun.clone();
        move |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            None
        }
    });
    used.set(|faults| faults.answer = Some(counting));
    until(SOON * 2, "two more consumers", || {
        (begun.load(Ordering::Relaxed) >= 2).then_some(())
    });
    let output = fibrpc(&settings, &["30"]);
    assert_eq!(output.stdout, "832040\n", "{output:?}");
    assert_eq!((used.open(None), other.accepted()), (2, 0));
    let log = daemon.stderr().join("\n");
    assert!(!log.contains("WARN"), "{log}");
}
