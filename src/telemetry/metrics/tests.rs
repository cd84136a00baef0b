//! The text of a scrape, in both formats, and how many series it has.

use super::*;
use crate::broker::{Expiry, Kind, LastRead};
use crate::config::Config;
use crate::protocol::Code;
use crate::server::metrics::Measured;
use crate::server::{Builder, Counters, Nothing, Settled};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};
use tracing::Level;

/// The most series that one process may have.
const MAX_SERIES: usize = 219;

/// A process at rest, as golden text in the classic format.
const AT_REST: &str = include_str!("../../../tests/fixtures/metrics-at-rest.txt");

fn source() -> Source {
    let mut server = Builder::from(Config::default()).compute("fibrpcd", Nothing);
    Source {
        method: "echo",
        handle: server.handle(),
        metrics: server.metrics(),
        process: Arc::default(),
        patience: Duration::from_secs(10),
    }
}

/// A request was answered with this code.
fn answered(source: &Source, code: Code, took: Duration) {
    source.metrics.observe(Measured::Call(code), took);
}

/// A broker with all that can be known, which names itself like this.
fn broker(product: &str, version: &str) -> Arc<BrokerInfo> {
    let expires = Some(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    Arc::new(BrokerInfo {
        product: product.into(),
        version: version.into(),
        expiry: Expiry {
            broker: expires,
            client: expires,
            authorities: expires,
        },
        consuming: Arc::new(LastRead::new()),
        publishing: Arc::new(LastRead::new()),
    })
}

fn scrape(source: &Source, state: ServerState) -> Scrape {
    Scrape {
        source: source.clone(),
        state,
        broker: None,
        process: Process::example(),
        now: Instant::now(),
    }
}

fn scrape_of(broker: Arc<BrokerInfo>) -> Scrape {
    let [_, _, _, consuming, ..] = all_states();
    Scrape {
        broker: Some(broker),
        ..scrape(&source(), consuming)
    }
}

fn all_states() -> [ServerState; 7] {
    let endpoint = || "mq1:5672".to_owned();
    let now = Instant::now();
    [
        ServerState::Starting,
        ServerState::Connecting {
            endpoint: endpoint(),
            attempt: 3,
        },
        ServerState::Waiting {
            endpoint: endpoint(),
            attempt: 7,
            next: now + Duration::from_secs(3600),
            error: "refused".into(),
        },
        ServerState::Consuming {
            endpoint: endpoint(),
            queue: "q".into(),
            unopened: None,
        },
        ServerState::Blocked {
            endpoint: endpoint(),
            reason: "memory".into(),
        },
        ServerState::Draining { until: now },
        ServerState::Stopped,
    ]
}

/// The samples: the series and their values.
fn samples(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

fn value<'a>(text: &'a str, series: &str) -> Option<&'a str> {
    let found = samples(text).into_iter().find(|(name, _)| *name == series);
    found.map(|(_, value)| value)
}

#[test]
fn a_process_at_rest() {
    let text = scrape(&source(), ServerState::Starting).encode(Format::Text);
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_eq!(text, AT_REST);
}

/// The same series in both formats: `OpenMetrics` writes bounds as floating-point numbers, and before the other labels.
fn sorted_labels(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else {
        return series.to_owned();
    };
    let labels = labels.trim_end_matches('}').split(',');
    let mut labels: Vec<_> = labels.map(|label| label.replace(".0\"", "\"")).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

#[test]
fn both_formats_have_the_same_series() {
    let both = [Format::Text, Format::OpenMetrics];
    let [classic, open] = both.map(|format| scrape_of(broker("RabbitMQ", "3.10.8")).encode(format));
    let series = |text: &str| -> BTreeSet<String> {
        let names = samples(text).into_iter().map(|(name, _)| name);
        names.map(sorted_labels).collect()
    };
    assert_eq!(series(&classic), series(&open));
    assert!(open.ends_with("\n# EOF\n"));
    for absent in ["# EOF", "# UNIT"] {
        assert!(!classic.contains(absent), "{absent}");
    }
}

#[test]
fn each_metric_has_the_type_of_its_format() {
    let both = [Format::Text, Format::OpenMetrics];
    let [classic, open] = both.map(|format| scrape_of(broker("RabbitMQ", "3.10.8")).encode(format));
    let types = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        lines.map(str::to_owned).collect()
    };
    let expected = |family: &table::Family| match family.kind {
        MetricType::Info => format!("{} gauge", family.name),
        kind => format!("{} {}", family.name, kind.as_str()),
    };
    assert_eq!(
        sorted(types(&classic)),
        sorted(table::ALL.iter().map(expected).collect())
    );
    let expected = |family: &table::Family| format!("{} {}", family.base(), family.kind.as_str());
    assert_eq!(
        sorted(types(&open)),
        sorted(table::ALL.iter().map(expected).collect())
    );
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[test]
fn the_manual_lists_each_metric_with_its_type_and_labels() {
    let page = include_str!("../../../man/fibrpcd.8");
    let (_, section) = page.split_once("\n.Sh METRICS\n").unwrap();
    let (section, _) = section.split_once("\n.Sh ").unwrap();
    let terms = section.lines().filter_map(|line| line.strip_prefix(".It "));
    let words = |term: &str| {
        let words = term.split_whitespace();
        let words = words.filter(|word| !["Cm", "No", ","].contains(word));
        words.collect::<Vec<_>>().join(" ")
    };
    let family = |family: &table::Family| {
        let words = [family.name, family.kind.as_str()].into_iter();
        words
            .chain(family.labels.iter().copied())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let listed: Vec<String> = terms.map(words).collect();
    assert_eq!(listed, table::ALL.iter().map(family).collect::<Vec<_>>());
    let most = format!("at most {MAX_SERIES} series");
    assert!(section.replace('\n', " ").contains(&most), "{most}");
}

#[test]
fn the_series_are_as_many_whatever_has_happened() {
    let source = source();
    let mut all = BTreeSet::new();
    for round in 0..2 {
        for state in all_states() {
            let scrape = Scrape {
                broker: Some(broker("RabbitMQ", "4.2.0")),
                ..scrape(&source, state)
            };
            let text = scrape.encode(Format::Text);
            let series = samples(&text).into_iter().map(|(name, _)| name.to_owned());
            let before = all.len();
            all.extend(series);
            assert!(round == 0 || all.len() == before, "{text}");
        }
        for code in Code::ALL {
            answered(&source, *code, Duration::from_millis(1));
        }
        let counters = source.handle.counters();
        for how in Settled::ALL {
            Counters::add(counters.settled(*how));
        }
        for kind in Kind::ALL {
            Counters::add(counters.failures(*kind));
        }
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG] {
            source.process.logged(level);
        }
        source.process.reloaded(true);
        source.process.reloaded(false);
    }
    assert_eq!(all.len(), MAX_SERIES);
}

#[test]
fn what_is_counted_is_shown() {
    let source = source();
    for (times, code) in [Code::Ok, Code::Internal, Code::NotFound]
        .into_iter()
        .enumerate()
    {
        for _ in 0..=times {
            answered(&source, code, Duration::from_millis(30));
        }
    }
    let counters = source.handle.counters();
    counters.received.store(10, Ordering::Relaxed);
    counters.redelivered.store(4, Ordering::Relaxed);
    counters.blocked_ms.store(1_500, Ordering::Relaxed);
    counters
        .failures(Kind::Credentials)
        .store(1, Ordering::Relaxed);
    counters.failures(Kind::Denied).store(2, Ordering::Relaxed);
    counters
        .settled(Settled::Poisoned)
        .store(6, Ordering::Relaxed);
    let text = scrape(&source, ServerState::Starting).encode(Format::Text);
    let call = |part: &str, code: &str, le: &str| {
        format!(
            "rpc_server_call_duration_seconds_{part}{{rpc_method=\"echo\",rpc_status_code=\"{code}\"{le}}}"
        )
    };
    for (series, expected) in [
        (call("count", "OK", ""), "1"),
        (call("sum", "OK", ""), "0.03"),
        (call("bucket", "OK", ",le=\"0.025\""), "0"),
        (call("bucket", "OK", ",le=\"0.05\""), "1"),
        (call("bucket", "OK", ",le=\"+Inf\""), "1"),
        // With those of a code that is not fibrpcd's.
        (call("count", "INTERNAL", ""), "5"),
        (
            "fibrpc_requests_received_total{redelivered=\"false\"}".into(),
            "6",
        ),
        (
            "fibrpc_requests_received_total{redelivered=\"true\"}".into(),
            "4",
        ),
        (
            "fibrpc_requests_settled_total{how=\"poisoned\"}".into(),
            "6",
        ),
        (
            "fibrpc_session_failures_total{cause=\"refused\"}".into(),
            "3",
        ),
        ("fibrpc_broker_blocked_seconds_total".into(), "1.5"),
    ] {
        assert_eq!(value(&text, &series), Some(expected), "{series}");
    }
}

#[test]
fn text_of_the_broker_is_harmless() {
    let long = "x".repeat(1000);
    for (product, shown) in [
        ("Rabbit\"MQ\\", r#"Rabbit\"MQ\\"#),
        ("a\nb\u{1b}[2J", r"a\\nb\\u{1b}[2J"),
        (&long, &format!("{}...", "x".repeat(60))),
    ] {
        for format in [Format::Text, Format::OpenMetrics] {
            let text = scrape_of(broker(product, "1")).encode(format);
            let line = format!("fibrpc_broker_info{{product=\"{shown}\",version=\"1\"}} 1\n");
            assert!(text.contains(&line), "{line}");
        }
    }
}

#[test]
fn a_broker_that_is_gone_is_remembered_and_its_connections_are_not() {
    let known = |state| {
        let broker = Some(broker("RabbitMQ", "4.2.0"));
        let scrape = Scrape {
            broker,
            ..scrape(&source(), state)
        };
        let text = scrape.encode(Format::Text);
        (
            text.contains("\nfibrpc_broker_info{"),
            text.contains("\nfibrpc_last_read_age_seconds{"),
        )
    };
    let [_, _, waiting, consuming, ..] = all_states();
    assert_eq!(known(consuming), (true, true));
    assert_eq!(known(waiting), (true, false));
}

#[test]
fn a_state_is_one_for_one() {
    let source = source();
    for state in all_states() {
        let name = state.name();
        let text = scrape(&source, state).encode(Format::Text);
        for other in ServerState::NAMES {
            let series = format!("fibrpc_state{{state=\"{other}\"}}");
            let expected = if other == name { "1" } else { "0" };
            assert_eq!(value(&text, &series), Some(expected), "{name}: {other}");
        }
    }
}

#[test]
fn attempts_are_those_of_the_state() {
    let source = source();
    let [_, connecting, waiting, consuming, ..] = all_states();
    for (state, attempt, waits) in [
        (connecting, "3", false),
        (waiting, "7", true),
        (consuming, "0", false),
    ] {
        let text = scrape(&source, state).encode(Format::Text);
        assert_eq!(value(&text, "fibrpc_connect_attempt"), Some(attempt));
        let next: f64 = value(&text, "fibrpc_next_attempt_seconds")
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(next > 0.0, waits, "{next}");
    }
}
