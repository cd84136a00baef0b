//! Tests of what is shown of the queue and its daemons.

use super::look::failure;
use super::table::Paper;
use super::*;
use crate::broker::QueueStatus;
use crate::protocol::Code;
use std::time::Duration;
use unicode_width::UnicodeWidthStr as _;

const PATIENCE: Duration = Duration::from_millis(500);

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
        recent_ms: Some(40_000),
        recent_requests: Some(4_000),
        recent_errors: Some(8),
        p50_us: Some(12),
        p90_us: Some(456),
        p99_us: Some(1_234),
        ..Report::default()
    }
}

fn view(consumers: u32, servers: Vec<Report>) -> Overview {
    Overview {
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

/// For a terminal of this width, without colors.
fn shown(view: &Overview, width: impl Into<Option<usize>>) -> Vec<String> {
    let paper = Paper {
        width: width.into(),
        color: false,
    };
    lines("q", view, PATIENCE, paper)
}

#[test]
fn all_daemons_answer() {
    let idle = Report {
        recent_requests: Some(0),
        recent_errors: Some(0),
        p50_us: None,
        p90_us: None,
        p99_us: None,
        ..report("\u{1b}[31mred")
    };
    let older = Report {
        recent_ms: None,
        recent_requests: None,
        recent_errors: None,
        p90_us: None,
        ..report("old")
    };
    let view = view(3, vec![report("blue"), idle, older]);
    assert_eq!(
        shown(&view, None),
        [
            "queue q: quorum, 5 waiting, 3 consumers",
            r"INSTANCE       VERSION  HOST  UPTIME  STATE      BUSY   RATE  ERR%   P50    P90     P99  SERVED  ERRORS",
            r"blue           0.1.0    mq1     1h2m  consuming     3  100/s  0.2%  12µs  456µs  1.23ms   12345       6",
            r"\u{1b}[31mred  0.1.0    mq1     1h2m  consuming     3    0/s     -     -      -       -   12345       6",
            r"old            0.1.0    mq1     1h2m  consuming     3      -     -  12µs      -  1.23ms   12345       6",
        ]
    );
    assert_eq!(failure(&Ok(view)), None);
}

#[test]
fn columns_are_aligned_whatever_they_contain() {
    let wide = Report {
        host: "gru\u{308}n".into(),
        ..report("日本🦀")
    };
    let deceiving = Report {
        host: "\u{202e}1qm".into(),
        ..report("we\u{200b}b")
    };
    let view = view(3, vec![report("blue"), wide, deceiving]);
    let lines: Vec<String> = shown(&view, None).into_iter().skip(1).collect();
    assert_eq!(
        lines,
        [
            r"INSTANCE     VERSION  HOST         UPTIME  STATE      BUSY   RATE  ERR%   P50    P90     P99  SERVED  ERRORS",
            r"blue         0.1.0    mq1            1h2m  consuming     3  100/s  0.2%  12µs  456µs  1.23ms   12345       6",
            "日本🦀       0.1.0    gru\u{308}n           1h2m  consuming     3  100/s  0.2%  12µs  456µs  1.23ms   12345       6",
            r"we\u{200b}b  0.1.0    \u{202e}1qm    1h2m  consuming     3  100/s  0.2%  12µs  456µs  1.23ms   12345       6",
        ]
    );
}

#[test]
fn a_narrow_terminal_has_fewer_columns() {
    let view = view(
        1,
        vec![
            report("server.example.org/12345"),
            report("日本日本日本日本日本日本日本日本日本日本"),
        ],
    );
    assert_eq!(
        shown(&view, 80)[1..3],
        [
            "INSTANCE              STATE      BUSY   RATE  ERR%   P50     P99  SERVED  ERRORS",
            "server.ex….org/12345  consuming     3  100/s  0.2%  12µs  1.23ms   12345       6",
        ][..],
    );
    for width in 56..150 {
        for line in shown(&view, width) {
            assert!(line.width() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn a_daemon_that_does_not_serve_says_why() {
    let blocked = Report {
        state: "blocked".into(),
        reason: Some("low on memory".into()),
        ..report("blue")
    };
    let unopened = Report {
        reason: Some("refused\u{1b}".into()),
        ..report("green")
    };
    let shown = shown(&view(2, vec![blocked, unopened]), 80);
    assert_eq!(
        shown[4..],
        [
            "blue: blocked by the broker: low on memory",
            r"green: new settings not in use: refused\u{1b}",
        ][..],
    );
}

#[test]
fn the_state_is_colored_if_colors_are_on() {
    let draining = Report {
        state: "draining".into(),
        ..report("green")
    };
    let lines = lines(
        "q",
        &view(2, vec![report("blue"), draining]),
        PATIENCE,
        Paper {
            width: None,
            color: true,
        },
    );
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
fn messages_about_silent_consumers() {
    let unseen = Overview {
        queue: Err(denied()),
        ..view(0, vec![])
    };
    let unasked = Overview {
        servers: Err(denied()),
        ..view(2, vec![])
    };
    for (view, last, code) in [
        (
            view(0, vec![]),
            "no server on the queue; is fibrpcd running? (a server that polls cannot be seen)",
            Some(Code::Unavailable),
        ),
        (
            view(2, vec![report("blue")]),
            "1 of 2 consumers did not answer within 500ms: another kind of server, an older fibrpcd, one without server.control or permission for it, or one too busy",
            None,
        ),
        (
            view(1, vec![]),
            "1 of 1 consumer did not answer within 500ms: another kind of server, an older fibrpcd, one without server.control or permission for it, or one too busy",
            None,
        ),
        (unseen, "no daemon answered", None),
        (
            unasked,
            "cannot query the daemons: access refused (requires write permission on exchange amq.direct)",
            Some(Code::PermissionDenied),
        ),
    ] {
        assert_eq!(
            lines("q", &view, PATIENCE, Paper::default())
                .last()
                .unwrap(),
            last
        );
        assert_eq!(failure(&Ok(view)), code, "{last}");
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
    let unasked = Overview {
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
