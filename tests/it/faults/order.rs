//! Replies and their confirms: late, lost, refused, returned; and what a drain reports about the requests that it
//! does not answer.

use std::sync::Mutex;
use std::time::Duration;

use super::{PREFETCH, QUEUE, Scene, is_full, prefetch};
use crate::support::proxy::answer::{Answering, Instead};
use crate::support::proxy::{Confirms, Side};
use crate::support::wire::frame::{Arguments, Frame, method};
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, Daemon, Process, Proxy, Role, SOON, Settings, example, until};

#[test]
fn late_confirms_hold_back_acks_and_nothing_else() {
    let broker = Broker::shared();
    let mut scene = Scene::new(broker);
    for _ in 0..3 {
        scene.proxy.set(|faults| faults.confirms = Confirms::Hold);
        // The window fills with replies that are sent and not confirmed, and there it stays.
        broker.wait_for_depth(&scene.vhost, QUEUE, SOON, is_full);
        std::thread::sleep(Duration::from_millis(300)); // the fault itself
        assert!(is_full(broker.depth(&scene.vhost, QUEUE).unwrap()));
        scene.proxy.set(|faults| faults.confirms = Confirms::Pass);
        scene.load.wait_for_answers(20, SOON);
    }
    scene.faults = 0;
    let report = scene.finish(broker);
    assert_eq!(report.duplicated, 0);
}

#[test]
fn lost_confirms_cost_the_session_and_no_request() {
    let broker = Broker::shared();
    let mut scene = Scene::with(broker, |settings| {
        settings.set("broker.confirm_timeout", "1s")
    });
    let mut line = 0;
    for _ in 0..2 {
        scene
            .proxy
            .set(|faults| faults.confirms = Confirms::Swallow);
        scene.faults += 1;
        let text;
        (line, text) = scene
            .daemon
            .wait_for_line_from(line, "disconnected from", SOON);
        assert!(text.contains("broker.confirm_timeout"), "{text}");
        scene.proxy.set(|faults| faults.confirms = Confirms::Pass);
        scene.load.wait_for_answers(40, SOON);
        // The next session may have met the fault, too.
        scene.faults += 1;
    }
    scene.finish(broker);
}

#[test]
fn a_full_reply_queue_affects_only_its_owner() {
    const REQUESTS: u64 = 20;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("queue.type", "classic")
        .set("server.prefetch", prefetch());
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    let full = Declare::classic()
        .argument("x-max-length", value::integer(1))
        .argument("x-overflow", value::text("reject-publish"));
    let (replies, ..) = client.declare("rpc.reply.full", &full).unwrap();
    client.call(QUEUE, b"1", SOON).unwrap();

    let frames = || proxy.stats(Some(Role::Publish))[0].client_frames;
    let before = frames();
    for index in 0..REQUESTS {
        let request = Properties::request(&replies, format!("full-{index}"));
        client.publish(QUEUE, &request, b"30").unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
    // A reply is a method, a header and a body; one was accepted, the others were offered three times. Those that were refused
    // before the queue was known to be full, up to four times more, each on a channel of its own (open, select, close).
    let offered = (frames() - before) / 3;
    let most = 1 + (REQUESTS - 1) * (3 + 4 * 2);
    assert!((REQUESTS..=most).contains(&offered), "{offered} offers");
    assert_eq!(broker.depth(&vhost, &replies).unwrap().ready, 1);
    let full = "refused a reply address: `rpc.reply.full` takes no reply: the reply queue is full";
    daemon.wait_for_line(full, SOON);

    // All slots of the window are free: as many replies can wait for their confirms at once.
    proxy.set(|faults| faults.confirms = Confirms::Hold);
    for index in 0..2 * PREFETCH {
        let id = format!("after-{index}");
        let request = Properties::new().correlation_id(id);
        client.request(QUEUE, request, b"10").unwrap();
    }
    broker.wait_for_depth(&vhost, QUEUE, SOON, is_full);
    proxy.set(|faults| faults.confirms = Confirms::Pass);
    for _ in 0..2 * PREFETCH {
        assert_eq!(client.next_delivery(SOON).unwrap().text(), "55");
    }
    proxy.assert_clean();
    let log = daemon.stderr().join("\n");
    assert!(!log.contains("disconnected"), "{log}");
}

/// As RabbitMQ 3.10 does on a channel whose first publish to a quorum queue met a leader that had just died: what is refused
/// on that channel is taken on any other.
#[test]
fn a_channel_that_takes_nothing_is_no_full_queue() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let daemon = Daemon::start_consuming(broker, &vhost, &Settings::at(&proxy.url(&vhost)));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let (replies, ..) = client
        .declare("rpc.reply.taken", &Declare::classic())
        .unwrap();
    // The channel that is broken, until another one is tried.
    let broken = Mutex::new(Some(None));
    let refusing = Answering::new(move |from, frame| {
        let mut broken = broken.lock().unwrap();
        let channel = broken.as_mut()?;
        match (from, frame.method_id()) {
            (Side::Client, Some(method::BASIC_PUBLISH)) => {
                let mut arguments = frame.arguments();
                let (_, _, key) = (arguments.u16(), arguments.text(), arguments.text());
                if key == "rpc.reply.taken"
                    && *channel.get_or_insert(frame.channel) != frame.channel
                {
                    *broken = None;
                }
                None
            }
            (Side::Broker, Some(method::BASIC_ACK)) if *channel == Some(frame.channel) => {
                let mut arguments = frame.arguments();
                let nack = Arguments::default().u64(arguments.u64()).u8(arguments.u8());
                let nack = Frame::method(frame.channel, method::BASIC_NACK, nack);
                Some(Instead::Forward(nack))
            }
            _ => None,
        }
    });
    proxy.set(|faults| faults.answer = Some(refusing));
    let request = Properties::request(&replies, "taken");
    client.publish(QUEUE, &request, b"30").unwrap();
    daemon.wait_for_line("on one channel and takes them on another", SOON);
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.consumers == 1 && depth.ready + depth.unacked == 0
    });
    assert!(broker.depth(&vhost, &replies).unwrap().ready >= 1);
    let report = client.report(QUEUE, SOON).unwrap();
    assert_eq!(report["sessions"], 2, "{report}");
    let log = daemon.stderr().join("\n");
    assert!(!log.contains("the reply queue is full"), "{log}");
}

#[test]
fn a_full_reply_queue_holds_up_nobody_else() {
    let broker = Broker::shared();
    let scene = Scene::new(broker);
    let mut client = Client::connect(broker.port(), &scene.vhost).unwrap();
    let full = Declare::classic()
        .argument("x-max-length", value::integer(1))
        .argument("x-overflow", value::text("reject-publish"));
    let (replies, ..) = client.declare("rpc.reply.full", &full).unwrap();
    for index in 0..100 {
        let request = Properties::request(&replies, format!("full-{index}"));
        client.publish(QUEUE, &request, b"30").unwrap();
        if index % 10 == 0 {
            scene.load.wait_for_answers(20, SOON);
        }
    }
    // The requests to the full queue were rejected, which the witness does not take for acks.
    let report = scene.finish(broker);
    assert_eq!(report.duplicated, 0);
}

#[test]
fn a_caller_that_has_gone_is_no_error() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("queue.type", "classic")
        .set("log.level", "debug");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    let mut leaving = Client::connect(broker.port(), &vhost).unwrap();
    let (replies, ..) = leaving.declare("", &Declare::exclusive()).unwrap();
    drop(leaving);
    until(SOON, "the reply queue's end", || {
        broker.depth(&vhost, &replies).is_none().then_some(())
    });
    for index in 0..50 {
        let request = Properties::request(&replies, format!("gone-{index}"));
        client.publish(QUEUE, &request, b"30").unwrap();
    }
    client.wait_for_confirms(SOON).unwrap();
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
    proxy.assert_clean();
    assert_eq!(
        proxy.unanswered(),
        0,
        "each was answered; the answer came back"
    );
    let log = until(SOON, "a line for each", || {
        let log = daemon.stderr().join("\n");
        (log.matches("the caller has gone").count() >= 50).then_some(log)
    });
    assert_eq!(log.matches("the caller has gone").count(), 50, "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert_eq!(client.call(QUEUE, b"30", SOON).unwrap().text(), "832040");
}

#[test]
fn a_drain_hands_back_what_it_does_not_begin_soon() {
    const REQUESTS: u64 = 300;
    let broker = Broker::shared();
    // The second drain takes long: requests that cannot be begun within a second are handed back before its end.
    for (name, first) in [("quick", 1), ("lasting", 8_000)] {
        let vhost = broker.vhost();
        let proxy = Proxy::new(broker.port());
        let mut command = example("sleep");
        command
            .env("FIBRPC_BROKER__URL", proxy.url(&vhost))
            .env("FIBRPC_QUEUE__TYPE", "classic")
            .env("FIBRPC_SERVER__CONCURRENCY", "1")
            .env("FIBRPC_SERVER__PREFETCH", "400");
        let mut daemon = Process::start(&mut command, b"");
        daemon.wait_for_line("consuming rpc_queue", SOON);
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.confirm_select().unwrap();
        for index in 0..REQUESTS {
            let time = if index == 0 { first } else { 1 };
            let id = format!("{name}-{index}");
            let request = Properties::new().correlation_id(id);
            client
                .request(QUEUE, request, time.to_string().as_bytes())
                .unwrap();
        }
        client.wait_for_confirms(SOON).unwrap();
        if name == "lasting" {
            // All of them are small enough to be taken.
            let all = |depth: crate::support::depth::Depth| depth.unacked == REQUESTS;
            broker.wait_for_depth(&vhost, QUEUE, SOON, all);
        }
        daemon.signal("TERM");
        if name == "lasting" {
            let behind = |depth: crate::support::depth::Depth| depth.ready == REQUESTS - 1;
            broker.wait_for_depth(&vhost, QUEUE, SOON, behind);
            assert!(daemon.is_running(), "the first one is not done");
        }
        let status = daemon.wait(Duration::from_secs(40));
        assert!(status.success(), "{status}: {:?}", daemon.stderr());
        assert_eq!(proxy.left_open(), 0, "told to the broker, each of them");
        proxy.assert_clean();
        let depth = broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| depth.unacked == 0);
        assert!(depth.ready < REQUESTS, "{depth:?}");
    }
}
