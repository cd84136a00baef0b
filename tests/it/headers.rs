//! The caller's deadline on the wire: the types that are understood, the text of a refusal, and that no header has a
//! type that some port of the tutorial cannot read.

use std::process::Command;
use std::time::Duration;

use crate::call::assert_answered;
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Delivery, Properties};
use crate::support::{Broker, Daemon, Fibrpc, SOON, Settings, lacks, unix_ms};

const QUEUE: &str = "rpc_queue";

/// Types of header values that Perl's library knows; it ends at the sight of any other.
const READABLE: &str = "VSIDFATt";

fn asked(client: &mut Client, properties: Properties, body: &[u8]) -> Delivery {
    let request = properties.correlation_id("asked");
    client.request(QUEUE, request, body).unwrap();
    client.next_delivery(SOON).unwrap()
}

#[test]
fn a_deadline_of_any_type_is_understood() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let (past, future) = (unix_ms() - 60_000, unix_ms() + 600_000);
    let seconds = |ms: i64| value::timestamp(u64::try_from(ms / 1_000).unwrap());
    for (deadline, good) in [
        (value::integer(past), false),
        (value::integer(future), true),
        (value::text(past.to_string()), false),
        (value::text(future.to_string()), true),
        (seconds(past), false),
        (seconds(future), true),
        // Of another type: none.
        (value::boolean(true), true),
        (value::text("soon"), true),
        ([b"d".as_slice(), &0_f64.to_be_bytes()].concat(), true),
    ] {
        let properties = Properties::new().header("fibrpc-deadline", &deadline);
        let reply = asked(&mut client, properties, b"30");
        let text = reply.text();
        let late = text.starts_with("error: DEADLINE_EXCEEDED: the caller's deadline passed 1m");
        assert_eq!(
            (text == "832040", late),
            (good, !good),
            "{deadline:?}: {text}"
        );
    }
}

#[test]
fn every_port_can_read_the_headers() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost).set("server.max_n", 1_000);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let timed = || {
        Properties::new()
            .expiration("600000")
            .header("fibrpc-deadline", value::integer(unix_ms() + 600_000))
    };
    for body in [&b"30"[..], b"2000", b"no"] {
        let reply = asked(&mut client, timed(), body);
        let types = reply.properties.header_types();
        let unreadable = types.chars().any(|kind| !READABLE.contains(kind));
        assert!(!types.is_empty() && !unreadable, "{types}");
        if body == b"30" {
            let queued = reply.properties.find_header("fibrpc-queued-us").unwrap();
            assert_eq!((queued[0], queued.len()), (b'I', 5), "{queued:?}");
        }
    }
}

/// What `fibrpc` sends, and takes.
#[test]
fn every_port_can_serve_the_client() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Client::connect(broker.port(), &vhost).unwrap();
    server
        .declare(QUEUE, &crate::support::wire::Declare::quorum())
        .unwrap();
    server.consume(QUEUE, true).unwrap();
    let (process, _folder) = Fibrpc::new(&Settings::new(broker, &vhost))
        .args(["--timeout", "20s", "30"])
        .start();
    let request = server.next_delivery(SOON).unwrap();
    let types = request.properties.header_types();
    assert_eq!(types, "S");
    let deadline = request.properties.find_text("fibrpc-deadline").unwrap();
    let left = deadline.parse::<i64>().unwrap() - unix_ms();
    assert!((1..=20_000).contains(&left), "{deadline}");
    let reply = Properties::new()
        .correlation_id(request.correlation_id())
        .header("fibrpc-compute-us", value::text("7"));
    let to = String::from_utf8(request.properties.reply_to.unwrap()).unwrap();
    server.publish(&to, &reply, b"832040").unwrap();
    let output = process.output(SOON);
    assert_answered(&output, "832040\n");
}

/// Whether a deadline passed four seconds ago, or on a slow machine a little more.
fn is_late(text: &str) -> bool {
    let late = text.split_once("the caller's deadline passed ");
    let seconds = late.and_then(|(_, late)| late.split(['.', 's']).next()?.parse().ok());
    seconds.is_some_and(|seconds: u64| (4..20).contains(&seconds))
}

/// A clock that is wrong is not taken for a busy server.
#[test]
fn a_caller_whose_clock_is_behind_is_told_of_clocks() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    // As `fibrpc` with a timeout of 20 s sends it 24 seconds too early.
    let late = Properties::new().expiration("20000").header(
        "fibrpc-deadline",
        value::text((unix_ms() - 4_000).to_string()),
    );
    let text = asked(&mut client, late, b"30").text();
    let end = "s before the request arrived here; do the clocks of both machines agree?";
    assert!(text.starts_with("error: DEADLINE_EXCEEDED: "), "{text}");
    assert!(is_late(&text) && text.ends_with(end), "{text}");
    // Without an expiration it may have waited in the queue.
    let late = Properties::new().header("fibrpc-deadline", value::integer(unix_ms() - 4_000));
    let text = asked(&mut client, late, b"30").text();
    assert!(
        text.contains("it waited in the queue for too long, or the clocks"),
        "{text}"
    );
}

/// The same by a whole process whose clock is changed.
#[test]
fn fibrpc_whose_clock_is_behind_is_told_of_clocks() {
    if lacks("faketime") {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut library = None;
    let found = Command::new("faketime")
        .args(["-f", "-1h", "env"])
        .output()
        .unwrap();
    for line in String::from_utf8_lossy(&found.stdout).lines() {
        library = line
            .strip_prefix("LD_PRELOAD=")
            .map(str::to_owned)
            .or(library);
    }
    let skewed = |skew: &str| {
        Fibrpc::new(&settings)
            .args(["--timeout", "20s", "30"])
            .env("LD_PRELOAD", library.as_deref().unwrap())
            .env("FAKETIME", skew)
            .env("DONT_FAKE_MONOTONIC", "1")
            .run(Duration::from_secs(60))
    };
    for skew in ["-24", "-1h"] {
        let output = skewed(skew);
        assert_eq!(output.code(), 75, "{output:?}");
        let hour = output.stderr.contains("deadline passed 59m");
        let late = hour || is_late(&output.stderr);
        assert!(late && hour == (skew == "-1h"), "{output:?}");
        assert!(
            output
                .stderr
                .contains("do the clocks of both machines agree?"),
            "{output:?}"
        );
    }
    for skew in ["-4", "+1h"] {
        assert_eq!(skewed(skew).stdout, "832040\n", "{skew}");
    }
}
