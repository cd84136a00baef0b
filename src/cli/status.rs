//! `fibrpc status`: the queue, and a table of the daemons that serve it, once or again and again.

mod changes;
mod look;
mod screen;
mod table;
mod view;
mod watch;
mod wrap;

use super::common::Common;
use super::connect::{Failed, Notice};
use super::help::examples;
use super::output::{Closed, Failure, Output, Style, line_of};
use crate::client::{Monitor, Overview};
use crate::config::Config;
use crate::protocol::Status;
use crate::protocol::control::Report;
use look::{REFRESH, look, verdict};
use screen::Screen;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use view::{lines, queue_type};

/// Show the queue and the daemons that serve it
///
/// Daemons report over AMQP alone. Older daemons, those with server.control off or without permission for
/// it, and other servers are counted as silent.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = examples! {
        "fibrpc status           show it once"
        "fibrpc status --watch   refresh every two seconds, until Ctrl-C"
        "fibrpc status --json    for scripts"
    },
    after_help = "Exit status: 69 if no server is on the queue."
)]
pub(super) struct Watch {
    /// Refresh every two seconds until Ctrl-C
    #[arg(short, long)]
    pub(super) watch: bool,
}

/// Shows the status once, or repeatedly until stopped; returns the exit status.
pub(super) async fn run(
    flags: &Watch,
    common: &Common,
    config: &Config,
    stop: &CancellationToken,
) -> u8 {
    let mut output = Output::start(Style {
        json: common.json,
        ..Style::default()
    });
    let mut fleet = None;
    let mut screen = None;
    // Done, stopped, or the reader is gone: in any case it is over.
    if flags.watch && !common.json && Screen::is_possible() {
        let watching = watch::watch(config, &mut fleet, &mut screen, &mut output);
        let _ = stop.run_until_cancelled(watching).await;
    } else {
        let looking = print(flags, common, config, &mut fleet, &mut output);
        let _ = stop.run_until_cancelled(looking).await;
    }
    if let Some(screen) = screen {
        let _ = screen.leave(&output).await;
    }
    if let Some(fleet) = fleet {
        fleet.close().await;
    }
    output.finish().await
}

/// Prints one view after another.
async fn print(
    flags: &Watch,
    common: &Common,
    config: &Config,
    fleet: &mut Option<Monitor>,
    output: &mut Output,
) -> Result<(), Closed> {
    let mut notice = Notice::new(common);
    let mut first = true;
    loop {
        let looked = look(fleet, &mut notice, config).await;
        let looked = looked.map_err(|Failed { status, exit }| {
            output.exit_with(exit);
            status
        });
        show(output, common, config, &looked, first).await?;
        if !flags.watch {
            return Ok(());
        }
        first = false;
        tokio::time::sleep(REFRESH).await;
    }
}

async fn show(
    output: &mut Output,
    common: &Common,
    config: &Config,
    looked: &Result<Overview, Status>,
    first: bool,
) -> Result<(), Closed> {
    let queue = &config.queue.name;
    if let Some(code) = verdict(looked) {
        output.failed(code);
    }
    if common.json {
        return output.line(json(queue, looked)).await;
    }
    if !first {
        output.line(String::new()).await?;
    }
    match looked {
        Ok(view) => {
            let patience = Overview::report_timeout(config.client.timeout);
            for line in lines(queue, view, patience, screen::paper()) {
                output.line(line).await?;
            }
            Ok(())
        }
        Err(status) => output.complaint(status.message()).await,
    }
}

/// The view as one JSON object. Fields are added to it, never renamed.
#[derive(Serialize)]
struct Snapshot<'a> {
    queue: Queue<'a>,
    daemons: &'a [Report],
    /// Consumers that did not answer.
    silent: usize,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct Queue<'a> {
    name: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumers: Option<u32>,
}

fn json(name: &str, looked: &Result<Overview, Status>) -> String {
    match looked {
        Err(status) => line_of(&Failure::from(status)),
        Ok(view) => {
            let daemons = view.servers.as_deref().unwrap_or(&[]);
            let queue = view.queue.as_ref();
            let failed = view.servers.as_ref().err().or(view.queue.as_ref().err());
            line_of(&Snapshot {
                queue: Queue {
                    name,
                    kind: queue_type(daemons),
                    messages: queue.ok().map(|queue| queue.messages),
                    consumers: queue.ok().map(|queue| queue.consumers),
                },
                daemons,
                silent: view.silent(),
                failure: failed.map(Failure::from),
            })
        }
    }
}

#[cfg(test)]
mod tests;
