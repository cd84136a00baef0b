//! The examples for users of the library: each server, its own client, and a client in Python.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};

use crate::support::depth::Depth;
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Delivery, Properties};
use crate::support::{
    Broker, Fibrpc, Process, SOON, Settings, example, lacks_pika, python, unix_ms,
};

/// An example that serves its queue in a virtual host of its own.
struct Serving {
    name: &'static str,
    broker: &'static Broker,
    vhost: String,
    queue: &'static str,
    server: Process,
}

impl Serving {
    fn start(name: &'static str, queue: &'static str, arguments: &[&str]) -> Self {
        let broker = Broker::shared();
        let vhost = broker.vhost();
        let server = run(name, broker, &vhost, arguments);
        broker.wait_for_consumers(&vhost, queue, 1);
        Self {
            name,
            broker,
            vhost,
            queue,
            server,
        }
    }

    /// A request of another client.
    fn request(&self, client: &mut Client, properties: Properties, body: &str) -> Delivery {
        let body = body.as_bytes();
        client.request(self.queue, properties, body).unwrap();
        client.next_delivery(SOON).unwrap()
    }

    fn client(&self) -> Client {
        Client::connect(self.broker.port(), &self.vhost).unwrap()
    }

    /// What the example's own client prints.
    fn ask(&self, arguments: &[&str]) -> String {
        let output = run(self.name, self.broker, &self.vhost, arguments).output(SOON);
        assert_eq!(output.code(), 0, "{output:?}");
        output.stdout.trim_end().to_owned()
    }

    /// The results of a client in Python.
    fn python(&self, method: &Value, bodies: &[Value]) -> Vec<Value> {
        let mut arguments = vec![self.queue.to_owned(), method.to_string()];
        arguments.extend(bodies.iter().map(Value::to_string));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let client = python("typed_client.py", self.broker, &self.vhost, &arguments);
        let output = client.output(SOON);
        assert_eq!(output.code(), 0, "{output:?}");
        let lines = output.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Ends the server, which leaves nothing behind.
    fn drain(mut self) {
        self.server.signal("TERM");
        assert_eq!(self.server.wait(SOON).code(), Some(0));
        // A quorum queue applies acks a moment after they have arrived.
        let nothing = |left: Depth| (left.ready, left.unacked) == (0, 0);
        (self.broker).wait_for_depth(&self.vhost, self.queue, SOON, nothing);
    }
}

fn run(name: &str, broker: &Broker, vhost: &str, arguments: &[&str]) -> Process {
    let mut command = example(name);
    command.env("AMQP_URL", broker.url(vhost)).args(arguments);
    Process::start(&mut command, b"")
}

fn json_request() -> Properties {
    Properties::new()
        .correlation_id("1")
        .content_type("application/json")
}

fn status(reply: &Delivery) -> String {
    reply.properties.find_text("fibrpc-status").unwrap()
}

/// The code and the detail of a problem object.
fn problem(reply: &Delivery) -> (String, String) {
    let problem: Value = serde_json::from_str(&reply.text()).unwrap();
    let text = |member: &str| problem[member].as_str().unwrap().to_owned();
    (text("code"), text("detail"))
}

#[test]
fn price_is_a_typed_service() {
    let serving = Serving::start("price", "prices", &[]);
    let mut client = serving.client();
    let reply = serving.request(
        &mut client,
        json_request(),
        r#"{"item": "tea", "count": 2}"#,
    );
    assert_eq!(reply.text(), r#"{"cents":700}"#);
    let content_type = reply.properties.content_type.as_deref();
    assert_eq!(content_type, Some(&b"application/json"[..]));
    for (body, code, cause) in [
        (
            r#"{"item": "gold", "count": 1}"#,
            "NOT_FOUND",
            "no such item",
        ),
        (
            r#"{"item": "tea"}"#,
            "INVALID_ARGUMENT",
            "missing field `count`",
        ),
        ("", "INVALID_ARGUMENT", "not the expected JSON"),
        ("\u{0}", "INVALID_ARGUMENT", "not the expected JSON"),
    ] {
        let reply = serving.request(&mut client, json_request(), body);
        let (refused, detail) = problem(&reply);
        assert_eq!(refused, code, "{body}");
        assert!(detail.contains(cause), "{detail}");
    }
    serving.drain();
}

#[test]
fn the_crates_page_begins_with_a_typed_service_and_its_client_in_25_lines() {
    let page = include_str!("../../src/lib.rs").lines();
    let page = page.filter_map(|line| line.strip_prefix("//!"));
    let code = page.skip_while(|line| *line != " ```no_run").skip(1);
    let code: Vec<&str> = code.take_while(|line| *line != " ```").collect();
    let shown = code.iter().filter(|line| !line.starts_with(" # "));
    assert!((10..=25).contains(&shown.count()), "{code:#?}");
    for part in ["Server::builder", "Client::connect", "client.call"] {
        assert!(code.iter().any(|line| line.contains(part)), "{part}");
    }
}

#[test]
fn router_has_two_methods_and_a_layer() {
    let serving = Serving::start("router", "clock", &[]);
    assert_eq!(serving.ask(&["wait", "10"]), "10");
    let refused = "OUT_OF_RANGE: waits at most 1s";
    assert_eq!(serving.ask(&["wait", "3600000"]), refused);
    let unknown = serving.ask(&["then"]);
    assert!(unknown.starts_with("UNIMPLEMENTED: "), "{unknown}");
    let mut client = serving.client();
    let method = |name: &str| Properties {
        kind: Some(name.into()),
        ..json_request()
    };
    let before = unix_ms();
    let now = serving.ask(&["now"]).parse().unwrap();
    assert!((before..=unix_ms()).contains(&now), "{now}");
    for unknown in [method("then"), json_request()] {
        let reply = serving.request(&mut client, unknown, "");
        assert_eq!(status(&reply), "UNIMPLEMENTED", "{}", reply.text());
    }
    // The drain waits for the reply of a request in progress: it was sent before one that is answered.
    for (name, body) in [("wait", "900"), ("now", "")] {
        let request = method(name).correlation_id(name);
        client.request("clock", request, body.as_bytes()).unwrap();
    }
    let first = client.next_delivery(SOON).unwrap();
    serving.drain();
    let second = client.next_delivery(SOON).unwrap();
    let mut ids = [first.correlation_id(), second.correlation_id()];
    ids.sort();
    assert_eq!(ids, ["now", "wait"]);
}

#[test]
fn primes_are_counted_until_the_caller_no_longer_waits() {
    let serving = Serving::start("primes", "primes", &[]);
    assert_eq!(serving.ask(&["1000000"]), "78498");
    let mut client = serving.client();
    let text = || Properties::new().correlation_id("1");
    for (n, primes) in [("0", "0"), ("2", "0"), ("3", "1"), ("1000", "168")] {
        let reply = serving.request(&mut client, text(), n);
        assert_eq!((status(&reply), reply.text()), ("OK".into(), primes.into()));
    }
    for (body, code) in [("tea", "INVALID_ARGUMENT"), ("10000000001", "OUT_OF_RANGE")] {
        assert_eq!(status(&serving.request(&mut client, text(), body)), code);
    }
    // It passed half a second ago, and the tolerance is one second. The computation would take minutes.
    let deadline = value::integer(unix_ms() - 500);
    let request = text().header("fibrpc-deadline", deadline);
    let reply = serving.request(&mut client, request, "10000000000");
    assert_eq!(status(&reply), "DEADLINE_EXCEEDED", "{}", reply.text());
    serving.drain();
}

#[test]
fn stock_takes_an_order_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stock.db");
    let file = file.to_str().unwrap();
    let serving = Serving::start("stock", "stock", &[file]);
    assert_eq!(serving.ask(&["1", "tea", "2"]), "8 left");
    // A request that is delivered again takes nothing more.
    assert_eq!(serving.ask(&["1", "tea", "2"]), "8 left");
    let refused = r#"FAILED_PRECONDITION: only 8 left: {"left":8}"#;
    assert_eq!(serving.ask(&["2", "tea", "9"]), refused);
    assert_eq!(serving.ask(&["3", "gold", "1"]), "NOT_FOUND: no such item");
    // What was refused is not recorded.
    assert_eq!(serving.ask(&["2", "tea", "1"]), "7 left");
    serving.drain();
    let serving = Serving::start("stock", "stock", &[file]);
    assert_eq!(serving.ask(&["1", "tea", "2"]), "7 left");
    serving.drain();
}

#[test]
fn reverse_takes_ten_lines() {
    let source = include_str!("../../examples/reverse.rs").lines();
    let code = source.filter(|line| !line.is_empty() && !line.starts_with("//"));
    assert_eq!(code.count(), 10);
    let mut serving = Serving::start("reverse", "reverse", &[]);
    let settings = Settings::new(serving.broker, &serving.vhost);
    let ask = Fibrpc::new(&settings).args(["call", "reverse", "stressed π"]);
    let output = ask.run(SOON);
    assert_eq!(output.stdout.trim_end(), "π desserts", "{output:?}");
    let reply = serving.client().call("reverse", b"\xff", SOON);
    let reply = reply.unwrap().text();
    assert!(reply.starts_with("error: INVALID_ARGUMENT"), "{reply}");
    serving.server.signal("TERM");
    assert_eq!(serving.server.wait(SOON).signal(), Some(15));
}

#[test]
fn a_client_in_python_calls_typed_services_and_methods() {
    if lacks_pika() {
        return;
    }
    let prices = Serving::start("price", "prices", &[]);
    let orders =
        [("tea", 2), ("gold", 1)].map(|(item, count)| json!({"item": item, "count": count}));
    let answers = prices.python(&Value::Null, &orders);
    assert_eq!(answers[0], json!({"cents": 700}));
    assert_eq!(answers[1]["type"], "urn:fibrpc:error:NOT_FOUND");
    assert_eq!(answers[1]["detail"], "no such item");
    prices.drain();

    let clock = Serving::start("router", "clock", &[]);
    let before = unix_ms();
    let now = clock.python(&json!("now"), &[Value::Null])[0]
        .as_i64()
        .unwrap();
    assert!((before..=unix_ms()).contains(&now), "{now}");
    let waits = clock.python(&json!("wait"), &[json!(10), json!(3_600_000)]);
    assert_eq!(waits[0], 10);
    assert_eq!(waits[1]["code"], "OUT_OF_RANGE");
    assert_eq!(waits[1]["details"], json!({"limit_ms": 1000}));
    let unknown = &clock.python(&json!("then"), &[Value::Null])[0];
    assert_eq!(unknown["code"], "UNIMPLEMENTED");
    assert_eq!(unknown["retryable"], false);
    clock.drain();
}
