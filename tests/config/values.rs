//! The limits of each key: what is refused, with which message, and what is accepted.

use super::load_text;
use fibrpc::internals::config::{BrokerUrl, Level, QueueKind};

/// Each text has exactly one problem, which contains these words.
fn refused(rows: &[(&str, &str)]) {
    for (text, words) in rows {
        let problems = load_text(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].contains(words), "{text}: {}", problems[0]);
        assert!(!problems[0].contains("k4nary"), "{text}: {}", problems[0]);
    }
}

#[test]
fn wrong_values_of_broker() {
    refused(&[
        (
            "broker.url = []",
            "broker.url: must name at least one broker, is an empty list",
        ),
        ("broker.url = \"\"", "broker.url: is empty, is \"\""),
        (
            "broker.url = 5",
            "broker.url: must be a URL or a list of URLs, is 5",
        ),
        (
            "broker.url = [\"amqp://h\", \"h\"]",
            "broker.url: entry 2: has no scheme, is \"h\"",
        ),
        (
            "broker.url = [\"amqp://h\", 7]",
            "broker.url: entry 2: must be a URL, is 7",
        ),
        (
            "broker = 5",
            "broker: is a table, not a key (a.toml:1); write [broker]",
        ),
        ("[[broker]]\nurl = 5", "broker: is a table, not a key"),
        ("broker.tls = true", "broker.tls: is a table, not a key"),
        (
            "queue.name.x = 1",
            "queue.name: must be a string, is a table",
        ),
        ("\"broker.url\" = \"amqp://h\"", "broker.url: unknown key"),
        (
            "broker.\"tls.ca_file\" = \"/x\"",
            "broker.tls.ca_file: unknown key",
        ),
        (
            "broker.password = \"k4nary\"",
            "broker.password: unknown key (a.toml:1); put it into a file",
        ),
        (
            "broker.password_file = \"pw\"",
            "must be an absolute path, is \"pw\"",
        ),
        (
            "broker.heartbeat = 10",
            "has no unit, is 10 (a.toml:1); write for example \"10s\"",
        ),
        (
            "broker.heartbeat = \"10\"",
            "has no unit, is \"10\" (a.toml:1); write for example \"10s\"",
        ),
        ("broker.heartbeat = \"1500ms\"", "must be whole seconds"),
        ("broker.heartbeat = \"999ms\"", "must be at least 1s"),
        ("broker.heartbeat = \"65536s\"", "must be at most 18h12m15s"),
        (
            "broker.heartbeat = 2020-01-01",
            "must be a duration, is a date or time",
        ),
        ("broker.heartbeat = -1", "must be a duration, is -1"),
        (
            "broker.heartbeat = \"ten\"",
            "must be a duration, is \"ten\"",
        ),
        ("broker.connect_timeout = \"0s\"", "must be at least 1ms"),
        ("broker.confirm_timeout = \"0ms\"", "must be at least 1ms"),
        ("broker.tls.server_name = \"a b\"", "must be a host name"),
        (
            "broker.reconnect.initial = \"1m\"",
            "broker.reconnect.initial: must not be above broker.reconnect.max, is \"1m\" \
             (a.toml:1) with a max of \"30s\" (default); lower it or raise max",
        ),
        (
            "broker.tls.cert_file = \"/c\"",
            "broker.tls.cert_file: requires broker.tls.key_file",
        ),
        (
            "broker.tls.key_file = \"/c\"",
            "broker.tls.key_file: requires broker.tls.cert_file",
        ),
    ]);
}

#[test]
fn wrong_values_of_queue() {
    let long = format!("queue.name = {:?}", "q".repeat(256));
    refused(&[
        ("queue.name = \"amq.x\"", "must not start with amq."),
        (
            "queue.name = \"a\\nb\"",
            "must not contain control characters, is \"a\\nb\"",
        ),
        (&long, "must be at most 255 bytes, has 256"),
        (
            "queue.type = \"Quorum\"",
            "must be one of \"quorum\", \"classic\", is \"Quorum\" (a.toml:1); did you mean \"quorum\"?",
        ),
        (
            "queue.durable = \"yes\"",
            "must be true or false, is \"yes\"",
        ),
        (
            "queue.durable = false",
            "queue.durable: must be true for a quorum queue",
        ),
    ]);
}

#[test]
fn wrong_values_of_other_keys() {
    refused(&[
        ("server.prefetch = 0", "must be from 1 to 65535, is 0"),
        (
            "server.prefetch = 65536",
            "must be from 1 to 65535, is 65536",
        ),
        ("server.prefetch = -1", "must be from 1 to 65535, is -1"),
        ("server.prefetch = 1.5", "must be a whole number, is 1.5"),
        (
            "server.prefetch = \"5\"",
            "must be a whole number, is \"5\"",
        ),
        ("server.concurrency = 1025", "must be from 0 to 1024"),
        ("server.max_n = -1", "must be from 0 to 2500000000, is -1"),
        (
            "server.max_n = 9223372036854775807",
            "must be from 0 to 2500000000",
        ),
        (
            "server.max_reply_bytes = \"513MiB\"",
            "must be from 1KiB to 512MiB, is \"513MiB\"",
        ),
        (
            "server.max_reply_bytes = \"15MB\"",
            "must be a size, is \"15MB\" (a.toml:1); write for example",
        ),
        (
            "server.max_request_bytes = 0",
            "must be from 64B to 512MiB, is 0",
        ),
        ("server.drain_timeout = \"0s\"", "must be at least 1ms"),
        ("server.drain_timeout = \"61m\"", "must be at most 1h"),
        ("server.ready_timeout = \"0s\"", "must be at least 1ms"),
        (
            "server.reply_to_allow = \"a\"",
            "must be a list of strings, is \"a\"",
        ),
        ("server.reply_to_allow = [\"\"]", "has an empty entry"),
        ("server.reply_to_allow = [1]", "must be a string, is 1"),
        ("server.instance = 1", "must be a string, is 1"),
        ("client.timeout = \"0s\"", "must be at least 1ms"),
        ("log.level = \"INFO\"", "did you mean \"info\"?"),
        ("log.target = \"journal\"", "did you mean \"journald\"?"),
        (
            "telemetry.listen = \"localhost:9464\"",
            "must be an IP address with a port, or unix: and a path, is \"localhost:9464\" (a.toml:1); write",
        ),
        ("telemetry.listen = 9464", "must be a string, is 9464"),
        (
            "telemetry.listen = \"unix:x\"",
            "the absolute path of a socket",
        ),
    ]);
}

#[test]
fn values_at_the_limits_are_accepted() {
    for text in [
        "broker.heartbeat = \"65535s\"",
        "server.prefetch = 65535",
        "server.max_n = 0",
        "server.max_reply_bytes = 536870912",
        "server.max_request_bytes = \"64B\"",
        "broker.reconnect = { initial = \"30s\" }",
        "queue = { type = \"classic\", durable = false }",
        "broker.tls.server_name = \"::1\"",
        "\u{feff}queue.name = \"x\"",
    ] {
        assert!(load_text(text).is_ok(), "{text}: {:?}", load_text(text));
    }
    let config = load_text("broker.url = [\"amqp://a\", \"amqps://b\"]")
        .unwrap()
        .config;
    assert_eq!(
        config
            .broker
            .url
            .iter()
            .map(BrokerUrl::address)
            .collect::<Vec<_>>(),
        ["a:5672", "b:5671"]
    );
    let config = load_text("queue.type = \"classic\"\nlog.level = \"debug\"")
        .unwrap()
        .config;
    assert_eq!(
        (config.queue.kind, config.log.level),
        (QueueKind::Classic, Level::Debug)
    );
}
