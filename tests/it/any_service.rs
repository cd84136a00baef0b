//! `fibrpc call` and `fibrpc bench --body`: any service, tried from a shell.

mod bodies;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fibrpc::{Bytes, Router, Status, handler};
use serde_json::{Value, json};

use crate::call::{Server, assert_fails, fibrpc};
use crate::services::{QUEUE, serve_router};
use crate::support::wire::properties::value;
use crate::support::{Broker, Daemon, Fibrpc, Output, Process, SOON, Settings, example};

/// Standard output and error of a success.
#[track_caller]
fn assert_prints(output: &Output, stdout: &str, stderr: &str) {
    assert_eq!(
        (
            output.code(),
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (0, stdout, stderr)
    );
}

fn object(output: &Output) -> Value {
    let line = output.stdout.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    serde_json::from_str(line).unwrap()
}

fn router() -> Router {
    let calls = Arc::new(AtomicU32::new(0));
    Router::new()
        .method(
            "refuse",
            handler(async || -> Result<Bytes, Status> {
                let details = json!({"item": "gold\u{202e}", "left": [0, 1.5]});
                Err(Status::failed_precondition("sold out").with_details(details))
            }),
        )
        .method(
            "fail-every-third",
            handler(move || {
                let is_third = calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
                async move {
                    if is_third {
                        Err(Status::not_found("no such item"))
                    } else {
                        Ok(Bytes::default())
                    }
                }
            }),
        )
        .default_method(handler(async |bytes: Bytes| bytes))
}

fn price(broker: &Broker, vhost: &str) -> Process {
    let mut command = example("price");
    command.env("AMQP_URL", broker.url(vhost));
    let server = Process::start(&mut command, b"");
    broker.wait_for_consumers(vhost, "prices", 1);
    server
}

#[test]
fn a_typed_service_is_called_with_json() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _server = price(broker, &vhost);
    let order = r#"{"item": "tea", "count": 2}"#;
    let output = fibrpc(&settings, &["call", "prices", order]);
    assert_prints(&output, r#"{"cents":700}"#, "");

    let output = fibrpc(&settings, &["call", "--json", "prices", order]);
    let reply = object(&output);
    assert_eq!(reply["body"], r#"{"cents":700}"#);
    assert_eq!(reply["content_type"], "application/json");
    assert!(reply["round_trip_us"].as_u64() > Some(0), "{reply}");
    assert!(reply["server"].is_string(), "{reply}");

    let gold = r#"{"item": "gold", "count": 2}"#;
    let output = fibrpc(&settings, &["call", "prices", gold]);
    assert_fails(&output, 65, "fibrpc: NOT_FOUND: no such item");
    let output = fibrpc(&settings, &["call", "prices"]);
    assert_eq!((output.code(), output.stdout.as_str()), (65, ""));
    let wrong = "fibrpc: INVALID_ARGUMENT: the body is not the expected JSON";
    assert!(output.stderr.starts_with(wrong), "{output:?}");

    let load = ["bench", "--queue", "prices", "--warm-up", "0s", "--json"];
    let load = [
        &load[..],
        &["--requests", "60", "-f", "20", "--body", order],
    ]
    .concat();
    let report = object(&fibrpc(&settings, &load));
    assert_eq!(
        (&report["answered"], &report["errors"]),
        (&60.into(), &0.into())
    );
    assert_eq!(report["body_bytes"], order.len());
    assert_eq!((report.get("n"), report.get("method")), (None, None));
}

#[test]
fn the_daemon_is_a_service_as_well() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let output = fibrpc(&settings, &["call", "rpc_queue", "30"]);
    assert_prints(&output, "832040", "");
    let output = fibrpc(&settings, &["call", "rpc_queue", r#"{"n": 30}"#]);
    assert_prints(&output, r#"{"n":30,"value":"832040"}"#, "");

    let output = Fibrpc::new(&settings).args(["call", "rpc_queue", "-"]);
    assert_prints(&output.stdin(b"30\n").run(SOON), "832040", "");
    // Not read without a dash.
    let output = Fibrpc::new(&settings).args(["call", "rpc_queue", "31"]);
    assert_prints(&output.stdin(b"30\n").run(SOON), "1346269", "");

    let output = fibrpc(&settings, &["call", "-v", "rpc_queue", "30"]);
    assert_eq!((output.code(), output.stdout.as_str()), (0, "832040"));
    let times = "fibrpc: 6 bytes, text/plain; round trip ";
    assert!(output.stderr.starts_with(times), "{output:?}");

    let output = fibrpc(&settings, &["call", "rpc_queue", "-1"]);
    assert_eq!((output.code(), output.stdout.as_str()), (65, ""));
    let refused = "fibrpc: INVALID_ARGUMENT: ";
    assert!(output.stderr.starts_with(refused), "{output:?}");
    let output = fibrpc(&settings, &["call", "--json", "rpc_queue", "-1"]);
    let refused = object(&output);
    assert_eq!(
        (output.code(), &refused["code"]),
        (65, &"INVALID_ARGUMENT".into())
    );
    assert_eq!(refused["retryable"], false);
    assert!(refused["server"].is_string(), "{refused}");
}

#[test]
fn methods_and_the_details_of_errors() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let serving = serve_router(broker, &vhost, router(), |builder| builder);
    let output = fibrpc(&settings, &["call", QUEUE, "-m", "missing", "x"]);
    assert_eq!((output.code(), output.stdout.as_str()), (69, ""));
    let unknown = "fibrpc: UNIMPLEMENTED: ";
    assert!(output.stderr.starts_with(unknown), "{output:?}");

    let refuse = ["call", QUEUE, "--method", "refuse", "{}"];
    let output = fibrpc(&settings, &refuse);
    let lines = "fibrpc: FAILED_PRECONDITION: sold out\n\
                 fibrpc: details: {\"item\":\"gold\\u202e\",\"left\":[0,1.5]}";
    assert_fails(&output, 65, lines);
    let output = fibrpc(&settings, &[&refuse[..], &["--json"]].concat());
    let refused = object(&output);
    assert_eq!(
        refused["details"],
        json!({"item": "gold\u{202e}", "left": [0, 1.5]})
    );
    assert_eq!(
        (output.code(), &refused["code"]),
        (65, &"FAILED_PRECONDITION".into())
    );
    // They are for programs that speak JSON.
    let refuse = [&refuse[..], &["--content-type", "text/plain"]].concat();
    let output = fibrpc(&settings, &refuse);
    assert_fails(&output, 65, "fibrpc: FAILED_PRECONDITION: sold out");

    let load = [
        "bench",
        "--queue",
        QUEUE,
        "--warm-up",
        "0s",
        "-m",
        "fail-every-third",
    ];
    let load = [&load[..], &["--requests", "59", "-f", "7", "--json"]].concat();
    let report = object(&fibrpc(&settings, &load));
    // The first of 60 calls found out whether a server replies, and was answered with an error.
    assert_eq!(
        (&report["answered"], &report["errors"]),
        (&40.into(), &19.into())
    );
    let failure = json!([{"code": "NOT_FOUND", "count": 19, "message": "no such item"}]);
    assert_eq!(report["failures"], failure);
    assert_eq!(report["method"], "fail-every-third");
    serving.drain();
}

#[test]
fn a_tutorial_server_gets_what_was_asked_for() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let mut server = Server::start(broker, &vhost);
    let flags = ["--content-type", "text/csv", "--priority", "7"];
    let headers = ["--header", "x-tenant=blue", "--header", "empty="];
    let arguments = [
        &["call", "rpc_queue", "a,b", "-m", "import"][..],
        &flags,
        &headers,
    ]
    .concat();
    let (process, _folder) = Fibrpc::new(&settings).args(arguments).start();
    let request = server.request();
    let properties = &request.properties;
    assert_eq!(request.body, b"a,b");
    assert_eq!(properties.content_type.as_deref(), Some(&b"text/csv"[..]));
    assert_eq!(properties.kind.as_deref(), Some(&b"import"[..]));
    assert_eq!(properties.priority, Some(7));
    for (name, text) in [("x-tenant", "blue"), ("empty", "")] {
        assert_eq!(
            properties.find_header(name),
            Some(&value::text(text)[..]),
            "{name}"
        );
    }
    // Nothing but the correlation id, as in the tutorial.
    server.reply(&request, b"\x1b[2J done\n");
    assert_prints(&process.output(SOON), "\u{1b}[2J done\n", "");

    let (process, _folder) = Fibrpc::new(&settings).args(["call", "rpc_queue"]).start();
    let request = server.request();
    assert_eq!(
        (request.body.as_slice(), &request.properties.kind),
        (&b""[..], &None)
    );
    server.reply(&request, b"");
    assert_prints(&process.output(SOON), "", "");

    let timeout = ["call", "rpc_queue", "x", "--timeout", "3s"];
    let (process, _folder) = Fibrpc::new(&settings).args(timeout).start();
    server.request();
    let output = process.output(SOON);
    assert_eq!((output.code(), output.stdout.as_str()), (75, ""));
    let silent = "fibrpc: no reply from queue \"rpc_queue\"";
    assert!(output.stderr.starts_with(silent), "{output:?}");
}

#[test]
fn without_a_queue_or_a_server_nothing_is_sent() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let output = fibrpc(&settings, &["call", "nothing", "x"]);
    let why =
        "fibrpc: no queue \"nothing\"; start a server on it, or check queue.name and the vhost";
    assert_fails(&output, 69, why);
    let output = fibrpc(&settings, &["call", "nothing", "x", "--json"]);
    assert_eq!(
        (output.code(), object(&output)["code"].as_str()),
        (69, Some("UNAVAILABLE"))
    );

    let waiting = ["call", QUEUE, "x", "--wait", "--timeout", "30s"];
    let (process, _folder) = Fibrpc::new(&settings).args(waiting).start();
    let serving = serve_router(broker, &vhost, router(), |builder| builder);
    assert_prints(&process.output(SOON), "x", "");
    serving.drain();
}
