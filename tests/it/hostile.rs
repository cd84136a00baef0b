//! Messages that anyone with permission to publish can send: each affects only itself. The process and its session
//! survive, the next good request is answered, and the log stays quiet and shows nothing of what was sent.

mod cases;
mod endings;

use std::time::{Duration, Instant};

use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Delivery, Properties};
use crate::support::{Broker, Daemon, SOON, Settings, until};

use cases::Fate::{Answer, Code, Silence, Value};
pub use cases::STRANGE_NODE;
use cases::{CANARY, Case, Fate, addresses, bodies, case, headers::headers, plain, properties};

const QUEUE: &str = "rpc_queue";

/// Processor time that no message may cost, with a good request behind it. (That the daemon waits for
/// nothing meanwhile is seen by its session, which stays.)
const MAX_COST: Duration = Duration::from_secs(1);

/// The daemon, a client that asks good requests, and what was seen so far.
struct Bench<'a> {
    broker: &'a Broker,
    vhost: String,
    daemon: Daemon,
    pid: u32,
    good: Client,
    next: Vec<Duration>,
}

impl<'a> Bench<'a> {
    fn start(broker: &'a Broker, change: impl FnOnce(Settings) -> Settings) -> Self {
        let vhost = broker.vhost();
        let mut good = Client::connect(broker.port(), &vhost).unwrap();
        // Quorum queues write each message to disk first, which is not what is measured here.
        good.declare(QUEUE, &Declare::classic()).unwrap();
        let settings = change(Settings::new(broker, &vhost).set("log.level", "debug"));
        let daemon = Daemon::start_consuming(broker, &vhost, &settings);
        let pid = daemon.pid();
        good.call(QUEUE, b"30", SOON).unwrap();
        Self {
            broker,
            vhost,
            daemon,
            pid,
            good,
            next: Vec::new(),
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.broker.port(), &self.vhost).unwrap()
    }

    fn report(&mut self, field: &str) -> u64 {
        let report = self.good.report(QUEUE, SOON).unwrap();
        report[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field}: {report}"))
    }

    /// Sends it, and then a good request, whose answer must come at once.
    fn send(&mut self, case: &Case) {
        let mut sender = self.client();
        let mine = matches!(case.fate, Silence) || case.properties.reply_to.is_some();
        let sent = if mine {
            sender.publish(QUEUE, &case.properties, &case.body)
        } else {
            sender.request(QUEUE, case.properties.clone(), &case.body)
        };
        match (&case.fate, sent) {
            (_, Ok(_)) | (Fate::Broker, Err(_)) => {}
            (_, Err(error)) => panic!("{}: {error}", case.name),
        }
        let (began, before) = (Instant::now(), self.daemon.processor_time());
        let answer = self.good.call(QUEUE, b"30", SOON);
        let took = began.elapsed();
        let cost = self.daemon.processor_time().saturating_sub(before);
        let answer = answer.unwrap_or_else(|error| panic!("after {}: {error}", case.name));
        assert_eq!(answer.text(), "832040", "after {}", case.name);
        assert!(cost < MAX_COST, "{cost:?} for {}", case.name);
        self.next.push(took);
        match case.fate {
            Value(_) | Code(_) | Answer => match sender.next_delivery(SOON) {
                Ok(reply) => judge(case, &reply),
                Err(error) => panic!("{}: {error}", case.name),
            },
            Silence | Fate::Broker => {}
        }
    }

    fn send_all(&mut self, cases: &[Case]) {
        for case in cases {
            self.send(case);
        }
        self.next.sort_unstable();
        eprintln!(
            "{} hostile messages; the next good one took {:?} at best, {:?} in the middle, {:?} at worst",
            self.next.len(),
            self.next[0],
            self.next[self.next.len() / 2],
            self.next[self.next.len() - 1],
        );
    }

    /// The same process and session, everything settled, and nothing in the log.
    fn assert_unharmed(mut self, lines: usize) {
        assert_eq!(self.report("pid"), u64::from(self.pid));
        assert_eq!(self.report("sessions"), 1, "a reconnect");
        self.broker
            .wait_for_depth(&self.vhost, QUEUE, SOON, |depth| {
                depth.ready + depth.unacked == 0
            });
        assert!(self.daemon.is_running());
        let log = self.daemon.stderr();
        // Of its own doings: started, connected.
        let said = log.iter().filter(|line| !line.contains(" DEBUG "));
        assert!(said.count() <= lines + 4, "{log:#?}");
        for line in log {
            assert!(
                !line.contains('\u{1b}') && !line.contains("5e1f\\n"),
                "{line}"
            );
            // A refused address is shown; nothing else of a request is.
            let address = ["reply_to=", "refused a reply address"];
            let shown = line.contains(CANARY) && !address.iter().any(|text| line.contains(text));
            assert!(!shown && line.len() < 1_000, "{line}");
        }
    }
}

#[track_caller]
fn judge(case: &Case, reply: &Delivery) {
    let id = case.properties.correlation_id.as_ref();
    let id = id.or(case.properties.message_id.as_ref());
    assert_eq!(
        reply.properties.correlation_id.as_ref(),
        id,
        "{}",
        case.name
    );
    let status = reply.properties.find_text("fibrpc-status").unwrap();
    match &case.fate {
        Value(expected) => assert_eq!(
            (status.as_str(), reply.text().as_str()),
            ("OK", *expected),
            "{}",
            case.name
        ),
        Code(code) => {
            assert_eq!(status, *code, "{}: {}", case.name, reply.text());
            // An excerpt at most, on one line.
            assert!(reply.body.len() < 1_000, "{}: {}", case.name, reply.text());
            assert!(
                !reply.body.iter().any(u8::is_ascii_control),
                "{}: {}",
                case.name,
                reply.text()
            );
        }
        _ => {}
    }
}

#[test]
fn bodies_of_every_kind_affect_only_themselves() {
    let mut bench = Bench::start(Broker::shared(), |settings| settings);
    bench.send_all(&bodies());
    bench.assert_unharmed(0);
}

#[test]
fn headers_of_every_kind_affect_only_themselves() {
    let mut bench = Bench::start(Broker::shared(), |settings| settings);
    bench.send_all(&headers());
    bench.assert_unharmed(0);
}

#[test]
fn properties_of_every_kind_affect_only_themselves() {
    let mut bench = Bench::start(Broker::shared(), |settings| settings);
    bench.send_all(&properties());
    bench.assert_unharmed(0);
}

#[test]
fn reply_addresses_of_every_kind_affect_only_themselves() {
    let mut bench = Bench::start(Broker::shared(), |settings| settings);
    let mut other = bench.client();
    other.declare("orders", &Declare::classic()).unwrap();
    bench.send_all(&addresses());
    // With those that have none. The last ones may still be on their way.
    let expected = [("refused", 9), ("unanswerable", 11), ("returned", 2)];
    let mut counts = expected.map(|(field, _)| (field, 0));
    let end = Instant::now() + SOON;
    while counts != expected && Instant::now() < end {
        counts = expected.map(|(field, _)| (field, bench.report(field)));
    }
    assert_eq!(counts, expected);
    let (_, messages, _) = other.declare("orders", &Declare::passive()).unwrap();
    assert_eq!(messages, 0, "it wrote into another service's queue");
    bench.assert_unharmed(9);
}

/// A reply to a queue that is gone is not an error, but it is counted, which needs `mandatory`.
#[test]
fn replies_go_to_allowed_queues_and_returned_ones_are_counted() {
    let mut bench = Bench::start(Broker::shared(), |settings| {
        settings.set("server.reply_to_allow", vec!["billing.*".to_owned()])
    });
    let mut client = bench.client();
    // The tutorial's clients, the C++ one's own names among them, and what the operator allows.
    for name in ["", "rpc.reply.x", "thesis.rpc.1", "billing.answers"] {
        let (name, ..) = client.declare(name, &Declare::exclusive()).unwrap();
        let request = Properties::request(&name, "id-1");
        client.publish(QUEUE, &request, b"30").unwrap();
        let reply = until(SOON, &name, || client.get(&name, true).unwrap());
        assert_eq!(reply.text(), "832040", "{name}");
    }
    assert_eq!((bench.report("returned"), bench.report("refused")), (0, 0));
    for _ in 0..50 {
        let request = Properties::request("rpc.reply.gone", "id-2");
        client.publish(QUEUE, &request, b"30").unwrap();
    }
    until(SOON, "50 returned replies", || {
        (bench.report("returned") == 50).then_some(())
    });

    // A full queue: offered seven times, then the request is rejected.
    let full = Declare::classic()
        .argument("x-max-length", b"I\0\0\0\x01")
        .argument("x-overflow", value::text("reject-publish"));
    client.declare("rpc.reply.full", &full).unwrap();
    client
        .publish("rpc.reply.full", &Properties::new(), b"")
        .unwrap();
    let request = Properties::request("rpc.reply.full", "id-3");
    client.publish(QUEUE, &request, b"30").unwrap();
    until(
        SOON,
        "three refused offers, and four on other channels",
        || (bench.report("nacked") == 3 + 4).then_some(()),
    );
    bench.assert_unharmed(1);
}

#[test]
fn a_flood_of_refused_addresses_is_a_dozen_lines_per_minute_and_an_exact_count() {
    let mut bench = Bench::start(Broker::shared(), |settings| settings);
    let mut sender = bench.client();
    let request = Properties::request("orders", CANARY);
    let began = Instant::now();
    for _ in 0..10_000 {
        sender.publish(QUEUE, &request, b"30").unwrap();
    }
    until(SOON * 3, "all of them refused", || {
        (bench.report("refused") == 10_000).then_some(())
    });
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).unwrap() + 1;
    let refusals = |bench: &Bench| -> Vec<String> {
        let log = bench.daemon.stderr().into_iter();
        log.filter(|line| line.contains("refused a reply address"))
            .collect()
    };
    // Each line stands for itself and for those that it says were left out before it.
    let counted = |lines: &[String]| -> usize {
        let left_out = lines.iter().filter_map(|line| {
            let (before, _) = line.split_once(" more were left out")?;
            let number = before.rsplit(|char: char| !char.is_ascii_digit()).next()?;
            number.parse::<usize>().ok()
        });
        lines.len() + left_out.sum::<usize>()
    };
    // The summary comes a minute after the first line.
    let lines = until(Duration::from_secs(60) + SOON, "an exact count", || {
        let lines = refusals(&bench);
        (counted(&lines) == 10_000).then_some(lines)
    });
    let refused = "refused a reply address: `orders` is not allowed by server.reply_to_allow";
    assert!(lines[0].contains(refused), "{lines:#?}");
    assert!(lines.len() <= 11 * minutes, "{lines:#?}");
    bench.assert_unharmed(11 * minutes);
}

#[test]
fn the_largest_body_costs_no_memory() {
    let mut bench = Bench::start(Broker::shared(), |settings| settings);
    let before = (bench.daemon.resident(), bench.daemon.peak_resident());
    let mut sender = bench.client();
    // Almost as large as this broker takes.
    let size = (100 << 20).min(bench.broker.generation().largest_message() - 1);
    let body = vec![b'1'; size];
    let properties = plain();
    sender.request(QUEUE, properties.clone(), &body).unwrap();
    let reply = sender.next_delivery(SOON * 3).unwrap();
    let huge = case("huge", properties, "", Code("INVALID_ARGUMENT"));
    judge(&huge, &reply);
    let told = format!("{size} bytes");
    assert!(reply.text().contains(&told), "{}", reply.text());
    let after = (bench.daemon.resident(), bench.daemon.peak_resident());
    eprintln!("resident and peak before {before:?}, after {after:?}");
    assert!(
        after.1 < before.1 + size as u64 * 2 / 5,
        "{before:?}, {after:?}"
    );
    assert_eq!(
        bench.good.call(QUEUE, b"30", SOON).unwrap().text(),
        "832040"
    );
    bench.assert_unharmed(0);
}
