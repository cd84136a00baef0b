//! What a look around at the broker says: alarm, permissions, the queue and who serves it. Pure.

use super::finding::{Check, Finding};
use crate::broker::topology::{Difference, LOCKED};
use crate::broker::{Error, Kind, QueueStatus};
use crate::client::probe::Sight;
use crate::config::{BrokerUrl, Queue};
use crate::protocol::words::plural;

/// Judges it all. `url` is the broker that was looked at.
pub(super) fn judge(sight: &Sight, url: &BrokerUrl, queue: &Queue) -> Vec<Finding> {
    let user = &url.user;
    let mut findings = vec![alarm(sight), write(sight, user)];
    let status = match &sight.queue {
        Ok(status) => status,
        Err(error) => {
            findings.push(no_queue(error, user, queue));
            if error.kind == Kind::Denied {
                let unseen = [Check::Type, Check::Read, Check::Consumers];
                findings.extend(unseen.map(|check| check.skipped("not looked at, either")));
            }
            return findings;
        }
    };
    findings.push(Check::Queue.ok(format!(
        "{:?} is there, {} waiting",
        queue.name,
        plural(status.messages.into(), "message")
    )));
    findings.extend(sight.difference.as_ref().map(|seen| kind(seen, queue)));
    findings.push(read(sight, status, user));
    findings.push(consumers(status));
    findings
}

fn alarm(sight: &Sight) -> Finding {
    match (&sight.blocked, &sight.write) {
        (Some(reason), _) => Check::Alarm.problem(
            format!("the broker takes no messages at present: {reason}"),
            "free memory or disk there, or raise its limits (rabbitmqctl status shows both)",
        ),
        (None, Some(Err(error))) if error.kind != Kind::Denied => {
            Check::Alarm.skipped("cannot be told, since no message got through")
        }
        _ => Check::Alarm.ok("none, the broker takes messages"),
    }
}

fn write(sight: &Sight, user: &str) -> Finding {
    match &sight.write {
        Some(Ok(())) => Check::Write.ok(format!("user {user:?} may publish requests and replies")),
        Some(Err(error)) if error.kind == Kind::Denied => Check::Write.problem(
            format!(
                "user {user:?} may not publish to the default exchange, over which requests and replies go"
            ),
            "give the user write permission on amq.default (rabbitmqctl set_permissions)",
        ),
        Some(Err(error)) => Check::Write.problem(&error.message, "see the broker's log"),
        None => Check::Write.skipped("cannot be told while the broker takes no messages"),
    }
}

fn no_queue(error: &Error, user: &str, queue: &Queue) -> Finding {
    let message = &error.message;
    match error.kind {
        // A client needs no permission on the queue, and most brokers let everybody look.
        Kind::Denied => Check::Queue.skipped(format!(
            "user {user:?} may not look at queue {:?}, which a client need not",
            queue.name
        )),
        Kind::NoQueue => Check::Queue.problem(
            message,
            "start fibrpcd, which makes the queue (that takes configure permission on it), or check \
             queue.name and the vhost in broker.url",
        ),
        Kind::QueueDown => Check::Queue.problem(
            message,
            "the queue is there and cannot be used: start the broker's node that holds it, or see the broker's log; \
             fibrpcd goes on by itself",
        ),
        Kind::Locked => Check::Queue.problem(message, LOCKED),
        _ => Check::Queue.problem(message, "see the broker's log"),
    }
}

fn kind(seen: &Result<Option<Difference>, Error>, queue: &Queue) -> Finding {
    const AS_IT_IS: &str = "fibrpcd uses it as it is; to end this, delete it, or set queue.type and \
                            queue.durable to what it is";
    match seen {
        Ok(None) => {
            let durable = if queue.durable {
                "durable"
            } else {
                "transient"
            };
            Check::Type.ok(format!("{durable} {}, as configured", queue.kind.name()))
        }
        Ok(Some(difference)) => {
            let Difference {
                argument,
                wanted,
                current,
            } = difference;
            match (argument.as_str(), difference.queue_type()) {
                (_, Some("stream")) => Check::Type.problem(
                    "the queue is a stream, which hands every request to every server and keeps it",
                    "set queue.name to another queue, or delete this one",
                ),
                ("x-queue-type", Some(kind)) => Check::Type.warning(
                    format!("the queue is {kind}, and queue.type is {wanted}"),
                    AS_IT_IS,
                ),
                ("durable", _) => Check::Type.warning(
                    format!("the queue has durable = {current}, and queue.durable is {wanted}"),
                    AS_IT_IS,
                ),
                ("auto_delete" | "exclusive", _) => Check::Type.warning(
                    format!("the queue has {argument} = {current}, so it goes away with those who use it"),
                    AS_IT_IS,
                ),
                // Nothing that can be configured here, so it is its owner's choice.
                _ => Check::Type.ok(format!(
                    "its owner has set {argument} = {current}; the broker does not tell what else differs"
                )),
            }
        }
        Err(error) if error.kind == Kind::Denied => Check::Type
            .skipped("cannot be told: the broker tells those who may configure the queue"),
        Err(error) if error.kind == Kind::Mismatch => Check::Type.warning(&error.message, AS_IT_IS),
        Err(error) => Check::Type.skipped(format!("cannot be told: {}", error.message)),
    }
}

fn read(sight: &Sight, status: &QueueStatus, user: &str) -> Finding {
    match &sight.read {
        Some(Ok(())) => Check::Read.ok(format!("user {user:?} may consume from the queue")),
        Some(Err(error)) if error.kind == Kind::Denied => {
            let message = format!("user {user:?} may not consume from the queue");
            // Whoever serves it is somebody else then.
            if status.consumers > 0 {
                Check::Read.ok(format!("{message}: fine for a client, fibrpcd has to"))
            } else {
                Check::Read.warning(
                    message,
                    "if fibrpcd is to log in as this user, give it read permission (rabbitmqctl \
                     set_permissions)",
                )
            }
        }
        Some(Err(error)) => Check::Read.skipped(format!("cannot be told: {}", error.message)),
        None => Check::Read.skipped("cannot be told of this broker without taking messages"),
    }
}

fn consumers(status: &QueueStatus) -> Finding {
    match status.consumers {
        0 => Check::Consumers.problem(
            "nobody serves the queue, unless by polling it",
            "start fibrpcd, or see in its log why it does not consume (journalctl -u fibrpcd); for a \
             server that polls, use --wait",
        ),
        count => Check::Consumers.ok(plural(count.into(), "consumer")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;
    use crate::config::Config;

    fn well() -> Sight {
        Sight {
            queue: Ok(QueueStatus {
                name: "rpc_queue".into(),
                messages: 1,
                consumers: 2,
            }),
            difference: Some(Ok(None)),
            read: Some(Ok(())),
            write: Some(Ok(())),
            blocked: None,
        }
    }

    fn alone(sight: &mut Sight) {
        sight.queue.as_mut().unwrap().consumers = 0;
    }

    fn error(kind: Kind) -> Error {
        Error::new(kind, format!("said {kind:?}"))
    }

    /// All verdicts in the order of the checks: a letter each, a problem a large one.
    fn verdicts(sight: &Sight) -> String {
        let findings = judge(sight, &BrokerUrl::default(), &Config::default().queue);
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
    fn verdicts_by_what_was_seen() {
        type Change = fn(&mut Sight);
        let changes: [(Change, &str); 18] = [
            (|_| {}, "oooooo"),
            (|sight| sight.blocked = Some("low".into()), "Pooooo"),
            (
                |sight| (sight.blocked, sight.write) = (Some("low".into()), None),
                "Psoooo",
            ),
            (
                |sight| sight.write = Some(Err(error(Kind::Denied))),
                "oPoooo",
            ),
            (
                |sight| sight.write = Some(Err(error(Kind::Timeout))),
                "sPoooo",
            ),
            (|sight| sight.queue = Err(error(Kind::NoQueue)), "ooP"),
            (|sight| sight.queue = Err(error(Kind::QueueDown)), "ooP"),
            (|sight| sight.queue = Err(error(Kind::Locked)), "ooP"),
            (|sight| sight.queue = Err(error(Kind::Timeout)), "ooP"),
            (|sight| sight.queue = Err(error(Kind::Denied)), "oossss"),
            (
                |sight| sight.difference = Some(Err(error(Kind::Denied))),
                "ooosoo",
            ),
            (
                |sight| sight.difference = Some(Err(error(Kind::Mismatch))),
                "ooowoo",
            ),
            (
                |sight| sight.difference = Some(Err(error(Kind::Timeout))),
                "ooosoo",
            ),
            (
                |sight| sight.read = Some(Err(error(Kind::Denied))),
                "oooooo",
            ),
            (
                |sight| sight.read = Some(Err(error(Kind::Timeout))),
                "ooooso",
            ),
            (|sight| sight.read = None, "ooooso"),
            (alone, "oooooP"),
            (
                |sight| {
                    alone(sight);
                    sight.read = Some(Err(error(Kind::Denied)));
                },
                "oooowP",
            ),
        ];
        for (change, expected) in changes {
            let mut sight = well();
            change(&mut sight);
            assert_eq!(verdicts(&sight), expected, "{sight:?}");
        }
    }

    /// Nobody is sent to start a server that runs.
    #[test]
    fn cures_of_a_queue_that_cannot_be_looked_at() {
        let queue = Config::default().queue;
        for (kind, cure) in [
            (Kind::NoQueue, "start fibrpcd, which makes the queue"),
            (
                Kind::QueueDown,
                "the queue is there and cannot be used: start the broker's node",
            ),
            (Kind::Locked, "it is another connection's own"),
            (Kind::Refused, "see the broker's log"),
            (Kind::Timeout, "see the broker's log"),
        ] {
            let fix = no_queue(&error(kind), "guest", &queue).fix.unwrap();
            assert!(fix.starts_with(cure), "{fix}");
        }
    }

    #[test]
    fn differences_in_words() {
        let queue = Config::default().queue;
        for (argument, wanted, current, verdict, words) in [
            (
                "x-queue-type",
                "quorum",
                "classic",
                Verdict::Warning,
                "is classic, and queue.type is quorum",
            ),
            (
                "x-queue-type",
                "quorum",
                "none",
                Verdict::Warning,
                "is classic, and queue.type is quorum",
            ),
            (
                "x-queue-type",
                "quorum",
                "stream",
                Verdict::Problem,
                "is a stream",
            ),
            (
                "durable",
                "true",
                "false",
                Verdict::Warning,
                "durable = false, and queue.durable is true",
            ),
            (
                "durable",
                "false",
                "true",
                Verdict::Warning,
                "durable = true, and queue.durable is false",
            ),
            (
                "auto_delete",
                "false",
                "true",
                Verdict::Warning,
                "auto_delete = true, so it goes",
            ),
            ("x-max-length", "none", "5", Verdict::Ok, "x-max-length = 5"),
        ] {
            let difference = Difference {
                argument: argument.into(),
                wanted: wanted.into(),
                current: current.into(),
            };
            let finding = kind(&Ok(Some(difference)), &queue);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.message.contains(words), "{finding:?}");
        }
        let transient = Queue {
            durable: false,
            kind: crate::config::QueueKind::Classic,
            ..queue
        };
        assert_eq!(
            kind(&Ok(None), &transient).message,
            "transient classic, as configured"
        );
    }
}
