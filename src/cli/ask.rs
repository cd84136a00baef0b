//! `fibrpc N...`, `fibrpc -` and `fibrpc --file F`: requests all numbers, many at once, and prints the
//! answers in the order requested, each as soon as it and all before it have arrived.

use super::answers::Answers;
use super::common::{Common, Setup};
use super::connect::{Failed, Notice, PATIENCE, connect, queue, settings, waiting_for_reply};
use super::exit;
use super::help::examples;
use super::input::{Input, Item};
use super::output::{Closed, Output, complain, note};
use super::progress::{self, Done, Progress};
use super::trace;
use crate::client::{CallError, Client};
use crate::config::Config;
use crate::fibonacci::client::Number;
use crate::protocol::{Status, TraceContext};
use clap::ValueHint;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

/// Default number of calls in flight: enough to keep several servers busy, few enough that none waits long in the
/// queue, where its deadline runs.
const WINDOW: u16 = 256;

/// Maximum estimated size of all pending answers, in bytes.
const BUDGET: u64 = 16 << 20;

/// The help of `fibrpc` itself.
pub(super) const HELP: &str = examples! {
    "fibrpc 30            print the 30th Fibonacci number; several are requested at once"
    "seq 5000 | fibrpc -  request any number of them, one per line"
    "fibrpc call q BODY   call any service, and print its reply"
    "fibrpc doctor        find out why there is no reply"
};

/// What follows the flags in `fibrpc --help`.
pub(super) const AFTER_HELP: &str = "\
Exit status:
   0  every request was answered
   1  fibrpc doctor found warnings, or an assertion of fibrpc bench failed
   2  fibrpc doctor found a problem
  64  usage error
  65  a number or body is refused, here or by the service, or the service reports NOT_FOUND or similar
  66  the input file cannot be read
  69  no broker, no such queue, or no server on it; nothing was published. Or no such method
  70  the server failed
  71  the operating system lacks a resource, such as file descriptors
  74  standard output cannot be written
  75  no reply in time, or the server is too busy; a retry may succeed
  76  the reply was not an integer, or the outcome of the request is unknown
  77  the broker refused the user or the operation, or the service does not know the caller
  78  configuration error
  If several numbers fail, the first of them in the order requested decides.

With --json, standard output has one object per number, in the order requested: its \"n\", its \"line\"
if it was read from one, and either \"value\" (text, of any length) or \"code\", \"message\" and
\"retryable\"; if known, also \"server\", \"queued_us\", \"compute_us\", \"round_trip_us\" and \"trace_id\".

Files: /etc/fibrpc.toml, /etc/fibrpc.toml.d/*.toml, $XDG_CONFIG_HOME/fibrpc/fibrpc.toml.
Environment: FIBRPC_SECTION__KEY, for example FIBRPC_BROKER__URL; TRACEPARENT, TRACESTATE; NO_COLOR.
Manual: fibrpc(1).";

/// Flags of asking.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Ask {
    /// Numbers to request [default: 30]. A single - reads them from standard input
    #[arg(
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "file",
        hide_short_help = true
    )]
    pub(super) numbers: Vec<String>,

    /// Read one number per line from FILE (- for standard input). Empty lines are skipped, an invalid one
    /// fails alone
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        hide_short_help = true
    )]
    pub(super) file: Option<PathBuf>,

    /// Maximum number of requests in flight, 1 to 10000 [default: 256]
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

/// Requests and prints; returns the exit status.
pub(super) async fn run(flags: &Ask, setup: Setup<'_>) -> u8 {
    let common = setup.common;
    let mut input = match Input::open(flags.file.as_deref(), &flags.numbers) {
        Ok(input) => input,
        Err((exit_status, why)) => {
            complain(&why);
            return exit_status;
        }
    };
    if input.is_typed() && !common.quiet {
        note("reading numbers from the terminal, one per line; Ctrl-D ends the input");
    }
    let (many, read) = (input.is_many(), matches!(input, Input::Lines(_)));
    let output = Output::start_with(Progress::new(input.size()), common.style());
    let mut answers = Answers::new(output);
    let mut client = None;
    let asking = ask_all(flags, setup, &mut client, &mut input, &mut answers);
    let asked = setup.stop.run_until_cancelled(Box::pin(asking)).await;
    let summary = match asked {
        None => many.then_some("interrupted: "),
        // Failures of numbers on the command line can be counted by eye.
        Some(_) => (read && answers.failed > 0 && !common.json).then_some(""),
    };
    let summary = summary.filter(|_| !common.quiet);
    // If the reader is gone, there is nothing left to print.
    let _ = conclude(&mut answers, summary).await;
    if let Err(why) = input.close().await {
        let _ = answers.output.complaint(&why).await;
        answers.output.exit_with(exit::NO_INPUT);
    }
    if let Some(client) = client {
        client.close().await;
        tracing::debug!(stats = ?client.stats(), "closed");
    }
    answers.output.finish().await
}

/// Connects once there is a number to request, and requests all.
async fn ask_all(
    flags: &Ask,
    Setup { common, config, .. }: Setup<'_>,
    client: &mut Option<Client>,
    input: &mut Input,
    answers: &mut Answers,
) -> Result<(), Closed> {
    let reading = format!("waiting for numbers from {}", input.name());
    let mut notice = Notice::new(common);
    notice.due &= !input.is_typed();
    // Input that is not a number needs no connection.
    let first = loop {
        let next = notice.after_patience(input.next(), || reading.clone());
        let Some(item) = next.await else {
            return Ok(());
        };
        match item.fault.clone() {
            None => break item,
            Some(fault) => answers.put(&item, Err(fault.into())).await?,
        }
    };
    let mut notice = Notice::new(common);
    let mut settings = settings(config);
    settings.wait_for_server = flags.wait;
    let began = Instant::now();
    match connect(settings, config, &mut notice).await {
        Ok(connected) => {
            let asking = Asking {
                client: client.insert(connected),
                config,
                queue: queue(config),
                trace: trace::of_environment(common),
                began,
                window: flags.in_flight.unwrap_or(WINDOW).into(),
                reading,
                typed: input.is_typed(),
                bar: wants_bar(common, input),
            };
            asking.ask(first, input, answers, notice).await
        }
        Err(Failed { status, exit }) => {
            answers.output.exit_with(exit);
            refuse_all(&status, first, input, answers).await
        }
    }
}

/// Fails all numbers on the command line, since there is no connection. A file or pipe is not read further, since
/// that may never end.
async fn refuse_all(
    status: &Status,
    first: Item,
    input: &mut Input,
    answers: &mut Answers,
) -> Result<(), Closed> {
    answers.put_for_all(&first, status).await?;
    while let Some(item) = input.next_word() {
        match item.fault.clone() {
            None => answers.put_for_all(&item, status).await?,
            Some(fault) => answers.put(&item, Err(fault.into())).await?,
        }
    }
    Ok(())
}

/// Prints how many failed like the last one and, if requested, the totals.
async fn conclude(answers: &mut Answers, summary: Option<&str>) -> Result<(), Closed> {
    answers.rest().await?;
    match summary {
        Some(prefix) => {
            let summary = format!("{prefix}{}", answers.summary());
            answers.output.note(&summary).await
        }
        None => Ok(()),
    }
}

/// What stays the same while numbers are requested.
struct Asking<'a> {
    client: &'a Client,
    config: &'a Config,
    queue: Arc<str>,
    /// The trace of the calls.
    trace: Option<TraceContext>,
    /// When connecting began: the first calls count from there.
    began: Instant,
    /// Maximum number of calls in flight.
    window: usize,
    /// The wait for input, for messages.
    reading: String,
    /// Whether the numbers are typed at a terminal.
    typed: bool,
    bar: bool,
}

impl Asking<'_> {
    async fn ask(
        &self,
        first: Item,
        input: &mut Input,
        answers: &mut Answers,
        mut notice: Notice,
    ) -> Result<(), Closed> {
        let mut calls = FuturesOrdered::new();
        let (mut reserved, mut position) = (cost(&first), 0);
        let mut more = true;
        let mut answered = Instant::now();
        let mut ticks = interval_at(answered + progress::PATIENCE, progress::REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        calls.push_back(self.call(first, self.began));
        // Numbers on the command line are requested at once; those that are read may come much later.
        let mut since = (!matches!(input, Input::Lines(_))).then_some(self.began);
        while more || !calls.is_empty() {
            let room = calls.len() < self.window && reserved < BUDGET;
            let idle = calls.is_empty();
            let noticed = notice.due && !self.bar && !(idle && self.typed);
            tokio::select! {
                item = input.next(), if more && room => match item {
                    Some(item) => {
                        reserved += cost(&item);
                        calls.push_back(self.call(item, since.unwrap_or_else(Instant::now)));
                    }
                    None => more = false,
                },
                Some((item, outcome)) = calls.next(), if !idle => {
                    reserved -= cost(&item);
                    since = None;
                    position = item.position;
                    answers.put(&item, outcome).await?;
                    answered = Instant::now();
                }
                () = answers.output.closed() => return Err(Closed),
                () = sleep_until(answered + PATIENCE), if noticed => notice.say(&self.waiting(idle)),
                _ = ticks.tick(), if self.bar => answers.output.progress(Done {
                    numbers: answers.answered + answers.failed,
                    position,
                    waiting: (answered.elapsed() > PATIENCE).then(|| self.waiting(idle)),
                }),
            }
        }
        Ok(())
    }

    /// The timeout runs from `since`, not from when the line was read.
    async fn call(&self, item: Item, since: Instant) -> (Item, Result<Number, CallError>) {
        let outcome = match item.fault.clone() {
            None => {
                let (n, timeout) = (item.text.trim(), self.config.client.timeout);
                let calling = self.client.call::<Number>(Arc::clone(&self.queue), n);
                let calling = calling.trace_context(self.trace.as_ref());
                calling.timeout(timeout).since(since.into_std()).await
            }
            Some(fault) => Err(fault.into()),
        };
        (item, outcome)
    }

    /// What the program waits for, for messages.
    fn waiting(&self, idle: bool) -> String {
        if idle {
            self.reading.clone()
        } else {
            waiting_for_reply(self.client, self.config)
        }
    }
}

/// Estimated bytes of the answer, and some for the request: the n-th number has about 0.21 n digits.
fn cost(item: &Item) -> u64 {
    let n: u64 = item.text.trim().parse().unwrap_or(0);
    // An answer that no message can hold will not come.
    256 + (n / 4).min(BUDGET)
}

/// Whether to draw a progress bar: for many numbers that are not typed, on a terminal, unless the flags exclude it.
fn wants_bar(common: &Common, input: &Input) -> bool {
    let excluded = common.json || common.quiet || common.verbose > 0;
    input.is_many() && !input.is_typed() && !excluded && progress::is_possible()
}
