//! `fibrpc`: the process around the client. Standard output is data, everything else goes to standard error; every
//! error is one line and decides the exit status (see [`crate::protocol::Code`]).

mod answers;
mod args;
mod ask;
mod bench;
mod call;
mod common;
mod completions;
mod configuration;
mod connect;
mod doctor;
mod exit;
mod help;
mod input;
mod interrupt;
mod lines;
mod log;
mod output;
mod ping;
mod progress;
mod request;
mod status;
mod terminal;
mod times;
mod trace;

use crate::broker::config_check::{Denied, check};
use crate::config::Loaded;
use crate::stdio;
use crate::telemetry::Program;
use crate::telemetry::traces::Traces;
use args::{Args, Command};
use clap::CommandFactory as _;
use common::{Common, Setup, complain_of};
use interrupt::Interrupt;
use output::{complain, warn};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use terminal::Color;
use tokio_util::sync::CancellationToken;

/// How long the end of a command may take for traces that are not exported yet.
const MAX_EXPORT: Duration = Duration::from_secs(1);

/// The whole of `fibrpc`.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    Color::scan(&args).choose();
    match args::parse(&args) {
        Ok(args) => run(&args).into(),
        // Help and version.
        Err(shown) if !shown.use_stderr() => {
            let printed = stdio::print_help(&shown);
            printed
                .map_or_else(|error| output::not_written(&error), |()| 0)
                .into()
        }
        Err(wrong) => {
            complain(&args::one_line(&wrong));
            exit::USAGE.into()
        }
    }
}

fn run(args: &Args) -> u8 {
    let common = &args.common;
    match &args.command {
        None => online(common, async |setup| ask::run(&args.ask, setup).await),
        Some(Command::Call(flags)) => {
            let common = flags.with_queue(common);
            online(&common, async |setup| call::run(flags, setup).await)
        }
        Some(Command::Ping(flags)) => online(common, async |setup| ping::run(flags, setup).await),
        Some(Command::Status(flags)) => {
            online(common, async |setup| status::run(flags, setup).await)
        }
        Some(Command::Bench(flags)) => online(common, async |setup| bench::run(flags, setup).await),
        // Configuration errors are part of its report.
        Some(Command::Doctor(_)) => {
            log::subscribe(common.verbose > 1, None);
            interruptible(async |stop| doctor::run(common, stop).await, None)
        }
        Some(Command::Config(command)) => {
            log::subscribe(common.verbose > 1, None);
            configuration::run(*command, common)
        }
        Some(Command::Completions(flags)) => completions::run(flags.shell, &Args::command()),
    }
}

/// Runs a command that needs a valid configuration and, most likely, the broker.
fn online(common: &Common, command: impl AsyncFnOnce(Setup<'_>) -> u8) -> u8 {
    let loaded = match common.load() {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let traces = traces(&loaded, common);
    log::subscribe(common.verbose > 1, traces.as_ref());
    match check(&loaded, Denied::IsProblem) {
        Ok(_) => {
            let command = async |stop: &CancellationToken| {
                let config = &loaded.config;
                command(Setup {
                    common,
                    config,
                    stop,
                })
                .await
            };
            interruptible(command, traces)
        }
        Err(problems) => {
            complain_of(&problems);
            exit::CONFIG
        }
    }
}

/// Starts the export of traces if it is configured. A command does not fail for want of it.
fn traces(loaded: &Loaded, common: &Common) -> Option<Traces> {
    let program = Program {
        name: "fibrpc",
        instance: String::new(),
    };
    let started = Traces::start(loaded, &program, &Arc::default());
    let (traces, warnings) = started.unwrap_or_else(|error| {
        let warning = format!("cannot export traces: {error}");
        (None, vec![warning])
    });
    for warning in warnings.iter().filter(|_| !common.quiet) {
        warn(warning);
    }
    traces
}

/// Runs a command until it is done or interrupted, then exports what is left of its traces; returns the exit status.
fn interruptible(
    command: impl AsyncFnOnce(&CancellationToken) -> u8,
    traces: Option<Traces>,
) -> u8 {
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            let interrupt = runtime.block_on(async { Interrupt::catch() })?;
            Ok((runtime, interrupt))
        });
    let (runtime, interrupt) = match started {
        Ok(started) => started,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return exit::SYSTEM;
        }
    };
    let stop = interrupt.stop();
    let ended = runtime.block_on(interrupt.watch(command(&stop)));
    // A hung name lookup must not keep the process alive.
    runtime.shutdown_background();
    if let Some(traces) = traces {
        traces.stop(MAX_EXPORT);
    }
    ended.unwrap_or_else(interrupt::Signal::end_process)
}
