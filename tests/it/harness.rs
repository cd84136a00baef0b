//! The test harness itself: does it report what is there, and is it strict?

use std::process::Command;
use std::time::Duration;

use crate::call::assert_answered;
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Error, Properties, Publish};
use crate::support::{Broker, Process, SOON, lacks_pika, python, until};

#[test]
fn wire_client_publishes_and_gets_any_bytes() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    client.declare("q", &Declare::classic()).unwrap();
    let properties = Properties::request("somewhere", b"\xff\x00\xfe")
        .header("n", value::integer(-7))
        .header(b"\xff", value::text("x"))
        .header("deep", value::nested_tables(40))
        .header("text", value::text("words"));
    let body = vec![7; 300_000];
    client.publish("q", &properties, &body).unwrap();
    client.wait_for_confirms(SOON).unwrap();
    let got = client.get("q", true).unwrap().unwrap();
    if broker.generation().keeps_order_of_headers() {
        assert_eq!(got.properties, properties);
    } else {
        let sorted = Properties::request("somewhere", b"\xff\x00\xfe")
            .header("deep", value::nested_tables(40))
            .header("n", value::integer(-7))
            .header("text", value::text("words"))
            .header(b"\xff", value::text("x"));
        assert_eq!(got.properties, sorted);
    }
    assert_eq!(got.properties.find_text("text").as_deref(), Some("words"));
    assert_eq!(got.body, body);
    assert!(client.get("q", true).unwrap().is_none());
}

#[test]
fn wire_client_sees_returns_and_refusals() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    let nowhere = Publish {
        routing_key: b"nowhere",
        mandatory: true,
        header: Properties::new().encode(1),
        body: b"x",
        ..Publish::default()
    };
    client.publish_raw(&nowhere).unwrap();
    client.wait_for_confirms(SOON).unwrap();
    assert_eq!(client.returned.len(), 1);
    let refused = client.declare("nowhere", &Declare::passive());
    assert!(
        matches!(refused, Err(Error::Channel(404, _))),
        "{refused:?}"
    );
    client.open_channel().unwrap();
    client.declare("nowhere", &Declare::quorum()).unwrap();
    let unknown = Client::connect_as(broker.port(), "nobody", "x", &vhost);
    assert!(unknown.is_err());
}

#[test]
fn tutorial_fixtures_talk_to_each_other() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _server = python("tutorial_server.py", broker, &vhost, &[]);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
    let client = python("tutorial_client.py", broker, &vhost, &["30", "0"]);
    let output = client.output(SOON);
    assert_answered(&output, "832040\n0\n");
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    assert_eq!(
        client.call("rpc_queue", b"100", SOON).unwrap().text(),
        "354224848179261915075"
    );
}

#[test]
fn broker_keeps_port_and_data_through_every_kind_of_end() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    client.declare("q", &Declare::durable()).unwrap();
    client
        .publish("q", &Properties::new().persistent(), b"1")
        .unwrap();
    client.wait_for_confirms(SOON).unwrap();
    broker.wait_for_depth(&vhost, "q", SOON, |depth| depth.ready == 1);

    broker.remember_queues();
    broker.kill();
    assert!(Client::connect(broker.port(), &vhost).is_err());
    broker.start();
    assert_eq!(broker.depth(&vhost, "q").unwrap().ready, 1);

    broker.stop_app();
    assert!(Client::connect(broker.port(), &vhost).is_err());
    broker.start_app();

    broker.suspend();
    let address = ([127, 0, 0, 1], broker.port()).into();
    let silent = std::net::TcpStream::connect_timeout(&address, SOON);
    assert!(silent.is_ok(), "the kernel still accepts");
    broker.resume();

    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.declare("q", &Declare::passive()).unwrap();
    broker.memory_alarm(true);
    until(SOON, "connection.blocked", || {
        // The alarm reaches the connection a moment later, and is reported at the next publish after that.
        client.publish("q", &Properties::new(), b"2").unwrap();
        client.listen(Duration::from_millis(50)).unwrap();
        client.blocked.clone()
    });
    broker.memory_alarm(false);
    until(SOON, "connection.unblocked", || {
        client.listen(Duration::from_millis(50)).unwrap();
        client.blocked.is_none().then_some(())
    });
    assert_eq!(broker.close_connections(&vhost), 1);
    assert!(client.listen(SOON).is_err());
}

/// What the guard is for: a test process that is killed takes everything with it.
#[test]
fn nothing_outlives_a_killed_test_process() {
    if std::env::var_os(CHILD).is_some() {
        let mut sleeper = Command::new("sleep");
        let sleeper = Process::start(sleeper.arg("1000"), b"");
        eprintln!("sleeper {}", sleeper.pid());
        loop {
            std::thread::park();
        }
    }
    let mut inner = Command::new(std::env::current_exe().unwrap());
    let name = "harness::nothing_outlives_a_killed_test_process";
    inner.args([name, "--exact", "--nocapture"]).env(CHILD, "1");
    let inner = Process::start(&mut inner, b"");
    let line = inner.wait_for_line("sleeper ", SOON);
    let sleeper = line.rsplit(' ').next().unwrap();
    let folder = format!("/proc/{sleeper}");
    assert!(std::path::Path::new(&folder).exists());
    inner.signal("KILL");
    until(SOON, "the sleeper's end", || {
        let status = std::fs::read_to_string(format!("{folder}/status"));
        let gone = |status: String| status.contains("State:\tZ");
        status.map_or(true, gone).then_some(())
    });
}

const CHILD: &str = "FIBRPC_TEST_GUARD_CHILD";
