//! Servers that stop, start and are reloaded while requests wait: none is lost, redeliveries stay below any delivery
//! limit, and the work is shared.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::faults::times;
use crate::support::wire::{Client, Declare, Delivery, Properties};
use crate::support::{Broker, Daemon, Fibrpc, Process, SOON, Settings, example, until};

const QUEUE: &str = "rpc_queue";

/// A server whose jobs sleep for as many milliseconds as a request says, one at a time.
fn sleeper(broker: &Broker, vhost: &str, instance: &str) -> Process {
    let mut command = example("sleep");
    command
        .env("FIBRPC_BROKER__URL", broker.url(vhost))
        .env("FIBRPC_SERVER__CONCURRENCY", "1")
        .env("FIBRPC_SERVER__INSTANCE", instance);
    Process::start(&mut command, b"")
}

/// What the queue says of how often a waiting request has been delivered, the most; hands all of them back.
fn most_deliveries(broker: &Broker, vhost: &str) -> (usize, u64) {
    let mut client = Client::connect(broker.port(), vhost).unwrap();
    let (mut waiting, mut most) = (0, 0);
    while let Some(message) = client.get(QUEUE, false).unwrap() {
        let count = message.properties.find_header("x-delivery-count");
        // The type in one byte, then the number.
        let count = count.map_or(0, |count| {
            let bytes = count[1..].iter();
            bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
        });
        (waiting, most) = (waiting + 1, most.max(count));
    }
    (waiting, most)
}

/// A queue of RabbitMQ 4.0 deletes what has been delivered 20 times and came back.
#[test]
fn clean_restarts_cost_no_request() {
    let (restarts, requests) = (times(10, 50), times(120, 400));
    // Long enough that some still wait at the end: each stop continues with what it has for two seconds.
    let job = times(300, 450).to_string();
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    client.declare(QUEUE, &Declare::quorum()).unwrap();
    for id in 0..requests {
        let request = Properties::new()
            .correlation_id(id.to_string())
            .persistent();
        client.request(QUEUE, request, job.as_bytes()).unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();
    let mut answers = BTreeMap::<String, usize>::new();
    let mut count = |answer: Delivery| {
        assert_eq!(answer.text(), job);
        *answers.entry(answer.correlation_id()).or_default() += 1;
        answers.len()
    };
    for restart in 0..restarts {
        let mut server = sleeper(broker, &vhost, "restarted");
        server.wait_for_line("consuming rpc_queue", SOON);
        // Stopped at once, or in the middle of something.
        if restart % 2 == 1 {
            count(client.next_delivery(SOON).unwrap());
        }
        server.signal("TERM");
        let status = server.wait(SOON);
        assert!(status.success(), "{status}: {:?}", server.stderr());
    }
    let (waiting, most) = most_deliveries(broker, &vhost);
    eprintln!("after {restarts} restarts {waiting} wait, delivered {most} times at most");
    assert!(waiting > 0, "all were answered before the end");
    assert!(most <= 4, "delivered {most} times by {restarts} restarts");

    let _server = sleeper(broker, &vhost, "last");
    while count(client.next_delivery(SOON).unwrap()) < requests {}
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
    client.listen(Duration::from_millis(200)).unwrap();
    assert!(client.next_delivery(Duration::ZERO).is_err());
    assert!(answers.values().all(|times| *times == 1), "{answers:?}");
}

/// The server that was there first leaves work to the one that comes later.
#[test]
fn large_requests_are_shared_with_a_server_that_comes_later() {
    const REQUESTS: usize = 20;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _first = sleeper(broker, &vhost, "first");
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.consumers > 0);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    for id in 0..REQUESTS {
        let request = Properties::new().correlation_id(id.to_string());
        client.request(QUEUE, request, b"250").unwrap();
    }
    let mut by = BTreeMap::<String, usize>::new();
    let mut count = |answer: Delivery| {
        let server = answer.properties.find_text("fibrpc-server").unwrap();
        *by.entry(server).or_default() += 1;
        by.values().sum::<usize>()
    };
    let mut before = count(client.next_delivery(SOON).unwrap());
    let later = sleeper(broker, &vhost, "later");
    later.wait_for_line("consuming rpc_queue", SOON);
    client.listen(Duration::from_millis(1)).unwrap();
    while let Ok(answer) = client.next_delivery(Duration::ZERO) {
        before = count(answer);
    }
    while count(client.next_delivery(SOON).unwrap()) < REQUESTS {}
    eprintln!("{before} were done when the second one came: {by:?}");
    let share = by.get("later").copied().unwrap_or(0);
    assert!(share >= (REQUESTS - before) / 3, "{before} before: {by:?}");
}

/// There is no moment at which the queue has no consumer.
#[test]
fn a_reload_of_the_prefetch_fails_no_call() {
    for kind in ["quorum", "classic"] {
        let broker = Broker::shared();
        let vhost = broker.vhost();
        let settings = Settings::new(broker, &vhost).set("queue.type", kind);
        let mut file = None;
        let daemon = Daemon::start_with(&settings, |command| {
            file = command.get_args().last().map(PathBuf::from);
        });
        let file = file.unwrap();
        daemon.wait_for_line("consuming rpc_queue", SOON);
        let over = AtomicBool::new(false);
        let (asked, looks) = std::thread::scope(|scope| {
            let calls = scope.spawn(|| {
                let mut asked = 0;
                while !over.load(Ordering::Relaxed) {
                    let output = Fibrpc::new(&settings).args(["30", "31", "32"]).run(SOON);
                    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
                    asked += 1;
                }
                asked
            });
            let load = scope.spawn(|| {
                let mut client = Client::connect(broker.port(), &vhost).unwrap();
                while !over.load(Ordering::Relaxed) {
                    for id in 0..20_u8 {
                        let request = Properties::new().correlation_id([id]);
                        client.request(QUEUE, request, b"30").unwrap();
                    }
                    for _ in 0..20 {
                        client.next_delivery(SOON).unwrap();
                    }
                }
            });
            let looking = scope.spawn(|| {
                let mut client = Client::connect(broker.port(), &vhost).unwrap();
                let mut looks = 0;
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let (_, _, consumers) = client.declare(QUEUE, &Declare::passive()).unwrap();
                    // A quorum queue whose leader is busy is reported to have none, after a quarter of a second.
                    let busy = began.elapsed() > Duration::from_millis(200);
                    assert!(consumers > 0 || busy, "no consumer at look {looks}");
                    looks += 1;
                }
                looks
            });
            for reload in 0..times(40, 100) {
                let prefetch = [1, 9][reload % 2];
                let next = settings.clone().set("server.prefetch", prefetch);
                fs::write(&file, next.text()).unwrap();
                daemon.signal("HUP");
                until(SOON, "the reload", || {
                    let lines = daemon.stderr();
                    let reloads = lines.iter().filter(|line| line.contains("reloaded"));
                    (reloads.count() > reload || looking.is_finished()).then_some(())
                });
            }
            over.store(true, Ordering::Relaxed);
            load.join().unwrap();
            (calls.join().unwrap(), looking.join().unwrap())
        });
        eprintln!("{kind}: {asked} times three calls, {looks} looks");
        let report = Client::connect(broker.port(), &vhost)
            .and_then(|mut client| client.report(QUEUE, SOON))
            .unwrap();
        assert_eq!(report["sessions"], 1, "{report}");
    }
}
