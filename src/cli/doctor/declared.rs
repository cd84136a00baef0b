//! Judges the declaration of the request queue: whether it is as configured, what differences cost, and which programs
//! can declare the same queue. Pure.

use super::finding::{Check, Finding};
use super::limits;
use crate::broker::declaration::Declaration;
use crate::broker::{Error, Kind};
use crate::config::Queue;

const AS_IT_IS: &str = "fibrpcd uses it as is; to change that, delete it, or set queue.type and queue.durable to match";

const ITS_OWNER: &str = "fibrpcd uses it as is; to change that, delete it and start fibrpcd first, which declares it as \
                         configured, or change what the other program declares";

/// A policy can have the effects of any argument.
const POLICIES: &str = "policies are not visible over AMQP (rabbitmqctl list_policies)";

/// Judges the declaration. `broker` is product and version.
pub(super) fn judge(
    seen: &Result<Declaration, Error>,
    broker: &(String, String),
    queue: &Queue,
) -> Vec<Finding> {
    let declaration = match seen {
        Ok(declaration) => declaration,
        Err(error) => return vec![unknown(error)],
    };
    if let Some(error) = declaration.unfit(queue) {
        return vec![Check::Type.failed(&error.message)];
    }
    let mut findings = Vec::new();
    let kind = declaration.queue_type;
    let (lasting, costs): (Vec<_>, Vec<_>) = declaration
        .costs(queue)
        .into_iter()
        .partition(|cost| cost.argument == "durable");
    if declaration.durable != queue.durable {
        let consequence = lasting
            .first()
            .map(|cost| format!(": {}", cost.consequence));
        let message = format!(
            "the queue has durable = {}, and queue.durable is {}{}",
            declaration.durable,
            queue.durable,
            consequence.unwrap_or_default()
        );
        findings.push(Check::Type.warning(message, AS_IT_IS));
    }
    if kind != queue.kind.name() {
        let message = format!(
            "the queue is {kind}, and queue.type is {}",
            queue.kind.name()
        );
        findings.push(Check::Type.warning(message, AS_IT_IS));
    }
    findings.extend(costs.into_iter().map(|cost| {
        let message = format!("the queue {}: {}", cost.what, cost.consequence);
        Check::Type.warning(message, ITS_OWNER)
    }));
    let as_configured = if declaration.as_configured {
        ", as configured"
    } else {
        ""
    };
    let description = declaration.describe();
    findings.push(Check::Type.ok(format!(
        "{description}{as_configured}; {}; {POLICIES}",
        programs(declaration)
    )));
    findings.extend(delivery_limit(declaration, broker, queue).map(|text| Check::Type.ok(text)));
    findings
}

fn unknown(error: &Error) -> Finding {
    match error.kind {
        Kind::Denied => {
            Check::Type.skipped("unknown: only visible with configure permission on the queue")
        }
        Kind::Mismatch => Check::Type.warning(&error.message, AS_IT_IS),
        _ => Check::Type.skipped(format!("unknown: {}", error.message)),
    }
}

/// Which programs of RabbitMQ's tutorial declare `rpc_queue` like this. The broker refuses any other declaration.
fn programs(declaration: &Declaration) -> String {
    let Declaration {
        durable,
        auto_delete,
        queue_type,
        ..
    } = declaration;
    let plain = declaration.arguments.is_empty();
    let programs = match (queue_type, durable, auto_delete) {
        _ if !plain && !declaration.as_configured => "no RabbitMQ tutorial declares",
        (&"quorum", true, false) => {
            "the RabbitMQ tutorials in Python, JavaScript, Java, Go, Rust, Ruby, Elixir and PHP (php-amqplib) declare"
        }
        (&"classic", true, false) => "the RabbitMQ tutorial in Haskell declares",
        (&"classic", false, false) => {
            "the RabbitMQ tutorials in Kotlin, Scala, Erlang, Perl, Dart and PHP (enqueue) declare"
        }
        (&"classic", false, true) => {
            "the RabbitMQ tutorials in PHP (php-amqp) and Common Lisp declare"
        }
        _ => "no RabbitMQ tutorial declares",
    };
    format!(
        "{programs} it like this, and the broker refuses any other declaration (406 PRECONDITION_FAILED)"
    )
}

/// The default delivery limit of quorum queues, and what counts as a delivery.
fn delivery_limit(
    declaration: &Declaration,
    (product, version): &(String, String),
    queue: &Queue,
) -> Option<String> {
    let limited = declaration.arguments.contains_key("x-delivery-limit");
    if product != "RabbitMQ" || declaration.queue_type != "quorum" || limited {
        return None;
    }
    let counted = match limits::parse(version)? {
        (..4, ..) => return None,
        (4, ..3, _) => {
            "each stop, reload or crash of a server counts as a delivery of every request that it holds"
        }
        _ => {
            "requests that servers return do not count, but each lost connection counts as a delivery of every request that it holds"
        }
    };
    Some(format!(
        "without a policy, requests are dropped after 20 deliveries, and {counted}: set a larger limit (rabbitmqctl \
         set_policy fibrpc '^{}$' '{{\"delivery-limit\":1000}}' --apply-to queues)",
        queue.name
    ))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;
    use crate::config::{Config, QueueKind};

    fn queue() -> Queue {
        Config::default().queue
    }

    fn rabbitmq(version: &str) -> (String, String) {
        ("RabbitMQ".into(), version.into())
    }

    fn declared(change: impl FnOnce(&mut Declaration)) -> Declaration {
        let mut declaration = Declaration::configured(&queue());
        declaration.as_configured = false;
        change(&mut declaration);
        declaration
    }

    fn judged(declaration: Declaration, version: &str) -> Vec<Finding> {
        judge(&Ok(declaration), &rabbitmq(version), &queue())
    }

    #[test]
    fn as_configured_is_ok() {
        let findings = judged(Declaration::configured(&queue()), "3.10.8");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].verdict, Verdict::Ok);
        for words in ["durable quorum, as configured", "Python", "list_policies"] {
            assert!(findings[0].message.contains(words), "{findings:?}");
        }
        let transient = Queue {
            durable: false,
            kind: QueueKind::Classic,
            ..queue()
        };
        let findings = judge(
            &Ok(Declaration::configured(&transient)),
            &rabbitmq("3.10.8"),
            &transient,
        );
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0]
                .message
                .starts_with("transient classic, as configured; the RabbitMQ tutorials")
        );
    }

    #[test]
    fn differences_and_costs_in_words() {
        let argument = |name: &str, value: &str| {
            declared(|declaration| {
                declaration.arguments.insert(name.into(), value.into());
            })
        };
        for (declaration, words) in [
            (
                declared(|declaration| declaration.queue_type = "classic"),
                "is classic, and queue.type is quorum",
            ),
            (
                declared(|declaration| declaration.durable = false),
                "durable = false, and queue.durable is true",
            ),
            (
                declared(|declaration| declaration.auto_delete = true),
                "is auto-delete: when its last consumer leaves",
            ),
            (
                argument("x-max-length", "5"),
                "x-max-length = 5: beyond that",
            ),
            (
                argument("x-message-ttl", "5"),
                "x-message-ttl = 5: requests",
            ),
            (argument("x-expires", "5"), "x-expires = 5: it is deleted"),
            (
                argument("x-delivery-limit", "5"),
                "x-delivery-limit = 5: requests",
            ),
            (
                argument("x-single-active-consumer", "true"),
                "x-single-active-consumer: one server",
            ),
        ] {
            let findings = judged(declaration, "3.10.8");
            assert_eq!(findings[0].verdict, Verdict::Warning, "{findings:?}");
            assert!(findings[0].message.contains(words), "{findings:?}");
            assert!(findings[0].fix.is_some());
            assert_eq!(findings.last().unwrap().verdict, Verdict::Ok);
        }
        let stream = judged(
            declared(|declaration| declaration.queue_type = "stream"),
            "4.3.6",
        );
        assert_eq!(stream.len(), 1);
        assert_eq!(stream[0].verdict, Verdict::Problem);
        assert!(stream[0].fix.as_deref().unwrap().contains("queue.name"));
    }

    #[test]
    fn the_default_delivery_limit_by_version() {
        for (version, words) in [
            ("3.13.7", None),
            ("4.0.5", Some("each stop, reload or crash")),
            ("4.2.9", Some("each stop, reload or crash")),
            ("4.3.6", Some("return do not count")),
            ("new", None),
        ] {
            let findings = judged(declared(|_| {}), version);
            let last = findings.last().unwrap();
            assert_eq!(last.verdict, Verdict::Ok);
            let mentioned = last.message.contains("20 deliveries");
            assert_eq!(mentioned, words.is_some(), "{findings:?}");
            assert!(last.message.contains(words.unwrap_or_default()), "{last:?}");
        }
        for other in [
            declared(|declaration| declaration.queue_type = "classic"),
            declared(|declaration| {
                declaration
                    .arguments
                    .insert("x-delivery-limit".into(), "1000".into());
            }),
        ] {
            let findings = judged(other, "4.0.5");
            assert!(
                !findings.last().unwrap().message.contains("20 deliveries"),
                "{findings:?}"
            );
        }
    }
}
