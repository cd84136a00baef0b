//! A flood of what a daemon allows by default: it delays small requests little, and takes a bounded amount of memory.

use crate::support::proxy::Confirms;
use crate::support::wire::{Client, Properties};
use crate::support::{Broker, Daemon, Proxy, SOON, Settings, until_still};

const QUEUE: &str = "rpc_queue";

/// The largest n that is answered by default.
const LARGEST: &str = "1000000";

/// More than a daemon and its buffers take, in bytes.
const MAX_PEAK: u64 = 100 << 20;

const MEBIBYTE: usize = 1 << 20;

/// A number as a text of a mebibyte, the largest request.
fn padded(n: &str) -> Vec<u8> {
    let zeros = "0".repeat(MEBIBYTE - n.len());
    (zeros + n).into_bytes()
}

/// Requests for which the broker finds no caller.
fn ask_for_nobody(client: &mut Client, requests: u64, body: &[u8]) {
    for id in 0..requests {
        // The proxy tells requests apart by their ids.
        let nobody = Properties::request("amq.gen-nobody", id.to_string());
        client.publish(QUEUE, &nobody, body).unwrap();
    }
}

/// The daemon takes all of them, and so finds the small requests behind them. `scripts/bench-flood` measures what they
/// cost the small ones.
#[test]
fn small_requests_pass_a_thousand_of_the_largest() {
    const LARGE: u64 = 1_000;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost).set("server.concurrency", 1);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.call(QUEUE, b"30", SOON).unwrap();
    let mut flood = Client::connect(broker.port(), &vhost).unwrap();
    flood.confirm_select().unwrap();
    ask_for_nobody(&mut flood, LARGE, LARGEST.as_bytes());
    // All of them are before the small ones.
    flood.wait_for_confirms(SOON).unwrap();
    for _ in 0..10 {
        assert_eq!(client.call(QUEUE, b"30", SOON).unwrap().text(), "832040");
    }
    let report = client.report(QUEUE, SOON).unwrap();
    let left = report["in_flight"].as_u64().unwrap();
    assert!(left >= LARGE / 2, "not passed: {report}");
}

/// A thread that computes leaves the processor to others while small requests arrive, but not otherwise.
#[test]
fn a_large_computation_pauses_while_small_requests_arrive_and_only_then() {
    const LARGE: &[u8] = b"20000000";
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.concurrency", 1)
        .set("server.max_n", 20_000_000);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let mut other = Client::connect(broker.port(), &vhost).unwrap();
    client.call(QUEUE, b"30", SOON).unwrap();
    let waits = || daemon.waits_of("tokio-rt-worker");
    // The first one makes tables.
    other.call(QUEUE, LARGE, SOON).unwrap();
    let before = waits();
    other.call(QUEUE, LARGE, SOON).unwrap();
    let alone = waits() - before;
    let before = waits();
    let small = std::thread::scope(|scope| {
        let large = scope.spawn(|| other.call(QUEUE, LARGE, SOON).unwrap());
        let mut small = 0;
        while !large.is_finished() {
            client.call(QUEUE, b"30", SOON).unwrap();
            small += 1;
        }
        small
    });
    let beside = waits() - before;
    assert!(
        beside > 10 * (alone + 1),
        "{beside} beside {small} small requests, {alone} alone"
    );
}

/// A link so slow that all replies together take several times as long as a confirm may take.
#[test]
fn large_replies_take_turns_on_a_slow_link_and_small_ones_pass() {
    const LARGE: u64 = 64;
    const DIGITS: usize = 208_988;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("server.concurrency", 1)
        .set("broker.confirm_timeout", "3s");
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.call(QUEUE, b"30", SOON).unwrap();
    let mut flood = Client::connect(broker.port(), &vhost).unwrap();
    flood.confirm_select().unwrap();
    proxy.set(|faults| faults.rate = Some(3 << 19));
    for id in 0..LARGE {
        let properties = Properties::new().correlation_id(id.to_string());
        (flood.request(QUEUE, properties, LARGEST.as_bytes())).unwrap();
    }
    flood.wait_for_confirms(SOON).unwrap();
    assert_eq!(client.call(QUEUE, b"30", SOON).unwrap().text(), "832040");
    let report = client.report(QUEUE, SOON).unwrap();
    let left = report["in_flight"].as_u64().unwrap();
    assert!(left >= LARGE / 4, "not passed: {report}");
    // With one thread they are computed in order.
    for id in 0..LARGE {
        let reply = flood.next_delivery(SOON).unwrap();
        assert_eq!(reply.correlation_id(), id.to_string());
        assert_eq!(reply.body.len(), DIGITS);
    }
    let report = client.report(QUEUE, SOON).unwrap();
    assert_eq!(report["sessions"], 1, "{report}");
    proxy.assert_clean();
}

/// What waits for the pool has left its body behind.
#[test]
fn waiting_requests_take_little_memory_however_large_they_were() {
    const LARGE: u64 = 200;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("queue.type", "classic")
        .set("server.concurrency", 1);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.call(QUEUE, b"30", SOON).unwrap();
    ask_for_nobody(&mut client, LARGE, &padded(LARGEST));
    // It is behind them.
    assert_eq!(client.call(QUEUE, b"30", SOON).unwrap().text(), "832040");
    let peak = daemon.peak_resident();
    assert!(peak < MAX_PEAK, "{peak} bytes");
}

/// The broker sends as much as the prefetch allows before it confirms that it sends no more.
#[test]
fn a_stop_takes_little_memory_however_much_arrives_meanwhile() {
    const LARGE: u64 = 200;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    // A daemon with many threads begins with a wide prefetch.
    let settings = Settings::at(&proxy.url(&vhost))
        .set("queue.type", "classic")
        .set("server.concurrency", 1_000)
        .set("server.drain_timeout", "10m");
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.call(QUEUE, b"30", SOON).unwrap();
    daemon.signal("STOP");
    ask_for_nobody(&mut client, LARGE, &padded("30"));
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked >= LARGE / 2);
    // It stays until its replies are confirmed.
    proxy.set(|faults| faults.confirms = Confirms::Hold);
    daemon.signal("TERM");
    daemon.signal("CONT");
    daemon.wait_for_line("draining", SOON);
    until_still(|| broker.depth(&vhost, QUEUE).map(|depth| depth.unacked));
    let peak = daemon.peak_resident();
    proxy.set(|faults| faults.confirms = Confirms::Pass);
    assert!(daemon.wait(SOON * 6).success());
    assert!(peak < MAX_PEAK, "{peak} bytes");
    proxy.assert_clean();
}
