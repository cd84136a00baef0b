//! `fibrpc status`: the queue, and a table of the daemons that serve it.

use super::common::Common;
use super::connect::{Failed, Notice, settings, waiting_for_broker};
use super::help::examples;
use super::output::{Closed, Failure, Output, Style, line_of};
use super::terminal::{DOUBTFUL, GOOD, painted};
use crate::client::{Monitor, Overview};
use crate::config::Config;
use crate::protocol::control::Report;
use crate::protocol::{Code, Status};
use crate::stdio;
use crate::text::{count, duration, safe};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use unicode_width::UnicodeWidthStr as _;

/// Refresh interval of `--watch`.
const REFRESH: Duration = Duration::from_secs(2);

/// Moves the cursor home and clears the screen below.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

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
    let watching = watch(flags, common, config, &mut fleet, &mut output);
    // Done, stopped, or the reader is gone: in any case it is over.
    let _ = stop.run_until_cancelled(watching).await;
    if let Some(fleet) = fleet {
        fleet.close().await;
    }
    output.finish().await
}

async fn watch(
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
        show(output, flags, common, config, &looked, first).await?;
        if !flags.watch {
            return Ok(());
        }
        first = false;
        tokio::time::sleep(REFRESH).await;
    }
}

/// Queries the daemons, over a new connection if there is none.
async fn look(
    fleet: &mut Option<Monitor>,
    notice: &mut Notice,
    config: &Config,
) -> Result<Overview, Failed> {
    let began = Instant::now();
    let mut connected = if let Some(connected) = fleet.take() {
        connected
    } else {
        let settings = settings(config);
        notice
            .after_patience(Monitor::connect(&settings, &config.queue.name), || {
                waiting_for_broker(config)
            })
            .await?
    };
    let waiting = || format!("waiting for the daemons on queue {:?}", config.queue.name);
    let looking = connected.overview(began, config.client.timeout);
    let view = notice.after_patience(looking, waiting).await?;
    // After a failure, the next query starts with a new connection.
    *fleet = Some(connected);
    Ok(view)
}

async fn show(
    output: &mut Output,
    flags: &Watch,
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
    if flags.watch && std::io::stdout().is_terminal() {
        output.line(CLEAR.into()).await?;
    } else if !first {
        output.line(String::new()).await?;
    }
    match looked {
        Ok(view) => {
            let patience = Overview::report_timeout(config.client.timeout);
            for line in lines(queue, view, patience, stdio::stdout().has_color()) {
                output.line(line).await?;
            }
            Ok(())
        }
        Err(status) => output.complaint(status.message()).await,
    }
}

/// The failure, if any.
fn verdict(looked: &Result<Overview, Status>) -> Option<Code> {
    let view = match looked {
        Ok(view) => view,
        Err(status) => return Some(status.code()),
    };
    match (&view.queue, &view.servers) {
        (_, Err(status)) => Some(status.code()),
        (Ok(queue), Ok(servers)) if queue.consumers == 0 && servers.is_empty() => {
            Some(Code::Unavailable)
        }
        _ => None,
    }
}

/// The view for people.
fn lines(name: &str, view: &Overview, patience: Duration, color: bool) -> Vec<String> {
    let none = Vec::new();
    let servers = view.servers.as_ref().unwrap_or(&none);
    let name = safe(name);
    let mut lines = vec![match &view.queue {
        Ok(queue) => format!(
            "queue {name}: {}, {} waiting, {}",
            queue_type(servers).map_or("type unknown".into(), safe),
            queue.messages,
            count(queue.consumers.into(), "consumer"),
        ),
        Err(status) => format!("queue {name}: {}", safe(status.message())),
    }];
    if !servers.is_empty() {
        lines.extend(table(servers, color));
    }
    let silent = view.silent();
    let consumers = view.queue.as_ref().map_or(0, |queue| queue.consumers);
    match &view.servers {
        Err(status) => lines.push(format!(
            "cannot query the daemons: {} (requires write permission on exchange amq.direct)",
            safe(status.message())
        )),
        Ok(servers) if servers.is_empty() && view.queue.is_ok() && consumers == 0 => {
            lines.push("no server on the queue; is fibrpcd running? (a server that polls cannot be seen)".into());
        }
        Ok(servers) if servers.is_empty() && consumers == 0 => {
            lines.push("no daemon answered".into());
        }
        Ok(_) if silent > 0 => lines.push(format!(
            "{silent} of {} did not answer within {}: another kind of server, an older fibrpcd, one without server.control or permission for it, or one too busy",
            count(consumers.into(), "consumer"),
            duration(patience)
        )),
        Ok(_) => {}
    }
    lines
}

fn queue_type(servers: &[Report]) -> Option<&str> {
    servers
        .iter()
        .find_map(|report| report.queue_type.as_deref())
}

/// One line per daemon under a line of headings; text is left-aligned, numbers right-aligned.
fn table(servers: &[Report], color: bool) -> Vec<String> {
    const HEADINGS: [(&str, bool); 10] = [
        ("INSTANCE", false),
        ("VERSION", false),
        ("HOST", false),
        ("UPTIME", true),
        ("STATE", false),
        ("IN FLIGHT", true),
        ("SERVED", true),
        ("ERRORS", true),
        ("P50", true),
        ("P99", true),
    ];
    let mut rows = vec![HEADINGS.map(|(heading, _)| heading.to_owned())];
    rows.extend(servers.iter().map(|report| {
        let text = |text: &str| safe(text).into_owned();
        [
            text(&report.instance),
            text(&report.version),
            text(&report.host),
            duration(Duration::from_secs(report.uptime_s)),
            text(&report.state),
            report.in_flight.to_string(),
            report.served.to_string(),
            (report.failed + report.refused).to_string(),
            report.p50_us.map_or("-".into(), time),
            report.p99_us.map_or("-".into(), time),
        ]
    }));
    let widths: [usize; 10] = std::array::from_fn(|column| {
        let width = |row: &[String; 10]| row[column].width();
        rows.iter().map(width).max().unwrap_or(0)
    });
    let line = |row: [String; 10]| {
        let cells = row.iter().zip(HEADINGS).zip(&widths);
        let cells = cells.map(|((cell, (heading, right)), width)| {
            let blank = " ".repeat(width.saturating_sub(cell.width()));
            let padded = if right {
                blank + cell
            } else {
                cell.clone() + &blank
            };
            match (heading, cell.as_str()) {
                ("STATE", "STATE") => padded,
                ("STATE", "consuming") => painted(&padded, GOOD, color),
                ("STATE", _) => painted(&padded, DOUBTFUL, color),
                _ => padded,
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.into_iter().map(line).collect()
}

fn time(us: u64) -> String {
    duration(Duration::from_micros(us))
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
