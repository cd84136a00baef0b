//! Connections that are reset, closed, cut at any frame, hung, or never answered.

use std::time::{Duration, Instant};

use super::{CONSUMING, Held, NO_SESSION, Scene, full, times};
use crate::support::proxy::{Accept, Cut};
use crate::support::wire::{Client, Properties};
use crate::support::{Broker, Daemon, Notify, Proxy, Role, SOON, Settings, until};

/// The promise for a session that was lost to a plain fault of the network. A machine that does other things
/// besides breaks it now and then, but not half of the time.
const AGAIN: Duration = Duration::from_secs(2);

#[test]
fn resets_and_closes_are_over_in_two_seconds() {
    let broker = Broker::shared();
    let mut scene = Scene::new(broker);
    let roles = [None, Some(Role::Consume), Some(Role::Publish)];
    let mut held = None;
    let mut took = Vec::new();
    for round in 0..times(10, 100) {
        took.push(scene.fault(SOON, |scene| {
            assert!(scene.proxy.reset(roles[round % 3]) > 0);
        }));
        scene.load.wait_for_answers(20, SOON);
        // The first few sessions fill the allocator's pools.
        if round == 2 {
            held = Some(Held::by(&scene.daemon));
        }
    }
    for _ in 0..times(10, 100) {
        took.push(scene.fault(SOON, |scene| {
            assert!(broker.close_connections(&scene.vhost) >= 2);
        }));
        scene.load.wait_for_answers(20, SOON);
    }
    took.sort_unstable();
    assert!(took[took.len() / 2] < AGAIN, "{took:?}");
    held.unwrap().assert_returned(&scene.daemon);
    scene.finish(broker);
}

/// The session ends at every boundary of two frames, and in the middle of a frame, on either connection.
#[test]
fn cuts_at_any_frame_lose_nothing() {
    let broker = Broker::shared();
    let mut scene = Scene::with(broker, |settings| {
        settings
            .set("broker.reconnect.initial", "50ms")
            .set("broker.reconnect.max", "200ms")
    });
    let (first, step) = if full() {
        (1, 1)
    } else {
        (fastrand::usize(1..=10), 10)
    };
    eprintln!("cuts from frame {first} on");
    let held = Held::by(&scene.daemon);
    for role in [Role::Consume, Role::Publish] {
        for after in (first..=200).step_by(step) {
            let cut = Cut {
                // Whose connection it is is known from the second frame on.
                role: (after > 1).then_some(role),
                after: after as u64,
                torn: (after / step) % 2 == 1,
                reset: (after / step) % 4 > 1,
            };
            let before = scene.proxy.cuts();
            // A new session, so that frames are counted from its first one on.
            scene.proxy.reset(None);
            scene.proxy.set(|faults| faults.cut = Some(cut));
            until(SOON, "the cut", || {
                (scene.proxy.cuts() > before).then_some(())
            });
            scene.faults += 2;
            // Less than any operation may take: none has missed the end of its connection.
            scene.load.wait_for_answers(20, SOON);
        }
    }
    held.assert_returned(&scene.daemon);
    scene.finish(broker);
}

/// In the full set with the default heartbeat of 10 s, else with one of 2 s; noticed before the default
/// heartbeat would have noticed it.
#[test]
fn a_half_open_connection_is_noticed() {
    let broker = Broker::shared();
    let (heartbeat, notice, again) = if full() {
        ("10s", 25, 35)
    } else {
        ("2s", 15, 20)
    };
    let (notice, again) = (Duration::from_secs(notice), Duration::from_secs(again));
    let mut scene = Scene::with(broker, |settings| {
        settings
            .set("broker.heartbeat", heartbeat)
            .set("broker.connect_timeout", if full() { "10s" } else { "2s" })
    });
    let held = Held::by(&scene.daemon);
    for _ in 0..times(1, 3) {
        scene.proxy.black_hole();
        scene.faults += 1;
        scene.wait_for_status(NO_SESSION, notice);
        // The next attempt hangs as well.
        scene.wait_for_status(", try 3", notice);
        scene.proxy.heal();
        scene.wait_for_status(CONSUMING, again);
        scene.load.wait_for_answers(20, SOON);
    }
    held.assert_returned(&scene.daemon);
    scene.finish(broker);
}

#[test]
fn a_silent_broker_costs_one_timeout_per_attempt() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut proxy = Proxy::new(broker.port());
    let limit = Duration::from_millis(500);
    let settings = Settings::at(&proxy.url(&vhost))
        .set("broker.connect_timeout", "500ms")
        .set("broker.reconnect.initial", "1ms")
        .set("broker.reconnect.max", "1ms");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let held = Held::by(&daemon);
    proxy.accept(Accept::Silent);
    proxy.reset(None);
    let failure = "did not complete the handshake within 500ms (broker.connect_timeout)";
    daemon.wait_for_line(failure, SOON);
    // An attempt is two connections, of which a slow machine may make the second one late.
    let more = u32::try_from(times(20, 100)).unwrap();
    let attempts = proxy.accepted() / 2 + u64::from(more);
    let began = Instant::now();
    until(SOON * 10, "more attempts", || {
        (proxy.accepted() / 2 >= attempts).then_some(())
    });
    // Not two each. On a machine that is busy with other tests some timers are late.
    let took = began.elapsed() / more;
    assert!(took < limit * 2, "{took:?}");
    proxy.heal();
    broker.wait_for_consumers(&vhost, super::QUEUE, 1);
    held.assert_returned(&daemon);
}

/// Nothing that is said at the end is heard: neither the cancel nor the close is waited for too long. Nothing but
/// the drain's deadline ends it soon: the connection is given up after two heartbeats.
#[test]
fn a_stop_in_a_black_hole_ends_by_the_drain_deadline() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("queue.type", "classic")
        .set("broker.heartbeat", "10m")
        .set("broker.confirm_timeout", "10m")
        .set("server.drain_timeout", "1s");
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    daemon.wait_for_line("connected to", SOON);
    proxy.black_hole();
    daemon.signal("TERM");
    let status = daemon.wait(SOON);
    assert!(status.success(), "nothing was abandoned: {status}");
}

/// The drain waits for the broker; a second signal ends it.
#[test]
fn a_second_signal_is_heard_in_a_black_hole() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("broker.heartbeat", "10m")
        .set("server.drain_timeout", "10m");
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    daemon.wait_for_line("connected to", SOON);
    proxy.black_hole();
    daemon.signal("TERM");
    daemon.wait_for_line("draining", SOON);
    daemon.signal("TERM");
    // Less than two heartbeats, after which the connection would be given up.
    let status = daemon.wait(SOON);
    assert!(status.success(), "nothing was abandoned: {status}");
}

/// A reload that waits for the broker does not hold up a stop.
#[test]
fn a_stop_is_heard_while_a_reload_waits_in_a_black_hole() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("broker.heartbeat", "10m")
        .set("server.drain_timeout", "1s");
    let mut file = None;
    let mut daemon = Daemon::start_with(&settings, |command| {
        file = command.get_args().last().map(std::path::PathBuf::from);
    });
    daemon.wait_for_line("connected to", SOON);
    proxy.black_hole();
    let prefetch = settings.set("server.prefetch", 1).text();
    std::fs::write(file.unwrap(), prefetch).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_line("reloaded", SOON);
    daemon.signal("TERM");
    let status = daemon.wait(Duration::from_secs(15));
    assert!(status.success(), "nothing was abandoned: {status}");
    let log = daemon.stderr().join("\n");
    assert!(log.contains("draining, 0 in flight, at most 1"), "{log}");
}

/// A drain that loses its connection reports what it leaves behind.
#[test]
fn a_drain_that_is_cut_short_says_so() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB");
    let notify = Notify::new();
    let mut daemon = Daemon::start_notifying(&settings, &notify);
    notify.wait_for_status("consuming", SOON);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let request = Properties::new().correlation_id("endless");
    client
        .request(super::QUEUE, request, b"1000000000")
        .unwrap();
    notify.wait_for_status("1 in flight", SOON);
    daemon.signal("TERM");
    daemon.wait_for_line("draining, 1 in flight", SOON);
    proxy.reset(None);
    assert_eq!(daemon.wait(SOON).code(), Some(75));
    let log = daemon.stderr().join("\n");
    assert!(log.contains("the drain was cut short: "), "{log}");
    assert!(log.contains("abandoned 1"), "{log}");
}
