//! The fault proxy itself: does it inject its faults, and does its witness detect breaches?

use std::time::{Duration, Instant};

use crate::support::proxy::answer::{Answering, Declares, declare_ok};
use crate::support::proxy::{Accept, Confirms, Cut, Role};
use crate::support::wire::frame::method;
use crate::support::wire::{Client, Declare, Delivery, Properties};
use crate::support::{Broker, Ledger, Proxy, SOON, fibonacci, until};

/// How a server of the tests misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Sin {
    None,
    AckBeforeConfirm,
    AckTwice,
    NoReply,
}

/// A server on the bare wire, with two connections as the daemon has them.
struct Server {
    consumer: Client,
    publisher: Client,
}

impl Server {
    fn through(proxy: &Proxy, vhost: &str) -> Self {
        let mut consumer = Client::connect(proxy.port(), vhost).unwrap();
        let mut publisher = Client::connect(proxy.port(), vhost).unwrap();
        publisher.confirm_select().unwrap();
        consumer.declare("q", &Declare::classic()).unwrap();
        consumer.consume("q", false).unwrap();
        Self {
            consumer,
            publisher,
        }
    }

    fn serve_one(&mut self, sin: Sin) {
        let request = self.consumer.next_delivery(SOON).unwrap();
        match sin {
            Sin::None => {
                self.reply(&request);
                self.publisher.wait_for_confirms(SOON).unwrap();
                self.ack(&request);
            }
            Sin::AckBeforeConfirm => {
                self.reply(&request);
                self.ack(&request);
                self.publisher.wait_for_confirms(SOON).unwrap();
            }
            Sin::AckTwice => {
                self.serve_reply_and_ack(&request);
                self.ack(&request);
            }
            Sin::NoReply => self.ack(&request),
        }
    }

    fn serve_reply_and_ack(&mut self, request: &Delivery) {
        self.reply(request);
        self.publisher.wait_for_confirms(SOON).unwrap();
        self.ack(request);
    }

    fn reply(&mut self, request: &Delivery) {
        let properties = &request.properties;
        let reply_to = String::from_utf8(properties.reply_to.clone().unwrap()).unwrap();
        let id = properties.correlation_id.clone().unwrap();
        let answer = fibonacci(request.text().parse().unwrap());
        let properties = Properties::new().correlation_id(id);
        let publisher = &mut self.publisher;
        publisher
            .publish(&reply_to, &properties, answer.as_bytes())
            .unwrap();
    }

    fn ack(&mut self, request: &Delivery) {
        self.consumer.ack(request.tag, false).unwrap();
    }
}

/// The proxy, a server through it, and a client beside it.
fn scene() -> (Proxy, Server, Client, String) {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let server = Server::through(&proxy, &vhost);
    let client = Client::connect(broker.port(), &vhost).unwrap();
    (proxy, server, client, vhost)
}

/// Asks for the n-th number; returns the correlation id.
fn ask(client: &mut Client, ledger: &mut Ledger, n: u64) {
    let id = format!("id-{n}");
    ledger.asked(&id, n);
    let properties = Properties::new().correlation_id(&id);
    let body = n.to_string();
    client.request("q", properties, body.as_bytes()).unwrap();
}

#[test]
fn witness_has_nothing_to_say_about_a_decent_server() {
    let (proxy, mut server, mut client, _) = scene();
    let mut ledger = Ledger::new();
    for n in 0..200 {
        ask(&mut client, &mut ledger, n);
        server.serve_one(Sin::None);
        ledger.answered(&client.next_delivery(SOON).unwrap());
    }
    // A confirm of several and an ack of several.
    for n in 200..300 {
        ask(&mut client, &mut ledger, n);
    }
    let mut last = 0;
    for _ in 200..300 {
        let request = server.consumer.next_delivery(SOON).unwrap();
        server.reply(&request);
        last = request.tag;
    }
    server.publisher.wait_for_confirms(SOON).unwrap();
    server.consumer.ack(last, true).unwrap();
    for _ in 200..300 {
        ledger.answered(&client.next_delivery(SOON).unwrap());
    }
    proxy.assert_clean();
    assert_eq!(proxy.unanswered(), 0);
    let report = ledger.assert_clean(0);
    assert_eq!((report.attempted, report.answered), (300, 300));
    assert_eq!((proxy.open(Some(Role::Consume)), proxy.open(None)), (1, 2));
}

#[test]
fn witness_sees_an_ack_before_the_confirm() {
    let (proxy, mut server, mut client, _) = scene();
    // Else the confirm might overtake the ack and make it right.
    proxy.set(|faults| faults.confirms = Confirms::Hold);
    ask(&mut client, &mut Ledger::new(), 30);
    std::thread::scope(|scope| {
        scope.spawn(|| server.serve_one(Sin::AckBeforeConfirm));
        // The ack on one connection may still overtake the reply on the other.
        until(SOON, "a breach", || proxy.breaches().pop());
        proxy.set(|faults| faults.confirms = Confirms::Pass);
    });
    assert_eq!(proxy.breaches().len(), 1);
    assert!(proxy.breaches()[0].contains("acked before"));
}

#[test]
fn witness_sees_an_ack_before_the_reply() {
    let (proxy, mut server, mut client, _) = scene();
    ask(&mut client, &mut Ledger::new(), 30);
    let request = server.consumer.next_delivery(SOON).unwrap();
    server.ack(&request);
    until(SOON, "an unanswered ack", || {
        (proxy.unanswered() == 1).then_some(())
    });
    proxy.assert_clean(); // a refusal looks like this
    server.reply(&request);
    let breach = until(SOON, "a breach", || proxy.breaches().pop());
    assert!(breach.contains("before its reply was published"));
    assert_eq!(proxy.unanswered(), 0);
}

#[test]
fn witness_sees_a_second_ack() {
    let (proxy, mut server, mut client, _) = scene();
    ask(&mut client, &mut Ledger::new(), 30);
    server.serve_one(Sin::AckTwice);
    let breach = until(SOON, "a breach", || proxy.breaches().pop());
    assert!(breach.contains("not outstanding"));
}

#[test]
fn witness_is_as_strict_after_a_redelivery() {
    let (proxy, mut server, mut client, vhost) = scene();
    ask(&mut client, &mut Ledger::new(), 30);
    let request = server.consumer.next_delivery(SOON).unwrap();
    server.reply(&request);
    server.publisher.wait_for_confirms(SOON).unwrap();
    assert_eq!(proxy.reset(Some(Role::Consume)), 1);
    assert!(server.consumer.listen(SOON).is_err());
    server = Server::through(&proxy, &vhost);
    // The reply of the first time does not excuse an early ack now.
    server.serve_one(Sin::NoReply);
    until(SOON, "an unanswered ack", || {
        (proxy.unanswered() == 1).then_some(())
    });
}

#[test]
fn confirms_are_held_and_swallowed() {
    let (proxy, mut server, mut client, _) = scene();
    let mut ledger = Ledger::new();
    ask(&mut client, &mut ledger, 30);
    proxy.set(|faults| faults.confirms = Confirms::Hold);
    let request = server.consumer.next_delivery(SOON).unwrap();
    server.reply(&request);
    ledger.answered(&client.next_delivery(SOON).unwrap());
    server.publisher.listen(Duration::from_millis(200)).unwrap();
    assert_eq!(server.publisher.unconfirmed().len(), 1);
    proxy.set(|faults| faults.confirms = Confirms::Pass);
    server.publisher.wait_for_confirms(SOON).unwrap();

    proxy.set(|faults| faults.confirms = Confirms::Swallow);
    server.reply(&request);
    ledger.answered(&client.next_delivery(SOON).unwrap());
    server.publisher.listen(Duration::from_millis(200)).unwrap();
    proxy.set(|faults| faults.confirms = Confirms::Pass);
    server.publisher.listen(Duration::from_millis(100)).unwrap();
    assert_eq!(server.publisher.unconfirmed().len(), 1);
    assert_eq!(ledger.assert_clean(1).duplicated, 1);
}

#[test]
fn connections_are_cut_where_wanted() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let work = |confirmed: &mut u64| {
        let mut client = Client::connect(proxy.port(), &vhost)?;
        client.confirm_select()?;
        for _ in 0..4 {
            client.publish("nowhere", &Properties::new(), b"x")?;
            client.wait_for_confirms(SOON)?;
            *confirmed += 1;
        }
        Ok::<_, crate::support::wire::Error>(())
    };
    work(&mut 0).unwrap();
    for (torn, reset) in [(false, false), (true, false), (false, true), (true, true)] {
        for after in 1..=24 {
            let cut = Cut {
                role: None,
                after,
                torn,
                reset,
            };
            proxy.set(|faults| faults.cut = Some(cut));
            let mut confirmed = 0;
            assert!(work(&mut confirmed).is_err(), "{cut:?}");
            // Ten frames come before the first publish; each takes three and one for its confirm.
            assert_eq!(confirmed, after.saturating_sub(10) / 4, "{cut:?}");
        }
    }
    assert_eq!(proxy.cuts(), 96);
    work(&mut 0).unwrap();
    until(SOON, "all to be closed", || {
        (proxy.open(None) == 0).then_some(())
    });
}

#[test]
fn connections_hang_are_refused_and_slowed_down() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut proxy = Proxy::new(broker.port());
    let mut client = Client::connect(proxy.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    client.declare("q", &Declare::classic()).unwrap();

    proxy.black_hole();
    client.publish("q", &Properties::new(), b"x").unwrap();
    client.listen(Duration::from_millis(300)).unwrap();
    assert_eq!(client.unconfirmed().len(), 1);
    assert_eq!(broker.depth(&vhost, "q").unwrap().ready, 0);
    proxy.heal();
    client.wait_for_confirms(SOON).unwrap();
    assert_eq!(client.get("q", true).unwrap().unwrap().body, b"x");

    proxy.set(|faults| {
        faults.hold_client = true;
        faults.hold_role = Some(Role::Consume);
    });
    client.publish("q", &Properties::new(), b"x").unwrap();
    client.wait_for_confirms(SOON).unwrap();
    proxy.heal();

    proxy.set(|faults| faults.delay = Duration::from_millis(150));
    let start = Instant::now();
    client.publish("q", &Properties::new(), b"x").unwrap();
    client.wait_for_confirms(SOON).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    proxy.heal();

    proxy.accept(Accept::Refuse);
    assert!(std::net::TcpStream::connect(("127.0.0.1", proxy.port())).is_err());
    client.publish("q", &Properties::new(), b"x").unwrap();
    client.wait_for_confirms(SOON).unwrap();
    proxy.accept(Accept::Silent);
    let mut silent = std::net::TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    std::io::Write::write_all(&mut silent, b"AMQP\0\0\x09\x01").unwrap();
    silent
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let read = std::iter::repeat_with(|| std::io::Read::read(&mut silent, &mut [0; 8]));
    let mut read = read.map(|read| read.map_err(|error| error.kind()));
    assert_eq!(
        read.find(|read| *read != Err(std::io::ErrorKind::Interrupted)),
        Some(Err(std::io::ErrorKind::WouldBlock)),
        "neither an answer nor an end"
    );
    proxy.heal();

    let stats = proxy.stats(Some(Role::Publish))[0];
    assert!(stats.client_frames > 10 && stats.broker_frames > 8 && stats.client_bytes > 300);
    assert_eq!(proxy.close(Some(Role::Publish)), 1);
    assert!(client.listen(SOON).is_err());
}

#[test]
fn a_reset_reaches_the_client_as_a_reset() {
    let (proxy, mut server, _, _) = scene();
    assert_eq!(proxy.reset(None), 2);
    let error = server.consumer.listen(SOON).unwrap_err().to_string();
    assert!(error.contains("reset"), "{error}");
}

#[test]
fn ledger_counts_as_it_should() {
    assert_eq!(fibonacci(0), "0");
    assert_eq!(fibonacci(30), "832040");
    assert_eq!(fibonacci(186), "332825110087067562321196029789634457848");
    let mut ledger = Ledger::new();
    for (id, n) in [("a", 1), ("b", 2), ("c", 10), ("d", 20)] {
        ledger.asked(id, n);
    }
    for id in ["a", "b", "c"] {
        ledger.confirmed(id);
    }
    ledger.answered_with("a", b"1", fibonacci);
    ledger.answered_with("a", b"1", fibonacci);
    ledger.answered_with("b", b"2", fibonacci);
    ledger.answered_with("z", b"2", fibonacci);
    assert_eq!(
        ledger.report().to_string(),
        "attempted 4, confirmed 3, answered 2, lost 1, unexpected 1, duplicated 1, wrong 1"
    );
    assert_eq!(ledger.open().collect::<Vec<_>>(), ["c", "d"]);
}

/// A channel that the proxy closes is closed on both sides, and its number is free again.
#[test]
fn the_proxy_answers_itself() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let mut client = Client::connect(proxy.port(), &vhost).unwrap();
    let refuse = Answering::refuse_declares("q", Declares::All, 404, "NOT_FOUND - it is down");
    proxy.set(|faults| faults.answer = Some(refuse));
    for _ in 0..3 {
        let error = client.declare("q", &Declare::classic()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "channel closed: 404 NOT_FOUND - it is down"
        );
        client.open_channel().unwrap();
        client.declare("other", &Declare::classic()).unwrap();
    }
    assert!(broker.depth(&vhost, "q").is_none());
    let counts = Answering::to_method(method::QUEUE_DECLARE, |frame| Some(declare_ok(frame, 7, 0)));
    proxy.set(|faults| faults.answer = Some(counts));
    let declared = client.declare("q", &Declare::classic()).unwrap();
    assert_eq!(declared, ("q".into(), 7, 0));
    let close = Answering::close_at(method::QUEUE_DECLARE, 541, "INTERNAL_ERROR");
    proxy.set(|faults| faults.answer = Some(close));
    let error = client.declare("q", &Declare::classic()).unwrap_err();
    assert_eq!(error.to_string(), "connection closed: 541 INTERNAL_ERROR");
    let end = Answering::end_at(method::CONNECTION_START_OK);
    proxy.set(|faults| faults.answer = Some(end));
    assert!(Client::connect(proxy.port(), &vhost).is_err());
    proxy.set(|faults| faults.answer = Some(Answering::offer_mechanisms("EXTERNAL")));
    assert!(
        Client::connect(proxy.port(), &vhost).is_ok(),
        "it does not look at them"
    );
}
