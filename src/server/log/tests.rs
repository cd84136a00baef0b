//! Log events, their ids, and the catalog that explains them.

use super::*;
use std::collections::BTreeSet;

/// The ids of all events, as written in their functions.
fn ids() -> Vec<&'static str> {
    let lines = include_str!("../log.rs").lines();
    lines
        .filter_map(|line| {
            line.trim()
                .strip_prefix("message_id = \"")?
                .strip_suffix("\",")
        })
        .collect()
}

/// The ids that alerts name.
fn ids_of_alerts() -> impl Iterator<Item = &'static str> {
    let rules = include_str!("../../../packaging/monitoring/alerts.yaml");
    let named = rules.split("journalctl --dump-catalog ").skip(1);
    named.filter_map(|rest| rest.get(..32))
}

#[test]
fn the_catalog_explains_each_event_and_each_alert_and_no_other() {
    let catalog = include_str!("../../../packaging/systemd/fibrpcd.catalog");
    let explained: Vec<&str> = catalog
        .lines()
        .filter_map(|line| line.strip_prefix("-- "))
        .collect();
    let unique: BTreeSet<&str> = explained.iter().copied().collect();
    assert_eq!(explained.len(), unique.len(), "an id is explained twice");
    assert_eq!(unique, ids().into_iter().chain(ids_of_alerts()).collect());
    for entry in catalog.split("\n-- ").skip(1) {
        for wanted in ["Subject: ", "Defined-By: fibrpcd", "\n\n"] {
            assert!(entry.contains(wanted), "no {wanted:?} in: {entry}");
        }
    }
}

#[test]
fn ids_have_the_form_of_message_ids() {
    let unique: BTreeSet<&str> = ids().into_iter().collect();
    assert_eq!(unique.len(), ids().len(), "two events share an id");
    for id in unique {
        assert_eq!(id.len(), 32, "{id}");
        assert!(id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    }
}

#[test]
fn a_cause_does_not_repeat_the_broker() {
    for (error, expect) in [
        ("cannot reach broker mq1:5672: timed out", "timed out"),
        (
            "cannot reach broker mq2:5672: timed out",
            "cannot reach broker mq2:5672: timed out",
        ),
        ("connection reset", "connection reset"),
    ] {
        assert_eq!(cause(error, "mq1:5672"), expect);
    }
}
