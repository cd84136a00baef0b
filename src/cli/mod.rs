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
mod output;
mod ping;
mod progress;
mod request;
mod status;
mod terminal;
mod times;
mod trace;

use crate::broker::config_check::{Denied, check};
use crate::config::Config;
use crate::protocol::trace_context::SPAN_TARGET;
use crate::stdio;
use crate::text::safe;
use args::{Args, Command};
use clap::CommandFactory as _;
use common::{Common, complain_of};
use interrupt::Interrupt;
use output::complain;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use terminal::Color;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

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
    if common.verbose > 1 {
        log();
    }
    match &args.command {
        None => online(common, async |config, stop| {
            ask::run(&args.ask, common, config, stop).await
        }),
        Some(Command::Call(flags)) => {
            let common = flags.with_queue(common);
            online(&common, async |config, stop| {
                call::run(flags, &common, config, stop).await
            })
        }
        Some(Command::Ping(flags)) => online(common, async |config, stop| {
            ping::run(flags, common, config, stop).await
        }),
        Some(Command::Status(flags)) => online(common, async |config, stop| {
            status::run(flags, common, config, stop).await
        }),
        Some(Command::Bench(flags)) => online(common, async |config, stop| {
            bench::run(flags, common, config, stop).await
        }),
        // Configuration errors are part of its report.
        Some(Command::Doctor(_)) => interruptible(async |stop| doctor::run(common, stop).await),
        Some(Command::Config(command)) => configuration::run(*command, common),
        Some(Command::Completions(flags)) => completions::run(flags.shell, &Args::command()),
    }
}

/// Runs a command that needs a valid configuration and, most likely, the broker.
fn online(common: &Common, command: impl AsyncFnOnce(&Config, &CancellationToken) -> u8) -> u8 {
    match common.load() {
        Ok(loaded) => match check(&loaded, Denied::IsProblem) {
            Ok(_) => interruptible(async |stop| command(&loaded.config, stop).await),
            Err(problems) => {
                complain_of(&problems);
                exit::CONFIG
            }
        },
        Err(status) => status,
    }
}

/// Runs a command until it is done or interrupted; returns the exit status.
fn interruptible(command: impl AsyncFnOnce(&CancellationToken) -> u8) -> u8 {
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
    ended.unwrap_or_else(interrupt::Signal::end_process)
}

/// Logs what the client does. Libraries are excluded: the AMQP library would print whole messages. So are spans, which are for
/// exporters.
fn log() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| LogLine)
        .with_ansi(false)
        .without_time()
        .with_target(false);
    let ours = Targets::new()
        .with_target("fibrpc", LevelFilter::DEBUG)
        .with_target(SPAN_TARGET, LevelFilter::OFF);
    let lines = lines.with_filter(ours);
    tracing_subscriber::registry().with(lines).init();
}

/// Writes a log record, which comes in one piece and ends with a newline.
struct LogLine;

impl Write for LogLine {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        stdio::stderr().write_all(log_line(record).as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_line(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    format!("{}\n", safe(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_record_is_one_safe_line() {
        for (record, line) in [
            ("DEBUG connected\n", "DEBUG connected\n"),
            (
                "DEBUG \u{202e}a\nb\u{1b}[2J\n",
                "DEBUG \\u{202e}a\\nb\\u{1b}[2J\n",
            ),
            ("", "\n"),
        ] {
            assert_eq!(log_line(record.as_bytes()), line);
        }
    }
}
