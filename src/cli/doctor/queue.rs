//! Judges what was seen at the broker: alarms, permissions, the queue and its consumers. Pure.

use super::declared;
use super::finding::{Check, Finding};
use crate::broker::topology::LOCKED;
use crate::broker::{Error, Kind, QueueStatus};
use crate::client::probe::QueueReport;
use crate::config::{BrokerUrl, Queue};
use crate::text::count;

/// Judges everything. `url` is the broker that was inspected.
pub(super) fn judge(seen: &QueueReport, url: &BrokerUrl, queue: &Queue) -> Vec<Finding> {
    let user = &url.user;
    let mut findings = vec![alarm(seen), write(seen, user)];
    let status = match &seen.queue {
        Ok(status) => status,
        Err(error) => {
            findings.push(no_queue(error, user, queue));
            if error.kind == Kind::Denied {
                let unseen = [Check::Type, Check::Read, Check::Consumers];
                findings.extend(unseen.map(|check| check.skipped("depends on queue")));
            }
            return findings;
        }
    };
    findings.push(Check::Queue.ok(format!(
        "{:?} exists, {} waiting",
        queue.name,
        count(status.messages.into(), "message")
    )));
    let declared = seen.declaration.as_ref();
    findings.extend(
        declared
            .into_iter()
            .flat_map(|known| declared::judge(known, &seen.broker, queue)),
    );
    findings.push(read(seen, status, user));
    findings.push(consumers(status));
    findings
}

fn alarm(seen: &QueueReport) -> Finding {
    match (&seen.blocked, &seen.write) {
        (Some(reason), _) => Check::Alarm.problem(
            format!("the broker does not accept messages: {reason}"),
            "free memory or disk there, or raise its limits (rabbitmqctl status shows both)",
        ),
        (None, Some(Err(error))) if error.kind != Kind::Denied => {
            Check::Alarm.skipped("unknown: no message got through")
        }
        _ => Check::Alarm.ok("none, the broker accepts messages"),
    }
}

fn write(seen: &QueueReport, user: &str) -> Finding {
    match &seen.write {
        Some(Ok(())) => Check::Write.ok(format!("user {user:?} may publish requests and replies")),
        Some(Err(error)) if error.kind == Kind::Denied => Check::Write.problem(
            format!(
                "user {user:?} may not publish to the default exchange, which requests and replies use"
            ),
            "give the user write permission on amq.default (rabbitmqctl set_permissions)",
        ),
        Some(Err(error)) => Check::Write.problem(&error.message, "see the broker's log"),
        None => Check::Write.skipped("unknown while the broker does not accept messages"),
    }
}

fn no_queue(error: &Error, user: &str, queue: &Queue) -> Finding {
    let message = &error.message;
    match error.kind {
        // A client needs no permission on the queue, and most brokers let everybody inspect it.
        Kind::Denied => Check::Queue.skipped(format!(
            "user {user:?} may not inspect queue {:?} (a client does not need to)",
            queue.name
        )),
        Kind::NoQueue => Check::Queue.problem(
            message,
            "start fibrpcd, which declares the queue (requires configure permission on it), or check \
             queue.name and the vhost in broker.url",
        ),
        Kind::QueueDown => Check::Queue.problem(
            message,
            "the queue exists but cannot be used: start the broker node that holds it, or see the broker's log; \
             fibrpcd resumes automatically",
        ),
        Kind::Locked => Check::Queue.problem(message, LOCKED),
        _ => Check::Queue.problem(message, "see the broker's log"),
    }
}

fn read(seen: &QueueReport, status: &QueueStatus, user: &str) -> Finding {
    match &seen.read {
        Some(Ok(())) => Check::Read.ok(format!("user {user:?} may consume from the queue")),
        Some(Err(error)) if error.kind == Kind::Denied => {
            let message = format!("user {user:?} may not consume from the queue");
            // Another user serves it then.
            if status.consumers > 0 {
                Check::Read.ok(format!(
                    "{message}: fine for a client, but fibrpcd must be able to"
                ))
            } else {
                Check::Read.warning(
                    message,
                    "if fibrpcd is to log in as this user, give it read permission (rabbitmqctl \
                     set_permissions)",
                )
            }
        }
        Some(Err(error)) => Check::Read.skipped(format!("unknown: {}", error.message)),
        None => Check::Read.skipped("cannot be checked on this broker without taking messages"),
    }
}

fn consumers(status: &QueueStatus) -> Finding {
    match status.consumers {
        0 => Check::Consumers.problem(
            "no consumers (a server that polls cannot be seen)",
            "start fibrpcd, or see in its log why it does not consume (journalctl -u fibrpcd); for a \
             server that polls, use --wait",
        ),
        consumers => Check::Consumers.ok(count(consumers.into(), "consumer")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;
    use crate::broker::declaration::Declaration;
    use crate::config::Config;

    fn healthy() -> QueueReport {
        QueueReport {
            queue: Ok(QueueStatus {
                name: "rpc_queue".into(),
                messages: 1,
                consumers: 2,
            }),
            declaration: Some(Ok(Declaration::configured(&Config::default().queue))),
            read: Some(Ok(())),
            write: Some(Ok(())),
            blocked: None,
            broker: ("RabbitMQ".into(), "3.10.8".into()),
        }
    }

    fn alone(seen: &mut QueueReport) {
        seen.queue.as_mut().unwrap().consumers = 0;
    }

    fn error(kind: Kind) -> Error {
        kind.error(format!("said {kind:?}"))
    }

    /// All verdicts in the order of the checks, one letter each, upper case for a problem.
    fn verdicts(seen: &QueueReport) -> String {
        let findings = judge(seen, &BrokerUrl::default(), &Config::default().queue);
        let letter = |finding: &Finding| match finding.verdict {
            Verdict::Skipped => 's',
            Verdict::Ok => 'o',
            Verdict::Warning => 'w',
            Verdict::Problem => 'P',
        };
        let checks: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
        let all = [
            Check::Alarm,
            Check::Write,
            Check::Queue,
            Check::Type,
            Check::Read,
            Check::Consumers,
        ];
        assert_eq!(checks, all[..checks.len()], "each once, in order");
        findings.iter().map(letter).collect()
    }

    #[test]
    fn verdicts_by_observation() {
        type Change = fn(&mut QueueReport);
        let changes: [(Change, &str); 18] = [
            (|_| {}, "oooooo"),
            (|seen| seen.blocked = Some("low".into()), "Pooooo"),
            (
                |seen| (seen.blocked, seen.write) = (Some("low".into()), None),
                "Psoooo",
            ),
            (|seen| seen.write = Some(Err(error(Kind::Denied))), "oPoooo"),
            (
                |seen| seen.write = Some(Err(error(Kind::Timeout))),
                "sPoooo",
            ),
            (|seen| seen.queue = Err(error(Kind::NoQueue)), "ooP"),
            (|seen| seen.queue = Err(error(Kind::QueueDown)), "ooP"),
            (|seen| seen.queue = Err(error(Kind::Locked)), "ooP"),
            (|seen| seen.queue = Err(error(Kind::Timeout)), "ooP"),
            (|seen| seen.queue = Err(error(Kind::Denied)), "oossss"),
            (
                |seen| seen.declaration = Some(Err(error(Kind::Denied))),
                "ooosoo",
            ),
            (
                |seen| seen.declaration = Some(Err(error(Kind::Mismatch))),
                "ooowoo",
            ),
            (
                |seen| seen.declaration = Some(Err(error(Kind::Timeout))),
                "ooosoo",
            ),
            (|seen| seen.read = Some(Err(error(Kind::Denied))), "oooooo"),
            (|seen| seen.read = Some(Err(error(Kind::Timeout))), "ooooso"),
            (|seen| seen.read = None, "ooooso"),
            (alone, "oooooP"),
            (
                |seen| {
                    alone(seen);
                    seen.read = Some(Err(error(Kind::Denied)));
                },
                "oooowP",
            ),
        ];
        for (change, expected) in changes {
            let mut seen = healthy();
            change(&mut seen);
            assert_eq!(verdicts(&seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn remedies_for_a_queue_that_cannot_be_inspected() {
        let queue = Config::default().queue;
        for (kind, remedy) in [
            (Kind::NoQueue, "start fibrpcd, which declares the queue"),
            (
                Kind::QueueDown,
                "the queue exists but cannot be used: start the broker node",
            ),
            (Kind::Locked, "it is another connection's own"),
            (Kind::Refused, "see the broker's log"),
            (Kind::Timeout, "see the broker's log"),
        ] {
            let fix = no_queue(&error(kind), "guest", &queue).fix.unwrap();
            assert!(fix.starts_with(remedy), "{fix}");
        }
    }
}
