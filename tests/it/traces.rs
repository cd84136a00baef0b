//! Distributed traces: every request of a trace is a child of the one before, on the wire, in the log, and over two services.

use std::future::IntoFuture as _;
use std::time::Duration;

use fibrpc::{Client as RpcClient, Server, Status, Text, TraceContext, handler};

use crate::support::wire::properties::value;
use crate::support::wire::{Client, Properties};
use crate::support::{Broker, Daemon, Fibrpc, SOON, Settings, runtime, until};

const QUEUE: &str = "rpc_queue";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn parent() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

fn text_header(properties: &Properties, name: &str) -> Option<String> {
    let value = properties.find_header(name)?;
    assert_eq!(value[0], b'S', "{name}");
    Some(String::from_utf8(value[5..].to_vec()).unwrap())
}

/// The trace headers of the reply to a request for 30 with these headers.
fn call(client: &mut Client, headers: &[(&str, Vec<u8>)]) -> (Option<String>, Option<String>) {
    let mut properties = Properties::new().correlation_id("7");
    for (name, value) in headers {
        properties = properties.header(name, value);
    }
    client.request(QUEUE, properties, b"30").unwrap();
    let reply = client.next_delivery(SOON).unwrap();
    assert_eq!(reply.text(), "832040", "{headers:?}");
    let header = |name| text_header(&reply.properties, name);
    (header("traceparent"), header("tracestate"))
}

#[test]
fn a_request_by_hand_is_continued_or_answered_without_a_trace() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost).set("log.level", "debug");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();

    let valid = value::text(parent());
    let state = value::text("vendor=1");
    let headers = [
        ("traceparent", valid.clone()),
        ("tracestate", state.clone()),
    ];
    let (own, kept) = call(&mut client, &headers);
    let own = TraceContext::parse(&own.unwrap(), None).unwrap();
    assert_eq!(own.to_string()[3..35], *TRACE);
    assert_ne!(own.to_string()[36..52], *SPAN);
    assert!(own.is_sampled());
    assert_eq!(kept.as_deref(), Some("vendor=1"));
    let line = daemon.wait_for_line("answered", SOON);
    assert!(line.ends_with(&format!(" trace_id={TRACE}")), "{line}");

    for state in [
        value::text("a=1,b"),
        value::text("v".repeat(600)),
        value::integer(1),
    ] {
        let headers = [("traceparent", valid.clone()), ("tracestate", state)];
        let (own, state) = call(&mut client, &headers);
        assert!(own.is_some());
        assert_eq!(state, None);
    }
    for invalid in [
        value::text(""),
        value::text(&parent()[1..]),
        value::text(parent() + "-"),
        value::text(parent().to_uppercase()),
        value::text(format!("ff-{TRACE}-{SPAN}-01")),
        value::text(format!("00-{}-{SPAN}-01", "0".repeat(32))),
        value::text(format!("00-{TRACE}-{}-01", "0".repeat(16))),
        value::text(b"\xff".repeat(55)),
        value::integer(1),
        value::boolean(true),
    ] {
        let headers = [("traceparent", invalid), ("tracestate", state.clone())];
        assert_eq!(call(&mut client, &headers), (None, None));
    }
    assert_eq!(call(&mut client, &[("tracestate", state)]), (None, None));
    let lines = until(SOON, "all lines", || {
        let lines = daemon.stderr();
        let lines: Vec<_> = lines
            .into_iter()
            .filter(|line| line.contains("answered"))
            .collect();
        (lines.len() == 15).then_some(lines)
    });
    let traced = lines
        .iter()
        .filter(|line| line.contains("trace_id="))
        .count();
    assert_eq!(traced, 4, "{lines:#?}");
    let events = daemon.stderr();
    assert!(!events.iter().any(|line| line.contains("admitted")));
}

#[test]
fn fibrpc_continues_the_trace_of_its_environment() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost).set("log.level", "debug");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);

    let fibrpc = |arguments: &[&str], parent: &str| {
        let fibrpc = Fibrpc::new(&settings).args(arguments);
        let output = fibrpc.env("TRACEPARENT", parent).run(SOON);
        assert_eq!(output.code(), 0, "{output:?}");
        output
    };
    for arguments in [&["--json", "30"][..], &["call", "--json", QUEUE, "30"]] {
        let output = fibrpc(arguments, &parent());
        let line: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(line["trace_id"], TRACE, "{line}");
    }
    let traced = format!("trace_id={TRACE}");
    until(SOON, "lines of the trace", || {
        let lines = daemon.stderr();
        let traced = lines.iter().filter(|line| line.ends_with(&traced));
        (traced.count() == 2).then_some(())
    });
    let output = fibrpc(&["-v", "30"], &parent());
    assert!(
        output.stderr.contains(&format!("trace {TRACE}")),
        "{output:?}"
    );
    let output = fibrpc(&["-v", "30"], "00-no-trace");
    assert!(
        output
            .stderr
            .contains("TRACEPARENT is ignored: `00-no-trace`"),
        "{output:?}"
    );
    assert!(!output.stderr.contains("trace 0"), "{output:?}");
    let output = fibrpc(&["--json", "30"], "00-no-trace");
    assert_eq!(output.stderr, "");
    assert!(!output.stdout.contains("trace"), "{output:?}");
}

/// Serves as long as the runtime lives.
fn serve(url: &str, queue: &str, service: impl fibrpc::server::IntoMethods) {
    let serve = Server::builder(url).queue(queue);
    tokio::spawn(serve.serve(service).into_future());
}

#[test]
fn a_service_passes_the_trace_on() {
    let broker = Broker::shared();
    let url = broker.url(&broker.vhost());
    runtime().block_on(async {
        let builder = RpcClient::builder(&url).wait_for_server(true);
        let client = builder.timeout(SOON).connect().await.unwrap();
        let last = async |trace: Option<TraceContext>| Text(trace.unwrap().to_string());
        serve(&url, "last", handler(last));
        let inner = client.clone();
        let first = move |trace: Option<TraceContext>| {
            let client = inner.clone();
            async move {
                let calling = client
                    .call::<Text>("last", "")
                    .trace_context(trace.as_ref());
                let Text(last) = calling.timeout(Duration::from_secs(10)).await?;
                Ok::<_, Status>(Text(format!("{} {last}", trace.unwrap())))
            }
        };
        serve(&url, "first", handler(first));
        let caller = TraceContext::parse(&parent(), None).unwrap();
        let calling = client.call::<Text>("first", "").trace_context(&caller);
        let Text(both) = calling.await.unwrap();
        let (first, last) = both.split_once(' ').unwrap();
        let [first, last] = [first, last].map(|text| TraceContext::parse(text, None).unwrap());
        assert_eq!(first.trace_id(), caller.trace_id());
        assert_eq!(last.trace_id(), caller.trace_id());
        assert_ne!(first.span_id(), last.span_id());
        client.close().await;
    });
}
