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
use std::sync::atomic::Ordering;
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

/// An exporter, and how many spans it has dropped.
fn run(settings: Settings) -> (Traces, Arc<AtomicU64>) {
    let dropped = Arc::default();
    (
        Traces::run(settings, Arc::clone(&dropped)).unwrap(),
        dropped,
    )
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

/// Waits until this number of spans was dropped.
fn wait_for(dropped: &AtomicU64, expected: u64) {
    let end = std::time::Instant::now() + PATIENCE;
    while count(dropped) != expected {
        assert!(std::time::Instant::now() < end, "{}", count(dropped));
        thread::sleep(Duration::from_millis(2));
    }
}

fn count(dropped: &AtomicU64) -> u64 {
    dropped.load(Ordering::Relaxed)
}

#[test]
fn spans_arrive_in_batches() {
    let (port, seen) = collector((0..5).map(|_| http(OK)).collect());
    let (traces, dropped) = run(Settings {
        // Only a full batch, or the end, makes it send.
        delay: PATIENCE,
        ..settings(port)
    });
    make_spans(&traces, 10);
    let first = seen.recv_timeout(PATIENCE).unwrap();
    make_spans(&traces, 13);
    traces.stop(PATIENCE);
    assert_eq!(count(&dropped), 0);
    assert_eq!(first.spans, 10);
    let mut rest = 13;
    while rest > 0 {
        let batch = seen.recv_timeout(PATIENCE).unwrap().spans;
        assert!(batch <= 10.min(rest), "{batch} of {rest}");
        rest -= batch;
    }
    for line in [
        "POST /v1/traces HTTP/1.1\r\n",
        "content-type: application/x-protobuf\r\n",
        "x-key: k4nary\r\n",
        "host: 127.0.0.1:",
    ] {
        assert!(first.head.contains(line), "{}", first.head);
    }
}

#[test]
fn a_batch_is_sent_again_if_that_may_help() {
    let throttled = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\n";
    let later = "HTTP/1.1 503 Service Unavailable\r\nretry-after: soon\r\n";
    let (port, seen) = collector(vec![http(throttled), http(later), Answer::Close, http(OK)]);
    let (traces, dropped) = run(settings(port));
    make_spans(&traces, 1);
    assert_eq!(seen.iter().take(4).map(|seen| seen.spans).sum::<usize>(), 4);
    traces.stop(PATIENCE);
    assert_eq!(count(&dropped), 0);
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
    let (traces, dropped) = run(settings(port));
    for expected in [2, 4, 6] {
        make_spans(&traces, 2);
        wait_for(&dropped, expected);
    }
    make_spans(&traces, 3);
    wait_for(&dropped, 8);
    make_spans(&traces, 1);
    traces.stop(PATIENCE);
    assert_eq!(count(&dropped), 8);
}

#[test]
fn a_collector_that_hangs_costs_spans_and_no_time() {
    let (port, seen) = collector(vec![Answer::Hang]);
    let (traces, dropped) = run(Settings {
        timeout: PATIENCE * 10,
        ..settings(port)
    });
    make_spans(&traces, 1);
    // The exporter waits for an answer now.
    let first = seen.recv_timeout(PATIENCE).unwrap().spans;
    make_spans(&traces, 150);
    assert_eq!(count(&dropped), 50, "the queue holds 100");
    traces.stop(Duration::from_millis(20));
    assert_eq!(count(&dropped), 150 + first as u64);
}

#[test]
fn at_the_end_a_collector_that_is_gone_is_not_waited_for() {
    let (port, _) = collector(Vec::new());
    let (traces, dropped) = run(Settings {
        delay: PATIENCE * 10,
        ..settings(port)
    });
    make_spans(&traces, 3);
    traces.stop(PATIENCE * 10);
    assert_eq!(count(&dropped), 3);
}
