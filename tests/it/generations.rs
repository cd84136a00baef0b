//! How RabbitMQ itself behaves, by generation: the facts of [`Generation`] that the daemon relies on, tested without
//! the daemon.
//!
//! [`Generation`]: crate::support::generation::Generation

use crate::hostile::STRANGE_NODE;
use crate::support::wire::properties::value;
use crate::support::wire::{Client, Declare, Error, Properties, Publish};
use crate::support::{Broker, SOON};

const QUEUE: &str = "q";
const DEAD: &str = "dead";

/// How a message goes back to its queue.
enum Return {
    HandBack,
    LostConnection,
}

/// How often a message is delivered that goes back each time, 30 times at most.
fn deliveries(broker: &Broker, how: &Return) -> u32 {
    let vhost = broker.vhost();
    // What is not delivered any more is seen to go to another queue.
    let limited = Declare::quorum()
        .argument("x-dead-letter-exchange", value::text(""))
        .argument("x-dead-letter-routing-key", value::text(DEAD));
    let consumer = || {
        let mut client = Client::connect(broker.port(), &vhost).unwrap();
        client.declare(DEAD, &Declare::durable()).unwrap();
        client.declare(QUEUE, &limited).unwrap();
        client.prefetch(1).unwrap();
        client.consume(DEAD, false).unwrap();
        client.consume(QUEUE, false).unwrap();
        client
    };
    let mut client = consumer();
    client.publish(QUEUE, &Properties::new(), b"30").unwrap();
    for count in 0..30 {
        let delivery = client.next_delivery(SOON).unwrap();
        if delivery.routing_key == DEAD {
            return count;
        }
        match how {
            Return::HandBack => client.nack(delivery.tag, true).unwrap(),
            Return::LostConnection => client = consumer(),
        }
    }
    30
}

#[test]
fn how_often_a_message_goes_back_to_a_quorum_queue() {
    let broker = Broker::shared();
    let generation = broker.generation();
    let limited = generation
        .default_delivery_limit()
        .map_or(30, |limit| limit + 1);
    let handed_back = if generation.counts_hand_backs() {
        limited
    } else {
        30
    };
    assert_eq!(deliveries(broker, &Return::HandBack), handed_back);
    assert_eq!(deliveries(broker, &Return::LostConnection), limited);
}

#[test]
fn mandatory_replies_to_a_direct_name() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Client::connect(broker.port(), &vhost).unwrap();
    server.declare(QUEUE, &Declare::classic()).unwrap();
    server.consume(QUEUE, false).unwrap();
    server.confirm_select().unwrap();
    let mut caller = Client::connect(broker.port(), &vhost).unwrap();
    caller.request(QUEUE, Properties::new(), b"30").unwrap();
    let request = server.next_delivery(SOON).unwrap();
    let reply = Publish {
        routing_key: &request.properties.reply_to.unwrap(),
        mandatory: true,
        header: Properties::new().encode(1),
        body: b"x",
        ..Publish::default()
    };
    server.publish_raw(&reply).unwrap();
    server.wait_for_confirms(SOON).unwrap();
    assert_eq!(caller.next_delivery(SOON).unwrap().text(), "x");
    let returned = !server.returned.is_empty();
    let expected = broker.generation().returns_mandatory_direct_replies();
    assert_eq!(returned, expected);
}

#[test]
fn replies_to_a_node_that_does_not_exist() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker.port(), &broker.vhost()).unwrap();
    client.confirm_select().unwrap();
    client
        .publish(STRANGE_NODE, &Properties::new(), b"x")
        .unwrap();
    let confirmed = client.wait_for_confirms(SOON);
    if broker.generation().dies_of_strange_nodes() {
        assert!(
            matches!(confirmed, Err(Error::Connection(541, _))),
            "{confirmed:?}"
        );
    } else {
        assert!(confirmed.is_ok(), "{confirmed:?}");
    }
}

/// A user who may log in and has no permission on the queue.
#[test]
fn permissions_for_a_passive_declare() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut owner = Client::connect(broker.port(), &vhost).unwrap();
    owner.declare(QUEUE, &Declare::classic()).unwrap();
    let user = broker.user(&vhost, ["", "amq.default", ""]);
    let mut client = Client::connect_as(broker.port(), &user, &user, &vhost).unwrap();
    let looked = client.declare(QUEUE, &Declare::passive());
    if broker.generation().lets_everybody_look() {
        assert!(looked.is_ok(), "{looked:?}");
    } else {
        assert!(matches!(looked, Err(Error::Channel(403, _))), "{looked:?}");
    }
}
