//! What is wrong is said in one line each, all at once; what deserves a warning.

use super::{Folder, load_file, load_text, with_config};
use fibrpc::config::{BrokerUrl, Environment, Level, Overrides, Program, QueueKind, load_from};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

#[test]
fn all_problems_at_once_in_the_order_of_their_places() {
    let folder = Folder::new();
    let path = folder.write(
        "a.toml",
        "brokr = 1\n[broker]\nheartbeat = \"0s\"\nheartbeet = 1\nurl = \"amqp://u:k4nary#@h\"\n\
         [queue]\nname = \"\"\n",
    );
    folder.write("a.toml.d/1.toml", "x = [");
    let environment = Environment::empty()
        .with("FIBRPC_SERVER__PREFETCH", "many")
        .with("FIBRPC_SERVER__PREFECH", "1");
    let overrides = Overrides {
        values: vec![("log.level", "loud".into())],
        ..with_config(&path)
    };
    let problems = load_from(Program::Daemon, &overrides, &environment).unwrap_err();
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| folder.plain(&problem.0))
        .collect();
    assert!(
        problems[2].starts_with("a.toml.d/1.toml:1:6: not valid TOML: "),
        "{}",
        problems[2]
    );
    let expected = [
        "brokr: unknown key (a.toml:1); did you mean broker?",
        "broker.heartbeet: unknown key (a.toml:4); did you mean broker.heartbeat?",
        &problems[2],
        "FIBRPC_SERVER__PREFECH: unknown setting (environment); \
         did you mean FIBRPC_SERVER__PREFETCH?",
        "broker.url: has a raw `#` in it, is \"amqp://***@h\" (a.toml:5); \
         inside a user name, password or vhost write %23 for it",
        "broker.heartbeat: must be at least 1s, is \"0s\" (a.toml:3); write for example \"10s\"",
        "queue.name: must not be empty, is \"\" (a.toml:7); write for example \"rpc_queue\"",
        "server.prefetch: must be a whole number, is \"many\" (FIBRPC_SERVER__PREFETCH); \
         write digits, without quotes",
        "log.level: must be one of \"error\", \"warn\", \"info\", \"debug\", is \"loud\" \
         (command line); write one of these",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn of_many_problems_in_a_file_the_first_are_told_and_the_rest_is_counted() {
    // As many as fit into a file that is read at all.
    let lines: Vec<_> = (0..100_000).map(|n| format!("k{n:05}=1")).collect();
    let problems = load_text(&lines.join("\n")).unwrap_err();
    assert_eq!(problems.len(), 101);
    let hundredth = "k00099: unknown key (a.toml:100); see fibrpc.toml(5) for all keys";
    assert_eq!(problems[99], hundredth);
    let rest = "a.toml: 99900 more problems in this file; correct those above first";
    assert_eq!(problems[100], rest);
    // All of a hundred are told.
    let problems = load_text(&lines[..100].join("\n")).unwrap_err();
    assert_eq!(problems.len(), 100);
    let problems = load_text(&lines[..101].join("\n")).unwrap_err();
    let rest = "a.toml: 1 more problem in this file; correct those above first";
    assert_eq!((problems.len(), problems[100].as_str()), (101, rest));
}

/// Each text is one problem with these words in it.
fn refused(rows: &[(&str, &str)]) {
    for (text, words) in rows {
        let problems = load_text(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].contains(words), "{text}: {}", problems[0]);
        assert!(!problems[0].contains("k4nary"), "{text}: {}", problems[0]);
    }
}

#[test]
fn what_is_wrong_for_the_keys_of_broker() {
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
            "broker.tls.cert_file: needs broker.tls.key_file as well",
        ),
        (
            "broker.tls.key_file = \"/c\"",
            "broker.tls.key_file: needs broker.tls.cert_file as well",
        ),
    ]);
}

#[test]
fn what_is_wrong_for_the_keys_of_queue() {
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
fn what_is_wrong_for_the_other_keys() {
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
    ]);
}

#[test]
fn each_key_takes_its_outermost_values() {
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

#[test]
fn syntax_errors_name_line_and_column() {
    for (text, place) in [
        ("[queue]\nname = \"x", "a.toml:2:"),
        ("[queue]\nname = x\n", "a.toml:2:8: "),
        ("é = 1\n", "a.toml:1:"),
        ("[queue]\nname = \"x\"\nname = \"y\"\n", "a.toml:3:1: "),
        ("[broker]\nurl = amqp://u:k4nary@h", "a.toml:2:7: "),
        ("[broker]\nurl = \"amqp://u:k4nary@h", "a.toml:2:"),
        ("x = 99999999999999999999", "a.toml:1:5: "),
    ] {
        let problems = load_text(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}");
        assert!(problems[0].starts_with(place), "{text}: {}", problems[0]);
        assert!(!problems[0].contains("k4nary"), "{text}: {}", problems[0]);
        assert_eq!(problems[0].lines().count(), 1);
    }
}

#[test]
fn what_is_no_text_file() {
    let folder = Folder::new();
    let fifo = folder.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink("loop", folder.path("loop")).unwrap();
    for (path, words) in [
        (
            folder.write("latin1", b"# ok\n# caf\xe9\n"),
            "is not UTF-8 in line 2",
        ),
        (
            folder.write("large", vec![b'#'; (1 << 20) + 1]),
            "is larger than 1048576 bytes",
        ),
        (folder.path(""), "is a directory"),
        (
            fifo,
            "is a pipe, and nothing came from it within 5s; write to it, or use a file",
        ),
        ("/dev/zero".into(), "is not a regular file or a pipe"),
        (folder.path("loop"), "symbolic link"),
    ] {
        // Elsewhere, since a FIFO may hold up whoever opens it, and that is to be seen.
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || drop(tell.send(load_file(&path))));
        let problems = told.recv_timeout(Duration::from_secs(60));
        let problems = problems.expect("it is waiting for something").unwrap_err();
        let texts: Vec<_> = problems.iter().map(|problem| &problem.0).collect();
        assert!(
            texts[0].starts_with("cannot read ") && texts[0].contains(words),
            "{texts:?}"
        );
    }
    assert!(load_file(&folder.write("fits", vec![b'#'; 1 << 20])).is_ok());
    assert!(
        !load_file(&folder.write("nul", b"a = \"\0\""))
            .unwrap_err()
            .is_empty()
    );
}

#[test]
fn warnings() {
    let folder = Folder::new();
    for (mode, text, words) in [
        (
            0o600,
            "broker.tls.ca_file = \"/x\"",
            Some("broker.tls: is not used"),
        ),
        (
            0o600,
            "broker.url = [\"amqp://h\", \"amqp://h:5672\"]",
            Some("names amqp://guest:guest@h:5672/%2f twice"),
        ),
        (
            0o644,
            "broker.url = \"amqp://u:k4nary@h\"",
            Some("holds a password and everyone can read it"),
        ),
        (0o640, "broker.url = \"amqp://u:k4nary@h\"", None),
        (0o644, "broker.url = \"amqp://h\"", None),
        (
            0o600,
            "broker.url = \"amqp://u@h\"",
            Some("has no password for user \"u\" at h:5672"),
        ),
        // Without TLS no certificate is shown.
        (
            0o600,
            "broker.url = [\"amqp://u@h\", \"amqps://g\"]\nbroker.tls = { cert_file = \"/c\", key_file = \"/k\" }",
            Some("has no password for user \"u\" at h:5672"),
        ),
        (
            0o600,
            "broker.url = \"amqps://h\"\nbroker.tls = { cert_file = \"/c\", key_file = \"/k\" }",
            None,
        ),
        (
            0o600,
            "broker.url = \"amqps://u@h\"\nbroker.tls = { cert_file = \"/c\", key_file = \"/k\" }",
            Some("user \"u\" at h:5671 is not used"),
        ),
        (
            0o600,
            "broker.url = \"amqp://u:k4nary@h\"\nbroker.password_file = \"/pw\"",
            Some("the password in it for h:5672 is not used, broker.password_file goes before it"),
        ),
        (
            0o600,
            "broker.url = \"amqp://guest:guest@h\"\nbroker.password_file = \"/pw\"",
            None,
        ),
        (
            0o600,
            "broker = { url = \"amqp://u@h\", password_file = \"/x\" }",
            None,
        ),
    ] {
        let path = folder.write("a.toml", text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = load_file(&path).unwrap().warnings;
        assert_eq!(
            warnings.len(),
            usize::from(words.is_some()),
            "{text}: {warnings:?}"
        );
        assert!(
            warnings
                .iter()
                .all(|warning| warning.contains(words.unwrap())),
            "{warnings:?}"
        );
        assert!(!warnings.concat().contains("k4nary"));
    }
}
