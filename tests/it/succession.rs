//! A change of session: the next one serves before the last one leaves, and no caller notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::reload::Reloadable;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, SOON, Settings, until};

const QUEUE: &str = "rpc_queue";

/// A vhost whose request queue is a classic one: its count of consumers is exact.
fn vhost_with_classic_queue(broker: &Broker) -> String {
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.declare(QUEUE, &Declare::durable()).unwrap();
    vhost
}

/// Asks once, as a client does that looks for a server before: how long the answer took.
fn ask(client: &mut Client) -> Duration {
    let began = Instant::now();
    let (_, _, consumers) = client.declare(QUEUE, &Declare::passive()).unwrap();
    assert!(consumers > 0, "nobody serves");
    let answer = client.call(QUEUE, b"30", SOON).unwrap();
    assert_eq!(answer.text(), "832040");
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Ends the load, however the test ends.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A caller whose request came into a gap would wait for as long as a new session takes.
#[test]
fn a_hundred_changes_of_session_under_load_are_seen_by_nobody() {
    const RELOADS: usize = 100;
    let broker = Broker::shared();
    let vhost = vhost_with_classic_queue(broker);
    let settings = Settings::new(broker, &vhost);
    let mut server = Reloadable::start(&settings);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = Client::connect(broker.port(), &vhost).unwrap();
            let mut calls = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                calls.push((began, ask(&mut client)));
            }
            calls
        });
        let end_of_load = EndOf(&ended);
        let mut watching = Client::connect(broker.port(), &vhost).unwrap();
        let mut changes = Vec::new();
        for index in 0..RELOADS {
            let began = Instant::now();
            let heartbeat = ["11s", "10s"][index % 2];
            let next = settings.clone().set("broker.heartbeat", heartbeat);
            server.reload(&next);
            until(SOON, "the next session", || {
                let report = watching.report(QUEUE, SOON).unwrap();
                (report["sessions"] == index + 2).then_some(())
            });
            changes.push((began, began.elapsed()));
        }
        drop(end_of_load);
        let calls = load.join().expect("no call fails");
        let longest = |(began, took): &(Instant, Duration)| {
            let during = calls.iter().filter(|(at, _)| *at <= *began + *took);
            let during = during.filter(|(at, waited)| *at + *waited >= *began);
            during.map(|(_, waited)| *waited).max().unwrap_or_default()
        };
        let waited = median(changes.iter().map(longest).collect());
        let took = median(changes.iter().map(|(_, took)| *took).collect());
        assert!(waited < took, "a call waits {waited:?} in {took:?}");
    });
    // The last one may still be leaving.
    broker.wait_for_consumers(&vhost, QUEUE, 1);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let report = client.report(QUEUE, SOON).unwrap();
    assert_eq!(report["sessions"], RELOADS + 1, "{report}");
    let log = server.daemon.stderr().join("\n");
    for trouble in ["disconnected", "ended early", "cannot use"] {
        assert!(!log.contains(trouble), "{log}");
    }
}

#[test]
fn a_long_job_in_hand_delays_nobody_and_is_finished() {
    let broker = Broker::shared();
    let vhost = vhost_with_classic_queue(broker);
    let settings = Settings::new(broker, &vhost)
        .set("server.max_n", 1_000_000_000)
        .set("server.max_reply_bytes", "500MiB")
        .set("server.concurrency", 1)
        .set("server.drain_timeout", "10m");
    let mut server = Reloadable::start(&settings);
    let mut asking = Client::connect(broker.port(), &vhost).unwrap();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    // As long as can be: RabbitMQ 4 takes no more than 16 MiB.
    let long = Properties::new().correlation_id("long");
    asking.request(QUEUE, long, b"75000000").unwrap();
    server.notify.wait_for_status("1 in flight", SOON);
    server.reload(&settings.set("broker.heartbeat", "11s"));
    let (line, _) = server.daemon.wait_for_line_from(0, "connected to", SOON);
    let mut answered = 0;
    for _ in 0..200 {
        ask(&mut client);
        let report = client.report(QUEUE, SOON).unwrap();
        // The long one of the session that leaves, and the ping.
        if report["in_flight"].as_u64() < Some(2) {
            break;
        }
        answered += u32::from(report["sessions"] == 2);
    }
    assert!(answered > 0, "it was over before the change");
    (server.daemon).wait_for_line_from(line, "connected to", SOON);
    let answer = asking.next_delivery(SOON * 6).unwrap();
    assert_eq!(answer.correlation_id(), "long");
    assert_eq!(answer.body.len(), 15_674_073, "digits");
}

#[test]
fn settings_that_do_not_work_leave_the_old_session_in_service() {
    let broker = Broker::shared();
    let vhost = vhost_with_classic_queue(broker);
    let settings = Settings::new(broker, &vhost);
    let wrong = broker.url(&vhost).replace("guest:guest", "guest:wrong");
    let wrong = settings.clone().set("broker.url", wrong);
    let mut server = Reloadable::start(&settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    server.reload(&wrong.clone().set("server.max_n", 29));
    let line = server.daemon.wait_for_line("cannot use the new", SOON);
    for words in ["serving goes on", "old ones", "try 2 in", "reload"] {
        assert!(line.contains(words), "{line}");
    }
    let unused = "in flight; new settings not in use: ";
    let status = server.notify.wait_for_status(unused, SOON);
    assert!(status.starts_with("consuming rpc_queue on "), "{status}");
    // What needs no other session is in force.
    let refusal = client.call(QUEUE, b"30", SOON).unwrap().text();
    assert!(refusal.starts_with("error: OUT_OF_RANGE"), "{refusal}");
    server.daemon.wait_for_line("try 3 in", SOON);

    // Taken back: nothing is left of it.
    server.reload(&settings);
    until(SOON, "a STATUS without the problem", || {
        let status = server.notify.last("STATUS")?;
        (!status.contains("not in use")).then_some(())
    });
    ask(&mut client);
    assert_eq!(client.report(QUEUE, SOON).unwrap()["sessions"], 1);

    // The old session dies and cannot be kept.
    server.reload(&wrong);
    server.notify.wait_for_status(unused, SOON);
    let seen = server.notify.all().len();
    assert!(broker.close_connections(&vhost) > 0);
    server
        .notify
        .wait_for_status_from(seen, "waiting for broker", SOON);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    server.reload(&settings.set("broker.heartbeat", "11s"));
    server
        .notify
        .wait_for_status_from(seen, "consuming rpc_queue", SOON);
    ask(&mut client);
    assert_eq!(client.report(QUEUE, SOON).unwrap()["sessions"], 2);
}

/// A stop does not wait for a session that cannot be opened.
#[test]
fn a_stop_ends_the_attempts_as_well() {
    let broker = Broker::shared();
    let vhost = vhost_with_classic_queue(broker);
    let settings = Settings::new(broker, &vhost);
    let wrong = broker.url(&vhost).replace("guest:guest", "guest:wrong");
    let mut server = Reloadable::start(&settings);
    server.reload(&settings.set("broker.url", wrong));
    server.daemon.wait_for_line("cannot use the new", SOON);
    server.daemon.signal("TERM");
    assert!(server.daemon.wait(SOON).success());
    server.daemon.wait_for_line("drained in", SOON);
}
