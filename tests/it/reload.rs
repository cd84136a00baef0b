//! SIGHUP: a valid configuration takes effect at once, an invalid one changes nothing.

use std::time::Duration;

use crate::support::wire::{Client, Properties};
use crate::support::{Broker, Daemon, Notify, Proxy, SOON, Settings, until};

/// A daemon whose configuration file can be written again.
pub struct Reloadable {
    pub daemon: Daemon,
    pub notify: Notify,
    reloads: usize,
}

impl Reloadable {
    pub fn start(settings: &Settings) -> Self {
        let notify = Notify::new();
        let daemon = Daemon::start_notifying(settings, &notify);
        notify.wait_for_status("consuming", SOON);
        Self {
            daemon,
            notify,
            reloads: 0,
        }
    }

    /// Replaces the configuration, and waits until systemd was notified of begin and end.
    pub fn reload(&mut self, settings: &Settings) {
        self.daemon.reload(settings);
        self.reloads += 1;
        until(SOON, "RELOADING, then READY", || {
            let all = self.notify.all();
            let mut begun = all
                .iter()
                .enumerate()
                .filter(|(_, one)| one.starts_with("RELOADING=1\nMONOTONIC_USEC="));
            let (place, _) = begun.nth(self.reloads - 1)?;
            let after = &all[place + 1..];
            after
                .iter()
                .any(|one| one.contains("READY=1"))
                .then_some(())
        });
    }
}

#[test]
fn a_good_configuration_applies_without_a_new_process() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let mut server = Reloadable::start(&settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    assert_eq!(
        client.call("rpc_queue", b"30", SOON).unwrap().text(),
        "832040"
    );
    let limited = settings
        .clone()
        .set("server.max_n", 29)
        .set("log.level", "debug");
    server.reload(&limited);
    let line = server
        .daemon
        .wait_for_line("reloaded the configuration", SOON);
    assert!(line.contains("server.max_n, log.level"), "{line}");
    let refusal = client.call("rpc_queue", b"30", SOON).unwrap().text();
    assert!(refusal.starts_with("error: OUT_OF_RANGE"), "{refusal}");
    server.daemon.wait_for_line("answered", SOON);
    // Smaller requests, and larger ones again: in the same session.
    let padded = [b' '; 100]
        .iter()
        .chain(b"30")
        .copied()
        .collect::<Vec<u8>>();
    for (limit, expect) in [
        ("64B", "error: INVALID_ARGUMENT: the body of 102 bytes"),
        ("1KiB", "832040"),
    ] {
        server.reload(&settings.clone().set("server.max_request_bytes", limit));
        let answer = client.call("rpc_queue", &padded, SOON).unwrap().text();
        assert!(answer.starts_with(expect), "{limit}: {answer}");
    }
    assert_eq!(client.report("rpc_queue", SOON).unwrap()["sessions"], 1);
    // Another queue takes another session, in the same process.
    server.reload(&settings.clone().set("queue.name", "jobs"));
    server.notify.wait_for_status("consuming jobs on ", SOON);
    assert_eq!(client.call("jobs", b"30", SOON).unwrap().text(), "832040");
    assert!(server.daemon.is_running());
}

#[test]
fn more_computations_at_once_are_begun_at_once() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB")
        .set("server.concurrency", 1);
    let mut server = Reloadable::start(&settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    // Its reply leaves room for others in the memory that replies may take.
    let endless = Properties::request("amq.gen-nobody", b"1");
    client.publish("rpc_queue", &endless, b"200000000").unwrap();
    client.wait_for_confirms(SOON).unwrap();
    server.notify.wait_for_status("1 in flight", SOON);
    // Large enough for the pool, where it waits in line.
    let large = Properties::new().correlation_id("large");
    client.request("rpc_queue", large, b"300000").unwrap();
    server.notify.wait_for_status("2 in flight", SOON);
    let at_once = Duration::from_millis(500);
    assert!(client.next_delivery(at_once).is_err(), "it did not wait");
    server.reload(&settings.set("server.concurrency", 2));
    let answer = client.next_delivery(SOON).unwrap();
    assert_eq!(answer.correlation_id(), "large");
}

#[test]
fn a_bad_configuration_changes_nothing_and_is_said_everywhere() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let mut server = Reloadable::start(&settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let bad = settings
        .clone()
        .set("server.max_n", 29)
        .set("server.prefetch", 0)
        .set("queue.type", "stream");
    server.reload(&bad);
    let status = server.notify.wait_for_status("reload refused: ", SOON);
    assert!(status.starts_with("consuming rpc_queue on "), "{status}");
    for key in ["server.prefetch", "queue.type"] {
        let pattern = format!("the old configuration stays in force: {key}");
        let line = server.daemon.wait_for_line(&pattern, SOON);
        assert!(
            line.contains(server.daemon.file().to_str().unwrap()),
            "{line}"
        );
    }
    // Not even the part that was good is applied.
    assert_eq!(
        client.call("rpc_queue", b"30", SOON).unwrap().text(),
        "832040"
    );
    // What cannot change is refused by name, and nothing beside it changes either.
    let fixed = settings
        .clone()
        .set("server.max_n", 29)
        .set("server.instance", "other");
    server.reload(&fixed);
    server
        .notify
        .wait_for_status("reload refused: server.instance: cannot change", SOON);
    assert_eq!(
        client.call("rpc_queue", b"30", SOON).unwrap().text(),
        "832040"
    );
    // The next good one wipes it away.
    server.reload(&settings);
    until(SOON, "a STATUS without a refusal", || {
        let status = server.notify.last("STATUS")?;
        (!status.contains("refused")).then_some(())
    });
}

/// The session that is replaced dies before it is done, which only the log shows.
#[test]
fn a_session_that_dies_while_it_is_replaced_affects_nobody() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB");
    let mut server = Reloadable::start(&settings);
    // Keeps the session from ending its drain.
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    let request = Properties::request("amq.gen-nobody", b"1");
    client.publish("rpc_queue", &request, b"400000000").unwrap();
    client.wait_for_confirms(SOON).unwrap();
    server.notify.wait_for_status("1 in flight", SOON);
    server.reload(&settings.set("broker.url", broker.url(&vhost)));
    let address = format!("consuming rpc_queue on 127.0.0.1:{}", broker.port());
    server.notify.wait_for_status(&address, SOON);
    assert!(proxy.reset(None) > 0);
    server.daemon.wait_for_line("ended early", SOON);
    let answer = client.call("rpc_queue", b"30", SOON).unwrap();
    assert_eq!(answer.text(), "832040");
    let log = server.daemon.stderr().join("\n");
    assert!(!log.contains("disconnected"), "{log}");
}

/// A stop during a change of session lets all sessions finish, and counts what they did not finish.
#[test]
fn a_stop_during_a_change_of_session_is_said_and_has_its_time() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB")
        .set("server.drain_timeout", "10m");
    let mut server = Reloadable::start(&settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let endless = |id: &str| Properties::new().correlation_id(id);
    client
        .request("rpc_queue", endless("one"), b"1000000000")
        .unwrap();
    server.notify.wait_for_status("1 in flight", SOON);
    server.reload(&settings.set("broker.heartbeat", "11s"));
    let (line, _) = server.daemon.wait_for_line_from(0, "connected to", SOON);
    server.daemon.wait_for_line_from(line, "connected to", SOON);
    client
        .request("rpc_queue", endless("two"), b"1000000000")
        .unwrap();
    server.notify.wait_for_status("2 in flight", SOON);
    server.daemon.signal("TERM");
    server.daemon.wait_for_line("draining, 2 in flight", SOON);
    server.notify.wait_for_status("draining, 2 left, ", SOON);
    server.daemon.signal("TERM");
    assert_eq!(server.daemon.wait(SOON).code(), Some(75));
    let log = server.daemon.stderr().join("\n");
    assert!(log.contains("abandoned 2 requests"), "{log}");
    assert_eq!(log.matches("draining, ").count(), 1, "{log}");
}
