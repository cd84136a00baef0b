//! The table of daemons: one line for each, with what it has done in the last minute and since its start. Pure.

use super::super::terminal::{BAD, DOUBTFUL, GOOD, painted};
use super::wrap::overflow;
use crate::protocol::control::Report;
use crate::text::{duration, safe};
use std::array;
use std::time::Duration;
use unicode_width::UnicodeWidthStr as _;

/// What the lines are for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Paper {
    /// Columns of the terminal, if there is one.
    pub(super) width: Option<usize>,
    pub(super) color: bool,
}

/// The headings; text is left-aligned, numbers (`true`) right-aligned.
const COLUMNS: [(&str, bool); 13] = [
    ("INSTANCE", false),
    ("VERSION", false),
    ("HOST", false),
    ("UPTIME", true),
    ("STATE", false),
    ("BUSY", true),
    ("RATE", true),
    ("ERR%", true),
    ("P50", true),
    ("P90", true),
    ("P99", true),
    ("SERVED", true),
    ("ERRORS", true),
];

/// The columns that are left out if there is not enough room, the first of them first; the instances are cut in between.
const DISPENSABLE: [&str; 4] = ["HOST", "VERSION", "P90", "UPTIME"];
const NEXT_DISPENSABLE: [&str; 2] = ["P50", "SERVED"];

/// The column that is cut: to this width first, and to that in the end.
const INSTANCE: usize = 0;
const SHORT_INSTANCE: usize = 16;
const MIN_INSTANCE: usize = 8;

const GAP: usize = 2;

/// From this percentage of errors on, something is wrong.
const BAD_PERCENT: f64 = 5.0;

type Row = [String; COLUMNS.len()];

/// A line of headings, and one for each daemon.
pub(super) fn table(servers: &[Report], paper: Paper) -> Vec<String> {
    let mut rows: Vec<Row> = vec![COLUMNS.map(|(heading, _)| heading.to_owned())];
    rows.extend(servers.iter().map(row));
    let mut widths: [usize; COLUMNS.len()] = array::from_fn(|column| {
        let width = |row: &Row| row[column].width();
        rows.iter().map(width).max().unwrap_or(0)
    });
    if let Some(room) = paper.width {
        fit(&mut widths, room);
    }
    let states = [None].into_iter().chain(servers.iter().map(Some));
    let rows = rows.iter().zip(states);
    rows.map(|(row, report)| line(row, report, &widths, paper.color))
        .collect()
}

/// Makes the widths fit into the room, as far as possible; 0 is a column that is left out.
fn fit(widths: &mut [usize; COLUMNS.len()], room: usize) {
    leave_out(&DISPENSABLE, widths, room);
    cut_instances(SHORT_INSTANCE, widths, room);
    leave_out(&NEXT_DISPENSABLE, widths, room);
    cut_instances(MIN_INSTANCE, widths, room);
}

fn leave_out(headings: &[&str], widths: &mut [usize; COLUMNS.len()], room: usize) {
    for heading in headings {
        let column = COLUMNS.iter().position(|(name, _)| name == heading);
        if total(widths) > room
            && let Some(column) = column
        {
            widths[column] = 0;
        }
    }
}

fn cut_instances(min: usize, widths: &mut [usize; COLUMNS.len()], room: usize) {
    let excess = total(widths).saturating_sub(room);
    let width = widths[INSTANCE];
    widths[INSTANCE] = width.saturating_sub(excess).max(min.min(width));
}

/// The width of a line.
fn total(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|width| **width > 0);
    shown.map(|width| width + GAP).sum::<usize>() - GAP
}

fn line(
    row: &Row,
    report: Option<&Report>,
    widths: &[usize; COLUMNS.len()],
    color: bool,
) -> String {
    let cells = row.iter().zip(COLUMNS).zip(widths);
    let shown = cells.filter(|(_, width)| **width > 0);
    let shown = shown.map(|((cell, (heading, is_number)), width)| {
        let cell = cut(cell, *width);
        let blank = " ".repeat(width.saturating_sub(cell.width()));
        let padded = if is_number {
            blank + &cell
        } else {
            cell + &blank
        };
        let style = report.and_then(|report| match heading {
            "STATE" if report.state == "consuming" => Some(GOOD),
            "STATE" => Some(DOUBTFUL),
            "ERR%" => match percent(report) {
                Some(BAD_PERCENT..) => Some(BAD),
                Some(percent) if percent > 0.0 => Some(DOUBTFUL),
                _ => None,
            },
            _ => None,
        });
        match style {
            Some(style) => painted(&padded, style, color),
            None => padded,
        }
    });
    let gap = " ".repeat(GAP);
    shown.collect::<Vec<_>>().join(&gap).trim_end().to_owned()
}

/// The beginning and the end of a cell that is too wide: instances of one host differ at the end.
fn cut(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_owned();
    }
    let room = width.saturating_sub(1);
    let end = overflow(cell, room / 2).unwrap_or(cell.len());
    let mut rest = &cell[end..];
    while rest.width() > room - room / 2 {
        let mut chars = rest.chars();
        chars.next();
        rest = chars.as_str();
    }
    format!("{}…{rest}", &cell[..end])
}

fn row(report: &Report) -> Row {
    let text = |text: &str| safe(text).into_owned();
    let time = |us: Option<u64>| match us {
        Some(us) => duration(Duration::from_micros(us)),
        None => "-".into(),
    };
    [
        text(&report.instance),
        text(&report.version),
        text(&report.host),
        duration(Duration::from_secs(report.uptime_s)),
        text(&report.state),
        report.in_flight.to_string(),
        rate(report).map_or("-".into(), in_words),
        percent(report).map_or("-".into(), percentage),
        time(report.p50_us),
        time(report.p90_us),
        time(report.p99_us),
        report.served.to_string(),
        (report.failed + report.refused).to_string(),
    ]
}

/// Requests per second in the last minute; `None` if the daemon does not report them, or has just started.
#[allow(clippy::cast_precision_loss, reason = "it is shown with three digits")]
pub(super) fn rate(report: &Report) -> Option<f64> {
    let time = report.recent_ms.filter(|ms| *ms >= 1000)?;
    Some(report.recent_requests? as f64 * 1000.0 / time as f64)
}

fn in_words(rate: f64) -> String {
    match rate {
        0.0 => "0/s".into(),
        ..0.095 => "<0.1/s".into(),
        ..9.95 => format!("{rate:.1}/s"),
        ..9_999.5 => format!("{rate:.0}/s"),
        _ => format!("{:.1}k/s", rate / 1000.0),
    }
}

/// Errors of the last minute, per hundred requests; `None` if there were no requests.
#[allow(clippy::cast_precision_loss, reason = "it is shown with two digits")]
fn percent(report: &Report) -> Option<f64> {
    let requests = report.recent_requests.filter(|requests| *requests > 0)?;
    Some(report.recent_errors? as f64 * 100.0 / requests as f64)
}

fn percentage(percent: f64) -> String {
    match percent {
        0.0 => "0%".into(),
        ..0.095 => "<0.1%".into(),
        ..9.95 => format!("{percent:.1}%"),
        _ => format!("{percent:.0}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_percentages_have_few_digits() {
        for (rate, shown) in [
            (0.0, "0/s"),
            (0.02, "<0.1/s"),
            (0.5, "0.5/s"),
            (9.94, "9.9/s"),
            (9.96, "10/s"),
            (9_999.0, "9999/s"),
            (12_345.0, "12.3k/s"),
        ] {
            assert_eq!(in_words(rate), shown);
        }
        for (percent, shown) in [
            (0.0, "0%"),
            (0.01, "<0.1%"),
            (0.25, "0.2%"),
            (9.96, "10%"),
            (100.0, "100%"),
        ] {
            assert_eq!(percentage(percent), shown);
        }
    }
}
