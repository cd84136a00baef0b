//! A run of `fibrpc doctor --json`, and assertions about its report.

use serde_json::Value;

use crate::support::{Fibrpc, Output, SOON, Settings};

/// The checks, in the order of the report.
pub const CHECKS: [&str; 17] = [
    "config",
    "dns",
    "tcp",
    "tls",
    "login",
    "vhost",
    "broker",
    "limits",
    "alarm",
    "write",
    "queue",
    "type",
    "read",
    "consumers",
    "ping",
    "clock",
    "answer",
];

/// What `fibrpc doctor --json` has said.
#[derive(Debug)]
pub struct Report {
    pub findings: Vec<Value>,
    pub output: Output,
}

/// Runs it.
pub fn doctor(settings: &Settings) -> Report {
    Report::read(Fibrpc::new(settings).args(["doctor", "--json"]).run(SOON))
}

impl Report {
    pub fn read(output: Output) -> Self {
        let parse = |line| serde_json::from_str(line).unwrap();
        let findings = output.stdout.lines().map(parse).collect();
        assert_eq!(output.stderr, "");
        Self { findings, output }
    }

    pub fn of(&self, check: &str) -> Vec<&Value> {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding["check"] == check)
            .collect()
    }

    pub fn verdict(&self, check: &str) -> &str {
        self.of(check)[0]["verdict"].as_str().unwrap()
    }

    /// The first finding with this verdict is in `check`, says `words` and what to do.
    #[track_caller]
    pub fn assert_first(&self, verdict: &str, check: &str, words: &[&str]) {
        let mut findings = self.findings.iter();
        let first = findings.find(|finding| finding["verdict"] == verdict);
        let first = first.unwrap_or_else(|| panic!("no {verdict}: {self:#?}"));
        assert_eq!(first["check"], check, "{self:#?}");
        let text = format!("{}; {}", first["message"], first["fix"].as_str().unwrap());
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }

    /// The first problem is this one; every check has its place, and no round trip was tried.
    #[track_caller]
    pub fn assert_problem(&self, check: &str, words: &[&str]) {
        self.assert_first("problem", check, words);
        let checks = self
            .findings
            .iter()
            .map(|finding| finding["check"].as_str().unwrap());
        let mut checks: Vec<_> = checks.collect();
        checks.dedup();
        assert_eq!(checks, CHECKS, "{self:#?}");
        assert_eq!((self.verdict("answer"), self.output.code()), ("skipped", 2));
    }

    /// There is no problem, and this is the first warning.
    #[track_caller]
    pub fn assert_warning(&self, check: &str, words: &[&str]) {
        self.assert_first("warning", check, words);
        assert_eq!(
            (self.verdict("answer"), self.output.code()),
            ("ok", 1),
            "{self:#?}"
        );
    }
}
