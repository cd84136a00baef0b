//! Known limits of brokers, by product and version. Pure.
//!
//! Mere information is ok; a conflict with the configuration is a warning. From the release notes of RabbitMQ, and the
//! sources of RabbitMQ and `LavinMQ`.

use super::finding::{Check, Finding};
use crate::config::{Config, QueueKind};

const MIB: u64 = 1 << 20;

/// One finding per known limit, or one that there is none.
pub(super) fn judge(product: &str, version: &str, config: &Config) -> Vec<Finding> {
    let mut findings = match (product, parse(version)) {
        ("RabbitMQ", Some(version)) => rabbitmq(version, config),
        ("LavinMQ", _) => lavinmq(config),
        _ => vec![Check::Limits.ok("nothing is known about this broker")],
    };
    if findings.is_empty() {
        findings.push(Check::Limits.ok("none that matter here"));
    }
    findings
}

/// Major, minor and patch version; of the patch version the leading digits.
pub(super) fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let patch = parts.next().unwrap_or_default();
    let end = patch.find(|c: char| !c.is_ascii_digit());
    let patch = patch[..end.unwrap_or(patch.len())].parse().unwrap_or(0);
    Some((major, minor, patch))
}

fn rabbitmq(version: (u32, u32, u32), config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if version < (4, 0, 0) {
        findings
            .push(Check::Limits.ok(
                "RabbitMQ 3.x is no longer supported upstream (a distribution may support it)",
            ));
    }
    if version < (3, 8, 13) {
        findings.push(Check::Limits.warning(
            "direct reply-to before RabbitMQ 3.8.13 has addresses of an older form, which fibrpcd rejects: no \
             call is answered",
            "upgrade RabbitMQ",
        ));
    }
    if version < (3, 8, 0) && config.queue.kind == QueueKind::Quorum {
        findings.push(Check::Limits.warning(
            "RabbitMQ before 3.8 has no quorum queues",
            "set queue.type to \"classic\"",
        ));
    }
    findings.push(Check::Limits.ok(if version < (4, 2, 0) {
        "direct reply-to before RabbitMQ 4.2: mandatory replies are returned although they arrive"
    } else {
        "direct reply-to from RabbitMQ 4.2 on: replies are accepted even if the caller is gone"
    }));
    if version >= (4, 3, 0) && !config.queue.durable {
        findings.push(Check::Limits.warning(
            "RabbitMQ 4.3 and later may refuse shared transient queues",
            "set queue.durable to true",
        ));
    }
    let largest = match version {
        (4.., ..) => 16 * MIB,
        _ => 128 * MIB,
    };
    if config.server.max_reply_bytes > largest {
        let ours = config
            .keys()
            .find("server.max_reply_bytes")
            .and_then(|key| key.value(config));
        findings.push(Check::Limits.warning(
            format!(
                "replies may be larger (server.max_reply_bytes = {}) than the {}MiB that this RabbitMQ \
                 accepts by default",
                ours.unwrap_or_else(|| "".into()),
                largest / MIB
            ),
            "lower server.max_reply_bytes, or raise max_message_size in rabbitmq.conf",
        ));
    }
    findings
}

fn lavinmq(config: &Config) -> Vec<Finding> {
    let quorum = config.queue.kind == QueueKind::Quorum;
    let note = "LavinMQ creates a classic queue when a quorum queue is requested";
    quorum.then(|| Check::Limits.ok(note)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn with(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        change(&mut config);
        config
    }

    #[test]
    fn limits_of_each_version() {
        let default = Config::default();
        let transient = with(|config| {
            config.queue.durable = false;
            config.queue.kind = QueueKind::Classic;
        });
        let large = with(|config| config.server.max_reply_bytes = 20 * MIB);
        let (old, new) = ("before RabbitMQ 4.2", "from RabbitMQ 4.2 on");
        for (product, version, config, expected) in [
            ("RabbitMQ", "3.10.8", &default, &["3.x", old][..]),
            (
                "RabbitMQ",
                "3.7.1",
                &default,
                &["3.x", "WARN older form", "WARN quorum", old],
            ),
            (
                "RabbitMQ",
                "3.8.12",
                &default,
                &["3.x", "WARN older form", old],
            ),
            ("RabbitMQ", "3.8.13", &default, &["3.x", old]),
            ("RabbitMQ", "4.0.0-rc.1", &default, &[old]),
            ("RabbitMQ", "4.2.0", &default, &[new]),
            ("RabbitMQ", "4.3.6", &default, &[new]),
            ("RabbitMQ", "4.2.9", &transient, &[new]),
            ("RabbitMQ", "4.3.0", &transient, &[new, "WARN transient"]),
            ("RabbitMQ", "3.13.7", &large, &["3.x", old]),
            (
                "RabbitMQ",
                "4.1.0",
                &large,
                &[
                    old,
                    "WARN (server.max_reply_bytes = \"20MiB\") than the 16MiB",
                ],
            ),
            ("RabbitMQ", "new", &default, &["nothing is known"]),
            ("LavinMQ", "2.4.0", &default, &["classic queue"]),
            ("LavinMQ", "2.4.0", &transient, &["none that matter"]),
            ("", "", &default, &["nothing is known"]),
        ] {
            let findings = judge(product, version, config);
            assert_eq!(findings.len(), expected.len(), "{version}: {findings:#?}");
            for (finding, expected) in findings.iter().zip(expected) {
                let text = expected.trim_start_matches("WARN ");
                assert!(finding.message.contains(text), "{text}: {finding:?}");
                let warns = finding.verdict == Verdict::Warning;
                assert_eq!(warns, expected.starts_with("WARN"), "{finding:?}");
                assert_eq!(finding.fix.is_some(), warns, "{finding:?}");
            }
        }
    }
}
