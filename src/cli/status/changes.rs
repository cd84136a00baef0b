//! What has changed from one look at a queue to the next, for who watches it.
//!
//! Owns the last changes, at most [`MAX_KEPT`], and what was seen last.

use crate::client::Overview;
use crate::protocol::Status;
use crate::protocol::control::Report;
use crate::text::safe;
use std::collections::{BTreeMap, VecDeque};

/// How many changes are kept.
const MAX_KEPT: usize = 50;

/// The changes so far.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// When, and what; the newest first.
    kept: VecDeque<String>,
    /// The daemons, by their instances and processes.
    seen: Option<BTreeMap<(String, u32), Seen>>,
    /// The failure of the last look.
    failed: Option<String>,
}

/// What is compared of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    state: String,
    sessions: u64,
    has_settings: bool,
}

impl Changes {
    /// Compares a look with the one before. `time`: when it was.
    pub(super) fn look(&mut self, time: &str, looked: &Result<Overview, Status>) {
        match looked {
            Err(status) => {
                let message = safe(status.message()).into_owned();
                if self.failed.as_ref() != Some(&message) {
                    self.note(time, &message);
                }
                self.failed = Some(message);
            }
            Ok(view) => {
                if self.failed.take().is_some() {
                    self.note(time, "the queue can be seen again");
                }
                if let Ok(servers) = &view.servers {
                    self.compare(time, servers);
                }
            }
        }
    }

    /// The newest changes, at most this many, the newest first.
    pub(super) fn newest(&self, count: usize) -> impl Iterator<Item = &str> {
        self.kept.iter().take(count).map(String::as_str)
    }

    fn compare(&mut self, time: &str, servers: &[Report]) {
        let key = |report: &Report| (report.instance.clone(), report.pid);
        let now: BTreeMap<_, _> = servers
            .iter()
            .map(|report| (key(report), Seen::of(report)))
            .collect();
        // At the first look everything is new.
        let Some(before) = self.seen.replace(now.clone()) else {
            return;
        };
        for (key, seen) in &now {
            let instance = safe(&key.0);
            let is_instance = |other: &&(String, u32)| other.0 == key.0;
            match before.get(key) {
                Some(last) => {
                    for change in seen.since(last) {
                        self.note(time, &format!("{instance}: {change}"));
                    }
                }
                None if before.keys().any(|other| is_instance(&other)) => {
                    self.note(
                        time,
                        &format!("{instance}: another process, {}", safe(&seen.state)),
                    );
                }
                None => self.note(time, &format!("{instance}: new, {}", safe(&seen.state))),
            }
        }
        for key in before.keys() {
            if !now.keys().any(|other| other.0 == key.0) {
                self.note(time, &format!("{}: no longer answers", safe(&key.0)));
            }
        }
    }

    fn note(&mut self, time: &str, what: &str) {
        self.kept.push_front(format!("{time}  {what}"));
        self.kept.truncate(MAX_KEPT);
    }
}

impl Seen {
    fn of(report: &Report) -> Self {
        Self {
            state: report.state.clone(),
            sessions: report.sessions,
            has_settings: report.state != "consuming" || report.reason.is_none(),
        }
    }

    fn since(&self, last: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.sessions > last.sessions {
            changes.push("connected again".into());
        }
        if self.state != last.state {
            changes.push(format!("{} -> {}", safe(&last.state), safe(&self.state)));
        }
        match (last.has_settings, self.has_settings) {
            (true, false) => changes.push("new settings not in use".into()),
            (false, true) => changes.push("new settings in use".into()),
            _ => {}
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::QueueStatus;
    use crate::protocol::Code;

    fn daemon(instance: &str, pid: u32, state: &str) -> Report {
        Report {
            instance: instance.into(),
            pid,
            state: state.into(),
            sessions: 1,
            ..Report::default()
        }
    }

    fn view(servers: Vec<Report>) -> Overview {
        Overview {
            queue: Ok(QueueStatus {
                name: "q".into(),
                messages: 0,
                consumers: 1,
            }),
            servers: Ok(servers),
        }
    }

    #[test]
    fn each_change_is_noted_once() {
        let seen = |servers| Ok(view(servers));
        let blue = |state: &str| daemon("blue", 1, state);
        let reconnected = Report {
            sessions: 2,
            ..blue("consuming")
        };
        let unopened = Report {
            reason: Some("refused".into()),
            ..reconnected.clone()
        };
        let failure = || Err(Status::new(Code::Unavailable, "connection\nlost"));
        let mut changes = Changes::default();
        for (looked, expected) in [
            (seen(vec![blue("consuming")]), &[][..]),
            (seen(vec![blue("consuming")]), &[]),
            (seen(vec![blue("blocked")]), &["blue: consuming -> blocked"]),
            (failure(), &[r"connection\nlost"]),
            (failure(), &[]),
            (
                seen(vec![reconnected.clone()]),
                &[
                    "blue: blocked -> consuming",
                    "blue: connected again",
                    "the queue can be seen again",
                ],
            ),
            (seen(vec![unopened]), &["blue: new settings not in use"]),
            (seen(vec![reconnected]), &["blue: new settings in use"]),
            (
                seen(vec![
                    daemon("blue", 2, "consuming"),
                    daemon("red", 3, "draining"),
                ]),
                &["red: new, draining", "blue: another process, consuming"],
            ),
            (
                seen(vec![daemon("red", 3, "draining")]),
                &["blue: no longer answers"],
            ),
        ] {
            let before = changes.kept.len();
            changes.look("12:00:00", &looked);
            let noted: Vec<_> = changes.newest(changes.kept.len() - before).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|what| format!("12:00:00  {what}"))
                .collect();
            assert_eq!(noted, expected);
        }
    }

    #[test]
    fn the_oldest_changes_are_forgotten() {
        let mut changes = Changes::default();
        changes.look("0", &Ok(view(vec![])));
        for round in 0..MAX_KEPT + 5 {
            let state = if round % 2 == 0 { "a" } else { "b" };
            changes.look(
                &round.to_string(),
                &Ok(view(vec![daemon("blue", 1, state)])),
            );
        }
        assert_eq!(changes.kept.len(), MAX_KEPT);
        assert_eq!(changes.newest(1).next(), Some("54  blue: b -> a"));
    }
}
