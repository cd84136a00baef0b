//! `fibrpc bench`: the figures, the assertions, and that a stall shows in them.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::call::Server;
use crate::support::{Broker, Daemon, Fibrpc, Output, SOON, Settings, until};

fn bench(settings: &Settings, arguments: &[&str]) -> Output {
    let bench = Fibrpc::new(settings).args(["bench", "--warm-up", "0s"]);
    bench.args(arguments).run(SOON)
}

fn object(output: &Output) -> Value {
    let line = output.stdout.strip_suffix('\n').unwrap();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The latency of this name in milliseconds.
fn latency(report: &Value, name: &str) -> f64 {
    report["latency_us"][name].as_f64().unwrap() / 1e3
}

/// A daemon on a queue that costs the broker little.
fn daemon(broker: &Broker, vhost: &str) -> (Settings, Daemon) {
    let settings = Settings::new(broker, vhost)
        .set("queue.type", "classic")
        .set("queue.durable", false);
    let daemon = Daemon::start_consuming(broker, vhost, &settings);
    (settings, daemon)
}

/// Waits until the daemon is busy.
fn under_load(daemon: &Daemon) {
    let before = daemon.processor_time();
    until(SOON, "load on the daemon", || {
        (daemon.processor_time() > before + Duration::from_millis(50)).then_some(())
    });
}

#[test]
fn a_closed_loop_counts_every_request_once() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (settings, daemon) = daemon(broker, &vhost);
    let load = ["--requests", "700", "-f", "20", "--connections", "3"];
    let mix = ["-n", "0..100:9,1000", "--json", "-d", "1h"];
    let asserted = ["--assert", "errors==0", "--assert", "rate > 1/s"];
    let output = bench(&settings, &[&load[..], &mix, &asserted].concat());
    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
    let report = object(&output);
    for (name, value) in [
        ("queue", Value::from("rpc_queue")),
        ("n", "0..100:9,1000".into()),
        ("connections", 3.into()),
        ("in_flight", 20.into()),
        ("target_rate", Value::Null),
        ("answered", 700.into()),
        ("errors", 0.into()),
        ("unfinished", 0.into()),
        ("missed", 0.into()),
        ("connections_lost", 0.into()),
        ("interrupted", false.into()),
    ] {
        assert_eq!(report[name], value, "{name}");
    }
    let names = [
        "min", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "max",
    ];
    let latencies = names.map(|name| latency(&report, name));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{report}");
    let bars = report["histogram"].as_array().unwrap().iter();
    assert_eq!(
        bars.map(|bar| bar["count"].as_u64().unwrap()).sum::<u64>(),
        700
    );
    // Answers in the time that it took.
    let rate = 700.0 / report["elapsed_s"].as_f64().unwrap();
    assert!(
        (report["rate"].as_f64().unwrap() - rate).abs() < 0.1,
        "{report}"
    );
    assert!(report["processor_us"].as_f64() > Some(0.0), "{report}");
    let assertions = report["assertions"].as_array().unwrap();
    assert!(assertions.len() == 2 && assertions.iter().all(|one| one["holds"] == true));
    drop(daemon);
}

#[test]
fn an_assertion_that_does_not_hold_fails_the_run() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (settings, _daemon) = daemon(broker, &vhost);
    let asserted = ["--assert", "errors==0", "--assert", "p99.9<1us"];
    let output = bench(&settings, &[&["--requests", "50"][..], &asserted].concat());
    assert_eq!(output.code(), 1, "{output:?}");
    let wrong = "fibrpc: assertion failed: p99.9<1us: measured ";
    assert!(output.stderr.starts_with(wrong), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    let head = "queue rpc_queue, n = 30: closed loop, 100 in flight, 1 connection\n";
    assert!(output.stdout.starts_with(head), "{output:?}");
    for part in [
        "\n  answered          50\n",
        "\nLatency:\n",
        "\n  p99.99 ",
        "\nHistogram:\n",
    ] {
        assert!(output.stdout.contains(part), "{part} {output:?}");
    }
    assert!(
        output
            .stdout
            .contains("\nassertion holds: errors==0: measured 0\n"),
        "{output:?}"
    );
}

#[test]
fn an_open_loop_shows_a_stall_of_the_server() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (settings, daemon) = daemon(broker, &vhost);
    let load = [
        "bench",
        "--warm-up",
        "0s",
        "--rate",
        "500",
        "-d",
        "5s",
        "--timeout",
        "20s",
        "--json",
    ];
    let (process, _folder) = Fibrpc::new(&settings).args(load).start();
    under_load(&daemon);
    daemon.signal("STOP");
    std::thread::sleep(Duration::from_secs(1));
    daemon.signal("CONT");
    let output = process.output(SOON);
    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
    let report = object(&output);
    assert_eq!(
        (&report["errors"], &report["missed"]),
        (&0.into(), &0.into())
    );
    assert_eq!(report["answered"], 2500);
    // A request sent just then waited for all of the second, and two in a hundred waited for most of it; a loop that
    // waits for answers would have sent none.
    assert!(latency(&report, "p99.9") >= 900.0, "{report}");
    assert!(latency(&report, "p99") >= 800.0, "{report}");
    assert!(
        latency(&report, "p50") < latency(&report, "p99") / 2.0,
        "{report}"
    );
}

#[test]
fn a_rate_that_cannot_be_kept_is_told_and_the_end_is_bounded() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let load = ["-r", "100/s", "-d", "2s", "-f", "5", "--timeout", "2s"];
    let bench = Fibrpc::new(&Settings::new(broker, &vhost));
    let bench = bench.args(["bench", "--warm-up", "0s"]).args(load);
    let (process, _folder) = bench.start();
    let first = server.request();
    server.reply(&first, b"832040");
    // No more answers: five wait at a time.
    let output = process.output(SOON);
    assert_eq!((output.code(), output.stderr.as_str()), (75, ""));
    // Asked one group after the other, all of the 200 would have waited in vain.
    let all = Duration::from_secs(2) * (200 / 5);
    assert!(output.elapsed < all, "{output:?}");
    for part in [
        "open loop, 100/s, at most 5 in flight, 1 connection\n",
        "\n  answered           0\n",
        "   100.000%\n",
        "\n  DEADLINE_EXCEEDED ",
        "\nThe rate was not reached: 5 in flight is the limit (--in-flight);\n",
        " were not sent.\n",
    ] {
        assert!(output.stdout.contains(part), "{part} {output:?}");
    }
    // Those that ran out of time have waited for it: no latency is shorter.
    let min = output
        .stdout
        .lines()
        .find(|line| line.starts_with("  min "));
    let min = min.unwrap().split_whitespace().nth(1);
    let seconds = min.and_then(|min| min.strip_suffix('s')?.parse().ok());
    assert!(seconds >= Some(2.0), "{output:?}");
}

#[test]
fn wrong_values_are_errors() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let bench = Fibrpc::new(&Settings::new(broker, &vhost));
    let load = [
        "bench",
        "--warm-up",
        "0s",
        "--requests",
        "3",
        "-f",
        "1",
        "--json",
    ];
    let (process, _folder) = bench.args(load).start();
    for value in ["832040", "832040", "832041", "-832040"] {
        let request = server.request();
        server.reply(&request, value.as_bytes());
    }
    let output = process.output(SOON);
    let report = object(&output);
    assert_eq!(
        (output.code(), &report["answered"]),
        (0, &1.into()),
        "{output:?}"
    );
    assert_eq!(report["error_ratio"], 2.0 / 3.0);
    let failure = &report["failures"][0];
    assert_eq!(
        (&failure["code"], &failure["count"]),
        (&"WRONG_VALUE".into(), &2.into())
    );
    assert_eq!(failure["message"], "the reply for 30 is another number");
}

#[test]
fn without_a_server_there_is_nothing_to_measure() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let output = bench(&settings, &[]);
    assert_eq!((output.code(), output.stdout.as_str()), (69, ""));
    assert!(
        output
            .stderr
            .starts_with("fibrpc: no queue \"rpc_queue\"; "),
        "{output:?}"
    );
    let output = bench(&settings, &["--json", "--assert", "errors==0"]);
    assert_eq!((output.code(), output.stderr.as_str()), (69, ""));
    assert_eq!(object(&output)["code"], "UNAVAILABLE");
}

#[test]
fn an_interrupt_shows_the_report_so_far() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let (settings, daemon) = daemon(broker, &vhost);
    let load = ["bench", "-d", "1h", "--warm-up", "0s", "--json"];
    let (process, _folder) = Fibrpc::new(&settings).args(load).start();
    under_load(&daemon);
    process.signal("INT");
    let output = process.output(SOON);
    assert_eq!(
        (output.status.signal(), output.stderr.as_str()),
        (Some(2), "")
    );
    let report = object(&output);
    assert_eq!(report["interrupted"], true);
    assert!(report["answered"].as_u64() > Some(0), "{report}");
    assert!(report["unfinished"].as_u64() <= Some(100), "{report}");
}

#[test]
fn an_interrupt_counts_what_was_due_and_never_left() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let bench = Fibrpc::new(&Settings::new(broker, &vhost));
    let load = ["-r", "1000", "-f", "1", "--timeout", "1m", "--json"];
    let bench = bench.args(["bench", "--warm-up", "0s"]).args(load);
    let (process, _folder) = bench.start();
    let first = server.request();
    server.reply(&first, b"832040");
    // There is room for one, and it is not answered.
    server.request();
    std::thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    let output = process.output(SOON);
    let report = object(&output);
    assert!(report["missed"].as_u64() >= Some(200), "{report}");
    assert_eq!(report["in_flight_reached"], true, "{report}");
    assert_eq!(
        (&report["answered"], &report["unfinished"]),
        (&0.into(), &1.into())
    );
}

#[test]
fn wrong_usage_is_told_in_one_line() {
    for (arguments, wrong) in [
        (&["--assert", "p99<20"][..], "is not a time with its unit"),
        (
            &["--assert", "p99=20ms"],
            "unknown comparison =; use < <= > >= or ==",
        ),
        (&["--assert", "median<1s"], "unknown metric \"median\""),
        (&["-n", "5..3"], "5..3 is an empty range"),
        (&["-r", "0"], "not a number of requests per second"),
        (&["-f", "0"], "not a number from 1 to 1000000"),
        (&["-d", "0s"], "shorter than 1ms"),
        (&["-d", "9000h"], "longer than a year"),
        (&["--connections", "0"], "not a number from 1 to 1000"),
        (&["--requests", "0"], "0 is not in 1.."),
    ] {
        let output = Fibrpc::bare().args(["bench"]).args(arguments).run(SOON);
        assert_eq!(
            (output.code(), output.stdout.as_str()),
            (64, ""),
            "{arguments:?}"
        );
        assert!(output.stderr.contains(wrong), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    }
}
