//! Tests of what is shown of the queue and its daemons.

use super::*;
use crate::broker::QueueStatus;

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
        p50_us: Some(12),
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

#[test]
fn all_daemons_answer() {
    let idle = Report {
        p50_us: None,
        p99_us: None,
        ..report("\u{1b}[31mred")
    };
    let view = view(2, vec![report("blue"), idle]);
    assert_eq!(
        lines("q", &view, PATIENCE, false),
        [
            "queue q: quorum, 5 waiting, 2 consumers",
            r"INSTANCE       VERSION  HOST  UPTIME  STATE      IN FLIGHT  SERVED  ERRORS   P50     P99",
            r"blue           0.1.0    mq1     1h2m  consuming          3   12345       6  12µs  1.23ms",
            r"\u{1b}[31mred  0.1.0    mq1     1h2m  consuming          3   12345       6     -       -",
        ]
    );
    assert_eq!(verdict(&Ok(view)), None);
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
    assert_eq!(
        lines("q\u{2066}", &view, PATIENCE, false),
        [
            r"queue q\u{2066}: quorum, 5 waiting, 3 consumers",
            r"INSTANCE     VERSION  HOST         UPTIME  STATE      IN FLIGHT  SERVED  ERRORS   P50     P99",
            r"blue         0.1.0    mq1            1h2m  consuming          3   12345       6  12µs  1.23ms",
            "日本🦀       0.1.0    gru\u{308}n           1h2m  consuming          3   12345       6  12µs  1.23ms",
            r"we\u{200b}b  0.1.0    \u{202e}1qm    1h2m  consuming          3   12345       6  12µs  1.23ms",
        ]
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
        true,
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
        assert_eq!(lines("q", &view, PATIENCE, false).last().unwrap(), last);
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
