//! The main purpose: the real daemon answers the real client, the tutorial's clients and raw ones, survives its
//! broker, and reports what is wrong.

mod setup;
mod stop;

use std::time::Duration;

use crate::call::assert_answered;
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{
    Broker, Daemon, Fibrpc, SOON, Settings, fibonacci, lacks_pika, python, unix_ms, until,
};

const QUEUE: &str = "rpc_queue";
const MINUTES: Duration = Duration::from_secs(180);

fn answers(broker: &Broker, vhost: &str, body: &[u8]) -> String {
    let mut client = Client::connect(broker.port(), vhost).unwrap();
    client.call(QUEUE, body, SOON).unwrap().text()
}

#[test]
fn the_daemon_answers_the_client() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);

    let output = Fibrpc::new(&settings).run(SOON);
    assert_answered(&output, "832040\n");

    let output = Fibrpc::new(&settings)
        .args(["93", "0", "1", "94", "1"])
        .run(SOON);
    assert_answered(
        &output,
        "12200160415121876738\n0\n1\n19740274219868223167\n1\n",
    );

    let output = Fibrpc::new(&settings).args(["30", "1000001"]).run(SOON);
    assert_eq!((output.code(), output.stdout.as_str()), (65, "832040\n"));
    assert!(
        output.stderr.contains("1000000"),
        "names the limit: {}",
        output.stderr
    );

    let output = Fibrpc::new(&settings).args(["-v", "30"]).run(SOON);
    assert!(output.stderr.contains("computed"), "{}", output.stderr);
}

#[test]
fn five_thousand_numbers_come_out_right_and_in_order() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);

    let numbers = (0..5000).map(|n| n.to_string());
    let output = Fibrpc::new(&settings)
        .args(["--timeout", "2m"])
        .args(numbers)
        .run(MINUTES);
    assert_eq!(output.code(), 0, "{}", output.stderr);
    let expected = crate::support::ledger::fibonacci_numbers(5000);
    let lines = output.stdout.lines().collect::<Vec<_>>();
    assert_eq!(lines.len(), expected.len());
    for (n, (line, expected)) in lines.iter().zip(&expected).enumerate() {
        assert_eq!(line, expected, "n = {n}");
    }
}

#[test]
fn every_request_is_answered_although_the_broker_was_restarted() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    // One at a time, so that the restart comes long before the end.
    let settings = Settings::new(&broker, &vhost)
        .set("client.timeout", "2m")
        .set("server.prefetch", 1);
    let mut daemon = Daemon::start_consuming(&broker, &vhost, &settings);
    let pid = daemon.pid();

    let numbers = (0..5000).map(|n| n.to_string());
    let (client, _folder) = Fibrpc::new(&settings).args(numbers).start();
    let mut witness = Client::connect(broker.port(), &vhost).unwrap();
    until(SOON, "some requests to be served", || {
        let served = witness.report(QUEUE, SOON).unwrap()["served"]
            .as_u64()
            .unwrap();
        assert!(served < 4_000, "too fast for this test");
        (served >= 100).then_some(())
    });
    broker.stop();
    daemon.wait_for_line("disconnected", SOON);
    broker.start();

    let output = client.output(MINUTES);
    assert_eq!(output.code(), 0, "{}", output.stderr);
    let expected = crate::support::ledger::fibonacci_numbers(5000).join("\n");
    assert!(
        output.stdout.trim_end() == expected,
        "wrong or missing answers"
    );
    assert!(daemon.is_running());
    assert_eq!(daemon.pid(), pid);
}

#[test]
fn errors_reach_every_kind_of_caller() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();

    let reply = client.call(QUEUE, b"abc", SOON).unwrap();
    assert!(
        reply.text().starts_with("error: INVALID_ARGUMENT: "),
        "{}",
        reply.text()
    );
    assert_eq!(
        reply.properties.find_text("fibrpc-status").as_deref(),
        Some("INVALID_ARGUMENT")
    );
    assert_eq!(reply.text().lines().count(), 1);

    let json = |body: &str| {
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        let properties = Properties::new()
            .correlation_id("j")
            .content_type("application/json");
        client.request(QUEUE, properties, body.as_bytes()).unwrap();
        let reply = client.next_delivery(SOON).unwrap();
        serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap()
    };
    assert_eq!(json("30"), serde_json::json!({"n": 30, "value": "832040"}));
    assert_eq!(
        json(r#"{"n": 30}"#),
        serde_json::json!({"n": 30, "value": "832040"})
    );
    assert!(json(r#"{"n": "x"}"#)["detail"].is_string());
    assert_eq!(answers(broker, &vhost, b" 30\n"), "832040");
}

#[test]
fn ids_are_echoed_byte_for_byte() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let raw = [
        0xff_u8, 0, 1, 2, 0xc3, 0x28, 0x80, 9, 10, 11, 12, 13, 14, 0xfe, 15, 16,
    ];
    let longest = [0xfe_u8; 255];
    let ids: [&[u8]; 5] = [b"plain", &raw, &longest, b"", "π".as_bytes()];
    for id in ids {
        client
            .request(QUEUE, Properties::new().correlation_id(id), b"10")
            .unwrap();
        let reply = client.next_delivery(SOON).unwrap();
        assert_eq!(reply.properties.correlation_id.as_deref(), Some(id));
        assert_eq!(reply.text(), "55");
        assert!(
            reply
                .properties
                .find_header("fibrpc-raw-correlation-id")
                .is_none()
        );
    }
    // AMQP 1.0 clients send only a message id.
    client
        .request(QUEUE, Properties::new().message_id("m-1"), b"10")
        .unwrap();
    let reply = client.next_delivery(SOON).unwrap();
    assert_eq!(
        reply.properties.correlation_id.as_deref(),
        Some(&b"m-1"[..])
    );
}

#[test]
fn a_request_without_reply_address_is_acknowledged_and_nothing_else() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.publish(QUEUE, &Properties::new(), b"30").unwrap();
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
    assert_eq!(answers(broker, &vhost, b"30"), "832040");
}

#[test]
fn headers_of_a_request_are_not_copied_into_the_reply() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let (other, ..) = client.declare("", &Declare::exclusive()).unwrap();
    let mut copies = vec![b'A'];
    let name = value::text(&other);
    copies.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    copies.extend(name);
    // The broker itself fans the request out; the reply must not be.
    let request = Properties::new().correlation_id("cc").header("CC", copies);
    client.request(QUEUE, request, b"30").unwrap();
    let reply = client.next_delivery(SOON).unwrap();
    assert!(reply.properties.find_header("CC").is_none());
    let copy = client
        .get(&other, true)
        .unwrap()
        .expect("the broker's copy of the request");
    assert_eq!(copy.text(), "30");
    assert!(
        client.get(&other, true).unwrap().is_none(),
        "the reply was fanned out"
    );
}

#[test]
fn the_tutorials_client_is_served() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let output = python("tutorial_client.py", broker, &vhost, &["30"]).output(SOON);
    assert_eq!(output.code(), 0, "{}", output.stderr);
    assert!(output.stdout.contains("832040"), "{}", output.stdout);
}

#[test]
fn a_check_reads_everything_and_touches_no_network() {
    let daemon = |settings: &Settings| {
        let mut daemon = Daemon::start_with(settings, |command| {
            command.arg("--check");
        });
        let status = daemon.wait(SOON);
        (status.code(), daemon.stderr().join("\n"))
    };
    let (code, stderr) = daemon(&Settings::at("amqp://nobody:canary-7f3a@192.0.2.1/"));
    assert_eq!(code, Some(78), "an empty vhost: {stderr}");
    assert!(!stderr.contains("canary-7f3a"), "{stderr}");

    let (code, stderr) = daemon(&Settings::at("amqp://nobody:canary-7f3a@192.0.2.1"));
    assert_eq!(code, Some(0), "{stderr}");

    let wrong = Settings::at("amqp://localhost")
        .set("server.prefetch", 0)
        .set("server.prefech", 9);
    let (code, stderr) = daemon(&wrong);
    assert_eq!(code, Some(78));
    assert!(
        stderr.contains("server.prefetch") && stderr.contains("server.prefech"),
        "{stderr}"
    );
}

#[test]
fn a_large_number_does_not_delay_small_ones() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.max_n", 100_000_000)
        .set("server.max_reply_bytes", "100MiB");
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut large = Client::connect(broker.port(), &vhost).unwrap();
    // No more than a daemon takes at once.
    for id in 0..3 {
        let request = Properties::new().correlation_id(id.to_string());
        large.request(QUEUE, request, b"90000000").unwrap();
    }
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked + depth.ready > 1);
    let mut small = Client::connect(broker.port(), &vhost).unwrap();
    for n in 0..50 {
        let reply = small.call(QUEUE, n.to_string().as_bytes(), SOON).unwrap();
        assert_eq!(reply.text(), fibonacci(n));
    }
    let outstanding = broker.depth(&vhost, QUEUE).unwrap().unacked;
    assert!(
        outstanding > 0,
        "the large ones were done first: make them larger"
    );
}

#[test]
fn a_caller_that_stopped_waiting_is_not_computed_for() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost)
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB");
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let deadline = value::integer(1_000);
    let request = Properties::new()
        .correlation_id("late")
        .header("fibrpc-deadline", deadline);
    client.request(QUEUE, request, b"1000000000").unwrap();
    let reply = client.next_delivery(SOON).unwrap();
    assert!(
        reply.text().starts_with("error: DEADLINE_EXCEEDED"),
        "{}",
        reply.text()
    );

    // Two seconds from now, skew included: stopped while computing.
    let soon = value::integer(unix_ms() + 1_000);
    let request = Properties::new()
        .correlation_id("stopped")
        .header("fibrpc-deadline", soon);
    client.request(QUEUE, request, b"1000000000").unwrap();
    let reply = client.next_delivery(MINUTES).unwrap();
    assert!(
        reply.text().starts_with("error: DEADLINE_EXCEEDED"),
        "{}",
        reply.text()
    );
}

/// More than the system accepts as a keepalive interval.
#[test]
fn the_longest_heartbeat_works() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost).set("broker.heartbeat", "65535s");
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    assert_eq!(answers(broker, &vhost, b"30"), "832040");
}
