//! Lines and summaries of pings.

use super::*;
use crate::protocol::control::Report;
use crate::protocol::reply_value::Trailer;

fn server(instance: &str) -> Answerer {
    Answerer::Server(Box::new(Report {
        instance: instance.into(),
        host: "mq1".into(),
        pid: 7,
        ..Report::default()
    }))
}

fn plain(server: Option<&str>) -> Answerer {
    Answerer::Plain(Trailer {
        server: server.map(str::to_owned),
        ..Trailer::default()
    })
}

fn pong(us: u64, from: Answerer) -> Pong {
    Pong {
        round_trip: Duration::from_micros(us),
        from,
    }
}

#[test]
fn names_of_servers() {
    for (from, expected) in [
        (server("mq1/7"), "mq1/7"),
        (server("blue"), "blue (mq1/7)"),
        (server("\u{1b}[2J"), "\\u{1b}[2J (mq1/7)"),
        (plain(None), "a plain server (no fibrpcd, or an old one)"),
        (plain(Some("old")), "old, which does not support ping"),
    ] {
        assert_eq!(name(&from), expected);
    }
}

#[test]
fn lines_and_summary() {
    let mut outcomes = Outcomes::new(false);
    assert_eq!(outcomes.summary(), "0 sent, 0 received, 0% lost");
    outcomes.sent = 3;
    let first = pong(830, server("mq1/7"));
    outcomes.count(&Ok(first.clone()));
    assert_eq!(
        outcomes.line(1, &first),
        "reply from mq1/7: seq=1 time=830µs"
    );
    outcomes.count(&Ok(pong(123_456, server("mq1/7"))));
    outcomes.count(&Err(Status::new(Code::DeadlineExceeded, "late")));
    outcomes.count(&Err(Status::new(Code::Unavailable, "gone")));
    assert_eq!(
        outcomes.summary(),
        "3 sent, 2 received, 33% lost, min/avg/p99/max = 830µs/62.1ms/123ms/123ms"
    );
    assert_eq!(outcomes.failure, Some(Code::DeadlineExceeded));
}

#[test]
fn no_percentile_is_below_the_minimum() {
    let mut outcomes = Outcomes::new(false);
    outcomes.sent = 1;
    // The histogram knows whole microseconds; 1.035 ms is shown as 1.03ms.
    let round_trip = Duration::from_nanos(1_035_900);
    let from = plain(None);
    outcomes.count(&Ok(Pong { round_trip, from }));
    assert_eq!(
        outcomes.summary(),
        "1 sent, 1 received, 0% lost, min/avg/p99/max = 1.04ms/1.04ms/1.04ms/1.04ms"
    );
}

#[test]
fn json_lines() {
    let mut outcomes = Outcomes::new(true);
    outcomes.sent = 2;
    for (from, line) in [
        (
            server("blue"),
            r#"{"seq":1,"round_trip_us":500,"fibrpc":true,"server":"blue"}"#,
        ),
        (
            plain(None),
            r#"{"seq":1,"round_trip_us":500,"fibrpc":false}"#,
        ),
    ] {
        let pong = pong(500, from);
        assert_eq!(outcomes.line(1, &pong), line);
        outcomes.count(&Ok(pong));
    }
    assert_eq!(
        outcomes.summary(),
        r#"{"sent":2,"received":2,"loss_percent":0.0,"min_us":500,"avg_us":500,"p99_us":500,"max_us":500}"#
    );
    let status = Status::new(Code::Unavailable, "no server");
    let failure = Failure::from(&status);
    assert_eq!(
        line_of(&Lost { seq: 3, failure }),
        r#"{"seq":3,"code":"UNAVAILABLE","message":"no server","retryable":true}"#
    );
    assert_eq!(
        Outcomes::new(true).summary(),
        r#"{"sent":0,"received":0,"loss_percent":0.0}"#
    );
}
