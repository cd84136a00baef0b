//! Requests that crash the server: `examples/crash.rs`, which dies on request, in a restart loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::proxy::Confirms;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, Process, Proxy, SOON, example, until};

const QUEUE: &str = "rpc_queue";

fn command(url: &str, state: &Path) -> Command {
    let mut command = example("crash");
    command
        .env("FIBRPC_BROKER__URL", url)
        .env("STATE_DIRECTORY", state);
    command
}

fn start(url: &str, state: &Path) -> Process {
    Process::start(&mut command(url, state), b"")
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
        let proxy = Proxy::new(broker.port());
        let url = proxy.url(&vhost);
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.declare(QUEUE, &queue).unwrap();
        for index in 0..60 {
            if index == 40 {
                ask(&mut client, "the-killer", poison);
            }
            ask(&mut client, &format!("innocent-{index}"), "canary-5e1f");
        }

        // As systemd does it.
        let mut server = start(&url, state.path());
        let mut log = Vec::new();
        let mut deaths = 0;
        let mut answers = BTreeMap::new();
        let mut told = 0;
        let end = Instant::now() + SOON * 2;
        let done = |log: &[String]| log.iter().any(|line| line.contains("rejected request"));
        while answers.len() < 60 || told == 0 || !done(&server.stderr()) {
            assert!(
                Instant::now() < end,
                "{deaths} deaths, {} answers, told {told} times",
                answers.len()
            );
            if !server.is_running() {
                deaths += 1;
                assert!(deaths <= 4, "one that accuses nobody, and three strikes");
                log.extend(server.stderr());
                server = start(&url, state.path());
            }
            while let Ok(reply) = client.next_delivery(Duration::from_millis(20)) {
                if reply.correlation_id() == "the-killer" {
                    let expected =
                        "error: INTERNAL: the request took the server down 3 times; rejected";
                    assert_eq!(reply.text(), expected);
                    told += 1;
                    continue;
                }
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
        assert_eq!((told, &report["failed"]), (1, &1.into()), "{report}");
        proxy.assert_clean();
        // It serves on, and at once.
        ask(&mut client, "later", "later");
        assert_eq!(client.next_delivery(SOON).unwrap().text(), "later");
        assert!(server.is_running());
    }
}

/// The address is checked first, also for the last answer: a caller whose address is no longer allowed gets none.
#[test]
fn a_fatal_request_whose_address_is_no_longer_allowed_is_rejected_without_an_answer() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (url, state) = (broker.url(&vhost), tempfile::tempdir().unwrap());
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.declare(QUEUE, &Declare::classic()).unwrap();
    client.declare("orders", &Declare::classic()).unwrap();
    let killer = Properties::request("orders", "the-killer");
    client.publish(QUEUE, &killer, b"abort").unwrap();
    for _ in 0..4 {
        let mut command = command(&url, state.path());
        command.env("FIBRPC_SERVER__REPLY_TO_ALLOW", "orders");
        let mut server = Process::start(&mut command, b"");
        until(SOON, "a death", || (!server.is_running()).then_some(()));
    }
    let server = start(&url, state.path());
    let refused = "refused a reply address: `orders` is not allowed by server.reply_to_allow";
    server.wait_for_line(refused, SOON);
    server.wait_for_line("rejected request", SOON);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
    assert_eq!(broker.depth(&vhost, "orders").unwrap().ready, 0);
}

/// Nothing is settled before its reply is confirmed.
#[test]
fn a_fatal_request_is_rejected_once_its_answer_is_confirmed() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let state = tempfile::tempdir().unwrap();
    let proxy = Proxy::new(broker.port());
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.declare(QUEUE, &Declare::classic()).unwrap();
    ask(&mut client, "the-killer", "abort");
    proxy.set(|faults| faults.confirms = Confirms::Hold);
    let url = proxy.url(&vhost);
    for _ in 0..4 {
        let mut server = start(&url, state.path());
        until(SOON, "a death", || (!server.is_running()).then_some(()));
    }
    let server = start(&url, state.path());
    let told = client.next_delivery(SOON).unwrap();
    assert!(told.text().contains("took the server down 3 times"));
    ask(&mut client, "later", "later");
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready == 1 && depth.unacked == 1
    });
    let log = server.stderr().join("\n");
    assert!(!log.contains("rejected request"), "{log}");
    proxy.set(|faults| faults.confirms = Confirms::Pass);
    server.wait_for_line("rejected request", SOON);
    assert_eq!(client.next_delivery(SOON).unwrap().text(), "later");
}

#[test]
fn a_panic_ends_only_its_request() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let state = tempfile::tempdir().unwrap();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let mut server = start(&broker.url(&vhost), state.path());
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
