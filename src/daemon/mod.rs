//! `fibrpcd`: the process around the server.
//!
//! [`main`] reads the command line and the configuration, starts the log and the runtime, and runs
//! one event loop in which everything happens in turn: the server, signals, reloads, and what
//! systemd is told. It owns the process: exit status, signals, environment.

pub mod args;
pub mod fibonacci_service;
mod logging;
mod notify;
mod process;
mod reload;
mod signals;
mod status;
mod text;
mod watchdog;

use crate::broker::check::{Denied, check};
use crate::config::{self, Loaded, Overrides, Problem, Program};
use crate::server::events;
use args::Args;
use clap::Parser as _;
use logging::Logging;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// How the process ends, in the numbers of sysexits.h, which systemd knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Everything that was begun is finished.
    Done = 0,
    /// The command line makes no sense.
    Usage = 64,
    /// A fault of ours or of the system.
    Internal = 70,
    /// Requests that were begun went back to the broker.
    Abandoned = 75,
    /// The configuration has problems.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The whole of `fibrpcd`.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nowhere to report that the report failed.
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            return exit.into();
        }
    };
    let overrides = args.overrides();
    let exit = match config::load(Program::Daemon, &overrides) {
        Err(problems) => refuse(&problems),
        Ok(loaded) if args.check => match check(&loaded, Denied::IsProblem) {
            Ok(warnings) => approve(&loaded, &warnings),
            Err(problems) => refuse(&problems),
        },
        Ok(loaded) => start(loaded, overrides),
    };
    exit.into()
}

/// A configuration that cannot be used: all that is wrong with it, one a line.
fn refuse(problems: &[Problem]) -> Exit {
    for problem in problems {
        complain(&problem.to_string());
    }
    Exit::Config
}

/// What `--check` says of a configuration that can.
fn approve(loaded: &Loaded, warnings: &[String]) -> Exit {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    say(&loaded.verdict());
    Exit::Done
}

/// One line on stderr, for what is said without a log.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "fibrpcd: {}", text::one_line(text));
}

/// One line on stderr about a fault; the journal takes it as an error.
fn complain(text: &str) {
    let mark = if logging::stderr_is_journal() {
        "<3>"
    } else {
        ""
    };
    let _ = writeln!(io::stderr(), "{mark}fibrpcd: {}", text::one_line(text));
}

/// Starts log and runtime, and serves until told to stop.
fn start(loaded: Loaded, overrides: Overrides) -> Exit {
    let logging = match Logging::start(&loaded.config.log) {
        Ok(logging) => logging,
        Err(error) => {
            complain(&format!("cannot start the log: {error}"));
            return Exit::Internal;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start the runtime: {error}");
            return Exit::Internal;
        }
    };
    events::started(env!("CARGO_PKG_VERSION"), &loaded.sources());
    // A panic that gets here was logged by the hook. What it left half done ends with the process.
    let exit = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(process::serve(loaded, overrides, &logging))
    }))
    .unwrap_or(Exit::Internal);
    // A name that is being looked up or a computation between two questions is not waited for.
    runtime.shutdown_background();
    exit
}
