//! What a live daemon counts, read from its endpoint for metrics: every delivery is settled in one way, whatever happens to
//! sessions and replies, and gauges return to where they were.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::reload::Reloadable;
use crate::support::ports::Ports;
use crate::support::proxy::Confirms;
use crate::support::proxy::answer::{Answering, Instead};
use crate::support::wire::frame::{Arguments, Frame, method};
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Authority, Broker, Proxy, SOON, Settings, TlsFront};

const QUEUE: &str = "rpc_queue";

/// A daemon behind a proxy, with an endpoint for metrics, and a client.
struct Scene {
    port: Ports<1>,
    settings: Settings,
    server: Reloadable,
    proxy: Proxy,
    client: Client,
}

impl Scene {
    fn start(change: impl FnOnce(Settings, &str) -> Settings) -> Self {
        let broker = Broker::shared();
        let (port, vhost) = (Ports::reserve(), broker.vhost());
        let proxy = Proxy::new(broker.port());
        let settings = Settings::at(&proxy.url(&vhost))
            .set("queue.type", "classic")
            .set("telemetry.listen", format!("127.0.0.1:{}", port.first()));
        let settings = change(settings, &vhost);
        Self {
            server: Reloadable::start(&settings),
            client: Client::connect(broker.port(), &vhost).unwrap(),
            port,
            settings,
            proxy,
        }
    }

    fn metrics(&self) -> Metrics {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.first())).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        Metrics(samples.collect())
    }

    /// Waits until the metrics are like this, and all requests are accounted for.
    fn wait(&self, what: &str, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
        let end = Instant::now() + SOON;
        loop {
            let metrics = self.metrics();
            if metrics.adds_up() && is_so(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < end, "{what}: {:#?}", metrics.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&mut self, count: u64) {
        for index in 0..count {
            let request = Properties::new().correlation_id(index.to_string());
            self.client.request(QUEUE, request, b"30").unwrap();
        }
    }

    fn receive(&mut self, count: u64) {
        for _ in 0..count {
            assert_eq!(self.client.next_delivery(SOON).unwrap().text(), "832040");
        }
    }
}

/// Series with their values.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// The value of a series with these labels, or 0.
    fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    fn is(&self, series: &str, value: u32) -> bool {
        let found = self.0.get(series);
        found.is_some_and(|found| (found - f64::from(value)).abs() < 1e-6)
    }

    /// Those that are not 0, without buckets.
    fn shown(&self) -> Vec<(&String, &f64)> {
        let all = self.0.iter();
        all.filter(|(series, value)| **value > 0.0 && !series.contains("_bucket"))
            .collect()
    }

    /// The sum of all series of a metric.
    fn sum(&self, metric: &str) -> f64 {
        let all = self.0.iter();
        let of_metric = all.filter(|(series, _)| series.split('{').next() == Some(metric));
        of_metric.map(|(_, value)| value).sum()
    }

    /// What was received is in flight or settled.
    fn adds_up(&self) -> bool {
        let settled = self.sum("fibrpc_requests_settled_total");
        let accounted = settled + self.get("fibrpc_requests_in_flight");
        (self.sum("fibrpc_requests_received_total") - accounted).abs() < 0.5
    }

    fn assert(&self, expected: &[(&str, u32)]) {
        for (series, value) in expected {
            assert!(self.is(series, *value), "{series}: {:#?}", self.shown());
        }
    }
}

const REPLIED: &str = "fibrpc_requests_settled_total{how=\"replied\"}";
const HANDED_BACK: &str = "fibrpc_requests_settled_total{how=\"handed_back\"}";
const LOST: &str = "fibrpc_requests_settled_total{how=\"lost\"}";
const POISONED: &str = "fibrpc_requests_settled_total{how=\"poisoned\"}";
const IN_FLIGHT: &str = "fibrpc_requests_in_flight";

#[test]
fn every_request_is_settled_in_one_way() {
    let mut scene = Scene::start(|settings, _| settings);
    let client = &mut scene.client;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ms = i64::try_from(since.as_millis()).unwrap() - 20_000;
    let arrived = Properties::new().header("timestamp_in_ms", value::integer(ms));
    for body in ["30", "-1", "1000000"] {
        client
            .request(QUEUE, arrived.clone(), body.as_bytes())
            .unwrap();
        client.next_delivery(SOON).unwrap();
    }
    client.report(QUEUE, SOON).unwrap();
    client.publish(QUEUE, &Properties::new(), b"30").unwrap();
    for _ in 0..2 {
        let gone = Properties::new().reply_to("amq.gen-gone");
        client.publish(QUEUE, &gone, b"30").unwrap();
    }
    for _ in 0..3 {
        let refused = Properties::new().reply_to("orders");
        client.publish(QUEUE, &refused, b"30").unwrap();
    }
    let full = Declare::classic()
        .argument("x-max-length", value::integer(1))
        .argument("x-overflow", value::text("reject-publish"));
    let (full, ..) = client.declare("rpc.reply.full", &full).unwrap();
    for _ in 0..2 {
        let request = Properties::new().reply_to(&full);
        client.publish(QUEUE, &request, b"30").unwrap();
    }
    let metrics = scene.wait("all requests are settled", |metrics| {
        metrics.is("fibrpc_requests_settled_total{how=\"reply_refused\"}", 1)
            && metrics.is(IN_FLIGHT, 0)
    });
    metrics.assert(&[
        (REPLIED, 3 + 1 + 2 + 1),
        ("fibrpc_requests_settled_total{how=\"unanswerable\"}", 1),
        ("fibrpc_requests_settled_total{how=\"refused_address\"}", 3),
        (POISONED, 0),
        (HANDED_BACK, 0),
        (LOST, 0),
        ("fibrpc_requests_received_total{redelivered=\"false\"}", 12),
        ("fibrpc_replies_total{result=\"confirmed\"}", 7),
        ("fibrpc_replies_total{result=\"returned\"}", 2),
        // Three times on the channel of the session, and four times on a new one.
        ("fibrpc_replies_total{result=\"nacked\"}", 7),
        ("fibrpc_replies_total{result=\"resent\"}", 6),
        ("fibrpc_confirm_seconds_count", 7),
        ("fibrpc_compute_seconds_count{where=\"inline\"}", 5),
        ("fibrpc_compute_seconds_count{where=\"pool\"}", 1),
        ("fibrpc_queue_wait_seconds_count{source=\"broker\"}", 3),
        (
            "fibrpc_queue_wait_seconds_bucket{source=\"broker\",le=\"10\"}",
            0,
        ),
        ("fibrpc_queue_wait_seconds_count{source=\"caller\"}", 0),
        ("fibrpc_request_bytes_total", 2 + 2 + 7 + 1 + 8 * 2),
        ("fibrpc_sessions_total", 1),
        ("fibrpc_pool_jobs{state=\"running\"}", 0),
        ("fibrpc_pool_jobs{state=\"waiting\"}", 0),
    ]);
    // A pong is no call.
    let calls = metrics.sum("rpc_server_call_duration_seconds_count");
    assert!((calls - 7.0).abs() < 0.5, "{calls}");
    assert!(metrics.get("fibrpc_reply_bytes_total") > 208_988.0);
    assert!(metrics.get("fibrpc_pool_threads") >= 1.0);
    assert!(metrics.get("fibrpc_prefetch") >= 1.0);
}

#[test]
fn requests_in_flight_are_lost_with_their_session_and_received_again() {
    let mut scene = Scene::start(|settings, _| settings);
    scene.proxy.set(|faults| faults.confirms = Confirms::Hold);
    scene.ask(5);
    scene.wait("five in flight", |metrics| metrics.is(IN_FLIGHT, 5));
    scene.receive(5);
    assert!(scene.proxy.reset(None) > 0);
    scene.wait("five are lost", |metrics| metrics.is(LOST, 5));
    scene.proxy.set(|faults| faults.confirms = Confirms::Pass);
    scene.receive(5);
    let metrics = scene.wait("all replied", |metrics| metrics.is(REPLIED, 5));
    metrics.assert(&[
        (LOST, 5),
        (IN_FLIGHT, 0),
        ("fibrpc_requests_received_total{redelivered=\"false\"}", 5),
        ("fibrpc_requests_received_total{redelivered=\"true\"}", 5),
        ("fibrpc_sessions_total", 2),
        ("fibrpc_session_failures_total{cause=\"lost\"}", 1),
        ("fibrpc_poison_strikes_total", 0),
    ]);
}

/// The broker closes the connection over each of its replies.
#[test]
fn a_request_whose_replies_end_sessions_has_strikes_and_is_poisoned() {
    let mut scene = Scene::start(|settings, _| settings.set("broker.reconnect.max", "1s"));
    scene.proxy.set(|faults| {
        let id = method::BASIC_PUBLISH;
        faults.answer = Some(Answering::close_at(id, 501, "FRAME_ERROR"));
    });
    scene.ask(1);
    let metrics = scene.wait("it is poisoned", |metrics| metrics.is(POISONED, 1));
    metrics.assert(&[
        ("fibrpc_poison_strikes_total", 3),
        (LOST, 4),
        (IN_FLIGHT, 0),
        ("fibrpc_session_failures_total{cause=\"protocol\"}", 4),
        ("fibrpc_isolation", 1),
        ("fibrpc_prefetch", 1),
    ]);
    scene.proxy.set(|faults| faults.answer = None);
    scene.ask(1);
    scene.receive(1);
    scene.wait("the isolation ends", |metrics| {
        metrics.is("fibrpc_isolation", 0) && metrics.get("fibrpc_prefetch") > 1.0
    });
}

/// A session that is replaced hands back what it cannot finish within the drain time, and its gauges go with it.
#[test]
fn a_session_that_is_replaced_hands_back_what_it_has() {
    let mut scene = Scene::start(|settings, _| settings.set("server.drain_timeout", "1s"));
    scene.proxy.set(|faults| faults.confirms = Confirms::Hold);
    scene.ask(5);
    scene.wait("five in flight", |metrics| metrics.is(IN_FLIGHT, 5));
    let threads = scene.metrics().get("fibrpc_pool_threads");
    let next = scene.settings.clone();
    let next = next.set("broker.heartbeat", "7s").set("server.prefetch", 1);
    scene.server.reload(&next);
    let metrics = scene.wait("five are handed back", |metrics| metrics.is(HANDED_BACK, 5));
    metrics.assert(&[("fibrpc_drain_abandoned_total", 5), (LOST, 0)]);
    scene.proxy.set(|faults| faults.confirms = Confirms::Pass);
    let metrics = scene.wait("all replied", |metrics| metrics.is(REPLIED, 5));
    metrics.assert(&[
        (IN_FLIGHT, 0),
        ("fibrpc_prefetch", 1),
        ("fibrpc_sessions_total", 2),
    ]);
    assert!((metrics.get("fibrpc_pool_threads") - threads).abs() < 0.5);
    // Without another session.
    scene
        .server
        .reload(&next.set("server.concurrency", 3).set("server.prefetch", 20));
    scene.wait("three threads", |metrics| {
        metrics.is("fibrpc_pool_threads", 3)
    });
    // As soon as there is use for it.
    scene.proxy.set(|faults| faults.confirms = Confirms::Hold);
    scene.ask(4);
    scene.wait("another prefetch", |metrics| {
        metrics.get("fibrpc_prefetch") > 1.0
    });
}

#[test]
fn the_time_for_which_the_broker_blocks_is_counted_while_it_lasts() {
    const BLOCKED: &str = "fibrpc_broker_blocked_seconds_total";
    let mut scene = Scene::start(|settings, _| settings);
    let blocking = |id: method::Id| {
        Answering::to_method(method::BASIC_ACK, move |_| {
            let arguments = Arguments::default();
            let arguments = match id {
                method::CONNECTION_BLOCKED => arguments.short("low on memory"),
                _ => arguments,
            };
            Some(Instead::Answer(Frame::method(0, id, arguments)))
        })
    };
    let blocked = blocking(method::CONNECTION_BLOCKED);
    scene.proxy.set(|faults| faults.answer = Some(blocked));
    scene
        .client
        .publish(QUEUE, &Properties::new(), b"30")
        .unwrap();
    scene.wait("a second is counted", |metrics| {
        metrics.is("fibrpc_state{state=\"blocked\"}", 1) && metrics.get(BLOCKED) >= 1.0
    });
    let unblocked = blocking(method::CONNECTION_UNBLOCKED);
    scene.proxy.set(|faults| faults.answer = Some(unblocked));
    scene
        .client
        .publish(QUEUE, &Properties::new(), b"30")
        .unwrap();
    let is_consuming = |metrics: &Metrics| metrics.is("fibrpc_state{state=\"consuming\"}", 1);
    let before = scene.wait("it is over", is_consuming).get(BLOCKED);
    // The session has ticked since then.
    scene.wait("a second later", |metrics| {
        metrics.get("fibrpc_last_read_age_seconds{connection=\"publishing\"}") > 1.2
    });
    let after = scene.metrics().get(BLOCKED);
    assert!((after - before).abs() < 1e-6, "{before}, {after}");
}

#[test]
fn the_broker_and_the_expiry_of_certificates_are_known() {
    let broker = Broker::shared();
    let authority = Authority::new("ours");
    let identity = authority.sign(&["localhost"], |wanted| {
        wanted.not_after = rcgen::date_time_ymd(2060, 1, 1);
    });
    let front = TlsFront::new(broker.port(), &identity, None);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.certificate()).unwrap();
    let scene = Scene::start(|settings, vhost| {
        let url = format!("amqps://guest:guest@localhost:{}/{vhost}", front.port());
        settings
            .set("broker.url", url)
            .set("broker.tls.ca_file", ca.to_str().unwrap())
    });
    let metrics = scene.metrics();
    let expiry =
        |which| format!("fibrpc_certificate_expiry_timestamp_seconds{{which=\"{which}\"}}");
    metrics.assert(&[(&expiry("broker"), 2_840_140_800)]);
    assert!(!metrics.0.contains_key(&expiry("client")));
    // That of rcgen: the year 4096.
    assert!(metrics.get(&expiry("authorities")) > 6.7e10);
    let info = metrics
        .0
        .keys()
        .find(|series| series.starts_with("fibrpc_broker_info{"));
    assert!(
        info.unwrap().contains("product=\"RabbitMQ\",version=\""),
        "{info:?}"
    );
}
