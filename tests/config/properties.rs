//! Any input is a configuration or problems, and no output shows a password.

use super::{Folder, load_file};
use fibrpc::internals::config::{
    self, BrokerUrl, Environment, Loaded, Overrides, Problem, Program, load_from, show_json,
    show_toml,
};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};

/// Everything that the configuration can write to a terminal or a log.
fn outputs(loaded: &Result<Loaded, Vec<Problem>>) -> String {
    match loaded {
        Ok(loaded) => format!(
            "{loaded:?}{}{}{:?}",
            show_toml(loaded),
            show_json(loaded),
            loaded.entries()
        ),
        Err(problems) => {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!("{}{problems:?}", lines.concat())
        }
    }
}

/// A URL with the password `K4NARY`, valid or broken by raw characters around it.
fn url_with_password() -> impl Strategy<Value = String> {
    // Only the last `@` ends the password: the text after it is an address, and is shown.
    let ended = "[#@/?%:!,\\[\\] ]{0,3}K4NARY[#@/?%:!,\\[\\] é]{0,3}(@h|@h:1/v|@\\[::1\\]|@|/v@h)";
    let endless = "[#/?%:!,\\[\\] ]{0,3}K4NARY[#/?%:!,\\[\\] é]{0,3}";
    let password = prop_oneof![ended, endless];
    ("amqps?:/?/u[a-z]{0,2}:", password).prop_map(|(start, password)| start + &password)
}

proptest! {
    // Failing inputs are printed; add them as rows of a table test.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_file_or_a_problem(bytes in any::<Vec<u8>>()) {
        let folder = Folder::new();
        outputs(&load_file(&folder.write("a.toml", bytes)));
    }

    #[test]
    fn anything_like_toml_is_a_configuration_or_problems(
        lines in proptest::collection::vec(
            "(\\[{0,2}(broker|queue|server|x)(\\.tls)?\\]{0,2}|(broker|url|name|prefetch|broker\\.url|tls) = (\"\\PC{0,6}\"|-?[0-9]{1,20}|\\[\\]|\\{\\}|[a-z]{0,4}))",
            0..6,
        ),
    ) {
        let folder = Folder::new();
        outputs(&load_file(&folder.write("a.toml", lines.join("\n"))));
    }

    /// A URL with a password, valid or broken, in every place where a user may put it.
    #[test]
    fn no_output_shows_a_password(
        url in url_with_password(),
        place in proptest::sample::select(vec![
            "broker.url = \"URL\"",
            "broker.url = [\"amqp://h\", \"URL\"]",
            "broker.url = 'URL'\nbroker.url = 'URL'",
            "broker.url = \"URL",
            "broker.url = URL",
            "broker.url = '\"URL\"'",
            "broker.url = '[\"amqp://h\", \"URL\"]'",
            "queue.name = '`URL`'",
            "broker.url = [URL]",
            "broker = \"URL\"",
            "broker = { url = \"URL\", x = \"URL\" }",
            "[broker]\nurl \"URL\"",
            "[broker]\nurls = \"URL\"",
            "broker.password = \"URL\"",
            "broker.heartbeat = \"URL\"",
            "log.level = \"URL\"",
            "\"URL\" = 1",
            "URL = 1",
        ]),
    ) {
        let folder = Folder::new();
        let text = outputs(&load_file(&folder.write("a.toml", place.replace("URL", &url))));
        assert!(!text.contains("K4NARY"), "{text}");

        let environment = Environment::empty()
            .with_system_file("/nonexistent/fibrpc.toml")
            .with("FIBRPC_BROKER__URL", &url)
            .with("FIBRPC_BROKER__URLS", &url)
            .with("FIBRPC_BROKER__HEARTBEAT", &url)
            .with("FIBRPC_QUEUE__NAME", format!("\"{url}\""))
            .with("FIBRPC_SERVER__REPLY_TO_ALLOW", format!("['{url}']"))
            .with("FIBRPC_PASSWORD", &url);
        let overrides = Overrides {
            values: vec![("broker.url", url.as_str().into())],
            ..Overrides::default()
        };
        let loaded = load_from(Program::Client, &overrides, &environment);
        assert!(!outputs(&loaded).contains("K4NARY"));
        assert!(!format!("{environment:?}").contains("K4NARY"));
    }

    #[test]
    fn any_text_is_a_url_or_a_problem(
        text in "(amqps?://(([aZ#]|%40|%2f|%25){1,3}(:[a-z]{0,2})?@)?(h|\\[(fe80)?::1(%(25)?[a5]{0,2})?\\]|[a:é\\[\\]]{0,4})(:[0-9]{0,6})?(/([aZ/]|%2f|%40){0,3})?|\\PC{0,20})",
    ) {
        config::redact(&text);
        if let Ok(url) = text.parse::<BrokerUrl>() {
            let shown = url.redacted();
            assert_eq!(shown.parse::<BrokerUrl>().unwrap().redacted(), shown);
        }
    }

    #[test]
    fn no_url_shows_its_password(
        text in url_with_password(),
    ) {
        let shown = match text.parse::<BrokerUrl>() {
            Ok(url) => format!("{url} {url:?} {}", url.redacted()),
            Err(error) => error.to_string(),
        };
        assert!(!shown.contains("K4NARY"), "{shown}");
        assert!(!config::redact(&text).contains("K4NARY"));
    }
}
