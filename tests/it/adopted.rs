//! Queues that others have declared: a stream is refused with a reason; settings that can lose requests are served and
//! warned about once per process. The doctor reports each.

use crate::doctor::report::doctor;
use crate::support::proxy::answer::{Answering, Instead, declare_ok, declared};
use crate::support::wire::frame::method;
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, Daemon, Proxy, SOON, Settings, until};

/// Bits of `queue.declare`.
const AUTO_DELETE: u8 = 8;

/// How `rpc_queue` may be declared, and what is said of it: the property, and the cost.
fn costly() -> Vec<(Declare, [&'static str; 2])> {
    let auto_delete = Declare {
        bits: Declare::durable().bits | AUTO_DELETE,
        ..Declare::durable()
    };
    let with =
        |declare: Declare, key: &str, number: i64| declare.argument(key, value::integer(number));
    let alone = Declare::quorum().argument("x-single-active-consumer", value::boolean(true));
    vec![
        (auto_delete, ["is auto-delete", "last consumer"]),
        (
            Declare::classic(),
            ["is transient", "restart of the broker"],
        ),
        (
            with(Declare::durable(), "x-expires", 600_000),
            ["x-expires = 600000", "deleted with the requests"],
        ),
        (
            with(Declare::quorum(), "x-message-ttl", 60_000),
            ["x-message-ttl = 60000", "callers time out"],
        ),
        (
            with(Declare::quorum(), "x-max-length", 5),
            ["x-max-length = 5", "the oldest requests are dropped"],
        ),
        (
            with(Declare::quorum(), "x-delivery-limit", 7),
            ["x-delivery-limit = 7", "restarts of servers"],
        ),
        (alone, ["x-single-active-consumer", "one server"]),
    ]
}

fn matching(daemon: &Daemon, word: &str) -> usize {
    let lines = daemon.stderr();
    lines.iter().filter(|line| line.contains(word)).count()
}

#[test]
fn what_costs_requests_is_served_and_warned_of_once() {
    let broker = Broker::shared();
    for (declare, [property, cost]) in costly() {
        let vhost = broker.vhost();
        let mut owner = Client::connect(broker.port(), &vhost).unwrap();
        owner.declare("rpc_queue", &declare).unwrap();
        let settings = Settings::new(broker, &vhost);
        let daemon = Daemon::start(&settings);
        let line = daemon.wait_for_line(property, SOON);
        assert!(line.contains(cost) && line.contains("WARN"), "{line}");
        let answer = owner.call("rpc_queue", b"30", SOON).unwrap();
        assert_eq!(answer.text(), "832040");

        let report = doctor(&settings);
        assert_eq!(report.output.code(), 1, "{report:#?}");
        let of_type = report.of("type");
        let found = of_type.iter().find(|finding| {
            let message = finding["message"].as_str().unwrap();
            finding["verdict"] == "warning"
                && finding.get("fix").is_some()
                && message.contains(cost)
        });
        assert!(found.is_some(), "{property}: {of_type:#?}");

        // The next session does not repeat the warning.
        broker.close_connections(&vhost);
        until(SOON, "the next session", || {
            (matching(&daemon, "consuming rpc_queue") == 2).then_some(())
        });
        assert_eq!(matching(&daemon, property), 1, "{:#?}", daemon.stderr());
    }
}

#[test]
fn a_queue_as_configured_causes_no_warning() {
    let broker = Broker::shared();
    for (declare, kind) in [
        (Declare::quorum(), "quorum"),
        (Declare::durable(), "classic"),
    ] {
        let vhost = broker.vhost();
        let mut owner = Client::connect(broker.port(), &vhost).unwrap();
        owner.declare("rpc_queue", &declare).unwrap();
        let settings = Settings::new(broker, &vhost).set("queue.type", kind);
        let daemon = Daemon::start_consuming(broker, &vhost, &settings);
        daemon.wait_for_line("consuming rpc_queue", SOON);
        assert_eq!(matching(&daemon, "WARN"), 0, "{:#?}", daemon.stderr());
    }
}

#[test]
fn a_stream_is_refused_until_it_is_gone() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut owner = Client::connect(broker.port(), &vhost).unwrap();
    // With an argument that differs before the type does.
    let stream = Declare::durable()
        .argument("x-queue-type", value::text("stream"))
        .argument("x-max-length-bytes", value::integer(100_000_000));
    owner.declare("rpc_queue", &stream).unwrap();
    owner.confirm_select().unwrap();
    owner
        .publish("rpc_queue", &Properties::new(), b"30")
        .unwrap();
    owner.wait_for_confirms(SOON).unwrap();
    let settings = Settings::new(broker, &vhost);
    let daemon = Daemon::start(&settings);
    let line = daemon.wait_for_line("is a stream", SOON);
    for word in ["\"rpc_queue\"", "must be classic or quorum", "queue.name"] {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
    assert_eq!(matching(&daemon, "consuming"), 0, "{:#?}", daemon.stderr());
    doctor(&settings).assert_problem("type", &["is a stream", "queue.name"]);

    owner.delete("rpc_queue").unwrap();
    // A reload ends the wait.
    daemon.signal("HUP");
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
}

/// A queue that goes away between the looks at it does not come back as something else.
#[test]
fn examining_a_queue_creates_none() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let there = Answering::to_method(method::QUEUE_DECLARE, |frame| {
        (declared(frame) == ("rpc_queue".into(), true)).then(|| declare_ok(frame, 0, 0))
    });
    proxy.set(|faults| faults.answer = Some(there));
    let settings = Settings::at(&proxy.url(&vhost))
        .set("queue.type", "classic")
        .set("queue.durable", false);
    let daemon = Daemon::start(&settings);
    daemon.wait_for_line("no queue 'rpc_queue'", SOON);
    assert_eq!(broker.depth(&vhost, "rpc_queue"), None);
}

/// A broker that does not answer while the queue is examined does not delay anything for long.
#[test]
fn a_look_that_gets_no_answer_is_given_up() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut owner = Client::connect(broker.port(), &vhost).unwrap();
    owner.declare("rpc_queue", &Declare::durable()).unwrap();
    let proxy = Proxy::new(broker.port());
    let mute = Answering::to_method(method::QUEUE_DECLARE, |frame| {
        (declared(frame) == ("rpc_queue".into(), false)).then_some(Instead::Nothing)
    });
    proxy.set(|faults| faults.answer = Some(mute));
    let settings = Settings::at(&proxy.url(&vhost)).set("server.control", false);
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let answer = owner.call("rpc_queue", b"30", SOON).unwrap();
    assert_eq!(answer.text(), "832040");
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0), "{:#?}", daemon.stderr());
    assert_eq!(matching(&daemon, "WARN"), 0, "{:#?}", daemon.stderr());
}
