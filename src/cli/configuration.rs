//! `fibrpc config show` and `fibrpc config check`: the configuration in effect, and its errors.
//!
//! `show` is about `fibrpc` itself, so it includes the user's own file. `check` first does what the daemon's `--check`
//! does, whose files the user's file could hide, and then checks again with that file.

use super::common::{Common, blame};
use super::exit;
use super::help::examples;
use super::output::{complain, line_of, print, warn};
use crate::broker::config_check::{Denied, check};
use crate::config::{Loaded, Overrides, Problem, Program, load, show_json, show_toml};
use crate::text::safe_json;
use clap::Subcommand;
use serde::Serialize;
use std::path::PathBuf;

/// The help of `fibrpc config`.
pub(super) const HELP: &str = examples! {
    "fibrpc config show      every value in effect and its origin"
    "fibrpc config check     all configuration errors"
};

/// What to do with the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Command {
    /// Show every value in effect and its origin
    ///
    /// Prints the configuration of fibrpc itself, as TOML that loads to the same values, except for passwords
    /// in URLs, which are shown as ***.
    #[command(help_template = examples! {
        "fibrpc config show               as TOML that loads to the same values"
        "fibrpc --queue jobs config show  including flags and environment"
        "fibrpc config show --json        one key per line"
    })]
    Show,

    /// Report all configuration errors
    ///
    /// Checks what fibrpcd would read, as fibrpcd --check does, then the user's own file as well, and whether
    /// the password and TLS files can be used, as far as this user may read them. Does not use the network.
    #[command(
        help_template = examples! {
            "fibrpc config check                    what fibrpcd and fibrpc would read"
            "fibrpc --config new.toml config check  a file that is not in use yet"
        },
        after_help = "Exit status: 78 if there is an error; warnings do not change it."
    )]
    Check,
}

/// Shows or checks; returns the exit status.
pub(super) fn run(command: Command, common: &Common) -> u8 {
    match command {
        Command::Show => show(common),
        Command::Check => report(&look(&common.overrides()), common),
    }
}

fn show(common: &Common) -> u8 {
    match common.load() {
        Ok(loaded) if common.json => {
            let lines = show_json(&loaded);
            let lines = lines.lines().map(|line| safe_json(line) + "\n");
            print(&lines.collect::<String>())
        }
        Ok(loaded) => print(&show_toml(&loaded)),
        Err(status) => status,
    }
}

/// The result of a check.
#[derive(Debug, Default)]
struct Found {
    problems: Vec<String>,
    warnings: Vec<String>,
    /// The last configuration loaded, if there are no problems.
    loaded: Option<Loaded>,
    status: u8,
}

/// Loads and checks as the daemon would, then as `fibrpc` does.
fn look(overrides: &Overrides) -> Found {
    let mut found = Found::default();
    for program in [Program::Daemon, Program::Client] {
        let checked = load(program, overrides)
            .map_err(|problems| (problems, blame(program, overrides)))
            .and_then(|loaded| {
                // The daemon may run as another user.
                let checked = check(&loaded, Denied::IsWarning);
                let warnings = checked.map_err(|problems| (problems, exit::CONFIG))?;
                Ok((loaded, warnings))
            });
        match checked {
            Ok((loaded, warnings)) => {
                add(&mut found.warnings, warnings);
                found.loaded = Some(loaded);
            }
            Err((problems, status)) => {
                let problems = problems.into_iter().map(|Problem(problem)| problem);
                add(&mut found.problems, problems);
                found.status = status;
            }
        }
    }
    found.loaded = found.loaded.filter(|_| found.problems.is_empty());
    found
}

/// Adds lines that are not known yet: both programs report the same about what both read.
fn add(known: &mut Vec<String>, new: impl IntoIterator<Item = String>) {
    for line in new {
        if !known.contains(&line) {
            known.push(line);
        }
    }
}

/// Prints everything; returns the exit status.
fn report(found: &Found, common: &Common) -> u8 {
    let written = if common.json {
        print(&json(found))
    } else {
        for problem in &found.problems {
            complain(problem);
        }
        for warning in found.warnings.iter().filter(|_| !common.quiet) {
            warn(warning);
        }
        let summary = found.loaded.as_ref().map(Loaded::summary);
        summary.map_or(0, |summary| print(&format!("{summary}\n")))
    };
    if found.status == 0 {
        written
    } else {
        found.status
    }
}

/// A line of `--json`. Fields are added to it, never renamed.
#[derive(Serialize)]
struct Finding<'a> {
    verdict: &'static str,
    message: &'a str,
    /// What was read, if everything is ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a [PathBuf]>,
}

fn json(found: &Found) -> String {
    let problems = found.problems.iter();
    let problems = problems.map(|text| finding("problem", text, None));
    let warnings = found.warnings.iter();
    let warnings = warnings.map(|text| finding("warning", text, None));
    let good = found.loaded.as_ref();
    let good = good.map(|loaded| finding("ok", &loaded.summary(), Some(&loaded.files)));
    problems.chain(warnings).chain(good).collect()
}

fn finding(verdict: &'static str, message: &str, files: Option<&[PathBuf]>) -> String {
    line_of(&Finding {
        verdict,
        message,
        files,
    }) + "\n"
}
