//! `fibrpc N...` against scripted servers and the tutorial's server.

mod ends;

use std::time::{Duration, Instant};

use crate::support::ports::Ports;
use crate::support::wire::properties::value;
use crate::support::wire::{self, Declare, Delivery, Properties};
use crate::support::{Broker, Fibrpc, Output, SOON, Settings, lacks_pika, python, until};

/// A server on `rpc_queue` that the test scripts.
pub struct Server(wire::Client);

impl Server {
    pub fn start(broker: &Broker, vhost: &str) -> Self {
        Self::start_on(broker, vhost, &Declare::classic())
    }

    pub fn start_on(broker: &Broker, vhost: &str, queue: &Declare) -> Self {
        let mut client = wire::Client::connect(broker.port(), vhost).unwrap();
        client.declare("rpc_queue", queue).unwrap();
        client.consume("rpc_queue", true).unwrap();
        Self(client)
    }

    pub fn request(&mut self) -> Delivery {
        self.0.next_delivery(SOON).unwrap()
    }

    pub fn reply(&mut self, request: &Delivery, body: &[u8]) {
        let to = request.properties.reply_to.clone().unwrap();
        let id = request.properties.correlation_id.clone().unwrap();
        let properties = Properties::new().correlation_id(id);
        let to = String::from_utf8(to).unwrap();
        self.0.publish(&to, &properties, body).unwrap();
    }

    /// Answers with a typed error.
    pub fn refuse(&mut self, request: &Delivery, code: &str, message: &str) {
        let to = request.properties.reply_to.clone().unwrap();
        let id = request.properties.correlation_id.clone().unwrap();
        let mut properties = Properties::new()
            .correlation_id(id)
            .header("fibrpc-status", value::text(code));
        properties.kind = Some(b"fibrpc.error".to_vec());
        let body = format!("error: {code}: {message}");
        let to = String::from_utf8(to).unwrap();
        self.0.publish(&to, &properties, body.as_bytes()).unwrap();
    }

    /// Whether no further request comes for a while.
    pub fn is_left_alone(&mut self) -> bool {
        self.0.next_delivery(Duration::from_millis(300)).is_err()
    }
}

pub fn fibrpc(settings: &Settings, arguments: &[&str]) -> Output {
    Fibrpc::new(settings).args(arguments).run(SOON)
}

#[track_caller]
pub fn assert_fails(output: &Output, code: i32, stderr: &str) {
    assert_eq!(
        (
            output.code(),
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (code, "", stderr)
    );
}

#[track_caller]
pub fn assert_answered(output: &Output, stdout: &str) {
    assert_eq!(
        (output.code(), output.stdout.as_str()),
        (0, stdout),
        "{output:?}"
    );
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_tutorial_server_is_asked_and_answers_come_in_order() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _server = python("tutorial_server.py", broker, &vhost, &["--quorum"]);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);

    let output = fibrpc(&settings, &[]);
    assert_eq!(
        (
            output.code(),
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (0, "832040\n", "")
    );

    let output = fibrpc(&settings, &["90", "abc", "0", "-1", "30"]);
    assert_eq!(
        (output.code(), output.stdout.as_str()),
        (65, "2880067194370816120\n0\n832040\n")
    );
    assert_eq!(
        output.stderr,
        "fibrpc: abc: not an integer; ask for a whole number such as 30\n\
         fibrpc: -1: negative; ask for 0 or more"
    );

    let output = fibrpc(&settings, &["--json", "5", "1e3"]);
    let answers = lines(&output.stdout);
    assert_eq!(
        (output.code(), output.stderr.as_str(), answers.len()),
        (65, "", 2)
    );
    assert_eq!(
        (&answers[0]["n"], &answers[0]["value"]),
        (&5.into(), &"5".into())
    );
    assert!(
        answers[0]["round_trip_us"].as_u64() > Some(0),
        "{answers:?}"
    );
    assert_eq!(
        (&answers[1]["n"], &answers[1]["code"]),
        (&"1e3".into(), &"INVALID_ARGUMENT".into())
    );
    assert_eq!(answers[1]["retryable"], false);
}

#[test]
fn a_reply_that_is_not_an_answer_is_shown_safely() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    for (reply, shown) in [("empty", "empty"), ("\u{1b}[2Jgotcha", "\\u{1b}[2Jgotcha")] {
        let vhost = broker.vhost();
        let _server = python("tutorial_server.py", broker, &vhost, &["--reply", reply]);
        broker.wait_for_consumers(&vhost, "rpc_queue", 1);
        let output = fibrpc(&Settings::new(broker, &vhost), &["30"]);
        assert_eq!((output.code(), output.stdout.as_str()), (76, ""));
        assert!(output.stderr.contains(shown), "{output:?}");
        assert!(!output.stderr.contains('\u{1b}'), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    }
}

#[test]
fn what_is_missing_is_reported_at_once_and_distinguished() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    let started = Instant::now();

    let output = fibrpc(&settings, &["30", "31", "32"]);
    assert_fails(
        &output,
        69,
        "fibrpc: 30: no queue \"rpc_queue\"; start a server on it, or check queue.name \
         and the vhost\nfibrpc: 2 more numbers failed in the same way",
    );

    let mut idle = wire::Client::connect(broker.port(), &vhost).unwrap();
    idle.declare("rpc_queue", &Declare::classic()).unwrap();
    let output = fibrpc(&settings, &["30"]);
    assert_fails(
        &output,
        69,
        "fibrpc: 30: no server on queue \"rpc_queue\"; is one running? (use --wait for a \
         server that polls or is about to start)",
    );
    assert_eq!(
        broker.depth(&vhost, "rpc_queue").unwrap().ready,
        0,
        "nobody was asked"
    );

    let missing = Settings::at(&broker.url("missing"));
    let output = fibrpc(&missing, &["30"]);
    assert_eq!((output.code(), output.stdout.as_str()), (77, ""));
    assert!(output.stderr.contains("\"missing\""), "{output:?}");

    let refused = Settings::at(&broker.url(&vhost).replace("guest@", "wrong@"));
    let output = fibrpc(&refused, &["30"]);
    assert_eq!((output.code(), output.stdout.as_str()), (77, ""));
    assert!(output.stderr.contains("user \"guest\""), "{output:?}");
    assert!(!output.stderr.contains("wrong"), "{output:?}");

    let ports = Ports::<1>::reserve();
    let address = format!("127.0.0.1:{}", ports.first());
    let down = Settings::at(&format!("amqp://{address}"));
    let output = fibrpc(&down, &["30", "31"]);
    let line = format!(
        "fibrpc: cannot reach broker {address}: connection refused; is rabbitmq-server running there?"
    );
    assert_fails(&output, 69, &line);
    let output = fibrpc(&down, &["--json", "30", "31"]);
    assert_eq!((output.code(), output.stderr.as_str()), (69, ""));
    let codes: Vec<_> = lines(&output.stdout)
        .iter()
        .map(|line| line["code"].clone())
        .collect();
    assert_eq!(codes, ["UNAVAILABLE", "UNAVAILABLE"]);
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "some waited for the timeout"
    );
}

#[test]
fn usage_and_configuration_are_checked_before_anything_else() {
    let settings = Settings::at("amqp://127.0.0.1:1");
    for (arguments, code, line) in [
        (
            &["--jsn"][..],
            64,
            "unexpected argument '--jsn' found; a similar argument exists: '--json'",
        ),
        (&["--timeout", "soon"], 64, "client.timeout"),
        (
            &["abc"],
            65,
            "abc: not an integer; ask for a whole number such as 30",
        ),
    ] {
        let output = fibrpc(&settings, arguments);
        assert_eq!(
            (output.code(), output.stdout.as_str()),
            (code, ""),
            "{output:?}"
        );
        assert!(
            output.stderr.starts_with("fibrpc: ") && output.stderr.contains(line),
            "{output:?}"
        );
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    }
    let output = fibrpc(&settings.clone().set("client.timeuot", "5s"), &["30"]);
    assert_eq!((output.code(), output.stdout.as_str()), (78, ""));
    assert!(output.stderr.contains("client.timeout"), "{output:?}");
    let absent = settings
        .clone()
        .set("broker.password_file", "/nonexistent/password");
    let output = fibrpc(&absent, &["30"]);
    assert_eq!((output.code(), output.stdout.as_str()), (78, ""));
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.contains("no such file"), "{output:?}");
    let output = fibrpc(&settings, &["--version"]);
    let version = concat!("fibrpc ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((output.code(), output.stdout.as_str()), (0, version));
}

#[test]
fn a_request_carries_its_id_reply_address_and_deadline() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost);
    let (process, _folder) = Fibrpc::new(&settings)
        .args(["--timeout", "20s", " 30\n"])
        .start();
    let request = server.request();
    assert_eq!(request.body, b"30");
    let properties = &request.properties;
    assert_eq!(properties.correlation_id, properties.message_id);
    assert_eq!(request.correlation_id().len(), 36);
    let to = properties.reply_to.as_deref().unwrap();
    assert!(to.starts_with(b"amq.rabbitmq.reply-to."), "{properties:?}");
    let expiration = properties.expiration.clone().unwrap();
    let expiration: u64 = String::from_utf8(expiration).unwrap().parse().unwrap();
    assert!((15_000..=20_000).contains(&expiration), "{expiration}");
    assert!(properties.find_header("fibrpc-deadline").is_some());
    server.reply(&request, b"832040");
    let output = process.output(SOON);
    assert_answered(&output, "832040\n");
}

#[test]
fn an_answer_is_printed_as_soon_as_it_is_next() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    // With -v each answer has a line on standard error, which comes after it.
    let (process, _folder) = Fibrpc::new(&settings).args(["-v", "1", "2", "3"]).start();
    let requests = [server.request(), server.request(), server.request()];
    server.reply(&requests[1], b"22");
    server.reply(&requests[0], b"11");
    process.wait_for_line("fibrpc: 2: round trip", SOON);
    server.reply(&requests[2], b"33");
    let output = process.output(SOON);
    assert_answered(&output, "11\n22\n33\n");
}

#[test]
fn with_wait_it_waits_for_queue_and_server() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    // Without a queue the request comes back, or it would be a late reply and not a missing queue.
    let output = fibrpc(&settings, &["--wait", "--timeout", "3s", "30"]);
    assert_fails(
        &output,
        69,
        "fibrpc: 30: no queue \"rpc_queue\"; start a server on it, or check queue.name and the \
         vhost; waited 3s",
    );
    let arguments = ["--wait", "--timeout", "60s", "-vv", "30"];
    let (process, _folder) = Fibrpc::new(&settings).args(arguments).start();
    until(SOON, "a connection", || {
        let count = broker.eval(&format!(
            r#"length([v || [{{vhost, <<"{vhost}">>}}] <- rabbit_networking:connection_info_all([vhost])])"#
        ));
        (count != "0").then_some(())
    });
    let mut server = Server::start(broker, &vhost);
    let request = server.request();
    server.reply(&request, b"832040");
    let output = process.output(SOON);
    assert_answered(&output, "832040\n");
}
