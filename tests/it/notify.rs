//! Notifications to systemd, and signals: the real daemon with a test socket in systemd's place.

use crate::support::wire::Client;
use crate::support::{Broker, Daemon, Notify, Proxy, SOON, Settings, until};
use std::path::PathBuf;

/// An address where nothing listens.
const NOBODY: &str = "amqp://127.0.0.1:1";

#[test]
fn systemd_is_notified_of_start_and_stop() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let notify = Notify::new();
    let mut daemon = Daemon::start_notifying(&Settings::new(broker, &vhost), &notify);
    notify.wait_for("READY=1", SOON);
    let status = notify.wait_for_status("consuming", SOON);
    let port = broker.port();
    assert!(
        status.starts_with("consuming rpc_queue on ") && status.contains(&format!(":{port}, ")),
        "{status}"
    );
    let mut client = Client::connect(port, &vhost).unwrap();
    assert_eq!(
        client.call("rpc_queue", b"30", SOON).unwrap().text(),
        "832040"
    );
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0));
    // What was sent last may be read after the process has ended.
    notify.wait_for("STATUS=stopped", SOON);
    let all = notify.all();
    let stopping = all.iter().position(|datagram| datagram == "STOPPING=1\n");
    assert!(stopping.is_some(), "{all:?}");
    let ready: Vec<_> = all.iter().filter(|one| one.contains("READY=1")).collect();
    assert_eq!(ready.len(), 1, "{all:?}");
    assert_eq!(notify.last("STATUS").as_deref(), Some("stopped"));
    let stderr = daemon.stderr().join("\n");
    for event in ["started fibrpcd", "connected to", "draining", "drained"] {
        assert!(stderr.contains(event), "no {event:?} in: {stderr}");
    }
}

#[test]
fn ready_without_a_broker_after_the_ready_timeout() {
    let notify = Notify::new();
    let settings = Settings::at(NOBODY).set("server.ready_timeout", "1s");
    let mut daemon = Daemon::start_notifying(&settings, &notify);
    let status = notify.wait_for_status("waiting for broker 127.0.0.1:1, try ", SOON);
    assert!(status.contains(": connection refused"), "{status}");
    notify.wait_for("READY=1", SOON);
    daemon.signal("INT");
    assert_eq!(daemon.wait(SOON).code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_while_the_broker_is_down() {
    let notify = Notify::new();
    let mut daemon = Daemon::start_with(&Settings::at(NOBODY), |command| {
        command.env("NOTIFY_SOCKET", notify.path());
        command.env("WATCHDOG_USEC", "900000");
    });
    crate::support::until(SOON, "three words to the watchdog", || {
        let fed = notify.all();
        let fed = fed.iter().filter(|one| one.contains("WATCHDOG=1")).count();
        (fed >= 3).then_some(())
    });
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0));
}

/// A broker that does not answer must not look like a hang of the daemon, whatever the session waits for.
#[test]
fn the_watchdog_is_fed_while_a_frozen_broker_is_asked_for_something() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost));
    let notify = Notify::new();
    let mut file = None;
    let daemon = Daemon::start_with(&settings, |command| {
        command.env("NOTIFY_SOCKET", notify.path());
        command.env("WATCHDOG_USEC", "900000");
        file = command.get_args().last().map(PathBuf::from);
    });
    notify.wait_for_status("consuming", SOON);
    proxy.set(|faults| faults.hold_broker = true);
    // Takes a new consumer, and so two answers of the broker.
    let changed = settings.set("server.prefetch", 7);
    std::fs::write(file.unwrap(), changed.text()).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_line("reloaded the configuration", SOON);
    let fed = || {
        let all = notify.all();
        all.iter().filter(|one| one.contains("WATCHDOG=1")).count()
    };
    let before = fed();
    // Long before the connection counts as dead.
    until(SOON / 2, "three words to the watchdog", || {
        (fed() >= before + 3).then_some(())
    });
    // And it is still waiting: the old consumer has gone, and the new one is not there.
    broker.wait_for_consumers(&vhost, "rpc_queue", 0);
    proxy.set(|faults| faults.hold_broker = false);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
}

#[test]
fn a_long_drain_asks_for_more_time() {
    let notify = Notify::new();
    let settings = Settings::at(NOBODY).set("server.drain_timeout", "60s");
    let mut daemon = Daemon::start_notifying(&settings, &notify);
    notify.wait_for_status("waiting for broker", SOON);
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0));
    let expect = "STOPPING=1\nEXTEND_TIMEOUT_USEC=70000000\n";
    assert!(notify.all().iter().any(|datagram| datagram == expect));
}

/// A computation that takes far longer than the test waits for anything.
const ENDLESS: &str = "400000000";

/// A daemon that drains with this limit, and has one endless computation.
fn draining(broker: &Broker, vhost: &str, limit: &str) -> (Daemon, Notify) {
    let notify = Notify::new();
    let settings = Settings::new(broker, vhost)
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB")
        .set("server.drain_timeout", limit);
    let daemon = Daemon::start_notifying(&settings, &notify);
    notify.wait_for_status("consuming", SOON);
    ask(broker, vhost);
    notify.wait_for_status("1 in flight", SOON);
    daemon.signal("TERM");
    // Perhaps no longer the latest.
    notify.wait_for_status_from(0, "draining, 1 left, ", SOON);
    (daemon, notify)
}

#[test]
fn a_drain_counts_down_and_gives_up_at_its_limit() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (mut daemon, _notify) = draining(broker, &vhost, "2s");
    // TEMPFAIL: something was left undone.
    assert_eq!(daemon.wait(SOON).code(), Some(75));
    let stderr = daemon.stderr().join("\n");
    assert!(stderr.contains("abandoned 1 request"), "{stderr}");
    broker.wait_for_depth(&vhost, "rpc_queue", SOON, |depth| depth.ready == 1);
}

#[test]
fn a_second_signal_stops_at_once() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (mut daemon, _notify) = draining(broker, &vhost, "10m");
    daemon.signal("INT");
    assert_eq!(daemon.wait(SOON).code(), Some(75));
    broker.wait_for_depth(&vhost, "rpc_queue", SOON, |depth| depth.ready == 1);
}

/// Publishes a request that takes very long, with a reply address that is allowed.
fn ask(broker: &Broker, vhost: &str) {
    use crate::support::wire::Properties;
    let mut client = Client::connect(broker.port(), vhost).unwrap();
    client.confirm_select().unwrap();
    let properties = Properties::request("amq.gen-nobody", b"1");
    client
        .publish("rpc_queue", &properties, ENDLESS.as_bytes())
        .unwrap();
    client.wait_for_confirms(SOON).unwrap();
}
