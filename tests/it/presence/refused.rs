//! What a client does if the broker refuses its requests: for a moment, on one connection only, or because the queue is full.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::call::{Server, assert_answered, assert_fails, fibrpc};
use crate::support::proxy::Side;
use crate::support::proxy::answer::{Answering, Instead};
use crate::support::wire::frame::{Arguments, BODY, Frame, HEADER, method};
use crate::support::wire::properties::value;
use crate::support::wire::{self, Declare, Properties};
use crate::support::{Broker, Proxy, SOON, Settings, until};

use super::daemon;

/// RabbitMQ 3.10 takes nothing on a channel whose first publish met a leader that had just died, until that node is back.
#[test]
fn a_connection_on_which_the_broker_takes_nothing_is_left_for_another_one() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = daemon(broker, &vhost);
    let proxy = Proxy::new(broker.port());
    let refused = AtomicU32::new(0);
    let refuse = Answering::new(move |from, frame| {
        let publish = frame.method_id() == Some(method::BASIC_PUBLISH);
        match (refused.load(Ordering::Relaxed), frame.kind) {
            _ if from != Side::Client => None,
            (0, _) if publish => {
                refused.store(1, Ordering::Relaxed);
                let first = Arguments::default().u64(1).u8(0);
                let nack = Frame::method(frame.channel, method::BASIC_NACK, first);
                Some(Instead::Answer(nack))
            }
            (1, HEADER) => Some(Instead::Nothing),
            (1, BODY) => {
                refused.store(2, Ordering::Relaxed);
                Some(Instead::Nothing)
            }
            _ => None,
        }
    });
    proxy.set(|faults| faults.answer = Some(refuse));
    let settings = Settings::at(&proxy.url(&vhost)).set("client.timeout", "60s");
    let output = fibrpc(&settings, &["30"]);
    assert_answered(&output, "832040\n");
    assert_eq!(proxy.accepted(), 2);
}

/// RabbitMQ shows a queue a moment before it takes messages, and sends the confirms of later requests before the refusals of
/// earlier ones.
#[test]
fn a_refusal_that_arrives_after_the_confirm_of_a_later_request_ends_no_call() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let proxy = Proxy::new(broker.port());
    // The first request is kept from the broker, so the program's numbers are one above the broker's. It is refused once
    // the second one is confirmed, in place of a superfluous reply.
    let state = Mutex::new((Refusal::Kept, 0));
    let refused = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&refused);
    let refuse = Answering::new(move |from, frame| {
        let (refusal, contents_left) = &mut *state.lock().unwrap();
        if *contents_left > 0 && matches!(frame.kind, HEADER | BODY) {
            *contents_left -= 1;
            return Some(Instead::Nothing);
        }
        match (from, frame.method_id()?, *refusal) {
            (Side::Client, method::BASIC_PUBLISH, Refusal::Kept) => {
                (*refusal, *contents_left) = (Refusal::Due, 2);
                Some(Instead::Nothing)
            }
            (Side::Broker, method::BASIC_ACK, _) => {
                let mut arguments = frame.arguments();
                let (number, multiple) = (arguments.u64(), arguments.u8());
                // Without `multiple`, which would confirm the first one as well.
                let ack = Arguments::default().u64(number + 1).u8(0);
                if *refusal == Refusal::Due {
                    *refusal = Refusal::Next;
                } else {
                    assert_eq!(multiple, 0, "one request after the other");
                }
                let ack = Frame::method(frame.channel, method::BASIC_ACK, ack);
                Some(Instead::Forward(ack))
            }
            (Side::Broker, method::BASIC_DELIVER, Refusal::Next) => {
                (*refusal, *contents_left) = (Refusal::Done, 2);
                seen.store(true, Ordering::Relaxed);
                let first = Arguments::default().u64(1).u8(0);
                let nack = Frame::method(frame.channel, method::BASIC_NACK, first);
                Some(Instead::Forward(nack))
            }
            _ => None,
        }
    });
    proxy.set(|faults| faults.answer = Some(refuse));
    let settings = Settings::at(&proxy.url(&vhost)).set("client.timeout", "60s");
    let calls = std::thread::spawn(move || fibrpc(&settings, &["30", "31"]));
    let second = server.request();
    assert_eq!(second.text(), "31");
    until(SOON, "a refusal", || {
        server.reply(&second, b"1346269");
        refused.load(Ordering::Relaxed).then_some(())
    });
    let first = server.request();
    assert_eq!(first.text(), "30");
    server.reply(&first, b"832040");
    let output = calls.join().unwrap();
    assert_answered(&output, "832040\n1346269\n");
    assert_eq!(proxy.accepted(), 1, "the connection was not replaced");
}

/// How far the refusal of the first request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// There was no request yet.
    Kept,
    /// Another request has to be confirmed before.
    Due,
    Next,
    Done,
}

/// A queue that is full is full on every connection, which is said within a moment.
#[test]
fn a_queue_that_takes_nothing_is_called_full() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut client = wire::Client::connect(broker.port(), &vhost).unwrap();
    let full = Declare::quorum()
        .argument("x-max-length", value::integer(1))
        .argument("x-overflow", value::text("reject-publish"));
    client.declare("rpc_queue", &full).unwrap();
    client.confirm_select().unwrap();
    client.prefetch(1).unwrap();
    // The first one is held by the consumer, and the others fill the queue.
    client.consume("rpc_queue", false).unwrap();
    until(SOON, "a full queue", || {
        client
            .publish("rpc_queue", &Properties::new(), b"30")
            .unwrap();
        client.wait_for_confirms(SOON).unwrap();
        (client.nacked.len() > 2).then_some(())
    });
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    let output = fibrpc(&settings, &["30"]);
    assert_fails(
        &output,
        75,
        "fibrpc: 30: the broker refused the request: queue \"rpc_queue\" is full or unavailable; try later",
    );
}
