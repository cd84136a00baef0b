//! Files, drop-ins, environment and flags: which value wins, and its origin.

use super::{Folder, KEYS, load_file, load_variables, overrides, with_config};
use fibrpc::internals::config::{Config, Environment, Overrides, Program, Secret, load_from};
use fibrpc::internals::fibonacci::settings::max_n;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[test]
fn without_any_source_all_values_are_defaults() {
    let loaded = load_variables(&[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.files.is_empty() && loaded.warnings.is_empty());
    assert!(
        loaded
            .entries()
            .iter()
            .all(|entry| entry.origin == "default")
    );
}

#[test]
fn later_layers_win_key_by_key() {
    let folder = Folder::new();
    let system = folder.write(
        "etc.toml",
        "[server]\nprefetch = 1\nmax_n = 1\nreply_to_allow = [\"a\", \"b\"]\n\
         [broker]\nheartbeat = \"1s\"\nconnect_timeout = \"1s\"\n[broker.reconnect]\ninitial = \"1s\"\n",
    );
    folder.write("etc.toml.d/20-b.toml", "server.prefetch = 3\n");
    folder.write(
        "etc.toml.d/10-a.toml",
        "server.prefetch = 2\nserver.reply_to_allow = [\"c\"]\n",
    );
    folder.write("etc.toml.d/.hidden.toml", "nonsense = 1\n");
    folder.write("etc.toml.d/30-c.toml~", "nonsense = 1\n");
    let home = folder.write("home/.config/fibrpc/fibrpc.toml", "server.max_n = 4\n");
    let environment = Environment::empty()
        .with("HOME", folder.path("home"))
        .with("XDG_CONFIG_HOME", "not/absolute")
        .with("FIBRPC_BROKER__HEARTBEAT", "5s")
        .with("FIBRPC_BROKER__CONNECT_TIMEOUT", "5s")
        .with("FIBRPC_BROKER__RECONNECT__MAX", "9s")
        .with_system_file(&system);
    let overrides = Overrides {
        config: None,
        values: vec![("broker.connect_timeout", "6s".into())],
        keys: KEYS,
    };
    let loaded = load_from(Program::Client, &overrides, &environment).unwrap();

    let (server, broker) = (&loaded.config.server, &loaded.config.broker);
    assert_eq!((server.prefetch, max_n(&loaded.config)), (3, 4));
    assert_eq!(server.reply_to_allow, ["c"]);
    assert_eq!(broker.heartbeat, Duration::from_secs(5));
    assert_eq!(broker.connect_timeout, Duration::from_secs(6));
    assert_eq!(broker.reconnect.initial, Duration::from_secs(1));
    assert_eq!(broker.reconnect.max, Duration::from_secs(9));
    let read = ["etc.toml.d/10-a.toml", "etc.toml.d/20-b.toml"].map(|name| folder.path(name));
    assert_eq!(
        loaded.files,
        [system, read[0].clone(), read[1].clone(), home]
    );
    for (key, origin) in [
        ("server.prefetch", "etc.toml.d/20-b.toml:1"),
        ("server.max_n", "home/.config/fibrpc/fibrpc.toml:1"),
        ("server.reply_to_allow", "etc.toml.d/10-a.toml:2"),
        ("broker.heartbeat", "FIBRPC_BROKER__HEARTBEAT"),
        ("broker.connect_timeout", "command line"),
        ("broker.reconnect.initial", "etc.toml:9"),
        ("broker.url", "default"),
    ] {
        assert_eq!(folder.plain(loaded.origin(key)), origin, "{key}");
    }

    let daemon = load_from(Program::Daemon, &overrides, &environment).unwrap();
    assert_eq!(max_n(&daemon.config), 1, "the user's file is the client's");
    let xdg = folder.write("xdg/fibrpc/fibrpc.toml", "server.max_n = 5\n");
    let environment = environment.with("XDG_CONFIG_HOME", folder.path("xdg"));
    let client = load_from(Program::Client, &overrides, &environment).unwrap();
    assert_eq!(max_n(&client.config), 5);
    assert_eq!(client.files.last(), Some(&xdg));
}

#[test]
fn a_named_file_replaces_the_others_and_has_drop_ins() {
    let folder = Folder::new();
    let environment = Environment::empty()
        .with_system_file(folder.write("etc.toml", "nonsense = 1"))
        .with("XDG_CONFIG_HOME", folder.path("xdg"))
        .with(
            "FIBRPC_CONFIG",
            folder.write("variable.toml", "server.max_n = 7"),
        );
    folder.write("xdg/fibrpc/fibrpc.toml", "nonsense = 1");
    let flag = folder.write("flag.toml", "server.max_n = 8");
    folder.write("flag.toml.d/1.toml", "server.prefetch = 9");

    let loaded = load_from(Program::Client, &overrides(), &environment).unwrap();
    assert_eq!(max_n(&loaded.config), 7);
    let loaded = load_from(Program::Client, &with_config(&flag), &environment).unwrap();
    assert_eq!(
        (max_n(&loaded.config), loaded.config.server.prefetch),
        (8, 9)
    );

    let missing = load_from(
        Program::Client,
        &with_config(&folder.path("no.toml")),
        &environment,
    );
    let problems = missing.unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(
        folder.plain(&problems[0].0),
        "cannot read no.toml: no such file"
    );
    let environment = environment.with("FIBRPC_CONFIG", "");
    assert!(load_from(Program::Daemon, &overrides(), &environment).is_err());
    let nothing = load_file(Path::new("/dev/null")).unwrap();
    assert_eq!(nothing.config, Config::default());
}

#[test]
fn a_system_file_that_cannot_be_read_stops_the_daemon_only() {
    let folder = Folder::new();
    fs::create_dir(folder.path("etc.toml")).unwrap();
    folder.write("etc.toml.d", "a file where a folder is due");
    let environment = Environment::empty().with_system_file(folder.path("etc.toml"));
    let load = |program| load_from(program, &overrides(), &environment);
    let expected = [
        "cannot read etc.toml: is a directory",
        "cannot read etc.toml.d: ",
    ];

    let problems = load(Program::Daemon).unwrap_err();
    let warnings = load(Program::Client).unwrap().warnings;
    assert_eq!((problems.len(), warnings.len()), (2, 2));
    for (index, text) in expected.iter().enumerate() {
        assert!(
            folder.plain(&problems[index].0).starts_with(text),
            "{problems:?}"
        );
        assert!(
            folder.plain(&warnings[index]).starts_with(text),
            "{warnings:?}"
        );
        assert!(warnings[index].ends_with("; skipped"));
    }
}

#[test]
fn a_variable_is_read_as_the_type_of_its_key() {
    let loaded = load_variables(&[
        ("FIBRPC_BROKER__URL", "amqp://a, amqps://b"),
        ("FIBRPC_BROKER__TLS__CA_FILE", "/ca"),
        ("FIBRPC_QUEUE__NAME", "0123"),
        ("FIBRPC_QUEUE__TYPE", "classic"),
        ("FIBRPC_QUEUE__DURABLE", "false"),
        ("FIBRPC_SERVER__PREFETCH", " 7 "),
        ("FIBRPC_SERVER__MAX_REPLY_BYTES", "2048"),
        ("FIBRPC_SERVER__MAX_REQUEST_BYTES", "2KiB"),
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", ""),
        ("FIBRPC_SERVER__INSTANCE", "true"),
    ]);
    let Config {
        broker,
        queue,
        server,
        ..
    } = loaded.unwrap().config;
    assert_eq!(
        broker
            .url
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["a:5672", "b:5671"]
    );
    assert_eq!(broker.tls.ca_file.as_deref(), Some(Path::new("/ca")));
    assert_eq!((queue.name.as_str(), queue.durable), ("0123", false));
    assert_eq!((server.prefetch, server.max_reply_bytes), (7, 2048));
    assert_eq!(
        (server.max_request_bytes, server.instance.as_str()),
        (2048, "true")
    );
    assert!(server.reply_to_allow.is_empty());

    for (name, value, words) in [
        (
            "FIBRPC_BROKER__HEARTBEAT",
            "10",
            "has no unit, is \"10\" (FIBRPC_BROKER__HEARTBEAT); write",
        ),
        (
            "FIBRPC_QUEUE__DURABLE",
            "1",
            "must be true or false, is \"1\"",
        ),
        ("FIBRPC_BROKER__URL", "", "must name at least one broker"),
        (
            "FIBRPC_SERVER__MAX_N",
            "99999999999999999999",
            "must be a whole number",
        ),
        ("FIBRPC_BROKER__PASSWORD", "k4nary", "put it into a file"),
        (
            "FIBRPC_BROKER__URL",
            "amqp://u:k4nary",
            "is \"amqp://u:***\"",
        ),
        (
            "FIBRPC_X__Y",
            "k4nary",
            "FIBRPC_X__Y: unknown setting (environment); unset it",
        ),
    ] {
        let problems = load_variables(&[(name, value)]).unwrap_err();
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert!(problems[0].contains(words), "{name}: {}", problems[0]);
        assert!(!problems[0].contains("k4nary"), "{}", problems[0]);
    }

    // A comma in a password does not end the URL.
    let loaded = load_variables(&[("FIBRPC_BROKER__URL", "amqp://u:a,b@h , amqp://i")]).unwrap();
    let urls = loaded.config.broker.url;
    assert_eq!(urls[0].password, Some(Secret::new("a,b")));
    assert_eq!(urls[1].host, "i");

    // Of other variables, only those that resemble a setting cause a warning.
    let loaded = load_variables(&[("FIBRPC_PREFETCH", "1"), ("FIBRPC_SERVICE_HOST", "h")]).unwrap();
    let warning = "FIBRPC_PREFETCH: not a setting, ignored; did you mean FIBRPC_SERVER__PREFETCH?";
    assert_eq!(loaded.warnings, [warning]);
}

#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = std::ffi::OsString::from_vec(vec![b'k', 0xff]);
    let environment = Environment::empty()
        .with_system_file("/nonexistent/fibrpc.toml")
        .with("FIBRPC_QUEUE__NAME", bytes.clone())
        .with("SOMETHING_ELSE", bytes);
    let problems = load_from(Program::Daemon, &overrides(), &environment).unwrap_err();
    let problems: Vec<_> = problems.into_iter().map(|problem| problem.0).collect();
    assert_eq!(
        problems,
        ["queue.name: is not UTF-8 (FIBRPC_QUEUE__NAME); write it in UTF-8"]
    );
}
