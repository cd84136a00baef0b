//! Requests and status requests whose reply ends the connection that publishes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::{QUEUE, STRANGE_NODE};
use crate::support::proxy::Side;
use crate::support::proxy::answer::{Answering, Instead};
use crate::support::wire::frame::method;
use crate::support::wire::{Client, Declare, Properties, Publish};
use crate::support::{Broker, Daemon, Proxy, SOON, Settings, until};

/// A well-formed address of a node that does not exist: no policy can know, and RabbitMQ 3.x ends the connection.
#[test]
fn an_address_that_ends_the_connection_is_found_out() {
    for queue in [Declare::classic(), Declare::quorum()] {
        let broker = Broker::shared();
        let vhost = broker.vhost();
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.declare(QUEUE, &queue).unwrap();
        let ask = |client: &mut Client, ids: std::ops::Range<u32>| {
            for id in ids {
                let request = Properties::new().correlation_id(format!("innocent-{id}"));
                client.request(QUEUE, request, b"30").unwrap();
            }
        };
        ask(&mut client, 0..30);
        ask_from(STRANGE_NODE, &mut client);
        ask(&mut client, 30..60);
        let settings = Settings::new(broker, &vhost);
        let mut daemon = Daemon::start(&settings);

        let mut answers = std::collections::BTreeMap::new();
        let end = Instant::now() + SOON * 3;
        while answers.len() < 60 {
            let left = end.saturating_duration_since(Instant::now());
            let reply = client.next_delivery(left).unwrap();
            assert_eq!(reply.text(), "832040");
            *answers.entry(reply.correlation_id()).or_insert(0_u32) += 1;
        }
        if !broker.generation().dies_of_strange_nodes() {
            assert_nobody_is_accused(broker, &vhost, &mut client, 1);
            assert!(answers.values().all(|count| *count == 1), "{answers:?}");
            continue;
        }
        daemon.wait_for_line("does not reach the node reply@123/2 of", SOON);
        let report = client.report(QUEUE, SOON).unwrap();
        eprintln!(
            "{} sessions, most answers {:?}",
            report["sessions"],
            answers.values().max()
        );
        assert_eq!(report["poisoned"], 0, "{report}");
        // The first, which blames nothing, one with the reply alone, and the one that continues to serve.
        assert!(report["sessions"].as_u64().unwrap() <= 3, "{report}");
        assert!(answers.values().all(|count| *count <= 3), "{answers:?}");
        broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
            depth.ready + depth.unacked == 0 && depth.consumers == 1
        });
        assert!(daemon.is_running());
        let log = daemon.stderr();
        assert!(
            log.iter().all(|line| !line.contains("innocent-")),
            "{log:#?}"
        );
    }
}

/// The broker dropped the reply to the unknown node, as newer ones do: the queue is empty after `sessions` sessions.
fn assert_nobody_is_accused(broker: &Broker, vhost: &str, client: &mut Client, sessions: u64) {
    broker.wait_for_depth(vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0 && depth.consumers == 1
    });
    let report = client.report(QUEUE, SOON).unwrap();
    assert_eq!(
        (&report["sessions"], &report["poisoned"]),
        (&sessions.into(), &0.into()),
        "{report}"
    );
}

/// A status request can end the session as well. The request that the session has in hand then is not blamed.
#[test]
fn a_question_that_ends_the_connection_accuses_no_request() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB")
        .set("broker.reconnect.max", "1s");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let endless = Properties::new().correlation_id("endless");
    client.request(QUEUE, endless, b"1000000000").unwrap();
    let mut question = Properties::request(STRANGE_NODE, "strange");
    question.kind = Some(b"fibrpc.status".to_vec());
    let control = format!("fibrpc.control.{QUEUE}");
    let strange = Publish {
        exchange: "amq.direct",
        routing_key: control.as_bytes(),
        header: question.encode(0),
        ..Publish::default()
    };
    if !broker.generation().dies_of_strange_nodes() {
        for _ in 0..5 {
            client.publish_raw(&strange).unwrap();
            let report = client.report(QUEUE, SOON).unwrap();
            assert_eq!(report["sessions"], 1, "{report}");
        }
        broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked == 1);
        return;
    }
    for deaths in 1..=5 {
        broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked == 1);
        // The control queue may be there a moment later than the session.
        until(SOON, "the end of a session", || {
            client.publish_raw(&strange).unwrap();
            let log = daemon.stderr();
            let ends = log.iter().filter(|line| line.contains("disconnected"));
            (ends.count() >= deaths).then_some(())
        });
    }
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked == 1);
    let log = daemon.stderr().join("\n");
    assert!(!log.contains("rejected request"), "{log}");
}

/// A request whose reply ends the connection that publishes it.
fn ask_from(name: &str, client: &mut Client) {
    client
        .publish_raw(&Publish {
            routing_key: QUEUE.as_bytes(),
            header: Properties::request(name, "strange").encode(2),
            body: b"30",
            ..Publish::default()
        })
        .unwrap();
}

/// Requests whose acks were lost with the session are redelivered ahead of the culprit: all of them are taken one at a
/// time, or each would cost a session of its own.
#[test]
fn requests_whose_acks_were_lost_hide_no_culprit() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    // A prefetch that takes all of them from the start: it does not grow while the broker hears of no ack.
    let settings = Settings::at(&proxy.url(&vhost)).set("server.concurrency", 16);
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    // Only this session's: the next one may follow at once.
    let over = AtomicBool::new(false);
    let swallowing = Answering::new(move |from, frame| match (from, frame.method_id()) {
        (Side::Client, Some(method::CONNECTION_OPEN)) => {
            over.store(true, Ordering::Relaxed);
            None
        }
        (Side::Client, Some(method::BASIC_ACK)) if !over.load(Ordering::Relaxed) => {
            Some(Instead::Nothing)
        }
        _ => None,
    });
    proxy.set(|faults| faults.answer = Some(swallowing));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    for id in 0..10 {
        let request = Properties::new().correlation_id(format!("innocent-{id}"));
        client.request(QUEUE, request, b"30").unwrap();
        assert_eq!(client.next_delivery(SOON).unwrap().text(), "832040");
    }
    // Two that arrive together: which of them it was is not known.
    let other = STRANGE_NODE.replace("QAAAAI=", "QAAAAM=");
    ask_from(STRANGE_NODE, &mut client);
    ask_from(&other, &mut client);
    let dies = broker.generation().dies_of_strange_nodes();
    if !dies {
        client.request(QUEUE, Properties::new(), b"30").unwrap();
        assert_eq!(client.next_delivery(SOON).unwrap().text(), "832040");
        proxy.reset(None);
    }
    daemon.wait_for_line("disconnected", SOON);

    for _ in 0..if dies { 10 } else { 11 } {
        assert_eq!(client.next_delivery(SOON).unwrap().text(), "832040");
    }
    if !dies {
        assert_nobody_is_accused(broker, &vhost, &mut client, 2);
        return;
    }
    until(SOON, "both nodes to be found out", || {
        let log = daemon.stderr().join("\n");
        (log.matches("does not reach the node").count() == 2).then_some(())
    });
    let report = client.report(QUEUE, SOON).unwrap();
    // The first, which may blame nothing, one more for each of the two, and the one that continues to serve.
    assert!(report["sessions"].as_u64().unwrap() <= 4, "{report}");
    assert!(daemon.is_running());
}
