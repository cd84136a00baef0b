//! A broker that is low on memory: it stops reading from connections that publish, and holds back what
//! they published. The daemon reports it, continues with what is possible, and loses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::proxy::answer::Answering;
use crate::support::wire::frame::method;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{
    Broker, Daemon, Ledger, Notify, Process, Proxy, Role, SOON, Settings, example, until,
};

const QUEUE: &str = "rpc_queue";
const PREFETCH: u64 = 20;

/// How long an alarm lasts; `scripts/soak` makes it a minute.
fn duration() -> Duration {
    let seconds = std::env::var("FIBRPC_ALARM_SECONDS").ok();
    Duration::from_secs(seconds.map_or(4, |text| text.parse().unwrap()))
}

/// Ends what [`prepare`] has done to the proxy, and waits until all that the daemon has in hand are replies that the broker does
/// not take. The alarm reaches the connection a moment later, so some may arrive.
fn let_the_window_fill(proxy: &Proxy, client: &mut Client, ledger: &mut Ledger) {
    let published = Arc::new(AtomicU64::new(0));
    let count = published.clone();
    let counting = Answering::to_method(method::BASIC_PUBLISH, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        None
    });
    proxy.set(|faults| {
        faults.answer = Some(counting);
        faults.hold_broker = false;
        faults.hold_role = None;
    });
    let mut answered = 0;
    until(SOON, "a window full of replies", || {
        while let Ok(reply) = client.next_delivery(Duration::from_millis(20)) {
            ledger.answered(&reply);
            answered += 1;
        }
        (published.load(Ordering::Relaxed) == answered + PREFETCH).then_some(())
    });
}

/// Requests in the queue that the daemon has not seen: it sees them once the proxy is healed.
fn prepare(client: &mut Client, proxy: &Proxy, ledger: &mut Ledger, count: u64) {
    proxy.set(|faults| {
        faults.hold_broker = true;
        faults.hold_role = Some(Role::Consume);
    });
    for n in 0..count {
        let id = format!("alarm-{n}");
        ledger.asked(&id, n);
        let request = Properties::new().correlation_id(&id);
        client
            .request(QUEUE, request, n.to_string().as_bytes())
            .unwrap();
        // This one needs no reply, only an ack.
        client.publish(QUEUE, &Properties::new(), b"30").unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();
    (0..count).for_each(|n| ledger.confirmed(&format!("alarm-{n}")));
}

#[test]
fn a_memory_alarm_is_ridden_out() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let notify = Notify::new();
    let settings = Settings::at(&proxy.url(&vhost))
        .set("server.prefetch", i64::try_from(PREFETCH).unwrap())
        .set("broker.heartbeat", "2s");
    let daemon = Daemon::start_notifying(&settings, &notify);
    notify.wait_for_status("consuming", SOON);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    assert_eq!(client.call(QUEUE, b"30", SOON).unwrap().text(), "832040");
    let mut ledger = Ledger::new();
    prepare(&mut client, &proxy, &mut ledger, 100);

    broker.memory_alarm(true);
    let began = Instant::now();
    let_the_window_fill(&proxy, &mut client, &mut ledger);
    let status = notify.wait_for_status("blocked", SOON);
    assert_eq!(status, "blocked by the broker: low on memory");
    let line = daemon.wait_for_line("blocked by the broker", SOON);
    assert!(line.contains("low on memory"), "{line}");
    // Deliveries and acks go on, until the window is full of replies that wait.
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.unacked == PREFETCH && depth.ready < 200 - PREFETCH - 10
    });
    let memory = daemon.resident();
    while began.elapsed() < duration() {
        let depth = broker.depth(&vhost, QUEUE).unwrap();
        assert_eq!(depth.unacked, PREFETCH);
        assert!(depth.consumers > 0);
        assert_eq!(notify.last("STATUS").as_ref(), Some(&status));
        assert!(
            daemon.resident() < memory + (4 << 20),
            "{memory}, {}",
            daemon.resident()
        );
    }

    broker.memory_alarm(false);
    let ended = Instant::now();
    notify.wait_for_status("consuming", SOON);
    let mut first = None;
    while ledger.open().next().is_some() {
        ledger.answered(&client.next_delivery(SOON).unwrap());
        first.get_or_insert_with(|| ended.elapsed());
    }
    eprintln!(
        "after the alarm: first reply after {first:?}, all after {:?}",
        ended.elapsed()
    );
    daemon.wait_for_line("unblocked by the broker", SOON);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
    ledger.assert_clean(0);
    let report = client.report(QUEUE, SOON).unwrap();
    assert_eq!(
        (&report["sessions"], &report["unanswerable"]),
        (&1.into(), &100.into())
    );
    proxy.assert_clean();
}

/// More replies than the sockets hold: the broker does not read them, which is not a fault of the network.
#[test]
fn a_memory_alarm_with_large_replies_is_ridden_out() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.declare(QUEUE, &Declare::classic()).unwrap();
    client.confirm_select().unwrap();
    let body = vec![b'x'; 1_000_000];
    for id in 0..40 {
        let request = Properties::new().correlation_id(id.to_string());
        client.request(QUEUE, request, &body).unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();
    broker.memory_alarm(true);
    // A server that echoes, so that large replies cost nothing.
    let mut command = example("crash");
    command
        .env("FIBRPC_BROKER__URL", broker.url(&vhost))
        .env("FIBRPC_BROKER__HEARTBEAT", "1s");
    let server = Process::start(&mut command, b"");
    server.wait_for_line("blocked by the broker", SOON);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked >= 39);
    let began = Instant::now();
    // Longer than a network that accepts nothing would be tolerated.
    while began.elapsed() < duration() + Duration::from_secs(4) {
        let depth = broker.depth(&vhost, QUEUE).unwrap();
        assert!(depth.unacked >= 39, "{depth:?}: {:?}", server.stderr());
    }
    broker.memory_alarm(false);
    let mut answers = BTreeSet::new();
    while answers.len() < 40 {
        let reply = client.next_delivery(SOON).unwrap();
        assert!(reply.body == body);
        assert!(answers.insert(reply.correlation_id()), "answered twice");
    }
    let report = client.report(QUEUE, SOON).unwrap();
    assert_eq!(report["sessions"], 1, "{:?}", server.stderr());
}

#[test]
fn a_drain_during_an_alarm_ends_in_time_and_says_what_was_abandoned() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let notify = Notify::new();
    let settings = Settings::at(&proxy.url(&vhost))
        .set("server.prefetch", i64::try_from(PREFETCH).unwrap())
        .set("broker.confirm_timeout", "10m")
        .set("server.drain_timeout", "3s");
    let mut daemon = Daemon::start_notifying(&settings, &notify);
    notify.wait_for_status("consuming", SOON);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    client.call(QUEUE, b"30", SOON).unwrap();
    let mut ledger = Ledger::new();
    prepare(&mut client, &proxy, &mut ledger, 50);
    broker.memory_alarm(true);
    let_the_window_fill(&proxy, &mut client, &mut ledger);
    notify.wait_for_status("blocked", SOON);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked == PREFETCH);

    let began = Instant::now();
    daemon.signal("TERM");
    let code = daemon.wait(SOON).code();
    let took = began.elapsed();
    broker.memory_alarm(false);
    eprintln!("out {took:?} after SIGTERM, drain_timeout = 3 s");
    assert_eq!(code, Some(75), "{:?}", daemon.stderr());
    daemon.wait_for_line("abandoned 20 requests", SOON);

    // Nothing was lost: the next one answers what this one could not.
    let _next = Daemon::start_consuming(&broker, &vhost, &settings);
    until(SOON, "all answers", || {
        while let Ok(reply) = client.next_delivery(Duration::from_millis(20)) {
            ledger.answered(&reply);
        }
        ledger.open().next().is_none().then_some(())
    });
    ledger.assert_clean(PREFETCH);
    proxy.assert_clean();
}
