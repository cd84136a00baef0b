//! `fibrpc bench`: a load test against the servers of a queue, with a report.
//!
//! A first request checks that a server replies. Then the load runs for a duration or a number of requests, and ends
//! when all requests have: at most a call's timeout later. A signal ends it at once, with the report so far.

mod assertion;
mod check;
mod json;
mod load;
mod mix;
mod pacer;
mod report;
mod schedule;
mod summary;
mod tally;
mod units;
mod work;

use super::common::{Common, DEFAULT_N, Setup, duration, interval};
use super::connect::{Failed, Notice, connect, queue, settings};
use super::exit;
use super::help::examples;
use super::output::{Output, complain, line_of};
use super::progress::{self, Progress};
use super::request::{CallRequest, Flags, prepare};
use crate::client::Client;
use crate::config::Config;
use crate::protocol::Status;
use crate::text;
use assertion::Assertion;
use clap::ValueHint;
use json::JsonReport;
use load::Generator;
use mix::Mix;
use schedule::Pace;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use summary::{Clients, Load, Summary};
use tally::Tally;
use work::Work;

/// Default number of requests in flight in the closed loop.
const CLOSED: usize = 100;

/// The same in the open loop, where it only bounds memory: a stall of one second at 10,000 requests per second.
const OPEN: usize = 10_000;

/// Default duration of the measurement.
const DURATION: Duration = Duration::from_secs(10);

/// Run a load test against the servers
///
/// Keeps a number of requests in flight (closed loop) or, with --rate, sends at a fixed rate regardless of
/// the replies (open loop). In the open loop, latency is measured from the time when a request was due, so
/// that a stall of the server shows in every request that it delayed.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = examples! {
        "fibrpc bench                          100 in flight for ten seconds"
        "fibrpc bench -r 5000 -d 1m            5000 per second, regardless of the replies"
        "fibrpc bench --queue q --body '{}'    another service than the one for numbers"
        "fibrpc bench --assert 'p99<20ms'      for scripts: exit status 1 if that does not hold"
    },
    after_help = "\
Conditions: METRIC OPERATOR VALUE, with rate, errors, error-ratio, min, mean, max, or a percentile
such as p50 or p99.9; < <= > >= or ==; times with their unit (us, ms, s).

Exit status: 1 if a condition does not hold; if no request was answered, that of the failure."
)]
pub(super) struct Bench {
    /// Maximum requests in flight [default: 100; 10000 with --rate]
    #[arg(
        short = 'f',
        long,
        value_name = "COUNT",
        value_parser = in_flight,
        value_hint = ValueHint::Other
    )]
    in_flight: Option<usize>,

    /// Send RATE requests per second
    #[arg(short, long, value_name = "RATE", value_parser = rate, value_hint = ValueHint::Other)]
    rate: Option<f64>,

    /// Measure for DURATION [default: 10s, or as long as --requests takes]
    #[arg(
        short,
        long,
        value_name = "DURATION",
        value_parser = interval,
        value_hint = ValueHint::Other
    )]
    duration: Option<Duration>,

    /// Measure COUNT requests
    #[arg(
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u64).range(1..),
        value_hint = ValueHint::Other
    )]
    requests: Option<u64>,

    /// Numbers: 30, or 10,1000, or 1..99, or weighted 10:9,99:1
    #[arg(
        short,
        long,
        value_name = "MIX",
        default_value = DEFAULT_N,
        conflicts_with_all = ["body", "body_file", "method", "content_type", "headers", "priority"],
        value_hint = ValueHint::Other
    )]
    n: Mix,

    /// Load any service: send BODY instead of numbers; - is standard input
    #[arg(
        long,
        value_name = "BODY",
        allow_hyphen_values = true,
        value_hint = ValueHint::Other
    )]
    body: Option<OsString>,

    /// Load any service: send the content of FILE (- for standard input)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "body",
        value_hint = ValueHint::FilePath,
        hide_short_help = true
    )]
    body_file: Option<PathBuf>,

    #[command(flatten)]
    request: Flags,

    /// Exclude the first DURATION from the measurement
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1s",
        value_parser = duration,
        value_hint = ValueHint::Other,
        hide_short_help = true
    )]
    warm_up: Duration,

    /// Spread the requests over COUNT connections
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        value_parser = connections,
        value_hint = ValueHint::Other,
        hide_short_help = true
    )]
    connections: usize,

    /// Send requests as fibrpc does, with deadlines and publisher confirms, and not as the tutorial's clients
    /// do
    #[arg(long, hide_short_help = true)]
    full: bool,

    /// Fail if CONDITION does not hold, such as 'p99<20ms'; may be repeated
    #[arg(long = "assert", value_name = "CONDITION", value_hint = ValueHint::Other)]
    assertions: Vec<Assertion>,
}

/// Runs the load; returns the exit status.
pub(super) async fn run(flags: &Bench, setup: Setup<'_>) -> u8 {
    let Setup {
        common,
        config,
        stop,
    } = setup;
    let work = match prepare(setup, flags.work(common)).await {
        Ok(work) => work,
        Err(exit_status) => return exit_status,
    };
    let mut output = Output::start_with(Progress::of_words(), common.style());
    let mut notice = Notice::new(common);
    let getting_ready = get_ready(flags, &work, config, &mut notice);
    let clients = match stop.run_until_cancelled(getting_ready).await {
        Some(Ok(clients)) => clients,
        Some(Err(failed)) => {
            // If the reader is gone, there is nothing left to print.
            let _ = failed.report(&mut output).await;
            return output.finish().await;
        }
        None => return output.finish().await,
    };
    let mut tally = Tally::new();
    let generator = Generator {
        clients: &clients,
        queue: queue(config),
        work: &work,
        pace: flags.pace(),
        in_flight: flags.in_flight(),
        timeout: config.client.timeout,
    };
    let live = !common.json && !common.quiet && progress::is_possible();
    let running = generator.run(&mut tally, live.then_some(&output), stop);
    let interrupted = match running.await {
        Ok(interrupted) => interrupted,
        Err(error) => {
            complain(&format!("cannot keep time: {error}"));
            return exit::SYSTEM;
        }
    };
    let stats = clients.iter().map(Client::stats);
    let seen = stats.fold(Clients::default(), |seen, stats| Clients {
        lost: seen.lost + stats.lost,
        unexpected: seen.unexpected + stats.unexpected,
    });
    let summary = tally.summary(flags.load(&work, config), seen);
    let failed = print_report(flags, common, &summary, interrupted, &mut output).await;
    for client in &clients {
        client.close().await;
    }
    match output.finish().await {
        // A failed assertion takes precedence, unless the output could not be written.
        status if failed && status != exit::OUTPUT => exit::ASSERTION_FAILED,
        status => status,
    }
}

/// Connects, and makes one request on each connection.
async fn get_ready(
    flags: &Bench,
    work: &Work,
    config: &Config,
    notice: &mut Notice,
) -> Result<Vec<Client>, Failed> {
    let timeout = config.client.timeout;
    let n = work.pick(&mut fastrand::Rng::with_seed(0));
    let mut clients = Vec::with_capacity(flags.connections);
    for _ in 0..flags.connections {
        let mut settings = settings(config);
        settings.plain = !flags.full;
        let client = connect(settings, config, notice).await?;
        let waiting = || {
            format!(
                "waiting for a first reply from queue {:?}, at most {}",
                config.queue.name,
                text::duration(timeout)
            )
        };
        let asking = work.ask(&client, queue(config), n, timeout);
        if let Err(error) = notice.after_patience(asking, waiting).await
            // An error of the service is a reply as well.
            && !error.is_from_server()
        {
            return Err(Status::from(error).into());
        }
        clients.push(client);
    }
    Ok(clients)
}

/// Prints the report; returns whether an assertion failed. If no request was answered, the first failure decides the exit
/// status.
async fn print_report(
    flags: &Bench,
    common: &Common,
    summary: &Summary,
    interrupted: bool,
    output: &mut Output,
) -> bool {
    let checks: Vec<_> = flags
        .assertions
        .iter()
        .map(|assertion| assertion.check(summary))
        .collect();
    let lines = if common.json {
        vec![line_of(&JsonReport::new(summary, &checks, interrupted))]
    } else {
        report::lines(summary, &checks)
    };
    for line in lines {
        if output.line(line).await.is_err() {
            break; // the reader is gone
        }
    }
    if summary.answered == 0
        && let Some(code) = summary.first_failure
    {
        output.failed(code);
    }
    let failed = checks.iter().filter(|check| !check.holds);
    for check in failed.clone() {
        let _ = output.complaint(&check.to_string()).await;
    }
    failed.count() > 0
}

impl Bench {
    fn pace(&self) -> Pace {
        Pace {
            rate: self.rate,
            warm_up: self.warm_up,
            duration: match self.requests {
                Some(_) => self.duration,
                None => Some(self.duration.unwrap_or(DURATION)),
            },
            requests: self.requests,
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight.unwrap_or(match self.rate {
            Some(_) => OPEN,
            None => CLOSED,
        })
    }

    /// What to request: numbers, unless a flag describes another request.
    async fn work(&self, common: &Common) -> Result<Work, (u8, String)> {
        let (body, file) = (self.body.as_deref(), self.body_file.as_deref());
        if body.is_none() && file.is_none() && self.request == Flags::default() {
            return Ok(Work::Numbers(self.n.clone()));
        }
        let request = CallRequest::read(&self.request, body, file, common);
        request.await.map(Work::Any)
    }

    fn load(&self, work: &Work, config: &Config) -> Load {
        Load {
            queue: config.queue.name.clone(),
            requests: work.describe(),
            connections: self.connections,
            in_flight: self.in_flight(),
            target_rate: self.rate,
            full: self.full,
            warm_up_s: self.warm_up.as_secs_f64(),
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text).parse();
    rate.ok()
        .filter(|rate| (0.001..=1e6).contains(rate))
        .ok_or_else(|| "not a number of requests per second, 0.001 to 1000000".into())
}

fn in_flight(text: &str) -> Result<usize, String> {
    count(text, 1_000_000)
}

fn connections(text: &str) -> Result<usize, String> {
    count(text, 1000)
}

fn count(text: &str, max: usize) -> Result<usize, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=max).contains(count))
        .ok_or_else(|| format!("not a number from 1 to {max}"))
}
