//! `fibrpc ping`: round trips to a server, one line each and a summary at the end, like ping(8).

use super::common::{Setup, interval};
use super::connect::{Notice, connect, queue, settings};
use super::help::examples;
use super::output::{Closed, Failure, Output, line_of};
use crate::client::{Answerer, Client, Pong};
use crate::config::Config;
use crate::protocol::{Code, Status};
use crate::text::{duration, micros, safe};
use clap::ValueHint;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Check that a server replies, and measure round-trip time
///
/// Sends requests that need no computation through the request queue, and prints one line per reply and a
/// summary at the end. A server without support for pings is shown as a plain server.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = examples! {
        "fibrpc ping             once per second, until Ctrl-C"
        "fibrpc ping -c 4        four times"
        "fibrpc ping -i 100ms    ten times per second"
    },
    after_help = "Exit status: 0 if any reply arrived."
)]
pub(super) struct Ping {
    /// Stop after COUNT pings [default: run until Ctrl-C]
    #[arg(
        short,
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u64).range(1..),
        value_hint = ValueHint::Other
    )]
    pub(super) count: Option<u64>,

    /// Interval between pings, at least 1ms
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

/// Pings until the count is reached or it is stopped; returns the exit status.
pub(super) async fn run(flags: &Ping, setup: Setup<'_>) -> u8 {
    let Setup {
        common,
        config,
        stop,
    } = setup;
    let mut output = Output::start(common.style());
    let mut notice = Notice::new(common);
    let began = Instant::now();
    let connecting = connect(settings(config), config, &mut notice);
    let client = match stop.run_until_cancelled(connecting).await {
        Some(Ok(client)) => client,
        Some(Err(failed)) => {
            // If the reader is gone, there is nothing left to print.
            let _ = failed.report(&mut output).await;
            return output.finish().await;
        }
        None => return output.finish().await,
    };
    let mut outcomes = Outcomes::new(common.json);
    let pinging = ping(&client, began, flags, config, &mut output, &mut outcomes);
    // Done, stopped, or the reader is gone: in any case there is a summary.
    let _ = stop.run_until_cancelled(pinging).await;
    let _ = output.line(outcomes.summary()).await;
    if outcomes.received == 0
        && let Some(code) = outcomes.failure
    {
        output.failed(code);
    }
    client.close().await;
    output.finish().await
}

async fn ping(
    client: &Client,
    began: Instant,
    flags: &Ping,
    config: &Config,
    output: &mut Output,
    outcomes: &mut Outcomes,
) -> Result<(), Closed> {
    let timeout = config.client.timeout;
    let queue = queue(config);
    let count = flags.count.unwrap_or(u64::MAX);
    let mut ticks = tokio::time::interval(flags.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pings = FuturesUnordered::new();
    while outcomes.sent < count || !pings.is_empty() {
        tokio::select! {
            _ = ticks.tick(), if outcomes.sent < count => {
                outcomes.sent += 1;
                let seq = outcomes.sent;
                // The first one counts from the start of connecting.
                let since = if seq == 1 { began } else { Instant::now() };
                let queue = Arc::clone(&queue);
                pings.push(async move { (seq, client.ping_since(since, queue, timeout).await) });
            }
            Some((seq, outcome)) = pings.next(), if !pings.is_empty() => {
                outcomes.count(&outcome);
                match outcome {
                    Ok(pong) => output.line(outcomes.line(seq, &pong)).await?,
                    Err(status) if outcomes.json => {
                        let failure = Failure::from(&status);
                        output.line(line_of(&Lost { seq, failure })).await?;
                    }
                    Err(status) => output.complaint(&format!("seq={seq}: {}", status.message())).await?,
                }
            }
        }
    }
    Ok(())
}

/// The outcomes of all pings so far.
#[derive(Debug)]
struct Outcomes {
    json: bool,
    sent: u64,
    received: u64,
    /// Of the first ping that failed.
    failure: Option<Code>,
    times: Histogram<u64>,
    sum: Duration,
    min: Duration,
    max: Duration,
}

/// A line of `--json`. Fields are added to it, never renamed.
#[derive(Serialize)]
struct JsonLine<'a> {
    seq: u64,
    round_trip_us: u64,
    /// Whether the server supports pings.
    fibrpc: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
}

#[derive(Serialize)]
struct Lost<'a> {
    seq: u64,
    #[serde(flatten)]
    failure: Failure<'a>,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct JsonSummary {
    sent: u64,
    received: u64,
    loss_percent: f64,
    #[serde(flatten)]
    times: Option<Times>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "the names are the output's")]
struct Times {
    min_us: u64,
    avg_us: u64,
    p99_us: u64,
    max_us: u64,
}

impl Outcomes {
    fn new(json: bool) -> Self {
        #[allow(
            clippy::expect_used,
            reason = "fails for bad precisions only, and 3 is a good one"
        )]
        let times = Histogram::new(3).expect("a good precision");
        Self {
            json,
            sent: 0,
            received: 0,
            failure: None,
            times,
            sum: Duration::ZERO,
            min: Duration::MAX,
            max: Duration::ZERO,
        }
    }

    fn count(&mut self, outcome: &Result<Pong, Status>) {
        match outcome {
            Ok(pong) => {
                let time = pong.round_trip;
                self.received += 1;
                self.sum += time;
                self.min = self.min.min(time);
                self.max = self.max.max(time);
                // It grows as needed; only centuries would not fit.
                let _ = self.times.record(micros(time));
            }
            Err(status) => {
                self.failure.get_or_insert(status.code());
            }
        }
    }

    fn line(&self, seq: u64, pong: &Pong) -> String {
        if self.json {
            return line_of(&JsonLine {
                seq,
                round_trip_us: micros(pong.round_trip),
                fibrpc: matches!(pong.from, Answerer::Server(_)),
                server: match &pong.from {
                    Answerer::Server(report) => Some(&report.instance),
                    Answerer::Plain(trailer) => trailer.server.as_deref(),
                },
            });
        }
        let time = duration(pong.round_trip);
        format!("reply from {}: seq={seq} time={time}", name(&pong.from))
    }

    fn summary(&self) -> String {
        let Self { sent, received, .. } = *self;
        #[allow(clippy::cast_precision_loss, reason = "a share, for people")]
        let loss_percent = match sent {
            0 => 0.0,
            _ => 100.0 * (sent.saturating_sub(received)) as f64 / sent as f64,
        };
        // The histogram rounds, the extremes are exact.
        let p99 = Duration::from_micros(self.times.value_at_quantile(0.99));
        let p99 = p99.max(self.min).min(self.max);
        let average = u32::try_from(received)
            .ok()
            .and_then(|n| self.sum.checked_div(n));
        let times = average.map(|average| [self.min, average, p99, self.max]);
        if self.json {
            return line_of(&JsonSummary {
                sent,
                received,
                loss_percent,
                times: times.map(|times| {
                    let [min_us, avg_us, p99_us, max_us] = times.map(micros);
                    Times {
                        min_us,
                        avg_us,
                        p99_us,
                        max_us,
                    }
                }),
            });
        }
        let counts = format!("{sent} sent, {received} received, {loss_percent:.0}% lost");
        match times {
            Some(times) => {
                let times = times.map(duration).join("/");
                format!("{counts}, min/avg/p99/max = {times}")
            }
            None => counts,
        }
    }
}

/// Which server answered, for people.
fn name(from: &Answerer) -> String {
    match from {
        Answerer::Server(report) => {
            let place = format!("{}/{}", report.host, report.pid);
            if report.instance == place {
                safe(&place).into_owned()
            } else {
                format!("{} ({})", safe(&report.instance), safe(&place))
            }
        }
        Answerer::Plain(trailer) => match &trailer.server {
            Some(server) => format!("{}, which does not support ping", safe(server)),
            None => "a plain server (no fibrpcd, or an old one)".into(),
        },
    }
}

#[cfg(test)]
mod tests;
