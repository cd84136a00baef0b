//! Findings of checks, as columns for people and as JSON for programs. Pure.

use crate::cli::output::line_of;
use crate::cli::terminal::{BAD, DOUBTFUL, GOOD, painted};
use crate::named::named;
use crate::text::safe;
use serde::Serialize;

named! {
    /// The checks, in the order of the report: step by step from the user to a reply.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Check {
        /// The configuration and its origin.
        Config = "config",
        Dns = "dns",
        Tcp = "tcp",
        Tls = "tls",
        Login = "login",
        Vhost = "vhost",
        Broker = "broker",
        /// Known limits of this broker version.
        Limits = "limits",
        /// Whether the broker accepts messages.
        Alarm = "alarm",
        /// Permission to publish.
        Write = "write",
        Queue = "queue",
        /// The type and arguments of the queue against the configuration.
        Type = "type",
        /// Permission to consume.
        Read = "read",
        Consumers = "consumers",
        /// A round trip without a computation.
        Ping = "ping",
        /// The server's clock against ours.
        Clock = "clock",
        /// A round trip with a computation.
        Answer = "answer",
    }
}

impl Check {
    /// Checks that are made for each broker.
    pub(super) const OF_A_BROKER: &[Self] = &[
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Login,
        Self::Vhost,
        Self::Broker,
        Self::Limits,
    ];

    pub(super) fn ok(self, message: impl Into<String>) -> Finding {
        self.finding(Verdict::Ok, message, None)
    }

    pub(super) fn warning(self, message: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Verdict::Warning, message, Some(fix.into()))
    }

    pub(super) fn problem(self, message: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Verdict::Problem, message, Some(fix.into()))
    }

    /// A problem, from an error message that ends with a remedy.
    pub(super) fn failed(self, message: &str) -> Finding {
        self.reported(Verdict::Problem, message)
    }

    /// Any verdict, from such a message.
    pub(super) fn reported(self, verdict: Verdict, message: &str) -> Finding {
        let parts = message.rsplit_once("; ");
        let (message, fix) = parts.map_or((message, None), |(message, fix)| {
            (message, Some(fix.to_owned()))
        });
        self.finding(verdict, message, fix)
    }

    pub(super) fn skipped(self, message: impl Into<String>) -> Finding {
        self.finding(Verdict::Skipped, message, None)
    }

    fn finding(self, verdict: Verdict, message: impl Into<String>, fix: Option<String>) -> Finding {
        Finding {
            check: self,
            broker: None,
            verdict,
            message: message.into(),
            fix,
        }
    }
}

named! {
    /// Severity, the worst last.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Verdict {
        /// Not checked, since the result would mean nothing.
        Skipped = "skipped",
        /// As it should be.
        Ok = "ok",
        /// Works, but deserves attention.
        Warning = "warning",
        /// Does not work.
        Problem = "problem",
    }
}

impl Verdict {
    /// The exit status of a report in which nothing is worse.
    pub(super) const fn exit_status(self) -> u8 {
        match self {
            Self::Skipped | Self::Ok => 0,
            Self::Warning => 1,
            Self::Problem => 2,
        }
    }
}

/// The result of a check, one line of the report. In `--json`, fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: Check,
    /// The broker's address, for checks that are made for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broker: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn json(&self) -> String {
        line_of(self)
    }

    /// For people; with the broker's address if there are several.
    pub(super) fn line(&self, several_brokers: bool, color: bool) -> String {
        let verdict = format!("{:<7}", self.verdict.name());
        let verdict = match self.verdict {
            Verdict::Skipped => verdict,
            Verdict::Ok => painted(&verdict, GOOD, color),
            Verdict::Warning => painted(&verdict, DOUBTFUL, color),
            Verdict::Problem => painted(&verdict, BAD, color),
        };
        let check = self.check.name();
        let mut text = String::new();
        if let Some(broker) = self.broker.as_ref().filter(|_| several_brokers) {
            text = format!("{broker}: ");
        }
        text += &self.message;
        if let Some(fix) = &self.fix {
            text = format!("{text}; {fix}");
        }
        format!("{verdict}  {check:<9}  {}", safe(&text))
    }
}

/// Those of the `checks` that are missing, as skipped because of the first problem in `findings`.
pub(super) fn skipped(findings: &[Finding], checks: &[Check]) -> Vec<Finding> {
    let is_problem = |finding: &&Finding| finding.verdict == Verdict::Problem;
    let Some(cause) = findings.iter().find(is_problem) else {
        return Vec::new();
    };
    let message = format!("depends on {}", cause.check.name());
    let is_missing = |check: &&Check| findings.iter().all(|finding| finding.check != **check);
    let missing = checks.iter().filter(is_missing);
    missing.map(|check| check.skipped(&message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_columns_and_safe() {
        let mut finding = Check::Tcp.problem("a\u{1b}[2J: refused", "is it running?");
        assert_eq!(
            finding.line(false, false),
            "problem  tcp        a\\u{1b}[2J: refused; is it running?"
        );
        finding.broker = Some("mq1:5672".into());
        assert_eq!(
            finding.line(true, false),
            "problem  tcp        mq1:5672: a\\u{1b}[2J: refused; is it running?"
        );
        assert_eq!(
            Check::Consumers.ok("1 consumer").line(true, false),
            "ok       consumers  1 consumer"
        );
        assert_eq!(
            Check::Queue.ok("empty").line(true, true),
            "\u{1b}[32mok     \u{1b}[0m  queue      empty"
        );
        for check in Check::ALL {
            assert!(check.name().len() <= 9, "{check:?}");
        }
    }

    #[test]
    fn json_has_one_object_per_line() {
        let mut finding = Check::Tls.warning("a\nb", "c");
        finding.broker = Some("mq1:5671".into());
        assert_eq!(
            finding.json(),
            r#"{"check":"tls","broker":"mq1:5671","verdict":"warning","message":"a\nb","fix":"c"}"#
        );
        assert_eq!(
            Check::Alarm.ok("none").json(),
            r#"{"check":"alarm","verdict":"ok","message":"none"}"#
        );
    }

    #[test]
    fn messages_are_split_before_the_remedy() {
        let finding = Check::Login.failed("what: cause; and more; do this");
        assert_eq!(finding.message, "what: cause; and more");
        assert_eq!(finding.fix.as_deref(), Some("do this"));
        assert_eq!(Check::Login.failed("what: cause").fix, None);
    }

    #[test]
    fn checks_that_depend_on_a_problem_are_skipped() {
        let findings = [Check::Config.ok(""), Check::Dns.problem("", "")];
        let skipped_for = skipped(&findings, &[Check::Config, Check::Dns, Check::Tcp]);
        assert_eq!(skipped_for, [Check::Tcp.skipped("depends on dns")]);
        assert!(skipped(&findings[..1], Check::ALL).is_empty());
    }

    #[test]
    fn the_worst_decides_the_exit_status() {
        let mut verdicts = [
            Verdict::Warning,
            Verdict::Ok,
            Verdict::Problem,
            Verdict::Skipped,
        ];
        verdicts.sort();
        assert_eq!(verdicts.map(Verdict::exit_status), [0, 0, 1, 2]);
    }
}
