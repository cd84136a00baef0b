//! The control queue: permissions, what ends it, and the messages that it receives.

use serde_json::Value;

use super::{NOT_LISTENING, as_user, declare, fibrpc, status, status_of};
use crate::call::assert_answered;
use crate::support::wire::{self, Declare, Properties, Publish};
use crate::support::{Broker, Daemon, SOON, Settings, until};

#[test]
fn without_permission_for_a_control_queue_a_daemon_serves_and_warns_once() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    declare(broker, &vhost, &Declare::quorum());
    let bare = as_user(broker, &vhost, ["", "amq.default", "^rpc_queue$"]);
    let daemon = Daemon::start_consuming(broker, &vhost, &bare);
    let line = daemon.wait_for_line(NOT_LISTENING, SOON);
    assert!(line.contains("access to queue 'amq.gen-"), "{line}");

    let output = fibrpc(&settings, &["30"]);
    assert_answered(&output, "832040\n");
    let status = status(&settings);
    assert_eq!(
        (&status["silent"], &status["daemons"]),
        (&1.into(), &Value::Array(vec![]))
    );
    let said = |daemon: &Daemon| {
        let lines = daemon.stderr();
        lines
            .iter()
            .filter(|line| line.contains(NOT_LISTENING))
            .count()
    };
    assert_eq!(said(&daemon), 1, "{:?}", daemon.stderr());
    let trouble = |line: &String| line.contains("disconnected");
    assert!(
        !daemon.stderr().iter().any(trouble),
        "{:?}",
        daemon.stderr()
    );
}

#[test]
fn the_control_queue_can_be_switched_off_and_on() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let off = settings.clone().set("server.control", false);
    let daemon = Daemon::start(&off);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
    assert_eq!(status(&settings)["silent"], 1);
    assert!(
        !daemon
            .stderr()
            .iter()
            .any(|line| line.contains(NOT_LISTENING))
    );
    let control_queues = || {
        let all = broker.eval(&format!(
            r#"length([Q || Q <- rabbit_amqqueue:list(<<"{vhost}">>)])"#
        ));
        all.parse::<u32>().unwrap() - 1
    };
    assert_eq!(control_queues(), 0);

    daemon.reload(&settings);
    status_of(&settings, 1);
    assert_eq!(control_queues(), 1);
    daemon.reload(&off);
    until(SOON, "the end of the control queue", || {
        (control_queues() == 0).then_some(())
    });
    assert_eq!(status(&settings)["silent"], 1);
}

/// The names of the control queues.
fn control_queues(broker: &Broker, vhost: &str) -> String {
    broker.eval(&format!(
        r#"[binary_to_list(Name) || Q <- rabbit_amqqueue:list(<<"{vhost}">>),
            {{resource, _, queue, <<"amq.gen", _/binary>> = Name}} <- [amqqueue:get_name(Q)]]"#
    ))
}

/// Whatever ended it: here somebody deletes it.
#[test]
fn a_control_queue_that_is_gone_is_made_again() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    status_of(&settings, 1);
    for _ in 0..2 {
        let names = control_queues(broker, &vhost);
        let name = names.split('"').nth(1).unwrap();
        broker.ctl(&["-p", &vhost, "delete_queue", name]);
        let line = daemon.wait_for_line(NOT_LISTENING, SOON);
        assert!(line.contains("the broker ended its consumer"), "{line}");
        until(SOON, "another control queue", || {
            let now = control_queues(broker, &vhost);
            (now.contains("amq.gen") && now != names).then_some(())
        });
        assert_eq!(status_of(&settings, 1)["daemons"][0]["sessions"], 1);
    }
    daemon.wait_for_line("listening for status requests of rpc_queue again", SOON);
}

/// A permission that was missing is tried again rarely, and at once on a reload.
#[test]
fn a_reload_tries_the_control_queue_again() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    declare(broker, &vhost, &Declare::quorum());
    let bare = as_user(broker, &vhost, ["", "amq.default", "^rpc_queue$"]);
    let daemon = Daemon::start(&bare);
    daemon.wait_for_line(NOT_LISTENING, SOON);
    let url = bare.text();
    let user = url.split("//").nth(1).unwrap().split(':').next().unwrap();
    broker.eval(&format!(
        r#"rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>,
            <<".*">>, <<".*">>, <<".*">>, <<"tests">>)"#
    ));
    daemon.reload(&bare);
    status_of(&settings, 1);
    let said = daemon.stderr();
    let said = said.iter().filter(|line| line.contains(NOT_LISTENING));
    assert_eq!(said.count(), 1, "{:?}", daemon.stderr());
}

#[test]
fn the_control_queue_drops_everything_but_status_requests() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    status_of(&settings, 1);
    let mut client = wire::Client::connect(broker.port(), &vhost).unwrap();
    let (mine, ..) = client.declare("", &Declare::exclusive()).unwrap();
    client.declare("not_allowed", &Declare::durable()).unwrap();
    client.consume(&mine, true).unwrap();
    let mut ask = |kind: &str, to: &str| {
        let mut properties = Properties::request(to, kind);
        properties.kind = Some(kind.into());
        let publish = Publish {
            exchange: "amq.direct",
            routing_key: b"fibrpc.control.rpc_queue",
            header: properties.encode(2),
            body: b"30",
            ..Publish::default()
        };
        client.publish_raw(&publish).unwrap();
    };
    // More than the daemon takes at once, and more than wait for it.
    for _ in 0..100 {
        ask("fibrpc.status", "rpc_queue");
        ask("fibrpc.status", "not_allowed");
        ask("fibrpc.status", "");
    }
    let refused = "refused a reply address: `rpc_queue` is the request queue itself";
    daemon.wait_for_line(refused, SOON);
    status_of(&settings, 1);
    for kind in ["", "fibrpc.ping", "fibrpc.pong", "fibrpc.status"] {
        ask(kind, &mine);
    }
    let pong = client.next_delivery(SOON).unwrap();
    let asked = pong.properties.correlation_id.as_deref();
    assert_eq!(asked, Some(&b"fibrpc.status"[..]));
    let report = &status_of(&settings, 1)["daemons"][0];
    assert_eq!(report["received"], 0, "none went to the request queue");
    assert!(report["refused"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(broker.depth(&vhost, "not_allowed").unwrap().ready, 0);
}

#[test]
fn opening_the_control_queue_during_an_alarm_costs_no_session_and_is_tried_again() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let settings = Settings::new(&broker, &vhost);
    let impatient = settings.clone().set("broker.confirm_timeout", "3s");
    let daemon = Daemon::start(&impatient.clone().set("server.control", false));
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
    // A broker blocks a connection when it publishes: the reply must follow the alarm.
    daemon.signal("STOP");
    let mut client = wire::Client::connect(broker.port(), &vhost).unwrap();
    let (mine, ..) = client.declare("", &Declare::exclusive()).unwrap();
    client.confirm_select().unwrap();
    let request = Properties::request(&mine, b"1");
    client.publish("rpc_queue", &request, b"30").unwrap();
    client.wait_for_confirms(SOON).unwrap();
    broker.memory_alarm(true);
    daemon.signal("CONT");
    daemon.wait_for_line("blocked by the broker", SOON);
    daemon.reload(&impatient);
    daemon.wait_for_line(NOT_LISTENING, SOON);
    broker.memory_alarm(false);
    let report = &status_of(&settings, 1)["daemons"][0];
    assert_eq!(report["sessions"], 1);
    let output = fibrpc(&settings, &["30"]);
    assert_answered(&output, "832040\n");
}
