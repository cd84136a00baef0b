//! `fibrpc N...`, `fibrpc -` and `fibrpc --file F`: asks for all numbers, so many at once, and prints the
//! answers in the order asked, each as soon as it and all before it are there.

use super::EXIT_SYSTEM;
use super::answers::Answers;
use super::args::{Args, Common};
use super::input::{EXIT_INPUT, Input, Item};
use super::output::{Closed, Output, Style, complain, note};
use super::progress::{self, Done, Progress};
use crate::broker::{Error, Kind};
use crate::client::{CallError, Client, Reply, Settings, State};
use crate::config::{BrokerUrl, Config};
use crate::protocol::Status;
use crate::text::duration;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

/// Calls in flight at once where nobody says how many. Enough to keep some servers busy, few enough that
/// none waits long in the queue, where its time runs.
const WINDOW: u16 = 256;

/// Bytes of answers that may be on their way, or wait for one before them.
const BUDGET: u64 = 16 << 20;

/// After how long a wait deserves a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks and prints; gives the exit status.
pub(super) async fn run(args: &Args, config: &Config, stop: &CancellationToken) -> u8 {
    let common = &args.common;
    let mut input = match Input::open(&args.ask) {
        Ok(input) => input,
        Err((exit_status, why)) => {
            complain(&why);
            return exit_status;
        }
    };
    if input.is_typed() && !common.quiet {
        note("reading numbers from the terminal, one a line; Ctrl-D ends them");
    }
    let style = Style {
        json: common.json,
        verbose: common.verbose > 0,
    };
    let (many, read) = (input.is_many(), matches!(input, Input::Lines(_)));
    let output = Output::start_with(Progress::new(input.size()), style);
    let mut answers = Answers::new(output);
    let mut client = None;
    let asking = ask_all(args, config, &mut client, &mut input, &mut answers);
    let asked = stop.run_until_cancelled(Box::pin(asking)).await;
    let summary = match asked {
        None => many.then_some("interrupted: "),
        // Failures among words of the command line can be counted by eye.
        Some(_) => (read && answers.failed > 0 && !common.json).then_some(""),
    };
    let summary = summary.filter(|_| !common.quiet);
    // Where nobody reads any more there is nobody to tell.
    let _ = conclude(&mut answers, summary).await;
    if let Err(why) = input.close().await {
        let _ = answers.output.complaint(&why).await;
        answers.output.exit_with(EXIT_INPUT);
    }
    if let Some(client) = client {
        client.close().await;
        tracing::debug!(stats = ?client.stats(), "closed");
    }
    answers.output.finish().await
}

/// Connects where there is a number to ask for, and asks for all.
async fn ask_all(
    args: &Args,
    config: &Config,
    client: &mut Option<Client>,
    input: &mut Input,
    answers: &mut Answers,
) -> Result<(), Closed> {
    let reading = format!("waiting for numbers from {}", input.name());
    let mut notice = Notice::new(&args.common);
    notice.due &= !input.is_typed();
    // Nobody needs to be asked about what is no number.
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
    let mut notice = Notice::new(&args.common);
    let mut settings = settings(config);
    settings.wait_for_server = args.ask.wait;
    let began = Instant::now();
    match connect(settings, config, &mut notice).await {
        Ok(connected) => {
            let asking = Asking {
                client: client.insert(connected),
                config,
                began,
                window: args.ask.in_flight.unwrap_or(WINDOW).into(),
                reading,
                typed: input.is_typed(),
                bar: wants_bar(&args.common, input),
            };
            asking.ask(first, input, answers, notice).await
        }
        Err(Failed { status, exit }) => {
            answers.output.exit_with(exit);
            refuse_all(&status, first, input, answers).await
        }
    }
}

/// There is no connection: so much for all that was written on the command line. What is read is not
/// read on, since that may never end.
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

/// The last words: what failed like the rest, and, where it is wanted, how many there were.
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

/// All that stays the same while numbers are asked for.
struct Asking<'a> {
    client: &'a Client,
    config: &'a Config,
    /// When the first calls began, by connecting.
    began: Instant,
    /// How many calls may be in flight.
    window: usize,
    /// Where numbers come from that are waited for, in words.
    reading: String,
    /// Whether somebody types them.
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
        // What is written on the command line is asked for at once; what is read may come much later.
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

    /// The time runs from `since`, and not from when the line was read.
    async fn call(&self, item: Item, since: Instant) -> (Item, Result<Reply, CallError>) {
        let outcome = match item.fault.clone() {
            None => {
                let (n, timeout) = (item.text.trim(), self.config.client.timeout);
                self.client.call_since(since.into_std(), n, timeout).await
            }
            Some(fault) => Err(fault.into()),
        };
        (item, outcome)
    }

    /// What is waited for, in words.
    fn waiting(&self, idle: bool) -> String {
        let timeout = duration(self.config.client.timeout);
        match self.client.state() {
            _ if idle => self.reading.clone(),
            State::Ready => format!(
                "waiting for a reply from queue {:?}, at most {timeout}",
                self.config.queue.name
            ),
            state => format!("{state}; waiting, at most {timeout}"),
        }
    }
}

/// What a client needs to know. Nobody waits longer for the broker than for an answer.
pub(super) fn settings(config: &Config) -> Settings {
    let timeout = config.client.timeout;
    let mut settings = Settings::new(config);
    settings.connect_limit = Some(timeout);
    let limit = &mut settings.broker.confirm_timeout;
    *limit = timeout.min(*limit);
    settings
}

/// Connects, and says so where that takes long.
pub(super) async fn connect(
    settings: Settings,
    config: &Config,
    notice: &mut Notice,
) -> Result<Client, Failed> {
    // Boxed: what it takes to connect is large, and gone afterwards.
    let connecting = Box::pin(Client::connect(settings));
    let connected = notice.after_patience(connecting, || waiting_for_broker(config));
    Ok(connected.await?)
}

/// A failure before there is anything to ask, and the exit status for it.
pub(super) struct Failed {
    pub(super) status: Status,
    pub(super) exit: u8,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let exit = match error.kind {
            Kind::Shortage => EXIT_SYSTEM,
            _ => error.code().exit_status(),
        };
        let status = error.into();
        Self { status, exit }
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        let exit = status.code.exit_status();
        Self { status, exit }
    }
}

/// Where the client tries to connect to, in words.
pub(super) fn waiting_for_broker(config: &Config) -> String {
    let addresses: Vec<_> = config.broker.url.iter().map(BrokerUrl::address).collect();
    format!("waiting for broker {}", addresses.join(" or "))
}

/// Bytes to expect of the answer, and some for the question: the n-th number has about 0.21 n digits.
fn cost(item: &Item) -> u64 {
    let n: u64 = item.text.trim().parse().unwrap_or(0);
    // What no message can hold will not come.
    256 + (n / 4).min(BUDGET)
}

/// Whether to draw a bar: for many numbers that nobody types, on a terminal that is not told otherwise.
fn wants_bar(common: &Common, input: &Input) -> bool {
    let told = common.json || common.quiet || common.verbose > 0;
    input.is_many() && !input.is_typed() && !told && progress::is_possible()
}

/// Says once, to a terminal, what takes so long.
pub(super) struct Notice {
    due: bool,
}

impl Notice {
    pub(super) fn new(common: &Common) -> Self {
        Self {
            due: !common.quiet && std::io::stderr().is_terminal(),
        }
    }

    pub(super) async fn after_patience<T>(
        &mut self,
        future: impl Future<Output = T>,
        waiting: impl Fn() -> String,
    ) -> T {
        let mut future = pin!(future);
        if self.due {
            tokio::select! {
                done = &mut future => return done,
                () = tokio::time::sleep(PATIENCE) => {}
            }
            self.say(&waiting());
        }
        future.await
    }

    fn say(&mut self, waiting: &str) {
        self.due = false;
        note(waiting);
    }
}
