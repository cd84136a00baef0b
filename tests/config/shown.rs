//! What follows from the table of keys: the shipped file, `show_toml`, `diff`.

use super::{Folder, KEYS, load_text, with_config};
use fibrpc::internals::config::{
    self, Config, Environment, Program, Reload, Secret, diff, load_from, show_json, show_toml,
};

/// The shipped file with every key uncommented.
fn shipped_with_all_keys() -> String {
    let shown = |line: &str| {
        let key = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        key.unwrap_or(line).to_owned() + "\n"
    };
    include_str!("../../etc/fibrpc.toml")
        .lines()
        .map(shown)
        .collect()
}

#[test]
fn the_shipped_file_shows_every_key_with_its_default() {
    let loaded = load_text(include_str!("../../etc/fibrpc.toml")).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.warnings.is_empty());
    assert!(
        loaded
            .entries()
            .iter()
            .all(|entry| entry.origin == "default"),
        "all keys are commented out"
    );

    let text = shipped_with_all_keys();
    let loaded = load_text(&text).unwrap();
    let table: toml::Table = text.parse().unwrap();
    for key in KEYS.iter() {
        let inner = key
            .name
            .split('.')
            .try_fold(&toml::Value::Table(table.clone()), |value, part| {
                value.get(part)
            })
            .cloned();
        let inner = inner.unwrap_or_else(|| panic!("{} is not in etc/fibrpc.toml", key.name));
        match key.default_value() {
            // The text is the canonical one, and not only equal in value.
            Some(default) if matches!(inner, toml::Value::Integer(_)) => assert_eq!(inner, default),
            Some(default) => assert_eq!(inner.to_string(), default.to_string(), "{}", key.name),
            None => assert!(key.value(&loaded.config).is_some(), "{}", key.name),
        }
    }
    let mut config = loaded.config;
    config.broker.password_file = None;
    config.broker.tls = config::Config::default().broker.tls;
    config.telemetry.otlp.endpoint = None;
    assert_eq!(config, Config::default());
}

#[test]
fn keys_are_unique_and_have_a_variable() {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert!(names.contains(&"broker.reconnect.max"));
    let variable = KEYS.find("broker.tls.ca_file").unwrap().variable();
    assert_eq!(variable, "FIBRPC_BROKER__TLS__CA_FILE");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KEYS.iter().count());
}

#[test]
fn the_shown_configuration_loads_to_the_same_values() {
    let folder = Folder::new();
    let path = folder.write("odd \n name.toml", shipped_with_all_keys());
    let environment = Environment::empty()
        .with(
            "FIBRPC_BROKER__URL",
            "amqp://u%40:k4nary@h/a%22b,amqps://[::1]",
        )
        .with("FIBRPC_SERVER__REPLY_TO_ALLOW", "a\"b,c\\d")
        .with("FIBRPC_SERVER__MAX_REPLY_BYTES", "5000")
        .with("FIBRPC_CLIENT__TIMEOUT", "90s");
    let loaded = load_from(Program::Daemon, &with_config(&path), &environment).unwrap();
    let shown = show_toml(&loaded);
    assert!(!shown.contains("k4nary"), "{shown}");
    assert!(
        shown.contains("timeout = \"1m30s\"  # FIBRPC_CLIENT__TIMEOUT\n"),
        "{shown}"
    );
    assert!(shown.contains("name.toml:"), "{shown}");

    let mut again = load_text(&shown).unwrap_or_else(|problems| panic!("{problems:?}\n{shown}"));
    assert_eq!(
        again.config.broker.url[0].password,
        Some(Secret::new("***"))
    );
    again.config.broker.url[0].password = Some(Secret::new("k4nary"));
    assert_eq!(again.config, loaded.config);

    let defaults = load_text("").unwrap();
    assert_eq!(
        load_text(&show_toml(&defaults)).unwrap().config,
        Config::default()
    );
    assert!(show_toml(&defaults).contains("prefetch = 2000  # default\n"));

    let json = show_json(&loaded);
    assert!(!json.contains("k4nary"), "{json}");
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), KEYS.iter().count());
    let timeout = serde_json::json!({"key": "client.timeout", "value": "1m30s", "origin": "FIBRPC_CLIENT__TIMEOUT"});
    assert!(lines.contains(&timeout));
}

/// Origins are kept in figment, values are not.
#[test]
fn debug_output_shows_origins_and_no_password() {
    let url = "amqp://u:k4nary@h";
    let folder = Folder::new();
    let path = folder.write("a.toml", format!("broker.url = {url:?}"));
    let environment = Environment::empty().with("FIBRPC_BROKER__URL", url);
    let mut overrides = with_config(&path);
    overrides.values = vec![("broker.url", url.into())];
    let loaded = load_from(Program::Daemon, &overrides, &environment).unwrap();
    assert_eq!(
        loaded.config.broker.url[0].password,
        Some(Secret::new("k4nary"))
    );
    let text = format!("{loaded:?}");
    assert!(text.contains("command line"), "{text}");
    assert!(!text.contains("k4nary"), "{text}");
}

#[test]
fn control_and_invisible_characters_are_escaped_and_load_to_the_same() {
    let queue = "a\u{202e}b\u{200b}\\\"'c\u{e0041}";
    let environment = Environment::empty()
        .with("FIBRPC_QUEUE__NAME", queue)
        .with("FIBRPC_SERVER__REPLY_TO_ALLOW", "x\u{2066}*,日本,d'\\");
    let folder = Folder::new();
    let path = folder.write("odd\u{202e}name.toml", "client.timeout = \"3s\"");
    let loaded = load_from(Program::Daemon, &with_config(&path), &environment).unwrap();
    let shown = show_toml(&loaded);
    for line in [
        r#"name = "a\u202eb\u200b\\\"'c\U000e0041"  # FIBRPC_QUEUE__NAME"#,
        r#"reply_to_allow = ["x\u2066*", "日本", "#,
        r#"timeout = "3s"  # "#,
        r"/odd\u{202e}name.toml:1",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let marks = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{e0041}'];
    assert!(!shown.contains(marks), "{shown:?}");
    let again = load_text(&shown).unwrap_or_else(|problems| panic!("{problems:?}\n{shown}"));
    assert_eq!(again.config, loaded.config);
    assert!(!loaded.summary().contains(marks), "{}", loaded.summary());
}

#[test]
fn a_reload_finds_what_changed() {
    let base = || load_text("broker.url = \"amqp://u:one@h\"").unwrap().config;
    assert!(diff(&base(), &base()).is_empty());
    for (text, hot, session, restart) in [
        ("log.level = \"debug\"", vec!["log.level"], vec![], vec![]),
        (
            "server = { prefetch = 1, max_n = 1, drain_timeout = \"1s\", instance = \"x\" }\nlog.target = \"stderr\"",
            vec!["server.prefetch", "server.drain_timeout", "server.max_n"],
            vec![],
            vec!["server.instance", "log.target"],
        ),
        (
            "queue = { type = \"classic\" }\nbroker.tls.ca_file = \"/x\"",
            vec![],
            vec!["broker.tls.ca_file", "queue.type"],
            vec![],
        ),
    ] {
        let text = format!("broker.url = \"amqp://u:one@h\"\n{text}");
        let changes = diff(&base(), &load_text(&text).unwrap().config);
        assert_eq!(
            (changes.hot, changes.session, changes.restart),
            (hot, session, restart),
            "{text}"
        );
    }
    let other = load_text("broker.url = \"amqp://u:two@h\"").unwrap().config;
    assert_eq!(
        diff(&base(), &other).session,
        ["broker.url"],
        "a new password is a change"
    );
    let class = |name| KEYS.find(name).unwrap().reload;
    assert_eq!(class("broker.heartbeat"), Reload::Session);
}
