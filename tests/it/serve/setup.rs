//! What the daemon finds when it sets up a session: existing queues, refusals, no broker.

use super::{QUEUE, answers};
use crate::support::wire::{Client, Declare};
use crate::support::{Broker, Daemon, Fibrpc, SOON, Settings};

#[test]
fn a_queue_is_adopted_as_it_is() {
    let broker = Broker::shared();
    for declare in [Declare::classic(), Declare::durable(), Declare::quorum()] {
        let vhost = broker.vhost();
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.declare(QUEUE, &declare).unwrap();
        let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
        assert_eq!(answers(broker, &vhost, b"20"), "6765");
    }
}

#[test]
fn a_queue_that_is_somebody_elses_is_explained() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut owner = Client::connect(broker.port(), &vhost).unwrap();
    owner.declare(QUEUE, &Declare::exclusive()).unwrap();
    let daemon = Daemon::start(&Settings::new(broker, &vhost));
    let line = daemon.wait_for_line("disconnected", SOON);
    assert!(
        line.contains("RESOURCE_LOCKED") && line.contains("another connection's own"),
        "{line}"
    );
}

#[test]
fn a_deleted_queue_comes_back_and_is_served() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    assert_eq!(client.call(QUEUE, b"20", SOON).unwrap().text(), "6765");
    client.delete(QUEUE).unwrap();
    let (line, _) = daemon.wait_for_line_from(0, "cancelled", SOON);
    daemon.wait_for_line_from(line, " connected to ", SOON);
    assert_eq!(answers(broker, &vhost, b"21"), "10946");
}

#[test]
fn refused_credentials_and_missing_vhosts_are_said_plainly() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let at = |userinfo: &str, vhost: &str| {
        Settings::at(&format!(
            "amqp://{userinfo}@127.0.0.1:{}/{vhost}",
            broker.port()
        ))
    };
    let daemon = Daemon::start(&at("guest:canary-7f3a", &vhost));
    let line = daemon.wait_for_line("disconnected", SOON);
    assert!(
        line.contains("refused user \"guest\" or its password"),
        "{line}"
    );
    assert!(!line.contains("canary-7f3a"), "{line}");

    let daemon = Daemon::start(&at("guest:guest", "not-there"));
    let line = daemon.wait_for_line("disconnected", SOON);
    assert!(
        line.contains("vhost") && line.contains("not-there"),
        "{line}"
    );
}

#[test]
fn a_broker_that_comes_late_is_waited_for() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    broker.stop();
    // The broker takes seconds to start, in which the backoff would grow to half a minute.
    let settings = Settings::new(&broker, &vhost)
        .set("broker.reconnect.max", "2s")
        .set("client.timeout", "10m");
    let mut daemon = Daemon::start(&settings);
    let line = daemon.wait_for_line("disconnected", SOON);
    assert!(line.contains("connection refused"), "{line}");

    let output = Fibrpc::new(&settings).args(["30"]).run(SOON);
    assert_eq!(output.code(), 69);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(
        output.stderr.contains("connection refused"),
        "{}",
        output.stderr
    );

    broker.start();
    broker.wait_for_consumers(&vhost, QUEUE, 1);
    assert!(daemon.is_running());
    assert_eq!(answers(&broker, &vhost, b"30"), "832040");
}
