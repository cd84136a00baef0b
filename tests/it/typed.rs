//! Typed calls with the client of the library, mostly of servers in this process.

use std::future::Future;
use std::time::Duration;

use fibrpc::server::IntoMethods;
use fibrpc::{CallError, Client, Code, Json, Reply, Router, Server, Status, Text, handler};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::call::Server as Scripted;
use crate::support::wire::properties::value;
use crate::support::wire::{self, Declare};
use crate::support::{Broker, SOON, runtime};

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Price {
    cents: u64,
}

async fn price(Json(order): Json<Order>) -> Result<Json<Price>, Status> {
    let missing = || serde_json::json!({"item": order.item, "try": ["tea"]});
    if order.item != "tea" {
        return Err(Status::not_found("no such item").with_details(missing()));
    }
    let cents = 350 * u64::from(order.count);
    Ok(Json(Price { cents }))
}

fn order(item: &str) -> Json<Order> {
    let item = item.to_owned();
    Json(Order { item, count: 2 })
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(test)
}

/// Serves as long as the runtime lives.
fn serve(url: &str, queue: &str, service: impl IntoMethods) {
    let serve = Server::builder(url).queue(queue).instance(queue);
    tokio::spawn(serve.serve(service).into_future());
}

/// A client whose calls wait for the servers to start.
async fn patient(url: &str) -> Client {
    let builder = Client::builder(url).wait_for_server(true).timeout(SOON);
    builder.connect().await.unwrap()
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(SOON, waiting).await;
    assert!(waited.is_ok(), "{what}");
}

#[test]
fn a_typed_service_is_called_with_types() {
    let broker = Broker::shared();
    let url = broker.url(&broker.vhost());
    block_on(async {
        serve(&url, "prices", handler(price));
        let client = patient(&url).await;
        let called = client.call::<Json<Price>>("prices", order("tea")).await;
        assert_eq!(called.unwrap(), Json(Price { cents: 700 }));

        let reply: Reply = client.call("prices", order("tea")).await.unwrap();
        assert_eq!(reply.body(), br#"{"cents":700}"#);
        assert_eq!(reply.content_type(), Some("application/json"));
        assert_eq!(reply.server(), Some("prices"));

        let refused = client.call::<Json<Price>>("prices", order("gold")).await;
        let refused = refused.unwrap_err();
        assert!(refused.is_from_server());
        assert_eq!(refused.server(), Some("prices"));
        assert_eq!(refused.to_string(), "NOT_FOUND: no such item");
        let details = serde_json::json!({"item": "gold", "try": ["tea"]});
        assert_eq!(refused.status().details(), Some(&details));

        let other = client.call::<Json<Vec<u8>>>("prices", order("tea")).await;
        let other = other.unwrap_err();
        assert_eq!(
            (other.code(), other.is_from_server()),
            (Code::Unknown, true)
        );
        let came = r#"got application/json, `{"cents":700}`"#;
        assert!(other.status().message().ends_with(came), "{other}");
        client.close().await;
    });
}

#[test]
fn one_client_calls_many_queues_at_once() {
    let broker = Broker::shared();
    let url = broker.url(&broker.vhost());
    let double = async |Json(n): Json<u64>| Json(2 * n);
    let square = async |Json(n): Json<u64>| Json(n * n);
    block_on(async {
        serve(&url, "double", handler(double));
        serve(&url, "square", handler(square));
        let client = patient(&url).await;
        let calls = (0..200_u64).map(async |n| {
            let client = client.clone();
            let (double, square) = tokio::join!(
                client.call::<Json<u64>>("double", Json(n)),
                client.call::<Json<u64>>("square", Json(n)),
            );
            (double.unwrap().0, square.unwrap().0) == (2 * n, n * n)
        });
        assert!(join_all(calls).await.into_iter().all(|right| right));
        assert_eq!(client.stats().replies, 400);
        client.close().await;
    });
}

#[test]
fn a_queue_without_a_server_concerns_its_own_calls_alone() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let url = broker.url(&vhost);
    let mut keeper = wire::Client::connect(broker.port(), &vhost).unwrap();
    keeper.declare("lonely", &Declare::classic()).unwrap();
    block_on(async {
        serve(&url, "echo", handler(async |text: Text| text));
        let text = patient(&url).await.call::<Text>("echo", "up").await;
        assert_eq!(text, Ok(Text("up".into())));

        let client = Client::builder(&url).timeout(SOON).connect().await.unwrap();
        let (lonely, missing, echoes) = tokio::join!(
            client.call::<Text>("lonely", "a"),
            client.call::<Text>("missing", "b"),
            join_all((0..100).map(|n| client.call("echo", n.to_string()).into_future())),
        );
        let refused = |outcome: Result<Text, CallError>| {
            let error = outcome.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable, "{error}");
            assert!(!error.is_from_server());
            error.status().message().to_owned()
        };
        let (lonely, missing) = (refused(lonely), refused(missing));
        assert!(
            lonely.starts_with(r#"no server on queue "lonely""#),
            "{lonely}"
        );
        assert!(missing.starts_with(r#"no queue "missing""#), "{missing}");
        for (n, echo) in echoes.into_iter().enumerate() {
            assert_eq!(echo, Ok(Text(n.to_string())));
        }
        let stats = client.stats();
        assert_eq!((stats.published, stats.lost), (100, 0), "{stats:?}");
        client.close().await;
    });
}

#[test]
fn a_call_names_its_method() {
    let broker = Broker::shared();
    let url = broker.url(&broker.vhost());
    let upper = async |Text(text): Text| Text(text.to_uppercase());
    let router = Router::new()
        .method("upper", handler(upper))
        .default_method(handler(async |text: Text| text));
    block_on(async {
        serve(&url, "texts", router);
        let client = patient(&url).await;
        let call = |method: &str| {
            let call = client.call::<Text>("texts", "a").method(method);
            call.into_future()
        };
        assert_eq!(call("upper").await, Ok(Text("A".into())));
        assert_eq!(call("").await, Ok(Text("a".into())));
        let unknown = call("lower").await.unwrap_err();
        assert_eq!(unknown.code(), Code::Unimplemented);
        assert!(unknown.is_from_server());
        let published = client.stats().published;
        let reserved = call("fibrpc.ping").await.unwrap_err();
        assert_eq!(reserved.code(), Code::InvalidArgument);
        assert_eq!(client.stats().published, published);
        client.close().await;
    });
}

#[test]
fn a_queue_that_refuses_requests_for_a_while_concerns_its_own_calls_alone() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let url = broker.url(&vhost);
    let mut keeper = wire::Client::connect(broker.port(), &vhost).unwrap();
    let narrow = (Declare::classic())
        .argument("x-max-length", value::integer(1))
        .argument("x-overflow", value::text("reject-publish"));
    for name in ["narrow", "full"] {
        keeper.declare(name, &narrow).unwrap();
        keeper
            .publish(name, &wire::Properties::new(), b"the one that fits")
            .unwrap();
    }
    // One has a server, which is busy with that request; so another one fits.
    keeper.prefetch(1).unwrap();
    keeper.consume("full", false).unwrap();
    let another = b"another one";
    keeper
        .publish("full", &wire::Properties::new(), another)
        .unwrap();
    block_on(async {
        serve(&url, "echo", handler(async |text: Text| text));
        let client = patient(&url).await;
        // From here on the broker has accepted requests on this connection.
        let echo = client.call::<Text>("echo", "up").await;
        assert_eq!(echo, Ok(Text("up".into())));

        let published = client.stats().published;
        let accepted_later = async {
            let again = || client.stats().published >= published + 4;
            eventually("both refused and published again", again).await;
            keeper.purge("narrow").unwrap();
            serve(&url, "narrow", handler(async |text: Text| text));
        };
        let (full, narrow, ()) = tokio::join!(
            client
                .call::<Text>("full", "a")
                .timeout(Duration::from_secs(5)),
            client.call::<Text>("narrow", "b"),
            accepted_later,
        );
        assert_eq!(narrow, Ok(Text("b".into())));
        assert_eq!(full.unwrap_err().code(), Code::ResourceExhausted);
        let echo = client.call::<Text>("echo", "still").await;
        assert_eq!(echo, Ok(Text("still".into())));
        client.close().await;
    });
}

/// RabbitMQ confirms a request that it returns, which does not mean that the queue has room, and refuses requests for a queue
/// that was declared a moment ago. Here a policy makes it refuse them for longer; deleting the queue instead would lose
/// requests that are on their way to it, since RabbitMQ confirms those.
#[test]
fn a_queue_that_is_missing_and_then_refuses_requests_is_waited_for() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let url = broker.url(&vhost);
    let mut keeper = wire::Client::connect(broker.port(), &vhost).unwrap();
    let policy = |arguments: &[&str]| broker.ctl(&[&["-p", &vhost], arguments].concat());
    let closed = r#"{"max-length": 0, "overflow": "reject-publish"}"#;
    policy(&["set_policy", "closed", "^late$", closed]);
    block_on(async {
        let client = patient(&url).await;
        let opened = async {
            eventually("returned", || client.stats().returned > 0).await;
            keeper.declare("late", &Declare::durable()).unwrap();
            let (published, returned) = (client.stats().published, client.stats().returned);
            let refused = || client.stats().published > published + 1;
            eventually("refused and published again", refused).await;
            assert!(client.stats().returned <= returned + 1);
            policy(&["clear_policy", "closed"]);
            serve(&url, "late", handler(async |text: Text| text));
        };
        let (late, ()) = tokio::join!(client.call::<Text>("late", "at last"), opened);
        assert_eq!(late, Ok(Text("at last".into())));
        client.close().await;
    });
}

#[test]
fn what_a_call_states_is_in_its_request() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Scripted::start(broker, &vhost);
    block_on(async {
        let client = Client::connect(&broker.url(&vhost)).await.unwrap();
        let serve = tokio::task::spawn_blocking(move || {
            let request = server.request();
            server.reply(&request, b"ok");
            request
        });
        let call = client.call::<Text>("rpc_queue", b"<a/>".as_slice());
        let call = call.content_type("application/xml").method("list");
        let call = call.priority(7).header("x-tenant", "blue");
        let call = call.header("x-attempt", 2).timeout(SOON);
        assert_eq!(call.await, Ok(Text("ok".into())));
        let request = serve.await.unwrap();
        let properties = &request.properties;
        assert_eq!(request.body, b"<a/>");
        assert_eq!(
            properties.content_type.as_deref(),
            Some(&b"application/xml"[..])
        );
        assert_eq!(properties.kind.as_deref(), Some(&b"list"[..]));
        assert_eq!(properties.priority, Some(7));
        assert_eq!(properties.find_text("x-tenant").as_deref(), Some("blue"));
        client.close().await;
    });
}

#[test]
fn dropped_calls_leave_nothing() {
    const CALLS: u64 = 4_000;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Scripted::start(broker, &vhost);
    block_on(async {
        let builder = Client::builder(&broker.url(&vhost)).timeout(10 * SOON);
        let client = builder.connect().await.unwrap();
        let calls = || (0..CALLS).map(|_| client.call::<Text>("rpc_queue", "1").into_future());

        // Dropped after they were published: their replies come later.
        let published = eventually("all published", || client.stats().published == CALLS);
        tokio::select! {
            () = published => {}
            _ = join_all(calls()) => panic!("nobody replies"),
        }
        eventually("all forgotten", || client.stats().dropped == CALLS).await;
        assert_eq!(client.stats().waiting, 0);

        // Dropped before the client has published them: they never are.
        for mut call in calls() {
            assert!(futures_util::poll!(&mut call).is_pending());
        }
        eventually("all forgotten", || client.stats().dropped == 2 * CALLS).await;
        let stats = client.stats();
        assert_eq!((stats.waiting, stats.published), (0, CALLS));

        let serve = tokio::task::spawn_blocking(move || {
            for _ in 0..=CALLS {
                let request = server.request();
                server.reply(&request, b"late");
            }
            // Its connection, which would cut off the last replies if it ended here.
            server
        });
        let last = client.call::<Text>("rpc_queue", "last").await;
        let stats = client.stats();
        assert_eq!(last, Ok(Text("late".into())), "{stats:?}");
        let stats = client.stats();
        assert_eq!((stats.replies, stats.unexpected, stats.waiting), (1, 0, 0));
        drop(serve.await.unwrap());
        client.close().await;
    });
}
