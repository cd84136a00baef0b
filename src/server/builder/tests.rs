//! Settings, problems, and the end of a server without a broker.

use super::*;
use crate::server::Nothing;
use crate::server::blocking::blocking;
use crate::server::state::ServerState;
use tokio::net::TcpListener;

#[test]
fn settings_fill_the_configuration() {
    let builder = Builder::new("amqps://one/%2f")
        .broker("amqps://two/%2f")
        .queue("prices")
        .prefetch(7)
        .threads(3)
        .instance("here")
        .max_request_bytes(100)
        .max_reply_bytes(2_000)
        .drain_timeout(Duration::from_secs(1))
        .allow_reply_to("replies.*")
        .ca_file("ca.pem")
        .client_certificate("/chain.pem", "/key.pem")
        .tls_name("broker");
    assert_eq!(builder.problems, []);
    assert_eq!(outside_limits(&builder.config), []);
    let Config {
        broker,
        queue,
        server,
        ..
    } = builder.config;
    let hosts: Vec<_> = broker.url.iter().map(|url| url.host.as_str()).collect();
    assert_eq!((hosts, queue.name.as_str()), (vec!["one", "two"], "prices"));
    assert_eq!((server.prefetch, server.concurrency), (7, 3));
    assert_eq!(
        (server.max_request_bytes, server.max_reply_bytes),
        (100, 2_000)
    );
    assert_eq!(
        (server.instance.as_str(), server.drain_timeout.as_secs()),
        ("here", 1)
    );
    assert_eq!(server.reply_to_allow, ["replies.*"]);
    let tls = broker.tls;
    assert!(tls.ca_file.is_some_and(|file| file.is_absolute()));
    assert_eq!(tls.cert_file, Some("/chain.pem".into()));
    assert_eq!(tls.key_file, Some("/key.pem".into()));
    assert_eq!(tls.server_name.as_deref(), Some("broker"));
}

#[tokio::test]
async fn everything_wrong_is_returned_at_once() {
    let serve = Builder::new("http://user:secret@localhost")
        .prefetch(0)
        .serve(blocking(Nothing));
    let error = serve.await.unwrap_err().to_string();
    for part in ["cannot serve: broker URL: ", ", and server.prefetch "] {
        assert!(error.contains(part), "{error}");
    }
    assert!(
        !error.contains("secret") && !error.contains('\n'),
        "{error}"
    );
}

#[tokio::test]
async fn a_configuration_without_a_broker_is_refused() {
    let mut config = Config::default();
    config.broker.url.clear();
    let error = Builder::from(config)
        .serve(blocking(Nothing))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("broker.url is empty"), "{error}");
}

#[tokio::test]
async fn it_ends_when_the_signal_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://{}", listener.local_addr().unwrap());
    let connected = async move {
        listener.accept().await.unwrap();
    };
    let serve = Builder::new(&url)
        .serve(blocking(Nothing))
        .with_graceful_shutdown(connected);
    let state = serve.handle().state();
    let ended = tokio::time::timeout(Duration::from_secs(20), serve.into_future());
    assert_eq!(ended.await.unwrap(), Ok(Outcome::default()));
    assert_eq!(*state.borrow(), ServerState::Stopped);
}
