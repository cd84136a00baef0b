//! Metrics of a live daemon: documented, accepted by Prometheus's checker, and no more series whatever is sent.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use crate::support::ports::Ports;
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, Daemon, Fibrpc, Process, SOON, Settings, lacks, until};

/// The most series that fibrpcd(8) allows.
const MAX_SERIES: usize = 219;

/// Requests per wait for confirms.
const BATCH: u64 = 1000;

/// A daemon with a telemetry endpoint.
struct Observed {
    port: Ports<1>,
    daemon: Daemon,
    vhost: String,
}

impl Observed {
    fn start(broker: &Broker) -> Self {
        let (port, vhost) = (Ports::reserve(), broker.vhost());
        let settings = Settings::new(broker, &vhost)
            .set("queue.type", "classic")
            .set("telemetry.listen", format!("127.0.0.1:{}", port.first()));
        let daemon = Daemon::start_consuming(broker, &vhost, &settings);
        Self {
            port,
            daemon,
            vhost,
        }
    }

    fn scrape(&self, accept: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.first())).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        body.to_owned()
    }

    fn text(&self) -> String {
        self.scrape("text/plain;version=0.0.4")
    }

    /// Waits until at least this many requests are settled.
    fn wait_for_settled(&mut self, requests: u64) {
        until(3 * SOON, "requests to be settled", || {
            assert!(self.daemon.is_running());
            let text = self.text();
            let settled = samples(&text).into_iter();
            let settled =
                settled.filter(|(series, _)| series.starts_with("fibrpc_requests_settled_total{"));
            let settled: u64 = settled
                .map(|(_, value)| value.parse::<u64>().unwrap())
                .sum();
            (settled >= requests).then_some(())
        });
    }
}

/// Series and values.
fn samples(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

fn series(text: &str) -> BTreeSet<String> {
    let samples = samples(text).into_iter();
    samples.map(|(series, _)| series.to_owned()).collect()
}

/// The names that fibrpcd(8) lists.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../man/fibrpcd.8");
    let (_, section) = page.split_once("\n.Sh METRICS\n").unwrap();
    let (section, _) = section.split_once("\n.Sh ").unwrap();
    let terms = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "));
    terms
        .map(|term| term.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let broker = Broker::shared();
    let observed = Observed::start(broker);
    let text = observed.text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let shown: BTreeSet<String> = types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let mut documented = documented();
    // Only with TLS.
    assert!(documented.remove("fibrpc_certificate_expiry_timestamp_seconds"));
    assert_eq!(shown, documented);
    let open = observed.scrape("application/openmetrics-text;version=1.0.0");
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    assert_eq!(samples(&open).len(), samples(&text).len());
}

#[test]
fn prometheus_has_nothing_to_say_about_the_metrics() {
    if lacks("promtool") {
        return;
    }
    let broker = Broker::shared();
    let observed = Observed::start(broker);
    let settings = Settings::new(broker, &observed.vhost);
    let asked = Fibrpc::new(&settings)
        .args(["30", "100000", "-1"])
        .run(SOON);
    assert_eq!(asked.code(), 65, "{asked:?}");
    let text = observed.text();
    let check = Process::start(
        Command::new("promtool").args(["check", "metrics"]),
        text.as_bytes(),
    );
    let checked = check.output(SOON);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert_eq!((checked.code(), said.as_str()), (0, ""));
}

/// Any request, with an address that gets a reply, that does not, or that is refused, or none.
fn any_request(random: &mut fastrand::Rng, replies: &str) -> (Properties, Vec<u8>) {
    let mut bytes = |most: usize| -> Vec<u8> {
        let length = random.usize(..=most);
        (0..length).map(|_| random.u8(..)).collect()
    };
    let (id, kind, key, data) = (bytes(100), bytes(20), bytes(10), bytes(200));
    let mut properties = Properties::new().correlation_id(id);
    properties = match random.u8(..5) {
        0 => properties,
        1 => properties.reply_to(replies),
        2 => properties.reply_to(format!("amq.gen-{}", random.u64(..))),
        3 => properties.reply_to(format!("amq.rabbitmq.reply-to.{}", random.u64(..))),
        _ => properties.reply_to(&data),
    };
    if random.bool() {
        properties.kind = Some(match random.u8(..4) {
            0 => b"fibrpc.ping".to_vec(),
            _ => kind,
        });
    }
    if random.bool() {
        properties = properties.header(&key, value::text("x"));
    }
    if random.u8(..8) == 0 {
        properties = properties.expiration(random.u32(60_000..).to_string());
    }
    let body = match random.u8(..6) {
        0 => data,
        1 => random.u64(..).to_string().into_bytes(),
        2 => format!("{{\"n\":{}}}", random.u8(..)).into_bytes(),
        _ => random.u8(..).to_string().into_bytes(),
    };
    (properties, body)
}

/// `FIBRPC_SERIES_REQUESTS` sets how many requests there are; `scripts/soak` sends a million.
#[test]
fn any_requests_make_no_further_series() {
    let requests = std::env::var("FIBRPC_SERIES_REQUESTS");
    let requests: u64 = requests.map_or(20_000, |text| text.parse().unwrap());
    let seed = fastrand::u64(..1 << 32);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let broker = Broker::shared();
    let mut observed = Observed::start(broker);
    let before = series(&observed.text());
    let mut client = Client::connect(broker.port(), &observed.vhost).unwrap();
    client.confirm_select().unwrap();
    let (replies, ..) = client.declare("", &Declare::exclusive()).unwrap();
    for sent in 1..=requests {
        let (properties, body) = any_request(&mut random, &replies);
        client.publish("rpc_queue", &properties, &body).unwrap();
        if sent % BATCH == 0 || sent == requests {
            client.wait_for_confirms(SOON).unwrap();
            client.purge(&replies).unwrap();
            // The broker slows down a client that is too far ahead.
            observed.wait_for_settled(sent.saturating_sub(10 * BATCH));
        }
    }
    observed.wait_for_settled(requests);
    let text = observed.text();
    let after = series(&text);
    eprintln!("{} series after {requests} requests", after.len());
    assert_eq!(after, before);
    assert!(after.len() <= MAX_SERIES, "{}", after.len());
    // All kinds of ends have been seen, so the requests were as varied as they should be.
    for (series, value) in samples(&text) {
        for how in ["replied", "unanswerable", "refused_address"] {
            let is_how = series.contains(&format!("how=\"{how}\""));
            assert!(!is_how || value != "0", "{series}");
        }
    }
}
