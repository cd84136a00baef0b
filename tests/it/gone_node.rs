//! Callers whose node of the broker's cluster has died: RabbitMQ 3.10 ends each connection that replies to one of them;
//! later generations drop such a reply. Service goes on with all of them.

use crate::support::wire::{Client, Declare, Properties, Publish};
use crate::support::{Broker, Daemon, SOON, Settings};

const QUEUE: &str = "rpc_queue";

/// A direct reply-to name as a broker makes it that is none of the cluster's: of this node, started for this time, and of
/// this process.
fn name(node: u8, start: u8, process: u8) -> String {
    let name = format!("reply@{}", 100 + u32::from(node));
    let mut term = vec![131, 88, 118, 0, 9];
    term.extend(name.as_bytes());
    term.extend([0, 0, 0, process, 0, 0, 0, 1, 0, 0, 0, start]);
    format!("amq.rabbitmq.reply-to.{}.QUFB", base64(&term))
}

/// Of whole groups of three bytes, and one of two at the end.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for index in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * index)) as usize & 63];
            text.push(if index > group.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}

fn ask_from(client: &mut Client, reply_to: &str) {
    client
        .publish_raw(&Publish {
            routing_key: QUEUE.as_bytes(),
            header: Properties::request(reply_to, "gone").encode(2),
            body: b"30",
            ..Publish::default()
        })
        .unwrap();
}

struct Bench<'a> {
    broker: &'a Broker,
    vhost: String,
    client: Client,
}

impl<'a> Bench<'a> {
    fn new(broker: &'a Broker) -> Self {
        let vhost = broker.vhost();
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.declare(QUEUE, &Declare::classic()).unwrap();
        Self {
            broker,
            vhost,
            client,
        }
    }

    fn daemon(&self) -> Daemon {
        let settings = Settings::new(self.broker, &self.vhost);
        Daemon::start_consuming(self.broker, &self.vhost, &settings)
    }

    /// All requests are taken care of, none for good: what the daemon says of itself then.
    fn settled(&mut self, daemon: &mut Daemon) -> serde_json::Value {
        self.broker
            .wait_for_depth(&self.vhost, QUEUE, SOON, |depth| {
                depth.ready + depth.unacked == 0
            });
        let answer = self.client.call(QUEUE, b"30", SOON).unwrap();
        assert_eq!(answer.text(), "832040");
        assert!(daemon.is_running());
        let log = daemon.stderr().join("\n");
        assert!(!log.contains("rejected request"), "{log}");
        let report = self.client.report(QUEUE, SOON).unwrap();
        assert_eq!(report["poisoned"], 0, "{report}");
        report
    }
}

/// Whatever their number.
#[test]
fn callers_at_a_node_that_is_gone_stop_nobody() {
    for count in [5, 20, 200] {
        let mut bench = Bench::new(Broker::shared());
        // All of them wait when the daemon starts, among requests of callers that are alive.
        let mut live = 0;
        for process in 0..count {
            if process % 4 == 1 {
                let id = Properties::new().correlation_id("live");
                bench.client.request(QUEUE, id, b"30").unwrap();
                live += 1;
            }
            ask_from(&mut bench.client, &name(1, 1, process));
        }
        let mut daemon = bench.daemon();
        let mut answered = 0;
        while answered < live {
            let answer = bench.client.next_delivery(SOON).unwrap();
            assert_eq!(answer.text(), "832040");
            answered += 1;
        }
        let report = bench.settled(&mut daemon);
        // The first session may blame nothing, the second one ends by one reply alone; a third one continues to serve.
        let sessions = report["sessions"].as_u64().unwrap();
        assert!(sessions <= 3, "{count}: {report}");
        let told = "does not reach the node reply@101/1";
        if sessions > 1 {
            daemon.wait_for_line(told, SOON);
        }
        let log = daemon.stderr().join("\n");
        let told = log.matches(told).count();
        assert_eq!(told, usize::from(sessions > 1), "{log}");
        if sessions > 1 {
            assert_eq!(report["unanswerable"], count, "{report}");
            assert!(!log.contains("try 2 in 1"), "at once: {log}");
        }
    }
}

/// Each dead node is identified by itself, and a later start of a node with the same name is another node.
#[test]
fn several_nodes_that_are_gone_are_told_apart() {
    let mut bench = Bench::new(Broker::shared());
    for process in 0..10 {
        for (node, start) in [(1, 1), (1, 2), (2, 1)] {
            ask_from(&mut bench.client, &name(node, start, process));
        }
    }
    let mut daemon = bench.daemon();
    let report = bench.settled(&mut daemon);
    let sessions = report["sessions"].as_u64().unwrap();
    assert!(sessions <= 5, "{report}");
    for node in ["101/1", "101/2", "102/1"] {
        let line = format!("does not reach the node reply@{node} ");
        if sessions > 1 {
            daemon.wait_for_line(&line, SOON);
        } else {
            let log = daemon.stderr().join("\n");
            assert!(!log.contains(&line), "{log}");
        }
    }
}
