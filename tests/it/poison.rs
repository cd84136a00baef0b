//! Requests that kill: `examples/crash.rs`, a server that dies on request, under a restart loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, Process, SOON, example};

const QUEUE: &str = "rpc_queue";

fn start(broker: &Broker, vhost: &str, state: &Path) -> Process {
    let mut command = example("crash");
    command
        .env("FIBRPC_BROKER__URL", broker.url(vhost))
        .env("STATE_DIRECTORY", state);
    Process::start(&mut command, b"")
}

fn ask(client: &mut Client, id: &str, body: &str) {
    let request = Properties::new().correlation_id(id);
    client.request(QUEUE, request, body.as_bytes()).unwrap();
}

#[test]
fn a_request_that_kills_the_process_is_rejected_and_the_innocent_are_served() {
    for (queue, poison) in [
        (Declare::classic(), "abort"),
        (Declare::quorum(), "abort"),
        (Declare::quorum(), "abort later"),
    ] {
        let broker = Broker::shared();
        let vhost = broker.vhost();
        let state = tempfile::tempdir().unwrap();
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.declare(QUEUE, &queue).unwrap();
        for index in 0..60 {
            if index == 40 {
                ask(&mut client, "the-killer", poison);
            }
            ask(&mut client, &format!("innocent-{index}"), "canary-5e1f");
        }

        // As systemd does it.
        let mut server = start(broker, &vhost, state.path());
        let mut log = Vec::new();
        let mut deaths = 0;
        let mut answers = BTreeMap::new();
        let end = Instant::now() + SOON * 2;
        let done = |log: &[String]| log.iter().any(|line| line.contains("rejected request"));
        while answers.len() < 60 || !done(&server.stderr()) {
            assert!(
                Instant::now() < end,
                "{deaths} deaths, {} answers",
                answers.len()
            );
            if !server.is_running() {
                deaths += 1;
                assert!(deaths <= 4, "one that accuses nobody, and three strikes");
                log.extend(server.stderr());
                server = start(broker, &vhost, state.path());
            }
            while let Ok(reply) = client.next_delivery(Duration::from_millis(20)) {
                assert_eq!(reply.text(), "canary-5e1f");
                *answers.entry(reply.correlation_id()).or_insert(0) += 1;
            }
        }
        assert_eq!(deaths, 4);
        assert!(answers.values().all(|count| *count <= 2), "{answers:?}");
        log.extend(server.stderr());
        let verdict = log.iter().find(|line| line.contains("rejected request"));
        let verdict = verdict.unwrap();
        assert!(
            verdict.contains("after 3 sessions died with it"),
            "{verdict}"
        );
        assert!(
            log.iter().all(|line| !line.contains("canary-5e1f")),
            "{log:#?}"
        );
        broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
            depth.ready + depth.unacked == 0
        });
        let report = client.report(QUEUE, SOON).unwrap();
        assert_eq!(report["poisoned"], 1, "{report}");
        // It serves on, and at once.
        ask(&mut client, "later", "later");
        assert_eq!(client.next_delivery(SOON).unwrap().text(), "later");
        assert!(server.is_running());
    }
}

#[test]
fn a_panic_is_the_end_of_its_request_alone() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let state = tempfile::tempdir().unwrap();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let mut server = start(broker, &vhost, state.path());
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.consumers > 0);
    for body in ["panic", "panic later"] {
        ask(&mut client, "panics", body);
        let reply = client.next_delivery(SOON).unwrap();
        assert!(
            reply.text().starts_with("error: INTERNAL: "),
            "{}",
            reply.text()
        );
        let status = reply.properties.find_text("fibrpc-status");
        assert_eq!(status.as_deref(), Some("INTERNAL"));
        ask(&mut client, "good", "good");
        assert_eq!(client.next_delivery(SOON).unwrap().text(), "good");
    }
    let report = client.report(QUEUE, SOON).unwrap();
    assert_eq!(
        (&report["sessions"], &report["pid"]),
        (&1.into(), &server.pid().into())
    );
    assert!(server.is_running());
}
