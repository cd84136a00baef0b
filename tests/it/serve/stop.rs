//! How the daemon stops: it drains; it stops at once when it is idle, at a second signal, or during a hung lookup.

use std::time::{Duration, Instant};

use super::{MINUTES, QUEUE};
use crate::support::wire::{Client, Properties};
use crate::support::{Broker, Daemon, Ledger, SOON, Settings, until};

const DRAIN: Duration = Duration::from_secs(30);

#[test]
fn a_drain_loses_nothing_and_answers_nothing_twice() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.prefetch", 200)
        .set("server.drain_timeout", format!("{}s", DRAIN.as_secs()));
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    client.call(QUEUE, b"1", SOON).unwrap();

    let mut ledger = Ledger::new();
    for index in 0..200_u64 {
        let n = if index % 20 == 0 { 200_000 } else { index };
        let id = format!("drain-{index}");
        ledger.asked(&id, n);
        let request = Properties::new().correlation_id(&id);
        client
            .request(QUEUE, request, n.to_string().as_bytes())
            .unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();
    (0..200).for_each(|index| ledger.confirmed(&format!("drain-{index}")));
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.unacked > 0 || depth.ready == 0
    });

    daemon.signal("TERM");
    let status = daemon.wait(DRAIN + SOON);
    assert!(status.success(), "{status}: {:?}", daemon.stderr());

    // Whatever was handed back is in the queue for the next daemon.
    let _next = Daemon::start_consuming(broker, &vhost, &settings);
    let end = Instant::now() + MINUTES;
    while ledger.open().next().is_some() {
        let left = end.saturating_duration_since(Instant::now());
        ledger.answered(&client.next_delivery(left).unwrap());
    }
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
    client.listen(Duration::from_millis(200)).unwrap();
    while let Ok(reply) = client.next_delivery(Duration::ZERO) {
        ledger.answered(&reply);
    }
    ledger.assert_clean(0);
}

#[test]
fn a_second_signal_stops_at_once_and_says_what_was_abandoned() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB")
        .set("server.drain_timeout", "10m");
    // What the process before has counted.
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("+abandoned");
    std::fs::write(&file, "41").unwrap();
    let mut daemon = Daemon::start_with(&settings, |command| {
        command.env("STATE_DIRECTORY", state.path());
    });
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.consumers > 0);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client
        .request(
            QUEUE,
            Properties::new().correlation_id("long"),
            b"1000000000",
        )
        .unwrap();
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked == 1);

    daemon.signal("TERM");
    daemon.wait_for_line("draining", SOON);
    daemon.signal("TERM");
    let status = daemon.wait(SOON);
    assert_eq!(status.code(), Some(75), "{:?}", daemon.stderr());
    let said = "abandoned 1 request, the broker delivers it again";
    daemon.wait_for_line(said, SOON);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.ready == 1);
    // The process ends before anybody can read its counter; the next one continues to count.
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "42\n");
}

#[test]
fn an_idle_daemon_leaves_at_once() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost).set("server.drain_timeout", "10m");
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    daemon.signal("TERM");
    let status = daemon.wait(SOON);
    assert!(status.success());
    until(SOON, "the consumer to go", || {
        (broker.depth(&vhost, QUEUE)?.consumers == 0).then_some(())
    });
}

/// Nothing can end a name lookup that hangs, and so the end of the process does not wait for it.
#[test]
fn a_lookup_that_hangs_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("hang.c"), folder.path().join("hang.so"));
    std::fs::write(
        &source,
        r#"#include <unistd.h>
        int getaddrinfo(void) { write(2, "looking up\n", 11); for (;;) pause(); }"#,
    )
    .unwrap();
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-fno-builtin", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    let settings = Settings::at("amqp://guest:guest@localhost");
    let mut daemon = Daemon::start_with(&settings, |command| {
        command.env("LD_PRELOAD", &library);
    });
    daemon.wait_for_line("looking up", SOON);
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0));
}
