//! The command line of `fibrpc`: its flags, its help, and its errors in one line.
//!
//! Bare numbers are the command for asking; the others are in [`Command`]. The flags in [`Common`] are `global` and hold for all of them.

use super::bench::{Assertion, Mix};
use crate::config::load::Overrides;
use crate::config::parse_duration;
use clap::{ArgAction, Args as Flags, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that a command may be told to last.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the tutorial's client asks for.
const DEFAULT: &str = "30";

const TEMPLATE: &str = "\
{about}

Examples:
  fibrpc 30           print the 30th Fibonacci number
  fibrpc 10 100 1000  ask for several at once, answers in this order
  fibrpc ping -c 4    is a server there, and how fast?
  fibrpc status       the queue and who serves it

{usage-heading} {usage}

{all-args}{after-help}
";

const AFTER_LONG_HELP: &str = "\
Exit status:
   0  every number was answered
   1  fibrpc doctor has warnings, or an assertion of fibrpc bench does not hold
   2  fibrpc doctor has found a problem
  64  wrong usage
  65  a number is malformed, negative or out of range
  69  no broker, no such queue, or no server on it
  70  the server failed
  74  the answers could not be written
  75  no answer in time, or the server is too busy; trying again may help
  76  the reply was not an integer
  77  the broker refused the user or the operation
  78  wrong configuration
  Where several numbers fail, the first of them in the order asked decides.

With --json each number gets one object on standard output, in the order asked: its \"n\" and either
\"value\" (text, of any length) or \"code\", \"message\" and \"retryable\"; where known also \"server\",
\"queued_us\", \"compute_us\" and \"round_trip_us\".

Files: /etc/fibrpc.toml, /etc/fibrpc.toml.d/*.toml, $XDG_CONFIG_HOME/fibrpc/fibrpc.toml.
Environment: FIBRPC_SECTION__KEY, for example FIBRPC_BROKER__URL. Manual: fibrpc(1).";

const DOCTOR: &str = "\
Exit status: 0 where all is well, 1 for warnings, 2 for problems.

With --json each finding gets one object: \"check\", \"verdict\", \"message\" and, where there is something
to do, \"fix\"; for what is checked of each broker also \"broker\".";

/// Ask for Fibonacci numbers by RPC over RabbitMQ.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "fibrpc",
    version,
    help_template = TEMPLATE,
    after_long_help = AFTER_LONG_HELP
)]
pub(super) struct Args {
    /// Which numbers to ask for, all at once
    #[arg(value_name = "N", allow_negative_numbers = true, default_value = DEFAULT)]
    pub(super) numbers: Vec<String>,

    /// Wait for broker, queue and server instead of failing at once
    #[arg(long)]
    pub(super) wait: bool,

    #[command(flatten)]
    pub(super) common: Common,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// The other commands.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// See whether a server answers, and how fast
    ///
    /// Sends requests that cost no computation through the request queue, and prints a line for each
    /// answer and a summary at the end. A server that does not know pings is shown as a plain one.
    #[command(after_help = "Exit status: 0 where any answer came.")]
    Ping(Ping),

    /// Show the queue and the daemons that serve it
    ///
    /// Daemons describe themselves, over AMQP alone. Those that are older, that have server.control
    /// switched off or no permission for it, and servers of another kind are counted as silent.
    #[command(after_help = "Exit status: 69 where nobody serves the queue.")]
    Status(Watch),

    /// Find out what is wrong between here and an answer
    ///
    /// Checks, in this order: configuration, name lookup, TCP, TLS, login, vhost, the broker and its known
    /// limits, alarms, permissions, the queue and its type, its consumers, and real round trips. A line for
    /// each, "ok", "warning" or "problem" with what to do, or "skipped" where a problem stands
    /// before it: the first problem is the cause. No step takes longer than client.timeout; no request is
    /// touched.
    #[command(after_help = DOCTOR)]
    Doctor,

    /// Put a load on the servers, and measure how they bear it
    ///
    /// Keeps a number of requests in flight (closed loop) or, with --rate, sends at a rate whatever comes
    /// back (open loop). Latencies are then measured from when a request was due, so that a stall of the
    /// server shows in all requests that it kept waiting.
    #[command(after_help = BENCH_AFTER_HELP)]
    Bench(Bench),
}

/// Flags of `fibrpc ping`.
#[derive(Debug, Clone, Flags)]
pub(super) struct Ping {
    /// Stop after so many pings; without it, at Ctrl-C
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// The time from one ping to the next, at least 1ms
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
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
    /// Requests in flight at once; with --rate the most that may be [default: 100, with --rate 10000]
    #[arg(short = 'f', long, value_name = "COUNT", value_parser = in_flight)]
    pub(super) in_flight: Option<usize>,

    /// Send so many requests a second
    #[arg(short, long, value_name = "RATE", value_parser = rate)]
    pub(super) rate: Option<f64>,

    /// Measure for so long [default: 10s, or as long as --requests takes]
    #[arg(short, long, value_name = "DURATION", value_parser = interval)]
    pub(super) duration: Option<Duration>,

    /// Measure so many requests
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) requests: Option<u64>,

    /// Which numbers to ask for: 30, or 10,1000, or 1..100, or weighted 10:9,100000:1
    #[arg(short, long, value_name = "MIX", default_value = DEFAULT)]
    pub(super) n: Mix,

    /// Leave out what is sent in the first so long
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(super) warm_up: Duration,

    /// Spread the requests over so many connections
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = connections)]
    pub(super) connections: usize,

    /// Ask as fibrpc does, with deadlines and confirms; otherwise as plainly as the tutorial's clients
    #[arg(long)]
    pub(super) full: bool,

    /// Fail where this does not hold, such as 'p99<20ms' or 'errors==0'; may be repeated
    #[arg(long = "assert", value_name = "CONDITION")]
    pub(super) assertions: Vec<Assertion>,
}

const BENCH_AFTER_HELP: &str = "\
Conditions: METRIC OPERATOR VALUE, with rate, errors, error-ratio, min, mean, max, or a percentile such
as p50 or p99.9; < <= > >= or ==; times with their unit (us, ms, s).

Exit status: 1 where a condition does not hold; where no request was answered, that of the failure.";

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
    #[arg(long, value_name = "DURATION", global = true)]
    pub(super) timeout: Option<String>,

    /// The queue to ask (queue.name)
    #[arg(long, value_name = "NAME", global = true)]
    pub(super) queue: Option<String>,

    /// Read this file in place of the usual ones
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,

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

/// Parses the command line. Help and version come as an `Err`, too.
pub(super) fn parse(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Args, clap::Error> {
    Args::try_parse_from(args)
}

/// clap's explanation, which has several paragraphs, in one line: what is wrong, then what to do.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let wrong = text.split("\n\nUsage:").next().unwrap_or_default();
    let wrong = wrong
        .split("\n\nFor more information")
        .next()
        .unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    for paragraph in wrong.trim().split("\n\n") {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        let words = words.join(" ");
        parts.push(
            words
                .trim_start_matches("error: ")
                .trim_start_matches("tip: ")
                .to_owned(),
        );
    }
    if parts.len() < 2 {
        parts.push("see fibrpc --help".to_owned());
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parsed(args: &[&str]) -> Result<Args, clap::Error> {
        parse(["fibrpc"].iter().chain(args))
    }

    #[test]
    fn the_command_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_are_taken_as_they_are() {
        for (args, numbers) in [
            (&[][..], &["30"][..]),
            (&["7"], &["7"]),
            (&["3", "2", "1"], &["3", "2", "1"]),
            (&["-1", "5"], &["-1", "5"]),
            (&["abc", "1e3", ""], &["abc", "1e3", ""]),
            (&["--json", "8", "-v", "9"], &["8", "9"]),
            (&["--", "-x"], &["-x"]),
        ] {
            assert_eq!(parsed(args).unwrap().numbers, numbers, "{args:?}");
        }
    }

    #[test]
    fn commands_take_the_common_flags_before_and_after() {
        for args in [
            &["--json", "ping", "-c", "3", "--interval", "10ms"][..],
            &["ping", "--json", "-c3", "-i10ms"],
        ] {
            let args = parsed(args).unwrap();
            assert!(args.common.json);
            let Some(Command::Ping(ping)) = args.command else {
                panic!("{args:?}")
            };
            assert_eq!(ping.count, Some(3));
            assert_eq!(ping.interval, Duration::from_millis(10));
        }
        let args = parsed(&["status", "--watch"]).unwrap();
        assert!(matches!(args.command, Some(Command::Status(watch)) if watch.watch));
        assert!(parsed(&["30"]).unwrap().command.is_none());
        for wrong in ["0s", "soon", "-1s"] {
            assert!(parsed(&["ping", "-i", wrong]).is_err(), "{wrong}");
        }
        assert!(parsed(&["ping", "-c", "0"]).is_err());
    }

    #[test]
    fn flags_become_settings() {
        let args = parsed(&["--timeout", "1s", "--queue", "jobs", "--config", "c.toml"]).unwrap();
        let overrides = args.common.overrides();
        assert_eq!(overrides.config, Some("c.toml".into()));
        assert_eq!(
            overrides.values,
            [
                ("client.timeout", "1s".into()),
                ("queue.name", "jobs".into())
            ]
        );
        assert!(parsed(&[]).unwrap().common.overrides().values.is_empty());
    }

    #[test]
    fn errors_are_one_line_with_what_to_do() {
        for (args, line) in [
            (
                &["--jsn"][..],
                "unexpected argument '--jsn' found; a similar argument exists: '--json'",
            ),
            (
                &["--queue"],
                "a value is required for '--queue <NAME>' but none was supplied; see fibrpc --help",
            ),
            (
                &["-q", "-v"],
                "the argument '--quiet' cannot be used with '--verbose...'; see fibrpc --help",
            ),
        ] {
            assert_eq!(one_line(&parsed(args).unwrap_err()), line, "{args:?}");
        }
    }

    #[test]
    fn the_short_help_fits_a_screen() {
        let help = Args::command().render_help().to_string();
        assert!(help.lines().count() <= 30, "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        let examples = help.find("Examples:");
        assert!(
            examples.is_some() && examples < help.find("Usage:"),
            "{help}"
        );
    }
}
