//! The flags of `fibrpc`.
//!
//! Bare numbers are the command for asking; the others are in [`Command`]. The flags in [`Common`] are
//! `global` and hold for all of them; those in [`Ask`] for asking alone.

use super::bench::{Assertion, Mix};
use super::help;
use super::input::DEFAULT;
use super::terminal::Color;
use crate::config::load::Overrides;
use crate::config::parse_duration;
use clap::{ArgAction, Args as Flags, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

/// The longest that a command may be told to last.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "fibrpc",
    version,
    about = "Ask for Fibonacci numbers by RPC over RabbitMQ",
    override_usage = "fibrpc [OPTIONS] [N]...\n       fibrpc [OPTIONS] <COMMAND>",
    help_template = help::ASK,
    after_long_help = help::AFTER_ASK
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) ask: Ask,

    #[command(flatten)]
    pub(super) common: Common,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Flags of asking.
#[derive(Debug, Clone, Flags)]
pub(super) struct Ask {
    /// Which numbers to ask for, all at once; without any, 30. A single - reads them from standard
    /// input
    #[arg(
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "file",
        hide_short_help = true
    )]
    pub(super) numbers: Vec<String>,

    /// Read one number a line from FILE; - is standard input. Empty lines are skipped, a bad one fails
    /// alone
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        hide_short_help = true
    )]
    pub(super) file: Option<PathBuf>,

    /// How many numbers may wait for their answers at once, 1 to 10000 [default: 256]
    #[arg(
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u16).range(1..=10_000),
        value_hint = ValueHint::Other,
        hide_short_help = true
    )]
    pub(super) in_flight: Option<u16>,

    /// Wait for broker, queue and server instead of failing at once
    #[arg(long)]
    pub(super) wait: bool,
}

/// The other commands.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// See whether a server answers, and how fast
    ///
    /// Sends requests that cost no computation through the request queue, and prints a line for each
    /// answer and a summary at the end. A server that does not know pings is shown as a plain one.
    #[command(
        help_template = help::PING,
        after_help = "Exit status: 0 where any answer came."
    )]
    Ping(Ping),

    /// Show the queue and the daemons that serve it
    ///
    /// Daemons describe themselves, over AMQP alone. Those that are older, that have server.control
    /// switched off or no permission for it, and servers of another kind are counted as silent.
    #[command(
        help_template = help::STATUS,
        after_help = "Exit status: 69 where nobody serves the queue."
    )]
    Status(Watch),

    /// Find out what is wrong between here and an answer
    ///
    /// Checks, in this order: configuration, name lookup, TCP, TLS, login, vhost, the broker and its known
    /// limits, alarms, permissions, the queue and its type, its consumers, and real round trips. A line for
    /// each, "ok", "warning" or "problem" with what to do, or "skipped" where a problem stands
    /// before it: the first problem is the cause. No step takes longer than client.timeout; no request is
    /// touched.
    #[command(help_template = help::DOCTOR, after_help = help::AFTER_DOCTOR)]
    Doctor,

    /// Put a load on the servers, and measure how they respond
    ///
    /// Keeps a number of requests in flight (closed loop) or, with --rate, sends at a rate whatever comes
    /// back (open loop). Latencies are then measured from when a request was due, so that a stall of the
    /// server shows in all requests that it kept waiting.
    #[command(help_template = help::BENCH, after_help = help::AFTER_BENCH)]
    Bench(Bench),

    /// Show or check the configuration
    #[command(subcommand, help_template = help::CONFIG, arg_required_else_help = false)]
    Config(Config),

    /// Print a shell's completion script
    #[command(help_template = help::COMPLETIONS)]
    Completions(Completions),
}

/// Flags of `fibrpc ping`.
#[derive(Debug, Clone, Flags)]
pub(super) struct Ping {
    /// Stop after this many pings; without it, at Ctrl-C
    #[arg(
        short,
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u64).range(1..),
        value_hint = ValueHint::Other
    )]
    pub(super) count: Option<u64>,

    /// The time from one ping to the next, at least 1ms
    #[arg(
        short,
        long,
        value_name = "DURATION",
        default_value = "1s",
        value_parser = interval,
        value_hint = ValueHint::Other
    )]
    pub(super) interval: Duration,
}

/// Flags of `fibrpc status`.
#[derive(Debug, Clone, Flags)]
pub(super) struct Watch {
    /// Look again every two seconds until Ctrl-C
    #[arg(short, long)]
    pub(super) watch: bool,
}

/// Flags of `fibrpc bench`.
#[derive(Debug, Clone, Flags)]
pub(super) struct Bench {
    /// Requests in flight at once; with --rate at most [default: 100; 10000]
    #[arg(
        short = 'f',
        long,
        value_name = "COUNT",
        value_parser = in_flight,
        value_hint = ValueHint::Other
    )]
    pub(super) in_flight: Option<usize>,

    /// Send this many requests a second
    #[arg(short, long, value_name = "RATE", value_parser = rate, value_hint = ValueHint::Other)]
    pub(super) rate: Option<f64>,

    /// Measure for so long [default: 10s, or as long as --requests takes]
    #[arg(
        short,
        long,
        value_name = "DURATION",
        value_parser = interval,
        value_hint = ValueHint::Other
    )]
    pub(super) duration: Option<Duration>,

    /// Measure this many requests
    #[arg(
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u64).range(1..),
        value_hint = ValueHint::Other
    )]
    pub(super) requests: Option<u64>,

    /// Ask for 30, or 10,1000, or 1..99, or weighted 10:9,1000:1
    #[arg(short, long, value_name = "MIX", default_value = DEFAULT, value_hint = ValueHint::Other)]
    pub(super) n: Mix,

    /// Leave out what is sent in the first so long
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1s",
        value_parser = duration,
        value_hint = ValueHint::Other,
        hide_short_help = true
    )]
    pub(super) warm_up: Duration,

    /// Spread the requests over this many connections
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        value_parser = connections,
        value_hint = ValueHint::Other,
        hide_short_help = true
    )]
    pub(super) connections: usize,

    /// Ask as fibrpc does, with deadlines and confirms; otherwise as plainly as the tutorial's clients
    #[arg(long, hide_short_help = true)]
    pub(super) full: bool,

    /// Fail where this does not hold, such as 'p99<20ms'; may be repeated
    #[arg(long = "assert", value_name = "CONDITION", value_hint = ValueHint::Other)]
    pub(super) assertions: Vec<Assertion>,
}

/// `fibrpc config`: what to do with the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Config {
    /// Show every value in effect, with where it comes from
    ///
    /// Prints what fibrpc itself would use, as TOML that loads to the same values but for the passwords in
    /// URLs, which are shown as ***.
    #[command(help_template = help::CONFIG_SHOW)]
    Show,

    /// Look for all that is wrong with it
    ///
    /// Looks at what fibrpcd would read, as fibrpcd --check does, and then at the user's own file as
    /// well; and whether the files with the password and for TLS can be used, as far as this user may
    /// read them. Asks nobody over the network.
    #[command(
        help_template = help::CONFIG_CHECK,
        after_help = "Exit status: 78 where anything is wrong; warnings leave it at 0."
    )]
    Check,
}

/// `fibrpc completions`.
#[derive(Debug, Clone, Copy, Flags)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: Shell,
}

/// The shells that we know completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "their names say it, here and in the help")]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval.is_zero() {
        return Err("shorter than 1ms".into());
    }
    Ok(interval)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).ok_or("not a duration such as 500ms or 2s")?;
    if duration > A_YEAR {
        return Err("longer than a year".into());
    }
    Ok(duration)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text).parse();
    rate.ok()
        .filter(|rate| (0.001..=1e6).contains(rate))
        .ok_or_else(|| "not a number of requests a second, 0.001 to 1000000".into())
}

fn in_flight(text: &str) -> Result<usize, String> {
    count(text, 1_000_000)
}

fn connections(text: &str) -> Result<usize, String> {
    count(text, 1000)
}

fn count(text: &str, most: usize) -> Result<usize, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=most).contains(count))
        .ok_or_else(|| format!("not a number from 1 to {most}"))
}

/// Flags of every command.
#[derive(Debug, Clone, Flags)]
pub(super) struct Common {
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// How long to wait for each answer, such as 500ms or 1m (client.timeout)
    #[arg(long, value_name = "DURATION", global = true, value_hint = ValueHint::Other)]
    pub(super) timeout: Option<String>,

    /// The queue to ask (queue.name)
    #[arg(long, value_name = "NAME", global = true, value_hint = ValueHint::Other)]
    pub(super) queue: Option<String>,

    /// Read this file in place of the usual ones
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        value_hint = ValueHint::FilePath,
        hide_short_help = true
    )]
    pub(super) config: Option<PathBuf>,

    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        hide_short_help = true,
        help = "Use colours; auto does on a terminal, but not with NO_COLOR or TERM=dumb"
    )]
    pub(super) color: Color,

    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Show where the time went; twice: what the client does
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

impl Common {
    /// What the flags say about the configuration.
    pub(super) fn overrides(&self) -> Overrides {
        let flags = [
            ("client.timeout", &self.timeout),
            ("queue.name", &self.queue),
        ];
        let set = |(key, value): (_, &Option<String>)| Some((key, value.clone()?.into()));
        Overrides {
            config: self.config.clone(),
            values: flags.into_iter().filter_map(set).collect(),
        }
    }
}
