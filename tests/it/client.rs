//! The client when something goes wrong between it and the server, as a program and as a library.

use std::time::Duration;

use fibrpc::{Client, Code, Text};

use crate::call::{Server, assert_answered, assert_fails, fibrpc};
use crate::support::wire::{self, Declare, properties::value};
use crate::support::{Broker, Fibrpc, SOON, Settings, runtime, until};

#[test]
fn a_lost_connection_is_survived_by_asking_again() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    let (process, _folder) = Fibrpc::new(&settings).args(["10", "11"]).start();
    let before = [server.request(), server.request()];
    assert_eq!(broker.close_connections(&vhost), 2);
    // The queue has lost its only consumer as well: the client gives the server time to come back.
    let mut server = Server::start(broker, &vhost);
    for (value, before) in [b"55", b"89"].into_iter().zip(before) {
        let request = server.request();
        assert_eq!(request.correlation_id(), before.correlation_id());
        assert_eq!(request.body, before.body);
        assert_ne!(request.properties.reply_to, before.properties.reply_to);
        server.reply(&request, value);
    }
    let output = process.output(SOON);
    assert_eq!(
        (
            output.code(),
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (0, "55\n89\n", "")
    );
}

#[test]
fn after_a_lost_connection_a_lost_queue_is_waited_for() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    // Deleted with the connection of its server.
    let mut server = Server::start_on(broker, &vhost, &Declare::exclusive());
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    let (process, _folder) = Fibrpc::new(&settings).args(["-vv", "10"]).start();
    server.request();
    assert_eq!(broker.close_connections(&vhost), 2);
    process.wait_for_line("a request was returned", SOON);
    let mut server = Server::start_on(broker, &vhost, &Declare::exclusive());
    let request = server.request();
    server.reply(&request, b"55");
    let output = process.output(SOON);
    assert_answered(&output, "55\n");
}

#[test]
fn a_broker_short_of_memory_is_named() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let _server = Server::start(&broker, &vhost);
    broker.memory_alarm(true);
    let output = fibrpc(&Settings::new(&broker, &vhost), &["--timeout", "3s", "30"]);
    broker.memory_alarm(false);
    assert_fails(
        &output,
        75,
        "fibrpc: 30: no reply from queue \"rpc_queue\" within 3s; the broker has blocked the \
         connection: low on memory",
    );
}

#[test]
fn a_full_queue_is_named() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let full = Declare::classic()
        .argument("x-max-length", value::integer(0))
        .argument("x-overflow", value::text("reject-publish"));
    let mut server = wire::Client::connect(broker.port(), &vhost).unwrap();
    server.declare("rpc_queue", &full).unwrap();
    server.prefetch(1).unwrap();
    server.consume("rpc_queue", false).unwrap();
    let output = fibrpc(
        &Settings::new(broker, &vhost),
        &["--timeout", "60s", "30", "31"],
    );
    assert_eq!(output.code(), 75, "{output:?}");
    assert!(
        output.stderr.contains("queue \"rpc_queue\" is full"),
        "{output:?}"
    );
}

const QUEUE: &str = "rpc_queue";

#[test]
fn late_and_duplicate_replies_are_dropped_and_counted() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    runtime().block_on(async {
        let client = Client::connect(&broker.url(&vhost)).await.unwrap();
        let late = client.call::<Text>(QUEUE, "1");
        let late = late.timeout(Duration::from_secs(2)).await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        assert!(!late.is_from_server());
        let serve = tokio::task::spawn_blocking(move || {
            let late = server.request();
            server.reply(&late, b"7");
            let request = server.request();
            server.reply(&request, b"1");
            server.reply(&request, b"1");
            let request = server.request();
            server.reply(&request, b"2");
        });
        for (n, value) in [("2", "1"), ("3", "2")] {
            let Text(reply) = client.call(QUEUE, n).timeout(SOON).await.unwrap();
            assert_eq!(reply, value);
        }
        serve.await.unwrap();
        let stats = client.stats();
        assert_eq!(
            (stats.published, stats.replies, stats.unexpected),
            (3, 2, 2)
        );
        client.close().await;
        let closed = client.call::<Text>(QUEUE, "1").await.unwrap_err();
        assert_eq!(closed.code(), Code::Unavailable);
        client.close().await;
    });
}

#[test]
fn a_plain_request_says_no_more_than_the_tutorials() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start_on(broker, &vhost, &Declare::exclusive());
    runtime().block_on(async {
        let builder = Client::builder(&broker.url(&vhost)).plain(true);
        let client = builder.timeout(SOON).connect().await.unwrap();
        let serve = tokio::task::spawn_blocking(move || {
            let request = server.request();
            server.reply(&request, b"55");
            (request, server)
        });
        let Text(reply) = client.call(QUEUE, "10").await.unwrap();
        assert_eq!(reply, "55");
        let (request, server) = serve.await.unwrap();
        let mut properties = request.properties;
        assert!(properties.correlation_id.take().is_some());
        assert!(properties.reply_to.take().is_some());
        let transient = wire::Properties {
            delivery_mode: Some(1),
            ..wire::Properties::new()
        };
        assert_eq!((&request.body[..], properties), (&b"10"[..], transient));
        // The queue is deleted with its server; a request that is routed to no queue is returned.
        drop(server);
        until(SOON, "the queue's end", || {
            broker.depth(&vhost, "rpc_queue").is_none().then_some(())
        });
        let gone = client.call::<Text>(QUEUE, "10").await.unwrap_err();
        assert!(gone.status().message().starts_with("no queue "), "{gone}");
        client.close().await;
    });
}

#[test]
fn a_server_that_goes_and_comes_is_noticed_by_a_client_that_stays() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut keeper = wire::Client::connect(broker.port(), &vhost).unwrap();
    keeper.declare("rpc_queue", &Declare::classic()).unwrap();
    let runtime = runtime();
    let client = runtime
        .block_on(Client::connect(&broker.url(&vhost)))
        .unwrap();
    // A short timeout, since a server is trusted to be there for a moment after its last sign.
    let call = || {
        let call = client.call::<Text>(QUEUE, "10");
        let call = call.timeout(Duration::from_millis(200));
        runtime.block_on(call.into_future())
    };
    let no_server = |message: &str| message.starts_with("no server on queue");
    let gone = |what| {
        until(SOON, what, || {
            let error = call().unwrap_err();
            no_server(error.status().message()).then_some(())
        });
    };
    gone("no server yet");
    for _ in 0..2 {
        let tag = keeper.consume("rpc_queue", true).unwrap();
        let answered = until(SOON, "a request", || {
            call()
                .err()
                .filter(|error| !no_server(error.status().message()))
        });
        assert_eq!(answered.code(), Code::DeadlineExceeded);
        keeper.cancel(&tag).unwrap();
        gone("no server any more");
    }
    keeper.delete("rpc_queue").unwrap();
    until(SOON, "no queue any more", || {
        let error = call().unwrap_err();
        error
            .status()
            .message()
            .starts_with("no queue")
            .then_some(())
    });
    assert_eq!(client.stats().lost, 0, "looking costs no connection");
    runtime.block_on(client.close());
}
