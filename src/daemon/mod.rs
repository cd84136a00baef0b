//! `fibrpcd`: the process around the server.
//!
//! [`main`] reads the command line and the configuration, starts the log and the runtime, and runs one event loop for
//! the server, signals, reloads and notifications to systemd. It owns the process: exit status, signals, environment.

mod args;
mod exit;
mod logging;
mod notify;
mod process;
mod reload;
mod signals;
mod watchdog;

use crate::broker::config_check::{Denied, check};
use crate::config::{self, Listen, Loaded, Overrides, Problem, Program};
use crate::server::log;
use crate::stdio;
use crate::telemetry::endpoint::Passed;
use crate::telemetry::endpoint::probe::{ProbeKind, probe};
use crate::telemetry::source::ProcessCounters;
use crate::telemetry::{self, traces::Traces};
use crate::text::{MAX_LINE, excerpt};
use args::{Args, Probe};
use clap::Parser as _;
use exit::Exit;
use logging::Logging;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long the end of the process may take for traces that are not exported yet.
const MAX_EXPORT: Duration = Duration::from_secs(2);

/// The whole of `fibrpcd`.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        // Help and version.
        Err(shown) if !shown.use_stderr() => return print_help(&shown).into(),
        Err(wrong) => {
            wrong.to_string().lines().for_each(print_error);
            return Exit::Usage.into();
        }
    };
    let overrides = args.overrides();
    let exit = match config::load(Program::Daemon, &overrides) {
        Err(problems) => refuse(&problems),
        Ok(loaded) if args.check => match check(&loaded, Denied::IsProblem) {
            Ok(warnings) => approve(&loaded, &warnings),
            Err(problems) => refuse(&problems),
        },
        Ok(loaded) => match args.probe {
            Some(what) => ask(&loaded.config.telemetry.listen, what),
            None => start(loaded, overrides),
        },
    };
    exit.into()
}

fn print_help(help: &clap::Error) -> Exit {
    let written = stdio::print_help(help);
    match written.err().as_ref().and_then(stdio::not_written) {
        Some(why) => {
            complain(&why);
            Exit::Output
        }
        None => Exit::Done,
    }
}

/// Reports an invalid configuration: all problems, one per line.
fn refuse(problems: &[Problem]) -> Exit {
    for problem in problems {
        complain(&problem.to_string());
    }
    Exit::Config
}

/// Reports a valid configuration, for `--check`.
fn approve(loaded: &Loaded, warnings: &[String]) -> Exit {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    say(&loaded.summary());
    Exit::Done
}

/// Asks the running daemon.
fn ask(at: &Listen, what: Probe) -> Exit {
    if *at == Listen::Off {
        complain(
            "telemetry.listen: is not set, so the daemon cannot be asked; set it to an address",
        );
        return Exit::Config;
    }
    let kind = match what {
        Probe::Live => ProbeKind::Live,
        Probe::Ready => ProbeKind::Ready,
    };
    match probe(at, kind) {
        Ok(line) => {
            say(&line);
            Exit::Done
        }
        Err(line) => {
            say(&line);
            Exit::Unhealthy
        }
    }
}

/// One line on stderr, for output without a log.
fn say(text: &str) {
    print_error(&format!("fibrpcd: {text}"));
}

/// One line on stderr about an error; the journal records it as one.
fn complain(text: &str) {
    let mark = if logging::stderr_is_journal() {
        "<3>"
    } else {
        ""
    };
    print_error(&format!("{mark}fibrpcd: {text}"));
}

/// One line on stderr.
fn print_error(text: &str) {
    let line = format!("{}\n", excerpt(text, MAX_LINE));
    // If it cannot be written, the failure cannot be reported either.
    let _ = stdio::stderr().write_all(line.as_bytes());
}

/// Starts log and runtime, and serves until stopped.
fn start(loaded: Loaded, overrides: Overrides) -> Exit {
    // Before the first thread.
    let passed = Passed::take();
    let counters = Arc::new(ProcessCounters::default());
    let (traces, warnings) = traces(&loaded, &counters);
    let logging = match Logging::start(&loaded.config.log, counters.clone(), traces.as_ref()) {
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
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    log::started("fibrpcd", env!("CARGO_PKG_VERSION"), &loaded.sources());
    // A panic that gets here was logged by the hook. What it left half done ends with the process.
    let exit = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(process::serve(
            loaded, overrides, &logging, counters, passed,
        ))
    }))
    .unwrap_or(Exit::Internal);
    // Name lookups and computations that are still running are not waited for.
    runtime.shutdown_background();
    if let Some(traces) = traces {
        traces.stop(MAX_EXPORT);
    }
    exit
}

/// Starts the export of traces if it is configured, and what deserves a warning. Requests are served without it as well.
fn traces(loaded: &Loaded, counters: &ProcessCounters) -> (Option<Traces>, Vec<String>) {
    let program = telemetry::Program {
        name: "fibrpcd",
        instance: loaded.config.server.instance.clone(),
    };
    Traces::start(loaded, &program, &counters.spans_dropped).unwrap_or_else(|error| {
        let warning = format!("cannot export traces: {error}");
        (None, vec![warning])
    })
}
