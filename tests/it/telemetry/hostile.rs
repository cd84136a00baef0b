//! What an open port meets. Requests are answered meanwhile, memory and descriptors stay bounded, and a proper client
//! is answered.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Endpoint, answer, consuming, probe, read_all};
use crate::support::wire::Client;
use crate::support::{Broker, Daemon, SOON, Settings, until};

/// Descriptors of four connections, and one that takes a place.
const MAX_OPEN: usize = 5;

/// What the allocator may keep beyond what it kept before.
const GROWTH: u64 = 8 << 20;

/// Connections that wait to be accepted, and steps that the endpoint's thread has saved.
const WAITING: u32 = 256 + 64 + 8;

/// The thread's time between two steps; it accepts one connection in a step.
const STEP: Duration = Duration::from_millis(2);

/// The time between two parts of a request, which is the pace of a client, and not a wait for something.
const PART: Duration = Duration::from_millis(5);

struct Bench {
    endpoint: Endpoint,
    daemon: Daemon,
    settings: Settings,
    client: Client,
    descriptors: usize,
    resident: u64,
}

impl Bench {
    fn new() -> Self {
        let broker = Broker::shared();
        let vhost = broker.vhost();
        let endpoint = Endpoint::new();
        let (daemon, settings) = consuming(broker, &vhost, &endpoint);
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.call("rpc_queue", b"30", SOON).unwrap();
        endpoint.wait_for("/readyz", 200);
        // Perhaps one more than at rest: the last connection may still be open.
        let (descriptors, resident) = (daemon.descriptors(), daemon.resident());
        Self {
            endpoint,
            daemon,
            settings,
            client,
            descriptors,
            resident,
        }
    }

    /// A request is answered, and so is a scrape; nothing grows without bounds.
    fn works(&mut self) {
        let reply = self.client.call("rpc_queue", b"30", SOON).unwrap();
        assert_eq!(reply.text(), "832040");
        // Soon: others may take the place of a connection before it has sent its request.
        self.endpoint.wait_for("/metrics", 200);
        let open = self.daemon.descriptors().saturating_sub(self.descriptors);
        assert!(open <= MAX_OPEN, "{open} more descriptors");
    }

    /// Whether a request is answered whose second part comes a little later, as from a network.
    fn waits_for_a_second_part(&self) -> bool {
        let mut stream = self.endpoint.connect();
        let _ = stream.write_all(b"GET /healthz HTT");
        thread::sleep(PART);
        let _ = stream.write_all(b"P/1.1\r\n\r\n");
        answer(&read_all(&mut stream)).status == 200
    }

    /// As at the beginning.
    fn is_as_before(&mut self) {
        self.works();
        let (code, line) = probe(&self.settings, "ready");
        assert_eq!(code, 0, "{line}");
        until(SOON, "a request in two parts is answered", || {
            self.waits_for_a_second_part().then_some(())
        });
        until(SOON, "all connections are closed", || {
            (self.daemon.descriptors() <= self.descriptors).then_some(())
        });
        let resident = self.daemon.resident();
        assert!(
            resident < self.resident + GROWTH,
            "{resident} from {}",
            self.resident
        );
        let stderr = self.daemon.stderr().join("\n");
        assert!(!stderr.contains("disconnected"), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

/// Sends a request byte by byte, until it is cut off or `stop` is set; then from the beginning.
fn drip(endpoint: &Endpoint, stop: &AtomicBool) {
    let request = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(4000));
    while !stop.load(Ordering::Relaxed) {
        let mut stream = endpoint.connect();
        for byte in request.as_bytes() {
            if stop.load(Ordering::Relaxed) || stream.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(PART);
        }
    }
}

#[test]
fn slow_clients_keep_nobody_from_being_answered() {
    let mut bench = Bench::new();
    let stop = AtomicBool::new(false);
    let other = Endpoint {
        folder: tempfile::tempdir().unwrap(),
    };
    std::os::unix::fs::symlink(bench.endpoint.path(), other.path()).unwrap();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| drip(&other, &stop));
        }
        for _ in 0..50 {
            bench.works();
        }
        let (code, line) = probe(&bench.settings, "live");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(code, 0, "{line}");
    });
    bench.is_as_before();
}

#[test]
fn ten_thousand_connections_are_nothing_to_it() {
    let mut bench = Bench::new();
    let start = Instant::now();
    for round in 0..100 {
        let mut kept: Vec<UnixStream> = Vec::new();
        for n in 0..100 {
            let mut stream = bench.endpoint.connect();
            // Silent ones, half a request, and a whole one whose response is not read.
            let sent: &[u8] = [&b""[..], b"GET /metr", b"GET /metrics HTTP/1.1\r\n\r\n"][n % 3];
            let _ = stream.write_all(sent);
            kept.push(stream);
        }
        if round % 10 == 0 {
            bench.works();
        }
    }
    let least = (10_000 - WAITING) * STEP;
    assert!(
        start.elapsed() >= least,
        "they take the thread's time at its pace"
    );
    bench.is_as_before();
}

#[test]
fn whatever_is_sent_gets_an_error_or_nothing() {
    let mut bench = Bench::new();
    let long = |length| "a".repeat(length);
    let many = "h: x\r\n".repeat(500);
    let cases: &[(&str, Vec<u8>, &[u16])] = &[
        (
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00".repeat(40),
            &[400],
        ),
        ("AMQP", b"AMQP\x00\x00\x09\x01".to_vec(), &[400]),
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            &[0, 400, 505],
        ),
        ("zeros", vec![0; 100_000], &[400]),
        ("binary", (0..=255).cycle().take(100_000).collect(), &[400]),
        (
            "a long line",
            format!("GET /{} HTTP/1.1\r\n\r\n", long(100_000)).into(),
            &[414, 431],
        ),
        (
            "a long header",
            format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", long(1 << 20)).into(),
            &[431],
        ),
        (
            "many headers",
            format!("GET /metrics HTTP/1.1\r\n{many}\r\n").into(),
            &[431],
        ),
        (
            "two lengths",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(),
            &[400],
        ),
        (
            "a wrong version",
            b"GET / HTTP/9.9\r\n\r\n".to_vec(),
            &[400, 505],
        ),
        (
            "a URL",
            b"GET http://evil/metrics HTTP/1.1\r\n\r\n".to_vec(),
            &[200],
        ),
        (
            "CONNECT",
            b"CONNECT evil:443 HTTP/1.1\r\n\r\n".to_vec(),
            &[405],
        ),
        (
            "a large body",
            [
                b"POST /metrics HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n".to_vec(),
                vec![b'x'; 1 << 20],
            ]
            .concat(),
            &[405],
        ),
        (
            "chunks",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx".to_vec(),
            &[405],
        ),
        (
            "an expectation",
            b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".to_vec(),
            &[405],
        ),
        (
            "an upgrade",
            b"GET /healthz HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec(),
            &[200],
        ),
    ];
    for (name, request, expected) in cases {
        let text = bench.endpoint.send(request);
        let status = answer(&text).status;
        assert!(expected.contains(&status), "{name}: {text:?}");
        assert!(text.matches("HTTP/1.1 ").count() <= 1, "{name}: {text:?}");
        bench.works();
    }
    // The first of several is answered, and no other.
    let pipelined = b"GET /healthz HTTP/1.1\r\n\r\n".repeat(1000);
    let text = bench.endpoint.send(&pipelined);
    assert_eq!(answer(&text).status, 200);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text:?}");
    bench.is_as_before();
}

#[test]
fn a_connection_lasts_about_a_second_whatever_its_client_does() {
    let mut bench = Bench::new();
    for sent in [&b""[..], b"GET /metrics HTTP/1.1\r\nX: y"] {
        let mut silent = bench.endpoint.connect();
        silent.write_all(sent).unwrap();
        assert_eq!(read_all(&mut silent), "", "closed without a response");
    }
    // Half open: the client has closed its side, and has asked for nothing.
    let mut half = bench.endpoint.connect();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut half), "");
    // One that has its response and stays.
    let mut kept = bench.endpoint.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nConnection: keep-alive\r\n\r\n")
        .unwrap();
    assert_eq!(answer(&read_all(&mut kept)).status, 200);
    until(SOON, "it is closed for good", || {
        kept.write_all(b"GET /healthz HTTP/1.1\r\n\r\n")
            .is_err()
            .then_some(())
    });
    let mut rest = [0; 1];
    assert!(kept.read(&mut rest).is_ok_and(|length| length == 0));
    bench.is_as_before();
}

/// A flood of proper requests is answered one by one, and the service answers as well.
#[test]
fn a_flood_of_scrapes_is_answered() {
    let mut bench = Bench::new();
    let stop = AtomicBool::new(false);
    let path = bench.endpoint.path();
    thread::scope(|scope| {
        let scrapers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    let request = b"GET /metrics HTTP/1.1\r\n\r\n";
                    let end = Instant::now() + SOON;
                    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                        let Ok(mut stream) = UnixStream::connect(&path) else {
                            continue;
                        };
                        let _ = stream.write_all(request);
                        let mut text = String::new();
                        let read = stream.read_to_string(&mut text);
                        answered += u32::from(read.is_ok() && text.starts_with("HTTP/1.1 200"));
                    }
                    answered
                })
            })
            .collect();
        for _ in 0..100 {
            bench.works();
        }
        stop.store(true, Ordering::Relaxed);
        for scraper in scrapers {
            assert!(scraper.join().unwrap() > 0);
        }
    });
    bench.is_as_before();
}
