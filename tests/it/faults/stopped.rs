//! A daemon that is stopped past its own deadlines (a signal, a frozen cgroup, a paused virtual machine) reads what
//! has arrived in the meantime before it considers anything late.

use std::path::PathBuf;
use std::time::Duration;

use super::QUEUE;
use crate::support::wire::Client;
use crate::support::{Broker, Daemon, Proxy, Role, SOON, Settings, until};

/// The deadline that passes, long enough for a slow machine to be stopped before it.
const LIMIT: &str = "3s";

/// For how long the daemon is stopped.
const STOP: Duration = Duration::from_secs(5);

struct Stage {
    proxy: Proxy,
    vhost: String,
    settings: Settings,
}

impl Stage {
    fn new(broker: &Broker) -> Self {
        let vhost = broker.vhost();
        let proxy = Proxy::new(broker.port());
        let settings = Settings::at(&proxy.url(&vhost))
            .set("queue.type", "classic")
            .set("broker.connect_timeout", LIMIT)
            .set("broker.confirm_timeout", LIMIT)
            .set("server.drain_timeout", LIMIT);
        Self {
            proxy,
            vhost,
            settings,
        }
    }

    /// Nothing of what the broker says reaches the daemon on these connections.
    fn hold(&self, role: Option<Role>) {
        self.proxy.set(|faults| {
            faults.hold_broker = true;
            faults.hold_role = role;
        });
    }

    /// Stops the daemon; what was held arrives, and the deadline passes.
    fn stop(&mut self, daemon: &Daemon) {
        daemon.signal("STOP");
        self.proxy.heal();
        std::thread::sleep(STOP);
        daemon.signal("CONT");
    }

    /// The daemon has answered, and its confirm is held.
    fn answered_and_not_confirmed(&self, broker: &Broker) {
        self.hold(Some(Role::Publish));
        let mut client = Client::connect(broker.port(), &self.vhost).unwrap();
        let answer = client.call(QUEUE, b"30", SOON).unwrap();
        assert_eq!(answer.text(), "832040");
    }

    fn serves_without_a_reconnect(&self, broker: &Broker, daemon: &Daemon) {
        broker.wait_for_depth(&self.vhost, QUEUE, SOON, |depth| {
            depth.ready + depth.unacked == 0 && depth.consumers == 1
        });
        let mut client = Client::connect(broker.port(), &self.vhost).unwrap();
        let answer = client.call(QUEUE, b"31", SOON).unwrap();
        assert_eq!(answer.text(), "1346269");
        daemon.wait_for_line("connected to", SOON);
        let log = daemon.stderr().join("\n");
        assert!(!log.contains("disconnected"), "{log}");
        assert_eq!(log.matches("connected to").count(), 1, "{log}");
        assert_eq!(self.proxy.accepted(), 2);
    }
}

#[test]
fn a_confirm_that_has_arrived_is_not_late() {
    let broker = Broker::shared();
    let mut stage = Stage::new(broker);
    let daemon = Daemon::start_consuming(broker, &stage.vhost, &stage.settings);
    stage.answered_and_not_confirmed(broker);
    stage.stop(&daemon);
    stage.serves_without_a_reconnect(broker, &daemon);
}

#[test]
fn a_drain_counts_what_was_confirmed() {
    let broker = Broker::shared();
    let mut stage = Stage::new(broker);
    let mut daemon = Daemon::start_consuming(broker, &stage.vhost, &stage.settings);
    stage.answered_and_not_confirmed(broker);
    daemon.signal("TERM");
    daemon.wait_for_line("draining, 1 in flight", SOON);
    stage.stop(&daemon);
    let status = daemon.wait(SOON);
    let log = daemon.stderr().join("\n");
    assert!(status.success() && log.contains("drained in"), "{log}");
    assert!(!log.contains("WARN"), "{log}");
    broker.wait_for_depth(&stage.vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
}

#[test]
fn an_operation_whose_answer_has_arrived_is_not_late() {
    let broker = Broker::shared();
    let mut stage = Stage::new(broker);
    let mut file = None;
    let daemon = Daemon::start_with(&stage.settings, |command| {
        file = command.get_args().last().map(PathBuf::from);
    });
    daemon.wait_for_line("connected to", SOON);
    // Consuming with another prefetch takes three answers of the broker, of which the first one is held.
    stage.hold(Some(Role::Consume));
    let said = |stage: &Stage| stage.proxy.stats(Some(Role::Consume))[0].client_frames;
    let before = said(&stage);
    let changed = stage.settings.clone().set("server.prefetch", 1).text();
    std::fs::write(file.unwrap(), changed).unwrap();
    daemon.signal("HUP");
    until(SOON, "its first step", || {
        (said(&stage) > before).then_some(())
    });
    stage.stop(&daemon);
    stage.serves_without_a_reconnect(broker, &daemon);
}

#[test]
fn a_connection_that_is_being_opened_is_not_late() {
    let broker = Broker::shared();
    let mut stage = Stage::new(broker);
    stage.hold(None);
    let daemon = Daemon::start(&stage.settings);
    until(SOON, "both connections", || {
        (stage.proxy.accepted() == 2).then_some(())
    });
    stage.stop(&daemon);
    daemon.wait_for_line("connected to", SOON);
    stage.serves_without_a_reconnect(broker, &daemon);
}

/// What the broker never answered is late, whatever else it has said.
#[test]
fn what_has_not_arrived_is_late() {
    let broker = Broker::shared();
    let stage = Stage::new(broker);
    let daemon = Daemon::start_consuming(broker, &stage.vhost, &stage.settings);
    stage.answered_and_not_confirmed(broker);
    daemon.signal("STOP");
    std::thread::sleep(STOP);
    daemon.signal("CONT");
    let late = "the broker did not confirm a reply within 3s (broker.confirm_timeout)";
    daemon.wait_for_line(late, SOON);
}
