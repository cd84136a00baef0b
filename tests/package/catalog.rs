//! The journal catalog explains each log event of the daemon and each alert, and nothing else.

use super::read;
use std::collections::BTreeSet;

/// The ids of all events, as written in their functions.
fn ids() -> Vec<String> {
    let files = ["src/server/log.rs", "src/fibonacci/service.rs"].map(read);
    let lines = files.iter().flat_map(|file| file.lines());
    lines
        .filter_map(|line| {
            let id = line.trim().strip_prefix("message_id = \"")?;
            Some(id.strip_suffix("\",")?.to_owned())
        })
        .collect()
}

/// The ids that alerts name.
fn ids_of_alerts() -> Vec<String> {
    let rules = read("packaging/monitoring/alerts.yaml");
    let named = rules.split("journalctl --dump-catalog ").skip(1);
    named
        .filter_map(|rest| Some(rest.get(..32)?.to_owned()))
        .collect()
}

#[test]
fn the_catalog_explains_each_event_and_each_alert_and_no_other() {
    let catalog = read("packaging/systemd/fibrpcd.catalog");
    let explained: Vec<String> = catalog
        .lines()
        .filter_map(|line| Some(line.strip_prefix("-- ")?.to_owned()))
        .collect();
    let unique: BTreeSet<String> = explained.iter().cloned().collect();
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
    let unique: BTreeSet<String> = ids().into_iter().collect();
    assert_eq!(unique.len(), ids().len(), "two events share an id");
    for id in unique {
        assert_eq!(id.len(), 32, "{id}");
        assert!(id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    }
}
