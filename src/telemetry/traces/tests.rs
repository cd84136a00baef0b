//! The exporter against a collector of the test, one connection after another.

use super::settings::Settings;
use super::*;
use crate::config::Collector;
use crate::protocol::trace_context::SPAN_TARGET;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use tracing::{Level, span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the collector does with a request.
enum Answer {
    Http(&'static str, Vec<u8>),
    Close,
    /// Never answers.
    Hang,
}

fn http(head: &'static str) -> Answer {
    Answer::Http(head, Vec::new())
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// A request as the collector saw it.
struct Seen {
    head: String,
    spans: usize,
}

/// Starts a collector that gives these answers, and then is gone.
fn collector(answers: Vec<Answer>) -> (u16, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, seen) = channel();
    thread::spawn(move || {
        let mut hung = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read(&stream);
            match answer {
                Answer::Http(head, body) => {
                    let length = body.len();
                    write!(stream, "{head}content-length: {length}\r\n\r\n").unwrap();
                    stream.write_all(&body).unwrap();
                }
                Answer::Close => {}
                Answer::Hang => hung.push(stream),
            }
            if sender.send(request).is_err() {
                return;
            }
        }
        if !hung.is_empty() {
            thread::sleep(PATIENCE);
        }
    });
    (port, seen)
}

fn read(stream: &TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let spans = request
        .resource_spans
        .iter()
        .flat_map(|spans| &spans.scope_spans);
    Seen {
        head,
        spans: spans.map(|spans| spans.spans.len()).sum(),
    }
}

fn settings(port: u16) -> Settings {
    Settings {
        collector: Collector::parse(&format!("http://127.0.0.1:{port}"))
            .unwrap()
            .traces(),
        headers: vec![("x-key".parse().unwrap(), "k4nary".parse().unwrap())],
        ca_file: None,
        timeout: Duration::from_secs(10),
        export_timeout: Duration::from_secs(30),
        delay: Duration::from_millis(5),
        max_queue: 100,
        max_batch: 10,
        share: Share::ALL,
        resource: Vec::new(),
    }
}

/// An exporter, and what it counts.
fn run(settings: Settings) -> (Traces, Arc<SpanCounts>) {
    let counts = Arc::new(SpanCounts::default());
    (Traces::run(settings, counts.clone()).unwrap(), counts)
}

fn make_spans(traces: &Traces, count: usize) {
    let subscriber = registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..count {
            drop(span!(
                target: SPAN_TARGET, Level::INFO, "rpc.server", fibrpc_sampled = true,
                fibrpc_trace_id = "0af7651916cd43dd8448eb211c80319c", fibrpc_span_id = "b7ad6b7169203331",
            ));
        }
    });
}

/// Waits until these numbers of spans were exported and dropped.
fn wait_for(counts: &SpanCounts, exported: u64, dropped: u64) {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let now = (counts.exported(), counts.dropped());
        if now == (exported, dropped) {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "exported and dropped: {now:?}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn spans_arrive_in_batches() {
    let (port, seen) = collector(vec![http(OK), http(OK), http(OK)]);
    let (traces, counts) = run(Settings {
        // Only a full batch, or the end, makes it send.
        delay: PATIENCE,
        ..settings(port)
    });
    make_spans(&traces, 10);
    wait_for(&counts, 10, 0);
    make_spans(&traces, 13);
    traces.stop(PATIENCE);
    assert_eq!((counts.exported(), counts.dropped()), (23, 0));
    let seen: Vec<_> = seen.iter().collect();
    assert_eq!(
        seen.iter().map(|seen| seen.spans).collect::<Vec<_>>(),
        [10, 10, 3]
    );
    for line in [
        "POST /v1/traces HTTP/1.1\r\n",
        "content-type: application/x-protobuf\r\n",
        "x-key: k4nary\r\n",
        "host: 127.0.0.1:",
    ] {
        assert!(seen[0].head.contains(line), "{}", seen[0].head);
    }
}

#[test]
fn a_batch_is_sent_again_if_that_may_help() {
    let throttled = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\n";
    let later = "HTTP/1.1 503 Service Unavailable\r\nretry-after: soon\r\n";
    let (port, seen) = collector(vec![http(throttled), http(later), Answer::Close, http(OK)]);
    let (traces, counts) = run(settings(port));
    make_spans(&traces, 1);
    wait_for(&counts, 1, 0);
    assert_eq!(seen.iter().take(4).map(|seen| seen.spans).sum::<usize>(), 4);
    traces.stop(PATIENCE);
}

#[test]
fn what_a_collector_refuses_is_dropped() {
    let partial = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 2,
            error_message: "too old".to_owned(),
        }),
    };
    let answers = vec![
        http("HTTP/1.1 500 Internal Server Error\r\n"),
        http("HTTP/1.1 400 Bad Request\r\n"),
        http("HTTP/1.1 301 Moved Permanently\r\nlocation: http://elsewhere/\r\n"),
        Answer::Http(OK, partial.encode_to_vec()),
        Answer::Http(OK, b"\xff\xff not protobuf".to_vec()),
    ];
    let (port, _seen) = collector(answers);
    let (traces, counts) = run(settings(port));
    let mut dropped = 0;
    for _ in 0..3 {
        make_spans(&traces, 2);
        dropped += 2;
        wait_for(&counts, 0, dropped);
    }
    make_spans(&traces, 3);
    wait_for(&counts, 1, 8);
    make_spans(&traces, 1);
    wait_for(&counts, 2, 8);
    traces.stop(PATIENCE);
}

#[test]
fn a_collector_that_hangs_costs_spans_and_no_time() {
    let (port, seen) = collector(vec![Answer::Hang]);
    let (traces, counts) = run(Settings {
        timeout: PATIENCE * 10,
        ..settings(port)
    });
    make_spans(&traces, 1);
    // The exporter waits for an answer now.
    let first = seen.recv_timeout(PATIENCE).unwrap().spans;
    make_spans(&traces, 150);
    assert_eq!(counts.dropped(), 50, "the queue holds 100");
    traces.stop(Duration::from_millis(20));
    assert_eq!(
        (counts.exported(), counts.dropped()),
        (0, 150 + first as u64)
    );
}

#[test]
fn at_the_end_a_collector_that_is_gone_is_not_waited_for() {
    let (port, _) = collector(Vec::new());
    let (traces, counts) = run(Settings {
        delay: PATIENCE * 10,
        ..settings(port)
    });
    make_spans(&traces, 3);
    traces.stop(PATIENCE * 10);
    assert_eq!((counts.exported(), counts.dropped()), (0, 3));
}
