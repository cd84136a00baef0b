//! SIGHUP: a good configuration is in force at once, a bad one changes nothing.

use std::fs;
use std::path::PathBuf;

use crate::support::wire::Client;
use crate::support::{Broker, Daemon, Notify, SOON, Settings, until};

/// A daemon whose configuration file can be written again.
struct Reloadable {
    daemon: Daemon,
    notify: Notify,
    file: PathBuf,
    reloads: usize,
}

impl Reloadable {
    fn start(settings: &Settings) -> Self {
        let notify = Notify::new();
        let mut file = None;
        let daemon = Daemon::start_with(settings, |command| {
            command.env("NOTIFY_SOCKET", notify.path());
            file = command.get_args().last().map(PathBuf::from);
        });
        notify.wait_for_status("consuming", SOON);
        Self {
            daemon,
            notify,
            file: file.unwrap(),
            reloads: 0,
        }
    }

    /// Writes the file, sends SIGHUP, and waits until systemd was told of begin and end.
    fn reload(&mut self, text: &str) {
        fs::write(&self.file, text).unwrap();
        self.daemon.signal("HUP");
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
    server.reload(&limited.text());
    let line = server
        .daemon
        .wait_for_line("reloaded the configuration", SOON);
    assert!(line.contains("server.max_n, log.level"), "{line}");
    let refusal = client.call("rpc_queue", b"30", SOON).unwrap().text();
    assert!(refusal.starts_with("error: OUT_OF_RANGE"), "{refusal}");
    // Another queue takes another session, in the same process.
    server.reload(&settings.clone().set("queue.name", "jobs").text());
    server.notify.wait_for_status("consuming jobs on ", SOON);
    assert_eq!(client.call("jobs", b"30", SOON).unwrap().text(), "832040");
    assert!(server.daemon.is_running());
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
    server.reload(&bad.text());
    let status = server.notify.wait_for_status("reload refused: ", SOON);
    assert!(status.starts_with("consuming rpc_queue on "), "{status}");
    for key in ["server.prefetch", "queue.type"] {
        let pattern = format!("the old configuration stays in force: {key}");
        let line = server.daemon.wait_for_line(&pattern, SOON);
        assert!(line.contains(server.file.to_str().unwrap()), "{line}");
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
    server.reload(&fixed.text());
    server
        .notify
        .wait_for_status("reload refused: server.instance: cannot change", SOON);
    assert_eq!(
        client.call("rpc_queue", b"30", SOON).unwrap().text(),
        "832040"
    );
    // The next good one wipes it away.
    server.reload(&settings.text());
    until(SOON, "a STATUS without a refusal", || {
        let status = server.notify.last("STATUS")?;
        (!status.contains("refused")).then_some(())
    });
}
