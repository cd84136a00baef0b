//! `fibrpc doctor`: each fault is produced for real, and the report must name it first.

mod certificates;
pub mod report;
mod unreachable;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use report::{CHECKS, Report, doctor};

use crate::call::Server;
use crate::support::wire::{self, Declare, Properties, properties::value};
use crate::support::{Broker, Daemon, Fibrpc, SOON, Settings, lacks_pika, python};

/// The settings with another user.
fn log_in(broker: &Broker, vhost: &str, user: &str, password: &str) -> Settings {
    let url = broker.url(vhost);
    Settings::at(&url.replace("guest:guest", &format!("{user}:{password}")))
}

#[test]
fn all_is_well() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);

    let report = doctor(&settings);
    let well = |finding: &Value| finding["verdict"] == "ok" && finding.get("fix").is_none();
    assert!(report.findings.iter().all(well), "{report:#?}");
    assert_eq!(report.output.code(), 0);
    let address = format!("127.0.0.1:{}", broker.port());
    let product = format!("RabbitMQ {}.", broker.generation().0);
    for finding in &report.findings {
        let of_a_broker = CHECKS[1..8].iter().any(|check| finding["check"] == *check);
        let expected = of_a_broker.then_some(address.as_str());
        assert_eq!(
            finding.get("broker").and_then(Value::as_str),
            expected,
            "{finding}"
        );
    }
    for (check, word) in [
        ("config", "fibrpc.toml"),
        ("broker", product.as_str()),
        ("type", "durable quorum"),
        ("ping", env!("CARGO_PKG_VERSION")),
        ("answer", "832040"),
    ] {
        let message = report.of(check)[0]["message"].as_str().unwrap();
        assert!(message.contains(word), "{message}");
    }

    assert_eq!(report.of("consumers")[0]["message"], "1 consumer");

    let output = Fibrpc::new(&settings).args(["doctor"]).run(SOON);
    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
    let columns: Vec<_> = output
        .stdout
        .lines()
        .map(|line| line.split_at(20))
        .collect();
    assert_eq!(columns.len(), report.findings.len(), "{output:?}");
    for ((columns, _), finding) in columns.iter().zip(&report.findings) {
        let check = finding["check"].as_str().unwrap();
        assert_eq!(*columns, format!("ok       {check:<9}  "));
    }
}

#[test]
fn a_plain_server_is_well_too() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _server = python("tutorial_server.py", broker, &vhost, &["--quorum"]);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
    let report = doctor(&Settings::new(broker, &vhost));
    assert_eq!(report.output.code(), 0, "{report:#?}");
    let message = report.of("ping")[0]["message"].as_str().unwrap();
    assert!(message.contains("plain server"), "{message}");
    assert_eq!(report.verdict("clock"), "skipped");
}

#[test]
fn a_server_with_wrong_answers_and_a_silent_one() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let server = python(
        "tutorial_server.py",
        broker,
        &vhost,
        &["--quorum", "--reply", "7"],
    );
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
    let report = doctor(&Settings::new(broker, &vhost));
    report.assert_first("warning", "answer", &["30 gives 7", "832040"]);
    assert_eq!(report.output.code(), 1);

    drop(server);
    broker.wait_for_consumers(&vhost, "rpc_queue", 0);
    let _silent = Server::start_on(broker, &vhost, &Declare::quorum());
    let settings = Settings::new(broker, &vhost).set("client.timeout", "3s");
    let report = doctor(&settings);
    report.assert_problem("ping", &["no reply", "within 3s", "busy or stuck"]);
    assert_eq!(report.verdict("consumers"), "ok");
}

#[test]
fn a_server_whose_clock_is_wrong() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = wire::Client::connect(broker.port(), &vhost).unwrap();
    server.declare("rpc_queue", &Declare::quorum()).unwrap();
    server.consume("rpc_queue", true).unwrap();
    let arguments = ["doctor", "--json", "--timeout", "20s"];
    let (process, _folder) = Fibrpc::new(&Settings::new(broker, &vhost))
        .args(arguments)
        .start();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let tomorrow = (now + Duration::from_secs(30 * 3_600)).as_millis();
    let pong = format!("{{\"instance\":\"blue\",\"clock_ms\":{tomorrow}}}");
    for (kind, body) in [(Some("fibrpc.pong"), pong.as_str()), (None, "832040")] {
        let request = server.next_delivery(SOON).unwrap();
        let to = String::from_utf8(request.properties.reply_to.clone().unwrap()).unwrap();
        let mut properties = Properties::new().correlation_id(request.correlation_id());
        properties.kind = kind.map(Into::into);
        server.publish(&to, &properties, body.as_bytes()).unwrap();
    }
    let report = Report::read(process.output(SOON));
    report.assert_first(
        "problem",
        "clock",
        &["1d6h ahead", "every request as expired", "set the clocks"],
    );
    // It was answered nevertheless, by a server that does not check deadlines.
    assert_eq!((report.verdict("answer"), report.output.code()), ("ok", 2));
}

#[test]
fn a_queue_without_consumers_and_no_queue() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    doctor(&settings).assert_problem("queue", &["no queue 'rpc_queue'", "start fibrpcd"]);
    assert_eq!(broker.depth(&vhost, "rpc_queue"), None, "it was not made");

    let mut client = wire::Client::connect(broker.port(), &vhost).unwrap();
    client.declare("rpc_queue", &Declare::quorum()).unwrap();
    client.confirm_select().unwrap();
    for _ in 0..3 {
        client
            .publish("rpc_queue", &Properties::new().persistent(), b"30")
            .unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();
    broker.wait_for_depth(&vhost, "rpc_queue", SOON, |depth| depth.ready == 3);
    let report = doctor(&settings);
    report.assert_problem("consumers", &["no consumers", "start fibrpcd"]);
    let message = report.of("queue")[0]["message"].as_str().unwrap();
    assert!(message.contains("3 messages waiting"), "{message}");
    assert_eq!(report.verdict("read"), "ok");
    // They were not touched.
    for _ in 0..3 {
        assert!(!client.get("rpc_queue", true).unwrap().unwrap().redelivered);
    }
    assert!(client.get("rpc_queue", true).unwrap().is_none());
}

#[test]
fn refused_logins() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let report = doctor(&log_in(broker, &vhost, "guest", "k4nary"));
    report.assert_problem(
        "login",
        &["user \\\"guest\\\" or its password", "check broker.url"],
    );
    assert!(!report.output.stdout.contains("k4nary"), "{report:#?}");

    // Nothing that we say ourselves is taken for the broker's word.
    doctor(&log_in(broker, &vhost, "vhost", "k4nary"))
        .assert_problem("login", &["user \\\"vhost\\\" or its password"]);

    let absent = Settings::new(broker, &vhost).set("broker.password_file", "/nonexistent/password");
    doctor(&absent).assert_problem("login", &["broker.password_file", "no such file"]);

    let missing = Settings::at(&broker.url("missing"));
    let report = doctor(&missing);
    report.assert_problem("vhost", &["missing not found", "check that vhost"]);
    assert_eq!(report.verdict("login"), "ok");

    let stranger = broker.user(&broker.vhost(), [".*", ".*", ".*"]);
    let report = doctor(&log_in(broker, &vhost, &stranger, &stranger));
    report.assert_problem("vhost", &["refused for user", "permissions"]);
}

#[test]
fn permissions() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);

    let mute = broker.user(&vhost, [".*", "amq.gen.*", ".*"]);
    let report = doctor(&log_in(broker, &vhost, &mute, &mute));
    report.assert_problem(
        "write",
        &["may not publish", "write permission on amq.default"],
    );
    assert_eq!(report.verdict("alarm"), "ok");

    // All that a client needs; so there is nothing to warn of, as long as somebody else serves.
    let client = broker.user(&vhost, ["", "amq.default", ""]);
    let settings = log_in(broker, &vhost, &client, &client);
    let report = doctor(&settings);
    assert_eq!(report.output.code(), 0, "{report:#?}");
    if !broker.generation().lets_everybody_look() {
        for check in ["queue", "type", "read", "consumers"] {
            assert_eq!(report.verdict(check), "skipped", "{report:#?}");
        }
        let message = report.of("queue")[0]["message"].as_str().unwrap();
        assert!(message.contains("may not inspect queue"), "{message}");
        assert_eq!(report.verdict("answer"), "ok");
        return;
    }
    assert_eq!(
        (report.verdict("type"), report.verdict("read")),
        ("skipped", "ok")
    );
    let message = report.of("read")[0]["message"].as_str().unwrap();
    assert!(message.contains("may not consume"), "{message}");

    drop(daemon);
    broker.wait_for_consumers(&vhost, "rpc_queue", 0);
    let report = doctor(&settings);
    report.assert_problem("consumers", &["no consumers"]);
    report.assert_first("warning", "read", &["may not consume", "read permission"]);
}

#[test]
fn a_queue_of_another_type() {
    let broker = Broker::shared();
    for (queue, words) in [
        (
            Declare::durable(),
            ["the queue is classic", "queue.type is quorum"],
        ),
        (
            Declare::classic(),
            ["durable = false", "queue.durable is true"],
        ),
    ] {
        let vhost = broker.vhost();
        let mut owner = wire::Client::connect(broker.port(), &vhost).unwrap();
        owner.declare("rpc_queue", &queue).unwrap();
        let settings = Settings::new(broker, &vhost);
        let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
        doctor(&settings).assert_warning("type", &words);
    }

    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let mut owner = wire::Client::connect(broker.port(), &vhost).unwrap();
    let stream = Declare::durable().argument("x-queue-type", value::text("stream"));
    owner.declare("rpc_queue", &stream).unwrap();
    doctor(&settings).assert_problem("type", &["is a stream", "queue.name"]);

    owner.delete("rpc_queue").unwrap();
    let limited = Declare::quorum().argument("x-max-length", value::integer(5));
    owner.declare("rpc_queue", &limited).unwrap();
    let report = doctor(&settings);
    report.assert_first(
        "warning",
        "type",
        &["x-max-length = 5", "oldest requests are dropped"],
    );

    owner.delete("rpc_queue").unwrap();
    owner.declare("rpc_queue", &Declare::exclusive()).unwrap();
    doctor(&settings).assert_problem("queue", &["RESOURCE_LOCKED", "another connection's own"]);
}

#[test]
fn the_configuration() {
    let settings = Settings::at("amqp://127.0.0.1:1");
    let report = doctor(&settings.clone().set("client.timeuot", "5s"));
    report.assert_problem(
        "config",
        &["client.timeuot", "did you mean client.timeout?"],
    );

    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "guest").unwrap();
    let readable = settings
        .clone()
        .set("broker.password_file", password.to_str().unwrap());
    doctor(&readable).assert_first("warning", "config", &["others can read", "chmod"]);
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o604)).unwrap();
    let key = Settings::at("amqps://127.0.0.1:1")
        .set("broker.tls.cert_file", password.to_str().unwrap())
        .set("broker.tls.key_file", password.to_str().unwrap());
    let words = ["broker.tls.key_file: others can read", "chmod"];
    doctor(&key).assert_first("warning", "config", &words);

    let wrong = Fibrpc::new(&settings)
        .args(["doctor", "--timeout", "soon"])
        .run(SOON);
    assert_eq!((wrong.code(), wrong.stdout.as_str()), (64, ""), "{wrong:?}");
}
