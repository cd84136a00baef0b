//! What the broker answers, judged by its text and not by its code alone.

use crate::doctor::report::doctor;
use crate::support::proxy::answer::{Answering, Declares};
use crate::support::wire::frame::method;
use crate::support::wire::{Client, Declare};
use crate::support::{Broker, Daemon, Proxy, SOON, Settings};

use super::{ask, assert_says};

const DOWN: &str = "NOT_FOUND - home node 'rabbit@b' of durable queue 'rpc_queue' in vhost '/' is down or inaccessible";

/// A queue that exists and cannot be used is not missing: there is no advice to start a server.
#[test]
fn a_queue_that_is_down_is_not_missing() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.declare("rpc_queue", &Declare::quorum()).unwrap();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost));
    let refuse = Answering::refuse_declares("rpc_queue", Declares::All, 404, DOWN);
    proxy.set(|faults| faults.answer = Some(refuse));
    let report = doctor(&settings);
    report.assert_problem("queue", &["is down or inaccessible", "node"]);
    let fix = report.of("queue")[0]["fix"].as_str().unwrap();
    assert!(!fix.contains("start fibrpcd"), "{fix}");

    let daemon = Daemon::start(&settings);
    let (_, line) = daemon.wait_for_line_from(0, "is down or inaccessible", SOON);
    assert!(!line.contains("start"), "{line}");
    proxy.set(|faults| faults.answer = None);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
}

/// Limits, locks and refusals of a declare are not a queue of another type.
#[test]
fn a_declare_is_refused_for_what_the_broker_says() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    broker.ctl(&["set_vhost_limits", "-p", &vhost, r#"{"max-queues":0}"#]);
    let daemon = Daemon::start(&Settings::new(broker, &vhost));
    let (_, line) = daemon.wait_for_line_from(0, "queue limit in vhost", SOON);
    assert!(line.contains("set_vhost_limits"), "{line}");
    assert!(!line.contains("delete that queue"), "{line}");
    broker.ctl(&["clear_vhost_limits", "-p", &vhost]);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);

    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&broker.vhost()));
    for (code, text, words, guesses) in [
        (
            406,
            "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'rpc_queue' in vhost '/': disallowed by policy",
            "disallowed by policy",
            "delete that queue",
        ),
        (
            405,
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'rpc_queue' in vhost '/'",
            "another connection",
            "delete that queue",
        ),
    ] {
        let refuse = Answering::refuse_declares("rpc_queue", Declares::Active, code, text);
        proxy.set(|faults| faults.answer = Some(refuse));
        let daemon = Daemon::start(&settings);
        let (_, line) = daemon.wait_for_line_from(0, "cannot declare queue", SOON);
        assert!(line.contains(words), "{line}");
        assert!(!line.contains(guesses), "{line}");
    }
}

/// Neither a virtual host that is down nor a negotiation that failed is a matter of permissions.
#[test]
fn an_open_is_refused_for_what_the_broker_says() {
    let broker = Broker::shared();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&broker.vhost()));
    for (code, text, words, guesses) in [
        (
            541,
            "INTERNAL_ERROR - access to vhost 'v' refused for user 'guest': vhost 'v' is down",
            "rabbitmqctl restart_vhost",
            "permission",
        ),
        (
            530,
            "NOT_ALLOWED - negotiated frame_max = 32768 is lower than the minimum allowed value (65536)",
            "lower than the minimum",
            "permission",
        ),
        (
            530,
            "NOT_ALLOWED - access to vhost 'v' refused for user 'guest': connection limit cannot be queried, timeout",
            "cannot be queried",
            "permission",
        ),
        (
            530,
            "NOT_ALLOWED - access to vhost 'v' refused for user 'guest': connection limit (5) is reached",
            "raise the limit",
            "permission",
        ),
    ] {
        let close = Answering::close_at(method::CONNECTION_OPEN, code, text);
        proxy.set(|faults| faults.answer = Some(close));
        assert_says(&ask(&settings), 69, &[words], &[guesses]);
    }
}

/// A message that the broker cannot encode ends each connection that consumes, before a request is seen.
#[test]
fn a_message_that_the_broker_cannot_deliver_is_named() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let end = Answering::close_at(method::BASIC_CONSUME, 541, "INTERNAL_ERROR");
    proxy.set(|faults| faults.answer = Some(end));
    let daemon = Daemon::start(&Settings::at(&proxy.url(&vhost)));
    let (_, line) = daemon.wait_for_line_from(0, "cannot deliver a message", SOON);
    for words in [
        "\"rpc_queue\"",
        "INTERNAL_ERROR",
        "delivery-limit",
        "purge_queue rpc_queue",
    ] {
        assert!(line.contains(words), "no {words:?} in {line}");
    }
    // Once is not enough to say so.
    let lines = daemon.stderr();
    let first = lines.iter().find(|line| line.contains("INTERNAL_ERROR"));
    assert!(first.unwrap().contains("cannot consume"), "{lines:#?}");
    proxy.set(|faults| faults.answer = None);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
}
