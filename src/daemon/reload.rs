//! Reloading the configuration: what changes, or why nothing does.
//!
//! A reload is all or nothing: with one problem, or one changed setting that needs a restart, the current configuration
//! stays in effect.

use crate::config::{self, Config, Overrides, Program};

/// A new configuration that can be applied.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) config: Config,
    /// The dotted names of what it changes.
    pub(super) changes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Reads everything again and compares it with `current`. The error holds all problems, at least one, one line each.
///
/// Reads a few small files on the calling thread.
pub(super) fn read_again(overrides: &Overrides, current: &Config) -> Result<Accepted, Vec<String>> {
    match config::load(Program::Daemon, overrides) {
        Ok(loaded) => Ok(Accepted {
            changes: judge(current, &loaded.config)?,
            config: loaded.config,
            warnings: loaded.warnings,
        }),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

/// The names of changed settings, or one error per setting that cannot change.
fn judge(current: &Config, next: &Config) -> Result<Vec<String>, Vec<String>> {
    let changes = config::diff(current, next);
    if changes.restart.is_empty() {
        let names = changes.hot.iter().chain(&changes.session);
        return Ok(names.map(ToString::to_string).collect());
    }
    let fixed =
        |name| format!("{name}: cannot change in a running daemon; restart it or undo this");
    Err(changes.restart.iter().map(fixed).collect())
}

/// All problems in one line, for STATUS: the first, and how many more.
pub(super) fn summary(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} (and {} more, see the log)", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Level, LogTarget};

    #[test]
    fn changes_are_named_and_one_that_needs_a_restart_refuses_all() {
        let current = Config::default();
        let mut next = current.clone();
        assert_eq!(judge(&current, &next), Ok(vec![]));
        next.log.level = Level::Debug;
        next.server.prefetch = 7;
        next.queue.name = "jobs".into();
        let names = ["server.prefetch", "log.level", "queue.name"].map(String::from);
        assert_eq!(judge(&current, &next), Ok(names.to_vec()));
        next.log.target = LogTarget::Journald;
        let problems = judge(&current, &next).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("log.target: cannot change"));
    }

    #[test]
    fn a_file_with_problems_is_refused_with_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fibrpc.toml");
        let overrides = Overrides {
            config: Some(file.clone()),
            ..Overrides::default()
        };
        std::fs::write(&file, "[server]\nprefetch = 0\n[queue]\nnam = \"jobs\"\n").unwrap();
        let problems = read_again(&overrides, &Config::default()).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().any(|line| line.contains("server.prefetch")));
        assert!(problems.iter().any(|line| line.contains("queue.name")));
        std::fs::write(&file, "[server]\nprefetch = 9\n").unwrap();
        let accepted = read_again(&overrides, &Config::default()).unwrap();
        assert_eq!(accepted.config.server.prefetch, 9);
        assert_eq!(accepted.changes, ["server.prefetch"]);
    }

    #[test]
    fn a_summary_has_the_first_problem_and_a_count() {
        for (problems, expect) in [
            (&["a"][..], "a"),
            (&["a", "b", "c"], "a (and 2 more, see the log)"),
        ] {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(summary(&problems), expect);
        }
    }
}
