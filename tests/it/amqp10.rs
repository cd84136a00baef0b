//! Requests of AMQP 1.0 clients, as brokers deliver them to a daemon that speaks AMQP 0-9-1.

use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, Daemon, SOON, Settings};

const QUEUE: &str = "rpc_queue";

/// How RabbitMQ 4 encodes the name of a queue in an address.
fn encoded(name: &str) -> String {
    name.replace('-', "%2D").replace('_', "%5F")
}

#[test]
fn addresses_and_values_are_understood() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let (replies, ..) = client.declare("", &Declare::exclusive()).unwrap();
    client.consume(&replies, true).unwrap();
    for address in [
        format!("/queues/{}", encoded(&replies)),
        format!("/queue/{replies}"),
        format!("/amq/queue/{replies}"),
        replies.clone(),
    ] {
        for (body, expected) in [
            (&b"\x00\x53\x77\xa1\x0230"[..], "832040"),
            (b"\x00\x53\x77\x55\x1e", "832040"),
            (
                b"\x00\x53\x76\xd0\0\0\0\x06\0\0\0\x01\x54\x1e",
                "error: INVALID_ARGUMENT: the body is an AMQP 1.0 section that is not understood: send a data section, a string or an integer",
            ),
        ] {
            let mut request = Properties::request(&address, &address);
            request.kind = Some(b"amqp-1.0".to_vec());
            client.publish(QUEUE, &request, body).unwrap();
            let reply = client.next_delivery(SOON).unwrap();
            assert_eq!(
                (reply.text().as_str(), reply.correlation_id()),
                (expected, address.clone())
            );
        }
    }
    // The rules hold for the name, however it is written.
    for (address, refused) in [
        (
            format!("/queues/{}", encoded(QUEUE)),
            "`rpc_queue` is the request queue itself",
        ),
        (
            "/queue/orders".into(),
            "`orders` is not allowed by server.reply_to_allow",
        ),
        (
            format!("/queues/{}", encoded("amq.rabbitmq.reply-to.x.y")),
            "`amq.rabbitmq.reply-to.x.y` is a malformed direct reply-to name",
        ),
        ("/queues/%FF".into(), "is not UTF-8"),
        ("/queues/%zz".into(), "`/queues/%zz` is not allowed"),
    ] {
        let request = Properties::request(&address, "refused");
        client.publish(QUEUE, &request, b"30").unwrap();
        daemon.wait_for_line(refused, SOON);
    }
}
