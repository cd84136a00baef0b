//! `fibrpc status`: the queue, and a table of the daemons that serve it.

use super::args::{Common, Watch};
use super::call::{Failed, Notice, settings, waiting_for_broker};
use super::output::{Closed, Failure, Output, Style, line_of};
use super::terminal::{DOUBTFUL, GOOD, painted, stdout_has_color};
use super::text::{columns, safe, span};
use crate::client::{Fleet, View};
use crate::config::Config;
use crate::protocol::control::Report;
use crate::protocol::words::plural;
use crate::protocol::{Code, Status};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The time from one look to the next.
const REFRESH: Duration = Duration::from_secs(2);

/// Moves the cursor home and clears what is below it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Looks once, or again and again until it is told to stop; gives the exit status.
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
    // Whether it is done, told to stop, or nobody reads any more: it is over.
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
    fleet: &mut Option<Fleet>,
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

/// Takes a look, over a new connection where there is none.
async fn look(
    fleet: &mut Option<Fleet>,
    notice: &mut Notice,
    config: &Config,
) -> Result<View, Failed> {
    let began = Instant::now();
    let mut connected = if let Some(connected) = fleet.take() {
        connected
    } else {
        let settings = settings(config);
        notice
            .after_patience(Fleet::connect(&settings), || waiting_for_broker(config))
            .await?
    };
    let waiting = || format!("waiting for the daemons on queue {:?}", config.queue.name);
    let looking = connected.look_since(began, config.client.timeout);
    let view = notice.after_patience(looking, waiting).await?;
    // After a failure the next look begins with a new connection.
    *fleet = Some(connected);
    Ok(view)
}

async fn show(
    output: &mut Output,
    flags: &Watch,
    common: &Common,
    config: &Config,
    looked: &Result<View, Status>,
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
            for line in lines(queue, view, stdout_has_color()) {
                output.line(line).await?;
            }
            Ok(())
        }
        Err(status) => output.complaint(&status.message).await,
    }
}

/// What is wrong, if anything is.
fn verdict(looked: &Result<View, Status>) -> Option<Code> {
    match looked {
        Err(status)
        | Ok(View {
            servers: Err(status),
            ..
        }) => Some(status.code),
        Ok(View {
            queue: Ok(queue),
            servers: Ok(servers),
        }) if queue.consumers == 0 && servers.is_empty() => Some(Code::Unavailable),
        Ok(_) => None,
    }
}

/// The view for people.
fn lines(name: &str, view: &View, color: bool) -> Vec<String> {
    let none = Vec::new();
    let servers = view.servers.as_ref().unwrap_or(&none);
    let name = safe(name);
    let mut lines = vec![match &view.queue {
        Ok(queue) => format!(
            "queue {name}: {}, {} waiting, {}",
            queue_type(servers).map_or("type unknown".into(), safe),
            queue.messages,
            plural(queue.consumers.into(), "consumer"),
        ),
        Err(status) => format!("queue {name}: {}", safe(&status.message)),
    }];
    if !servers.is_empty() {
        lines.extend(table(servers, color));
    }
    let silent = view.silent();
    let consumers = view.queue.as_ref().map_or(0, |queue| queue.consumers);
    match &view.servers {
        Err(status) => lines.push(format!(
            "the daemons cannot be asked: {}; that takes write permission on the exchange amq.direct",
            safe(&status.message)
        )),
        Ok(servers) if servers.is_empty() && view.queue.is_ok() && consumers == 0 => {
            lines.push("no server on it; is fibrpcd running? (a server that polls is not seen)".into());
        }
        Ok(servers) if servers.is_empty() && consumers == 0 => {
            lines.push("no daemon has answered".into());
        }
        Ok(_) if silent > 0 => lines.push(format!(
            "{silent} of {} did not answer: a server of another kind, an older fibrpcd, one without server.control or the permission for it, or one too busy to answer soon",
            plural(consumers.into(), "consumer")
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

/// One line a daemon under a line of headings; texts to the left, numbers to the right.
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
            span(report.uptime_s),
            text(&report.state),
            report.in_flight.to_string(),
            report.served.to_string(),
            (report.failed + report.refused).to_string(),
            report.p50_us.map_or("-".into(), time),
            report.p99_us.map_or("-".into(), time),
        ]
    }));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            let width = |row: &[String; 10]| columns(&row[column]);
            rows.iter().map(width).max().unwrap_or(0)
        })
        .collect();
    let line = |row: [String; 10]| {
        let cells = row.iter().zip(HEADINGS).zip(&widths);
        let cells = cells.map(|((cell, (heading, right)), width)| {
            let blank = " ".repeat(width.saturating_sub(columns(cell)));
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
    format!("{:.1?}", Duration::from_micros(us))
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

fn json(name: &str, looked: &Result<View, Status>) -> String {
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
mod tests {
    use super::*;
    use crate::broker::QueueStatus;

    fn report(instance: &str) -> Report {
        Report {
            instance: instance.into(),
            version: "0.1.0".into(),
            host: "mq1".into(),
            pid: 7,
            uptime_s: 3_725,
            state: "consuming".into(),
            queue_type: Some("quorum".into()),
            in_flight: 3,
            served: 12_345,
            failed: 4,
            refused: 2,
            p50_us: Some(12),
            p99_us: Some(1_234),
            ..Report::default()
        }
    }

    fn view(consumers: u32, servers: Vec<Report>) -> View {
        View {
            queue: Ok(QueueStatus {
                name: "q".into(),
                messages: 5,
                consumers,
            }),
            servers: Ok(servers),
        }
    }

    fn denied() -> Status {
        Status::new(Code::PermissionDenied, "access refused")
    }

    #[test]
    fn all_daemons_answer() {
        let idle = Report {
            p50_us: None,
            p99_us: None,
            ..report("\u{1b}[31mred")
        };
        let view = view(2, vec![report("blue"), idle]);
        assert_eq!(
            lines("q", &view, false),
            [
                "queue q: quorum, 5 waiting, 2 consumers",
                r"INSTANCE       VERSION  HOST  UPTIME  STATE      IN FLIGHT  SERVED  ERRORS     P50    P99",
                r"blue           0.1.0    mq1     1h2m  consuming          3   12345       6  12.0µs  1.2ms",
                r"\u{1b}[31mred  0.1.0    mq1     1h2m  consuming          3   12345       6       -      -",
            ]
        );
        assert_eq!(verdict(&Ok(view)), None);
    }

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        let wide = Report {
            host: "gru\u{308}n".into(),
            ..report("日本🦀")
        };
        let deceiving = Report {
            host: "\u{202e}1qm".into(),
            ..report("we\u{200b}b")
        };
        let view = view(3, vec![report("blue"), wide, deceiving]);
        assert_eq!(
            lines("q\u{2066}", &view, false),
            [
                r"queue q\u{2066}: quorum, 5 waiting, 3 consumers",
                r"INSTANCE     VERSION  HOST         UPTIME  STATE      IN FLIGHT  SERVED  ERRORS     P50    P99",
                r"blue         0.1.0    mq1            1h2m  consuming          3   12345       6  12.0µs  1.2ms",
                "日本🦀       0.1.0    gru\u{308}n           1h2m  consuming          3   12345       6  12.0µs  1.2ms",
                r"we\u{200b}b  0.1.0    \u{202e}1qm    1h2m  consuming          3   12345       6  12.0µs  1.2ms",
            ]
        );
    }

    #[test]
    fn the_state_is_coloured_where_there_are_colours() {
        let draining = Report {
            state: "draining".into(),
            ..report("green")
        };
        let lines = lines("q", &view(2, vec![report("blue"), draining]), true);
        assert!(!lines[1].contains('\u{1b}'), "{lines:?}");
        assert!(
            lines[2].contains("  \u{1b}[32mconsuming\u{1b}[0m  "),
            "{lines:?}"
        );
        assert!(
            lines[3].contains("  \u{1b}[33mdraining \u{1b}[0m  "),
            "{lines:?}"
        );
    }

    #[test]
    fn words_for_who_is_missing() {
        let unseen = View {
            queue: Err(denied()),
            ..view(0, vec![])
        };
        let unasked = View {
            servers: Err(denied()),
            ..view(2, vec![])
        };
        for (view, last, code) in [
            (
                view(0, vec![]),
                "no server on it; is fibrpcd running? (a server that polls is not seen)",
                Some(Code::Unavailable),
            ),
            (
                view(2, vec![report("blue")]),
                "1 of 2 consumers did not answer: a server of another kind, an older fibrpcd, one without server.control or the permission for it, or one too busy to answer soon",
                None,
            ),
            (
                view(1, vec![]),
                "1 of 1 consumer did not answer: a server of another kind, an older fibrpcd, one without server.control or the permission for it, or one too busy to answer soon",
                None,
            ),
            (unseen, "no daemon has answered", None),
            (
                unasked,
                "the daemons cannot be asked: access refused; that takes write permission on the exchange amq.direct",
                Some(Code::PermissionDenied),
            ),
        ] {
            assert_eq!(lines("q", &view, false).last().unwrap(), last);
            assert_eq!(verdict(&Ok(view)), code, "{last}");
        }
    }

    #[test]
    fn json_is_one_object() {
        let text = json("q", &Ok(view(2, vec![report("blue")])));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["queue"]["type"], "quorum");
        assert_eq!(value["queue"]["messages"], 5);
        assert_eq!(value["daemons"][0]["served"], 12_345);
        assert_eq!(value["silent"], 1);
        assert_eq!(value.get("code"), None);
        assert!(!text.contains('\n'));
        let unasked = View {
            servers: Err(denied()),
            ..view(1, vec![])
        };
        let value: serde_json::Value = serde_json::from_str(&json("q", &Ok(unasked))).unwrap();
        assert_eq!(value["code"], "PERMISSION_DENIED");
        assert_eq!(value["queue"]["consumers"], 1);
        assert_eq!(
            json("q", &Err(Status::new(Code::Unavailable, "no queue"))),
            r#"{"code":"UNAVAILABLE","message":"no queue","retryable":true}"#
        );
    }
}
