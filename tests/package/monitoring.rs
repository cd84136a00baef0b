//! The dashboard and the alerts: rendered from the mixin, correct for Prometheus, and explained by the catalog and the manual.

use super::{read, root, text, tool};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const FOLDER: &str = "packaging/monitoring";
const RENDERED: [&str; 2] = ["alerts.yaml", "dashboard.json"];

/// A file of the mixin.
fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn path(name: &str) -> String {
    root().join(file(name)).to_str().unwrap().to_owned()
}

/// Each alert with what its annotation `runbook` says.
fn runbooks() -> BTreeMap<String, String> {
    let rules = read(&file("alerts.yaml"));
    let mut alerts = rules.split("- \"alert\": \"").skip(1);
    let parse = |alert: &str| {
        let name = alert.split('"').next().unwrap().to_owned();
        let runbook = alert.split("\"runbook\": \"").nth(1).unwrap();
        (name, runbook.split('"').next().unwrap().to_owned())
    };
    let found: Vec<(String, String)> = alerts.by_ref().map(parse).collect();
    let runbooks: BTreeMap<String, String> = found.iter().cloned().collect();
    assert_eq!(runbooks.len(), found.len(), "two alerts have one name");
    runbooks
}

/// The id that a runbook names.
fn id(runbook: &str) -> &str {
    let (_, rest) = runbook.split_once("journalctl --dump-catalog ").unwrap();
    rest.split(';').next().unwrap()
}

#[test]
fn the_rendered_files_are_those_of_the_mixin() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let source = path("render.jsonnet");
    let args = ["--string", "--multi", to, &source];
    let Some(output) = tool("jsonnet", &args) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output));
    for name in RENDERED {
        let rendered = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(
            rendered == read(&file(name)),
            "{name} differs: in {FOLDER}, run jsonnet --string --multi . render.jsonnet"
        );
    }
}

#[test]
fn the_sources_have_the_usual_format() {
    for entry in fs::read_dir(root().join(FOLDER)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with("sonnet") {
            continue;
        }
        if let Some(output) = tool("jsonnetfmt", &["--test", &path(&name)]) {
            assert!(output.status.success(), "run jsonnetfmt --in-place {name}");
        }
    }
}

#[test]
fn prometheus_accepts_the_rules_and_their_unit_tests_pass() {
    for args in [
        ["check", "rules", &path("alerts.yaml")],
        ["test", "rules", &path("alerts_test.yaml")],
    ] {
        if let Some(output) = tool("promtool", &args) {
            assert!(output.status.success(), "{}", text(&output));
        }
    }
    let tests = read(&file("alerts_test.yaml"));
    let tested = tests
        .lines()
        .filter_map(|line| line.strip_prefix("  - name: "));
    let tested: BTreeSet<String> = tested.map(str::to_owned).collect();
    assert_eq!(tested, runbooks().into_keys().collect());
}

#[test]
fn each_alert_has_an_entry_of_the_catalog_and_a_section_of_the_manual() {
    let catalog = read("packaging/systemd/fibrpcd.catalog");
    let log = read("src/server/log.rs") + &read("src/fibonacci/service.rs");
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (alert, runbook) in runbooks() {
        let id = id(&runbook).to_owned();
        let logged = log.contains(&format!("message_id = \"{id}\""));
        let events = if logged {
            format!("; journalctl -u fibrpcd MESSAGE_ID={id}")
        } else {
            String::new()
        };
        assert_eq!(
            runbook,
            format!("fibrpcd(8), section ALERTS, {alert}; journalctl --dump-catalog {id}{events}")
        );
        named.entry(id).or_default().insert(alert);
    }
    let mut explained: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in catalog.split("\n-- ").skip(1) {
        let id = entry.lines().next().unwrap().to_owned();
        for line in entry.lines().filter(|line| line.starts_with("Alert")) {
            let (_, alerts) = line.split_once(": ").unwrap();
            let alerts = alerts.strip_suffix("; see ALERTS in fibrpcd(8).").unwrap();
            let alerts = alerts.split(", ").map(str::to_owned);
            explained.entry(id.clone()).or_default().extend(alerts);
        }
    }
    assert_eq!(named, explained);

    let manual = read("man/fibrpcd.8");
    let (_, section) = manual.split_once("\n.Sh ALERTS\n").unwrap();
    let section = section.split("\n.Sh ").next().unwrap();
    let written: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix(".Ss "))
        .collect();
    let alerts: BTreeSet<String> = runbooks().into_keys().collect();
    assert_eq!(written.len(), alerts.len());
    assert_eq!(
        written.into_iter().collect::<BTreeSet<_>>(),
        alerts.iter().map(String::as_str).collect()
    );
}

#[test]
fn there_are_fourteen_panels_and_ten_alerts() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read(&file("dashboard.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert_eq!((panels.len(), runbooks().len()), (14, 10));
    for panel in panels {
        assert!(!panel["description"].as_str().unwrap().is_empty());
        assert!(!panel["targets"].as_array().unwrap().is_empty());
    }
}
