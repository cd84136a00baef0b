//! Precedence of the sources, and what each variable means.

use super::*;
use crate::config;
use crate::config::{Environment, Overrides, load_from};

const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OURS: &str = "FIBRPC_TELEMETRY__OTLP__ENDPOINT";

/// With a file of this text, and these variables.
fn resolved(text: &str, variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fibrpc.toml");
    std::fs::write(&file, text).unwrap();
    let mut environment = Environment::empty().with_system_file(file);
    for (name, value) in variables {
        environment = environment.with(name, value);
    }
    let loaded = load_from(config::Program::Daemon, &Overrides::default(), &environment).unwrap();
    let program = Program {
        name: "fibrpcd",
        instance: "blue".to_owned(),
    };
    settings(&loaded, &program, &|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.into())
    })
}

fn good(text: &str, variables: &[(&str, &str)]) -> Settings {
    let (settings, warnings) = resolved(text, variables);
    assert!(warnings.is_empty(), "{warnings:?}");
    settings.unwrap()
}

#[test]
fn the_collector_is_that_of_the_source_with_precedence() {
    let file = "telemetry.otlp.endpoint = \"http://file:1\"";
    for (text, variables, expect) in [
        (file, &[][..], "http://file:1/v1/traces"),
        (
            "",
            &[(GENERAL, "http://general:1/x")],
            "http://general:1/x/v1/traces",
        ),
        (
            file,
            &[(GENERAL, "http://general:1")],
            "http://general:1/v1/traces",
        ),
        (file, &[(GENERAL, "")], "http://file:1/v1/traces"),
        (
            "",
            &[(GENERAL, "http://general:1"), (TRACES, "https://traces/x")],
            "https://traces:443/x",
        ),
        (
            file,
            &[(TRACES, "http://traces:1"), (OURS, "http://ours:1")],
            "http://ours:1/v1/traces",
        ),
    ] {
        assert_eq!(
            good(text, variables).collector.to_string(),
            expect,
            "{text} {variables:?}"
        );
    }
}

#[test]
fn nothing_is_exported_unless_it_is_configured() {
    let on = (GENERAL, "http://general:1");
    for variables in [
        &[][..],
        &[
            ("OTEL_SERVICE_NAME", "x"),
            ("OTEL_TRACES_SAMPLER", "nonsense"),
        ],
        &[on, ("OTEL_SDK_DISABLED", "TRUE")],
        &[on, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let (settings, warnings) = resolved("", variables);
        assert!(
            settings.is_none() && warnings.is_empty(),
            "{variables:?}: {warnings:?}"
        );
    }
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "false"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
    ] {
        good("", &[on, (name, value)]);
    }
}

#[test]
fn an_invalid_variable_is_a_warning_and_ignored() {
    let file = "telemetry.otlp.endpoint = \"http://file:1\"";
    for (name, value) in [
        (GENERAL, "general:4317"),
        (TRACES, "http://u:k4nary@h"),
        ("OTEL_SDK_DISABLED", "k4nary"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "k4nary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=k4nary"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=k4nary%0a"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
    ] {
        let (settings, warnings) = resolved(file, &[(name, value)]);
        let settings = settings.unwrap();
        assert_eq!(warnings.len(), 1, "{name}={value}: {warnings:?}");
        let warning = &warnings[0];
        assert!(
            warning.starts_with(name) && warning.ends_with("; ignored"),
            "{warning}"
        );
        assert!(!warning.contains("k4nary"), "{warning}");
        assert_eq!(settings.collector.to_string(), "http://file:1/v1/traces");
        assert_eq!(
            (settings.timeout, settings.max_queue),
            (Duration::from_secs(10), 2048)
        );
    }
}

#[test]
fn numbers_and_headers_are_those_of_the_variables() {
    let settings = good(
        "",
        &[
            (GENERAL, "http://h"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "ignored=1"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                "Authorization=Bearer%20k4nary, x-tenant = a%2Cb",
            ),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
            ("OTEL_BSP_SCHEDULE_DELAY", "7"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "3000"),
        ],
    );
    assert_eq!(settings.timeout, Duration::from_secs(2));
    assert_eq!(settings.export_timeout, Duration::from_secs(3));
    assert_eq!(settings.delay, Duration::from_millis(7));
    assert_eq!((settings.max_queue, settings.max_batch), (100, 100));
    assert_eq!(settings.ca_file, Some("/etc/ca.pem".into()));
    let headers: Vec<_> = settings
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [("authorization", "Bearer k4nary"), ("x-tenant", "a,b")]
    );
    assert!(!format!("{settings:?}").contains("k4nary"));
}

#[test]
fn sampling_is_ours_or_that_of_the_variables() {
    let file = "telemetry.otlp = { endpoint = \"http://h\", sample_ratio = 0.5 }";
    let (sampler, argument) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
    for (variables, share) in [
        (&[][..], 0.5),
        (&[(sampler, "parentbased_always_on")], 1.0),
        (&[(sampler, "parentbased_always_off")], 0.0),
        (
            &[(sampler, "parentbased_traceidratio"), (argument, "0.25")],
            0.25,
        ),
        (&[(sampler, "parentbased_traceidratio")], 1.0),
        (&[(argument, "0.25")], 0.5),
        (
            &[
                (sampler, "parentbased_always_on"),
                ("FIBRPC_TELEMETRY__OTLP__SAMPLE_RATIO", "0.125"),
            ],
            0.125,
        ),
    ] {
        assert_eq!(
            good(file, variables).share,
            Share::of(share).unwrap(),
            "{variables:?}"
        );
    }
    let (settings, warnings) = resolved(
        file,
        &[(sampler, "parentbased_traceidratio"), (argument, "2")],
    );
    assert_eq!(settings.unwrap().share, Share::ALL);
    assert_eq!(
        warnings,
        ["OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1; ignored"]
    );
}

#[test]
fn the_process_describes_itself() {
    let value = |settings: &Settings, key: &str| {
        let found: Vec<_> = settings
            .resource
            .iter()
            .filter(|(known, _)| known == key)
            .collect();
        assert!(found.len() < 2, "{found:?}");
        found.first().map(|(_, value)| value.clone())
    };
    let on = (GENERAL, "http://h");
    let plain = good("", &[on]);
    for (key, expect) in [
        ("service.name", "fibrpcd"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", "blue"),
        ("process.pid", &std::process::id().to_string()),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(value(&plain, key).as_deref(), Some(expect), "{key}");
    }
    assert!(!value(&plain, "host.name").unwrap().is_empty());
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=a,deployment.environment.name=test%20bed,host.name=h",
    );
    let given = good("", &[on, attributes]);
    assert_eq!(value(&given, "service.name").as_deref(), Some("a"));
    assert_eq!(
        value(&given, "deployment.environment.name").as_deref(),
        Some("test bed")
    );
    assert_eq!(value(&given, "host.name").as_deref(), Some("h"));
    let named = good("", &[on, attributes, ("OTEL_SERVICE_NAME", "b")]);
    assert_eq!(value(&named, "service.name").as_deref(), Some("b"));
}
