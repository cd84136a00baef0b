//! Common mistakes in values and names: quotes of an env file, stray blanks, misspelt variables.

use super::{Folder, load_text, load_variables, with_config};
use fibrpc::internals::config::{Environment, Program, load_from};

/// A variable and the key that it sets.
const FREE_TEXT: &[(&str, &str)] = &[
    ("FIBRPC_QUEUE__NAME", "queue.name"),
    ("FIBRPC_SERVER__INSTANCE", "server.instance"),
    ("FIBRPC_SERVER__REPLY_TO_ALLOW", "server.reply_to_allow"),
    ("FIBRPC_BROKER__PASSWORD_FILE", "broker.password_file"),
    ("FIBRPC_BROKER__TLS__CA_FILE", "broker.tls.ca_file"),
    ("FIBRPC_BROKER__TLS__SERVER_NAME", "broker.tls.server_name"),
    ("FIBRPC_BROKER__URL", "broker.url"),
];

fn problem(name: &str, value: &str) -> String {
    let problems = load_variables(&[(name, value)]).unwrap_err();
    assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
    assert!(!problems[0].contains("k4nary"), "{}", problems[0]);
    problems[0].clone()
}

#[test]
fn quotes_from_an_env_file_are_refused() {
    // A valid value of the key, without quotes.
    let inner = |key: &str| match key {
        "broker.url" => "amqp://u:k4nary@h",
        key if key.ends_with("_file") => "/etc/x",
        "log.level" => "debug",
        key if key.ends_with("timeout") => "5s",
        "server.max_reply_bytes" => "1MiB",
        "server.prefetch" => "5",
        "queue.durable" => "true",
        _ => "a",
    };
    let others = [
        ("FIBRPC_LOG__LEVEL", "log.level"),
        ("FIBRPC_CLIENT__TIMEOUT", "client.timeout"),
        ("FIBRPC_SERVER__MAX_REPLY_BYTES", "server.max_reply_bytes"),
        ("FIBRPC_SERVER__PREFETCH", "server.prefetch"),
        ("FIBRPC_QUEUE__DURABLE", "queue.durable"),
    ];
    for (variable, key) in FREE_TEXT.iter().chain(&others) {
        let inner = inner(key);
        for value in [
            format!("\"{inner}\""),
            format!("'{inner}'"),
            format!(" '{inner}' "),
            format!("\u{201c}{inner}\u{201d}"),
        ] {
            let problem = problem(variable, &value);
            assert!(
                problem.starts_with(&format!("{key}: contains quotes, is ")),
                "{problem}"
            );
            let end = format!(" ({variable}); remove them");
            assert!(problem.ends_with(&end), "{problem}");
        }
        assert!(load_variables(&[(variable, inner)]).is_ok(), "{variable}");
    }
    let shown = "broker.url: contains quotes, is \"\\\"amqp://***@h\\\"\" (FIBRPC_BROKER__URL); ";
    assert!(problem("FIBRPC_BROKER__URL", "\"amqp://u:k4nary@h\"").starts_with(shown));
    for (variable, value) in [
        ("FIBRPC_BROKER__URL", "\"amqp://a\",\"amqp://b\""),
        ("FIBRPC_BROKER__URL", "amqp://a,'amqp://u:k4nary@b'"),
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", "\"a.*\",\"b.*\""),
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", "a.*,'b.*'"),
        ("FIBRPC_QUEUE__NAME", "\"\""),
    ] {
        let problem = problem(variable, value);
        assert!(problem.contains("contains quotes, is "), "{problem}");
    }
    // In a file as well.
    for (text, key) in [
        ("queue.name = \"'jobs'\"", "queue.name"),
        (
            "server.reply_to_allow = ['a', '\"b\"']",
            "server.reply_to_allow",
        ),
        (
            "broker.url = ['amqp://h', '\"amqp://u:k4nary@h\"']",
            "broker.url",
        ),
    ] {
        let problems = load_text(text).unwrap_err();
        assert!(
            problems[0].starts_with(&format!("{key}: contains quotes, is ")),
            "{problems:?}"
        );
        assert!(!problems[0].contains("k4nary"), "{problems:?}");
    }
    // Quotes that do not enclose the value are part of it.
    for name in ["it's", "'", "\"a", "a'b'"] {
        let config = load_variables(&[("FIBRPC_QUEUE__NAME", name)]).unwrap();
        assert_eq!(config.config.queue.name, name);
    }
}

#[test]
fn a_list_in_toml_syntax_in_a_variable_is_refused() {
    for (variable, value) in [
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", "[\"replies.*\"]"),
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", "[\"a.*\", \"b.*\"]"),
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", "[]"),
        (
            "FIBRPC_BROKER__URL",
            "[\"amqp://u:k4nary@a\", \"amqp://b\"]",
        ),
    ] {
        let problem = problem(variable, value);
        assert!(
            problem.contains(": contains brackets, is ")
                && problem.ends_with(
                    "; write the entries separated by commas, without brackets and quotes"
                ),
            "{problem}"
        );
    }
}

#[test]
fn blanks_around_a_name_are_refused() {
    let list = |key: &str| matches!(key, "broker.url" | "server.reply_to_allow");
    for (variable, key) in FREE_TEXT.iter().filter(|(_, key)| !list(key)) {
        let inner = if key.ends_with("_file") {
            "/etc/x"
        } else {
            "a"
        };
        for value in [
            format!(" {inner}"),
            format!("{inner} "),
            format!("{inner}\t"),
            format!("{inner}\r"),
            format!("{inner}\n"),
            format!("{inner}\u{a0}"),
            format!("\u{feff}{inner}"),
            format!("{inner}\u{200b}"),
        ] {
            let problem = problem(variable, &value);
            let expected = format!("{key}: starts or ends with a blank, is {value:?}");
            assert!(problem.starts_with(&expected), "{problem}");
            assert!(problem.ends_with("; remove it"), "{problem}");
            let problems = load_text(&format!("{key} = {}", toml::Value::from(value)));
            assert!(
                problems.unwrap_err()[0].contains("starts or ends with a blank"),
                "in a file"
            );
        }
    }
    for text in [
        "broker.url = ' amqp://h'",
        "broker.url = ['amqp://h', 'amqp://h2 ']",
        "server.reply_to_allow = [' a']",
    ] {
        let problems = load_text(text).unwrap_err();
        assert!(
            problems[0].contains("starts or ends with a blank"),
            "{problems:?}"
        );
    }
    // Blanks around the entries of a list, numbers and durations are ignored.
    let loaded = load_variables(&[
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", " a , b\n"),
        ("FIBRPC_BROKER__URL", " amqp://a\r\n"),
        ("FIBRPC_SERVER__PREFETCH", " 7 "),
        ("FIBRPC_CLIENT__TIMEOUT", " 7s\n"),
        ("FIBRPC_SERVER__MAX_REPLY_BYTES", " 7KiB\r"),
        ("FIBRPC_QUEUE__NAME", "two words"),
    ]);
    let config = loaded.unwrap().config;
    assert_eq!(config.server.reply_to_allow, ["a", "b"]);
    assert_eq!(config.queue.name, "two words");
}

#[test]
fn empty_values_are_refused_if_the_key_needs_one() {
    for (variable, words) in [
        ("FIBRPC_QUEUE__NAME", "queue.name: must not be empty"),
        ("FIBRPC_BROKER__URL", "must name at least one broker"),
        ("FIBRPC_BROKER__PASSWORD_FILE", "must be an absolute path"),
        ("FIBRPC_BROKER__TLS__SERVER_NAME", "must be a host name"),
        ("FIBRPC_SERVER__PREFETCH", "must be a whole number"),
        ("FIBRPC_CLIENT__TIMEOUT", "must be a duration"),
        ("FIBRPC_LOG__LEVEL", "must be one of"),
    ] {
        let problem = problem(variable, "");
        assert!(problem.contains(words), "{problem}");
        assert!(problem.contains(&format!("({variable})")), "{problem}");
    }
    let loaded = load_variables(&[
        ("FIBRPC_SERVER__INSTANCE", ""),
        ("FIBRPC_SERVER__REPLY_TO_ALLOW", ""),
        ("FIBRPC_CONFIG", ""),
    ]);
    assert!(loaded.is_ok(), "{loaded:?}");
}

#[test]
fn paths_that_only_a_shell_expands_are_refused() {
    for (value, hint) in [
        ("~/pw", "write the home directory in full"),
        ("$HOME/pw", "variables are not expanded; write the value"),
        (
            "${CREDENTIALS_DIRECTORY}/pw",
            "variables are not expanded; write the value",
        ),
        (
            "%d/pw",
            "%d is expanded in units only; write the path in full",
        ),
        ("file:///etc/pw", "write the path only"),
        ("pw", "start it with /, or remove the key"),
    ] {
        let text = format!("broker.password_file = {value:?}");
        let problems = load_text(&text).unwrap_err();
        assert!(
            problems[0].contains("must be an absolute path, is "),
            "{problems:?}"
        );
        assert!(problems[0].contains(hint), "{problems:?}");
    }
}

#[test]
fn misspelt_variables_are_warnings() {
    let url = "FIBRPC_BROKER__URL";
    let did_you_mean =
        |name: &str, right: &str| format!("{name}: not a setting, ignored; did you mean {right}?");
    for (name, right) in [
        ("FIBRPC_BROKER_URL", url),
        ("FIBRPC_URL", url),
        ("fibrpc_broker__url", url),
        ("Fibrpc_Broker_Url", url),
        ("\u{feff}FIBRPC_BROKER__URL", url),
        (" FIBRPC_BROKER__URL", url),
        ("FIBRPC_TLS_CA_FILE", "FIBRPC_BROKER__TLS__CA_FILE"),
        ("FIBRPC_RECONNECT_MAX", "FIBRPC_BROKER__RECONNECT__MAX"),
        ("FIBRPC_QUEUE_NAME", "FIBRPC_QUEUE__NAME"),
    ] {
        let loaded = load_variables(&[(name, "k4nary")]).unwrap();
        let name = name.replace('\u{feff}', "\\u{feff}");
        assert_eq!(loaded.warnings, [did_you_mean(&name, right)]);
    }
    let secret = "put it into a file and set broker.password_file";
    for (name, hint) in [
        ("FIBRPC_PASSWORD", secret),
        ("FIBRPC_BROKER_PASSWORD", secret),
        ("FIBRPC_BROKER_USER", "set it in broker.url"),
    ] {
        let loaded = load_variables(&[(name, "k4nary")]).unwrap();
        assert_eq!(
            loaded.warnings,
            [format!("{name}: not a setting, ignored; {hint}")]
        );
    }
    // Kubernetes sets these for a service named fibrpc.
    let loaded = load_variables(&[
        ("FIBRPC_SERVICE_HOST", "10.0.0.1"),
        ("FIBRPC_SERVICE_PORT", "5672"),
        ("FIBRPC_PORT", "tcp://10.0.0.1:5672"),
        ("FIBRPC_PORT_5672_TCP", "tcp://10.0.0.1:5672"),
        ("FIBRPC_PORT_5672_TCP_ADDR", "10.0.0.1"),
        ("FIBRPC_PORT_5672_TCP_PROTO", "tcp"),
    ]);
    assert_eq!(loaded.unwrap().warnings, [""; 0]);
}

#[test]
fn an_address_may_have_a_zone() {
    let folder = Folder::new();
    let path = folder.write(
        "a.toml",
        "broker.url = ['amqp://[fe80::1%25eth0]', 'amqps://u:p@[fe80::1%eth0]:7/v']",
    );
    let loaded = load_from(Program::Client, &with_config(&path), &Environment::empty()).unwrap();
    let urls = &loaded.config.broker.url;
    assert_eq!(urls[0].address(), "[fe80::1%eth0]:5672");
    assert_eq!(urls[1].address(), "[fe80::1%eth0]:7");
    assert_eq!(urls[1].redacted(), "amqps://u:***@[fe80::1%25eth0]:7/v");
}
