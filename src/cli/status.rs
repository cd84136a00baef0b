//! `fibrpc status`: the queue, and a table of the daemons that serve it, once or again and again.

mod changes;
mod look;
mod screen;
mod table;
mod view;
mod watch;
mod wrap;

use super::common::Setup;
use super::connect::Notice;
use super::help::examples;
use super::output::{Closed, Failure, Output, line_of};
use crate::client::{Monitor, Overview};
use crate::protocol::Status;
use crate::protocol::control::Report;
use look::{REFRESH, judge, look};
use screen::Screen;
use serde::Serialize;
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
pub(super) async fn run(flags: &Watch, setup: Setup<'_>) -> u8 {
    let Setup {
        common,
        config,
        stop,
    } = setup;
    let mut output = Output::start(common.style());
    let mut fleet = None;
    let mut screen = None;
    // Done, stopped, or the reader is gone: in any case it is over.
    if flags.watch && !common.json && Screen::is_possible() {
        let watching = watch::watch(config, &mut fleet, &mut screen, &mut output);
        let _ = stop.run_until_cancelled(watching).await;
    } else {
        let looking = print(flags, setup, &mut fleet, &mut output);
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
    setup: Setup<'_>,
    fleet: &mut Option<Monitor>,
    output: &mut Output,
) -> Result<(), Closed> {
    let mut notice = Notice::new(setup.common);
    let mut first = true;
    loop {
        let looked = look(fleet, &mut notice, setup.config).await;
        let looked = judge(looked, output);
        show(output, setup, &looked, first).await?;
        if !flags.watch {
            return Ok(());
        }
        first = false;
        tokio::time::sleep(REFRESH).await;
    }
}

async fn show(
    output: &mut Output,
    Setup { common, config, .. }: Setup<'_>,
    looked: &Result<Overview, Status>,
    first: bool,
) -> Result<(), Closed> {
    let queue = &config.queue.name;
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
