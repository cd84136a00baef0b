//! `fibrpc`: the process around the client. Standard output is data, everything else goes to
//! standard error; every error is one line and decides the exit status (see [`crate::protocol::Code`]).

mod args;
mod bench;
mod call;
mod doctor;
mod interrupt;
mod output;
mod ping;
mod status;
mod text;

use crate::config::load::{Loaded, Overrides, Program, load};
use args::{Args, Command, Common};
use interrupt::Interrupt;
use output::complain;
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// `EX_USAGE`: wrong usage.
const EXIT_USAGE: u8 = 64;
/// `EX_OSERR`: the operating system does not give us what we need.
const EXIT_SYSTEM: u8 = 71;
/// `EX_CONFIG`: wrong configuration.
const EXIT_CONFIG: u8 = 78;

/// The whole of `fibrpc`.
pub fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(args) => run(&args).into(),
        // Help and version; where standard output is closed there is nobody to tell.
        Err(shown) if !shown.use_stderr() => {
            let _ = shown.print();
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            complain(&args::one_line(&wrong));
            EXIT_USAGE.into()
        }
    }
}

fn run(args: &Args) -> u8 {
    if args.common.verbose > 1 {
        log();
    }
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
            return EXIT_SYSTEM;
        }
    };
    let (common, stop) = (&args.common, &interrupt.stop());
    let config = || configuration(common).map(|loaded| loaded.config);
    let command = async {
        Ok(match &args.command {
            None => call::run(args, &config()?, stop).await,
            Some(Command::Ping(flags)) => ping::run(flags, common, &config()?, stop).await,
            Some(Command::Status(flags)) => status::run(flags, common, &config()?, stop).await,
            Some(Command::Bench(flags)) => bench::run(flags, common, &config()?, stop).await,
            // A wrong configuration is part of its report.
            Some(Command::Doctor) => doctor::run(common).await,
        })
    };
    let ended = runtime.block_on(interrupt.watch(async {
        let status: Result<u8, u8> = command.await;
        status.unwrap_or_else(|status| status)
    }));
    // A name lookup that hangs must not keep the process.
    runtime.shutdown_background();
    ended.unwrap_or_else(interrupt::Signal::end_process)
}

/// Loads the configuration; prints what is wrong with it and gives the exit status where it cannot.
fn configuration(common: &Common) -> Result<Loaded, u8> {
    let overrides = common.overrides();
    match load(Program::Client, &overrides) {
        Ok(loaded) => {
            for warning in loaded.warnings.iter().filter(|_| !common.quiet) {
                complain(&format!("warning: {warning}"));
            }
            Ok(loaded)
        }
        Err(problems) => {
            for problem in problems {
                complain(&problem.to_string());
            }
            Err(blame(overrides))
        }
    }
}

/// The exit status where nothing can be loaded: where all is well without the flags, they are what is wrong.
fn blame(overrides: Overrides) -> u8 {
    let files = Overrides {
        values: Vec::new(),
        ..overrides
    };
    if load(Program::Client, &files).is_ok() {
        EXIT_USAGE
    } else {
        EXIT_CONFIG
    }
}

/// Shows what the client does. Nobody else logs: the AMQP library would print whole messages.
fn log() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false);
    let ours = Targets::new().with_target("fibrpc", LevelFilter::DEBUG);
    tracing_subscriber::registry().with(lines).with(ours).init();
}
