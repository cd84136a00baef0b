//! The view of a queue and its daemons for people, as lines of text. Pure.

use super::super::terminal::{DOUBTFUL, painted};
use super::table::{Paper, table};
use super::wrap::wrapped;
use crate::client::Overview;
use crate::protocol::control::Report;
use crate::text::{count, duration, safe};
use std::time::Duration;

/// The view in lines that fit the paper.
pub(super) fn lines(name: &str, view: &Overview, patience: Duration, paper: Paper) -> Vec<String> {
    let none = Vec::new();
    let servers = view.servers.as_ref().unwrap_or(&none);
    let mut lines = wrapped(&headline(name, view, servers), paper.width);
    if !servers.is_empty() {
        lines.extend(table(servers, paper));
    }
    for note in servers.iter().filter_map(reason) {
        let note = wrapped(&note, paper.width).into_iter();
        lines.extend(note.map(|line| painted(&line, DOUBTFUL, paper.color)));
    }
    if let Some(remark) = remark(view, servers, patience) {
        lines.extend(wrapped(&remark, paper.width));
    }
    lines
}

fn headline(name: &str, view: &Overview, servers: &[Report]) -> String {
    let name = safe(name);
    match &view.queue {
        Ok(queue) => format!(
            "queue {name}: {}, {} waiting, {}",
            queue_type(servers).map_or("type unknown".into(), safe),
            queue.messages,
            count(queue.consumers.into(), "consumer"),
        ),
        Err(status) => format!("queue {name}: {}", safe(status.message())),
    }
}

/// Why a daemon does not serve, or not with its present settings.
fn reason(report: &Report) -> Option<String> {
    let instance = safe(&report.instance);
    let reason = safe(report.reason.as_deref()?);
    Some(match report.state.as_str() {
        "consuming" => format!("{instance}: new settings not in use: {reason}"),
        "blocked" => format!("{instance}: blocked by the broker: {reason}"),
        _ => format!("{instance}: {reason}"),
    })
}

/// What there is to say about consumers that did not answer.
fn remark(view: &Overview, servers: &[Report], patience: Duration) -> Option<String> {
    let silent = view.silent();
    let consumers = view.queue.as_ref().map_or(0, |queue| queue.consumers);
    match &view.servers {
        Err(status) => Some(format!(
            "cannot query the daemons: {} (requires write permission on exchange amq.direct)",
            safe(status.message())
        )),
        Ok(_) if servers.is_empty() && view.queue.is_ok() && consumers == 0 => Some(
            "no server on the queue; is fibrpcd running? (a server that polls cannot be seen)"
                .into(),
        ),
        Ok(_) if servers.is_empty() && consumers == 0 => Some("no daemon answered".into()),
        Ok(_) if silent > 0 => Some(format!(
            "{silent} of {} did not answer within {}: another kind of server, an older fibrpcd, one without server.control or permission for it, or one too busy",
            count(consumers.into(), "consumer"),
            duration(patience)
        )),
        Ok(_) => None,
    }
}

/// The queue's type, if a daemon knows it.
pub(super) fn queue_type(servers: &[Report]) -> Option<&str> {
    servers
        .iter()
        .find_map(|report| report.queue_type.as_deref())
}
