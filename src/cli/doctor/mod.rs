//! `fibrpc doctor`: checks everything between the user and a reply.
//!
//! The checks go step by step from the configuration to a real reply, one line of the report per check. Checks that
//! depend on a failed one are skipped, so the first problem is the cause. Observations are made the same way as real
//! requests ([`crate::client::probe`], [`Client`]); pure functions, one module per step, judge them. No step takes longer
//! than `client.timeout`.

mod answer;
mod declared;
mod finding;
mod limits;
mod queue;
mod route;
mod settings;

use super::common::{Common, blame, complain_of};
use super::connect::{self, Notice};
use super::exit;
use super::help::examples;
use super::output::{Closed, Output, Style};
use crate::broker::Connection;
use crate::broker::clock::unix_ms;
use crate::client::probe::{self, ConnectReport};
use crate::client::{Client, Settings};
use crate::config::{BrokerUrl, Config, Loaded, Problem, Program, load};
use crate::fibonacci::client::Number;
use crate::stdio;
use finding::{Check, Finding, Verdict, skipped};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// Diagnose configuration, connection, permissions, queue and servers
///
/// Checks, in this order: configuration, name lookup, TCP, TLS, login, vhost, the broker and its known
/// limits, alarms, permissions, the queue and its type, its consumers, and real round trips. Prints one line
/// per check: "ok", "warning" or "problem" with a remedy, or "skipped" if an earlier problem prevents it; the
/// first problem is the cause. No step takes longer than client.timeout; no request is consumed.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(
    help_template = examples! {
        "fibrpc doctor                   find out why there is no reply"
        "fibrpc --queue jobs doctor      the same for another queue"
        "fibrpc doctor --json            for scripts"
    },
    after_help = "\
Exit status: 0 if everything is ok, 1 for warnings, 2 for problems.

With --json, each finding is one object: \"check\", \"verdict\", \"message\" and, if there is a remedy,
\"fix\"; checks that are made for each broker also have \"broker\"."
)]
pub(super) struct Doctor {}

/// Checks everything; returns the exit status: 0 if everything is ok, 1 for warnings, 2 for problems.
pub(super) async fn run(common: &Common, stop: &CancellationToken) -> u8 {
    let overrides = common.overrides();
    let loaded = load(Program::Client, &overrides);
    if let Err(problems) = &loaded
        && blame(Program::Client, &overrides) == exit::USAGE
    {
        complain_of(problems);
        return exit::USAGE;
    }
    let brokers = loaded
        .as_ref()
        .map_or(0, |loaded| loaded.config.broker.url.len());
    let mut report = Findings {
        output: Output::start(Style::default()),
        json: common.json,
        color: stdio::stdout().has_color(),
        several_brokers: brokers > 1,
        all: Vec::new(),
    };
    let examining = Box::pin(examine(&mut report, common, &loaded));
    // If the reader is gone, there is nothing left to print.
    let _ = stop.run_until_cancelled(examining).await;
    let _ = report.rest().await;
    let findings = report.all.iter();
    let worst = findings.map(|finding| finding.verdict).max();
    match report.output.finish().await {
        0 => worst.unwrap_or(Verdict::Ok).exit_status(),
        cannot_write => cannot_write,
    }
}

/// The findings so far, printed as they are added.
struct Findings {
    output: Output,
    json: bool,
    color: bool,
    several_brokers: bool,
    all: Vec<Finding>,
}

impl Findings {
    async fn add(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<(), Closed> {
        for finding in findings {
            let line = if self.json {
                finding.json()
            } else {
                finding.line(self.several_brokers, self.color)
            };
            self.all.push(finding);
            self.output.line(line).await?;
        }
        Ok(())
    }

    /// Adds the checks that were skipped.
    async fn rest(&mut self) -> Result<(), Closed> {
        self.add(skipped(&self.all, Check::ALL)).await
    }

    fn has_problem(&self) -> bool {
        let is_problem = |finding: &Finding| finding.verdict == Verdict::Problem;
        self.all.iter().any(is_problem)
    }
}

/// Checks step by step, up to the first problem.
async fn examine(
    report: &mut Findings,
    common: &Common,
    loaded: &Result<Loaded, Vec<Problem>>,
) -> Result<(), Closed> {
    report.add(settings::judge(loaded)).await?;
    let Ok(Loaded { config, .. }) = loaded else {
        return Ok(());
    };
    let mut settings = connect::settings(config);
    // The limit is per step.
    let step = settings.broker.connect_timeout.min(config.client.timeout);
    settings.broker.connect_timeout = step;
    let connecting = settings.broker.url.iter().cloned();
    let connecting = join_all(connecting.map(|url| probe::connect(url, &settings)));
    let reports = Notice::new(common)
        .after_patience(connecting, || connect::waiting_for_broker(config))
        .await;
    report
        .add(route::judge(&reports, config, SystemTime::now()))
        .await?;
    let Some((url, connection)) = usable(reports).await else {
        return Ok(());
    };
    let looking = probe::inspect(connection, &config.queue, settings.broker.connect_timeout);
    let seen = Notice::new(common)
        .after_patience(looking, || {
            format!("checking queue {:?}", config.queue.name)
        })
        .await;
    report.add(queue::judge(&seen, &url, &config.queue)).await?;
    if report.has_problem() {
        return Ok(());
    }
    settings.broker.url = vec![url];
    ask(report, common, config, settings).await
}

/// The first usable broker; closes the connections to the others.
async fn usable(reports: Vec<ConnectReport>) -> Option<(BrokerUrl, Connection)> {
    let (usable, others): (Vec<_>, Vec<_>) =
        reports.into_iter().partition(ConnectReport::is_usable);
    let connected = |report: ConnectReport| Some((report.url, report.connection?.ok()?));
    let mut usable = usable.into_iter().filter_map(connected);
    let first = usable.next();
    let others = usable.chain(others.into_iter().filter_map(connected));
    join_all(others.map(|(_, connection)| probe::close(connection))).await;
    first
}

/// Makes real round trips.
async fn ask(
    report: &mut Findings,
    common: &Common,
    config: &Config,
    settings: Settings,
) -> Result<(), Closed> {
    let timeout = config.client.timeout;
    let queue = connect::queue(config);
    let client = match Client::open(settings).await {
        Ok(client) => client,
        Err(error) => return report.add([Check::Ping.failed(&error.message)]).await,
    };
    let waiting = || format!("waiting for a reply from queue {:?}", config.queue.name);
    let pong = Notice::new(common)
        .after_patience(client.ping(Arc::clone(&queue), timeout), waiting)
        .await;
    let received_ms = unix_ms();
    let mut findings = vec![answer::ping(&pong)];
    if let Ok(pong) = &pong {
        findings.push(answer::clock(pong, received_ms, timeout));
    }
    report.add(findings).await?;
    if pong.is_ok() {
        let calling = client.call::<Number>(queue, answer::QUESTION.0);
        let calling = calling.timeout(timeout).into_future();
        let reply = Notice::new(common).after_patience(calling, waiting).await;
        report.add([answer::answer(&reply)]).await?;
    }
    client.close().await;
    Ok(())
}
