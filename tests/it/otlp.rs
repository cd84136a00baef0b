//! Traces exported over OTLP: to a collector that decodes them with the official protobuf, and to collectors that fail.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::tls_front::TlsFront;
use crate::support::tools::python_with_otlp;
use crate::support::{
    Broker, Daemon, Fibrpc, Process, SOON, Settings, lacks_otlp, lacks_pika, python,
};

/// A collector, killed when dropped.
struct Collector {
    process: Process,
    endpoint: String,
}

impl Collector {
    fn start() -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut command = Command::new(python_with_otlp().unwrap());
        command.arg("-u").arg(fixtures.join("otlp_collector.py"));
        let process = Process::start(&mut command, b"");
        let line = process.wait_for_line("port ", SOON);
        let port = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self {
            process,
            endpoint: format!("http://127.0.0.1:{port}"),
        }
    }

    /// Waits for a span of this kind.
    fn span(&self, kind: &str) -> Value {
        let line = self
            .process
            .wait_for_line(&format!("SPAN_KIND_{kind}\""), SOON);
        serde_json::from_str(&line).unwrap()
    }

    /// The number of spans so far.
    fn count(&self) -> usize {
        self.process
            .stderr()
            .iter()
            .filter(|line| line.contains("SPAN_KIND_"))
            .count()
    }
}

fn settings(broker: &Broker, vhost: &str, endpoint: &str) -> Settings {
    Settings::new(broker, vhost).set("telemetry.otlp.endpoint", endpoint)
}

/// A daemon that exports without delay, and consumes.
fn daemon(broker: &Broker, vhost: &str, settings: &Settings) -> Daemon {
    let daemon = Daemon::start_with(settings, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "1");
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k4nary");
    });
    broker.wait_for_depth(vhost, "rpc_queue", SOON, |depth| depth.consumers > 0);
    daemon
}

/// Calls the daemon as a script does that sets this variable, and is answered.
fn call(settings: &Settings, name: &str, value: &str) {
    let output = Fibrpc::new(settings)
        .args(["30"])
        .env(name, value)
        .run(SOON);
    assert_eq!(
        (output.code(), output.stdout.trim()),
        (0, "832040"),
        "{}",
        output.stderr
    );
}

fn text<'a>(span: &'a Value, path: &str) -> &'a str {
    span.pointer(path).and_then(Value::as_str).unwrap_or("")
}

fn stop(mut daemon: Daemon) -> String {
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0), "{:?}", daemon.stderr());
    daemon.stderr().join("\n")
}

#[test]
fn a_trace_goes_from_the_client_to_the_daemon() {
    if lacks_otlp() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let collector = Collector::start();
    let settings = settings(broker, &vhost, &collector.endpoint);
    let daemon = daemon(
        broker,
        &vhost,
        &settings.clone().set("server.instance", "blue"),
    );
    call(&settings, "OTEL_SERVICE_NAME", "a-script");
    let (client, server) = (collector.span("CLIENT"), collector.span("SERVER"));

    assert_eq!(text(&client, "/parent"), "", "{client}");
    assert_eq!(client["trace"], server["trace"], "{client} {server}");
    assert_eq!(client["span"], server["parent"], "{client} {server}");
    assert_ne!(client["span"], server["span"]);
    for span in [&client, &server] {
        for (path, expect) in [
            ("/scope", "fibrpc"),
            ("/status", "STATUS_CODE_UNSET"),
            ("/attributes/rpc.system.name", "rabbitmq"),
            ("/attributes/messaging.system", "rabbitmq"),
            ("/attributes/messaging.destination.name", "rpc_queue"),
            ("/attributes/rpc.status_code", "OK"),
            ("/resource/service.version", env!("CARGO_PKG_VERSION")),
        ] {
            assert_eq!(text(span, path), expect, "{path} {span}");
        }
        assert!(span["start"].as_u64() < span["end"].as_u64(), "{span}");
        assert!(!text(span, "/resource/host.name").is_empty(), "{span}");
        assert_eq!(
            text(span, "/attributes/messaging.message.conversation_id"),
            text(&server, "/attributes/messaging.message.conversation_id")
        );
        assert!(span["attributes"].get("fibrpc_sampled").is_none(), "{span}");
    }
    assert_eq!(
        server["events"],
        serde_json::json!(["admitted", "computed", "confirmed", "acked"])
    );
    assert_eq!(text(&client, "/resource/service.name"), "a-script");
    assert_eq!(text(&server, "/resource/service.name"), "fibrpcd");
    assert_eq!(text(&server, "/resource/service.instance.id"), "blue");
    assert_eq!(
        text(&server, "/resource/process.pid"),
        daemon.pid().to_string()
    );
    assert_eq!(text(&server, "/key"), "k4nary");
    let log = stop(daemon);
    assert!(!log.contains("k4nary") && !log.contains("acked"), "{log}");
    assert_eq!(collector.count(), 2);
}

/// The trace of the tutorial's client.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn the_tutorials_client_is_the_parent_and_decides() {
    if lacks_otlp() || lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let collector = Collector::start();
    let settings =
        settings(broker, &vhost, &collector.endpoint).set("telemetry.otlp.sample_ratio", 0);
    let daemon = daemon(broker, &vhost, &settings);
    let ask = |headers: &[&str], body: &str| {
        let arguments = [headers, &[body]].concat();
        let output = python("tutorial_client.py", broker, &vhost, &arguments).output(SOON);
        assert_eq!(output.code(), 0, "{}", output.stderr);
    };
    let unsampled = format!("00-{TRACE}-00f067aa0ba902b7-00");
    let sampled = format!("00-{TRACE}-b7ad6b7169203331-01");
    ask(&[], "30");
    ask(&["--traceparent", &unsampled], "30");
    ask(&["--traceparent", &sampled], "x");
    let span = collector.span("SERVER");
    assert_eq!(
        (text(&span, "/trace"), text(&span, "/parent")),
        (TRACE, "b7ad6b7169203331"),
        "{span}"
    );
    for (path, expect) in [
        ("/status", "STATUS_CODE_ERROR"),
        ("/attributes/rpc.status_code", "INVALID_ARGUMENT"),
        ("/attributes/error.type", "INVALID_ARGUMENT"),
    ] {
        assert_eq!(text(&span, path), expect, "{path} {span}");
    }
    stop(daemon);
    assert_eq!(
        collector.count(),
        1,
        "neither without a context nor unsampled"
    );
}

/// The variable that names a file with the authorities to trust.
const AUTHORITIES: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

#[test]
fn traces_are_exported_over_tls_to_a_collector_of_a_trusted_authority_only() {
    if lacks_otlp() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let folder = tempfile::tempdir().unwrap();
    let [ours, other] = ["ours", "other"].map(|name| {
        let authority = Authority::new(name);
        let file = folder.path().join(name);
        std::fs::write(&file, authority.certificate()).unwrap();
        (authority, file)
    });
    let collector = Collector::start();
    let port = collector.endpoint.rsplit(':').next().unwrap();
    let identity = ours.0.sign(&["127.0.0.1"], |_| {});
    let front = TlsFront::new(port.parse().unwrap(), &identity, None);
    let endpoint = format!("https://127.0.0.1:{}", front.port());
    let settings = settings(broker, &vhost, &endpoint);
    let daemon = Daemon::start_with(&settings, |command| {
        command.env(AUTHORITIES, &ours.1);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "1");
    });
    broker.wait_for_depth(&vhost, "rpc_queue", SOON, |depth| depth.consumers > 0);
    // The daemon trusts the authority, and this client another one.
    call(&settings, AUTHORITIES, other.1.to_str().unwrap());
    let server = collector.span("SERVER");
    assert_eq!(
        text(&server, "/attributes/rpc.status_code"),
        "OK",
        "{server}"
    );
    assert_eq!(stop(daemon).matches("cannot export").count(), 0);
    let refused = Daemon::start_with(&settings, |command| {
        command.env(AUTHORITIES, &other.1);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "1");
    });
    broker.wait_for_depth(&vhost, "rpc_queue", SOON, |depth| depth.consumers > 0);
    let output = Fibrpc::new(&settings).args(["30"]).run(SOON);
    assert_eq!(output.code(), 0, "{}", output.stderr);
    let log = stop(refused);
    let expect = format!(
        "cannot export traces to {endpoint}/v1/traces: its certificate is not signed by a trusted authority; "
    );
    assert_eq!(log.matches(&expect).count(), 1, "{log}");
    assert!(log.contains(AUTHORITIES), "{log}");
    assert_eq!(
        collector.count(),
        1,
        "only over a connection that is trusted"
    );
}

/// Starts a collector that answers each connection in its way; returns its endpoint.
fn broken(answer: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    endpoint
}

/// Reads a part of the request and sends this.
fn with(response: &'static str) -> impl Fn(TcpStream) + Send + 'static {
    move |mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(response.as_bytes());
    }
}

#[test]
fn no_broken_collector_delays_or_loses_a_request() {
    let broker = Broker::shared();
    let gone = "http://127.0.0.1:1".to_owned();
    let hanging = broken(std::mem::forget);
    for endpoint in [
        gone,
        hanging,
        broken(drop),
        broken(with(
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        )),
        broken(with(
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n",
        )),
        broken(with("garbage\r\n\r\n")),
        // Of another protocol.
        broken(drop).replace("http:", "https:"),
    ] {
        let vhost = broker.vhost();
        let settings = settings(broker, &vhost, &endpoint);
        let daemon = daemon(broker, &vhost, &settings);
        for _ in 0..3 {
            let output = Fibrpc::new(&settings).args(["30", "10"]).run(SOON);
            assert_eq!(
                (output.code(), output.stdout.as_str()),
                (0, "832040\n55\n"),
                "{endpoint}"
            );
            assert_eq!(output.stderr, "", "{endpoint}");
        }
        let log = stop(daemon);
        let warnings = log.matches("cannot export traces to ").count();
        assert!(warnings <= 1, "{endpoint}: {log}");
        assert!(!log.contains("k4nary"), "{log}");
    }
}
