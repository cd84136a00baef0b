//! Judges round trips to a server: replies, clock, and results. Pure.

use super::finding::{Check, Finding};
use crate::client::{Answerer, CallError, Pong};
use crate::fibonacci::client::Number;
use crate::protocol::request::CLOCK_SKEW_MS;
use crate::protocol::{Code, Status};
use crate::text::duration;
use std::time::Duration;

/// The number that is requested, and the correct answer.
pub(super) const QUESTION: (&str, &str) = ("30", "832040");

/// Whether a server replies to a ping.
pub(super) fn ping(outcome: &Result<Pong, Status>) -> Finding {
    match outcome {
        Ok(Pong { round_trip, from }) => {
            let who = match from {
                Answerer::Server(report) => {
                    format!("fibrpcd {} {:?}", report.version, report.instance)
                }
                Answerer::Plain(_) => "a plain server (no fibrpcd, or an old one)".to_owned(),
            };
            Check::Ping.ok(format!("{who} answered within {}", duration(*round_trip)))
        }
        Err(status) => failed(Check::Ping, status),
    }
}

/// Whether a server computes.
pub(super) fn answer(outcome: &Result<Number, CallError>) -> Finding {
    let (n, right) = QUESTION;
    match outcome {
        Ok(Number {
            value, round_trip, ..
        }) if value == right => Check::Answer.ok(format!(
            "{n} gives {value}, within {}",
            duration(*round_trip)
        )),
        Ok(Number { value, .. }) => Check::Answer.warning(
            format!("{n} gives {value:.20}, not {right}"),
            "another kind of server is on the queue; check queue.name",
        ),
        Err(error) => failed(Check::Answer, error.status()),
    }
}

fn failed(check: Check, status: &Status) -> Finding {
    let message = status.message();
    match status.code() {
        // The server replies, but rejects a small number.
        Code::InvalidArgument | Code::OutOfRange => {
            check.warning(message, "check server.max_n and its other limits")
        }
        Code::DeadlineExceeded => {
            let mut finding = check.failed(message);
            let policies = "or a policy of the queue drops requests (rabbitmqctl list_policies)";
            finding.fix = Some(match finding.fix {
                Some(fix) => format!("{fix}; {policies}"),
                None => policies.to_owned(),
            });
            finding
        }
        _ => check.failed(message),
    }
}

/// Compares the server's clock with ours. The server read its clock half a round trip before `received_ms`, give or
/// take as much.
pub(super) fn clock(pong: &Pong, received_ms: i64, timeout: Duration) -> Finding {
    let clock_ms = match &pong.from {
        Answerer::Server(report) => report.clock_ms,
        Answerer::Plain(_) => 0,
    };
    if clock_ms == 0 {
        return Check::Clock.skipped("unknown: the server does not report its clock");
    }
    let half = millis(pong.round_trip / 2);
    let ahead = clock_ms.saturating_sub(received_ms.saturating_sub(half));
    let certain = ahead.saturating_abs().saturating_sub(half);
    let away = distance(ahead);
    let fix = "set the clocks of both machines (timedatectl)";
    if certain <= CLOCK_SKEW_MS {
        let within = distance(ahead.saturating_abs().saturating_add(half));
        Check::Clock.ok(format!("the server's clock is within {within} of ours"))
    } else if ahead < 0 {
        Check::Clock.warning(
            format!(
                "the server's clock is {away} behind: it will work for callers that have given up"
            ),
            fix,
        )
    } else if certain <= CLOCK_SKEW_MS.saturating_add(millis(timeout)) {
        Check::Clock.warning(
            format!(
                "the server's clock is {away} ahead: it will reject requests as expired too early"
            ),
            fix,
        )
    } else {
        Check::Clock.problem(
            format!("the server's clock is {away} ahead: it will reject every request as expired"),
            fix,
        )
    }
}

fn distance(ms: i64) -> String {
    duration(Duration::from_millis(ms.unsigned_abs().max(1)))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;
    use crate::protocol::control::Report;
    use crate::protocol::reply_value::Trailer;

    /// When pongs arrive, in Unix milliseconds.
    const NOW: i64 = 1_700_000_000_000;

    fn pong(clock_ms: i64, round_trip: Duration) -> Pong {
        let report = Report {
            instance: "blue\u{1b}".into(),
            version: "1.2.3".into(),
            clock_ms,
            ..Report::default()
        };
        Pong {
            round_trip,
            from: Answerer::Server(Box::new(report)),
        }
    }

    #[test]
    fn the_clock_is_compared_at_half_of_the_round_trip() {
        const NONE: Duration = Duration::ZERO;
        const MS: Duration = Duration::from_millis(1);
        let timeout = Duration::from_secs(5);
        for (clock_ms, round_trip, verdict, words) in [
            (NOW - 100, 200 * MS, Verdict::Ok, "within 100ms of ours"),
            (NOW, NONE, Verdict::Ok, "within 1ms of ours"),
            (NOW + 1_000, NONE, Verdict::Ok, "within 1s of ours"),
            (NOW + 1_001, NONE, Verdict::Warning, "1s ahead"),
            (NOW - 1_001, NONE, Verdict::Warning, "1s behind"),
            // The time in transit is not the clock's fault.
            (NOW + 1_900, 2_000 * MS, Verdict::Warning, "2.9s ahead"),
            (NOW + 900, 2_000 * MS, Verdict::Ok, "within 2.9s of ours"),
            (
                NOW + 6_000,
                NONE,
                Verdict::Warning,
                "6s ahead: it will reject requests as expired too",
            ),
            (
                NOW + 6_001,
                NONE,
                Verdict::Problem,
                "6s ahead: it will reject every request as expired",
            ),
            (NOW - 3_600_000, NONE, Verdict::Warning, "1h behind"),
            (i64::MAX, NONE, Verdict::Problem, "ahead"),
            (i64::MIN, MS, Verdict::Warning, "behind"),
            (0, NONE, Verdict::Skipped, "unknown"),
        ] {
            let finding = clock(&pong(clock_ms, round_trip), NOW, timeout);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.message.contains(words), "{finding:?}");
        }
        let plain = Pong {
            round_trip: MS,
            from: Answerer::Plain(Trailer::default()),
        };
        assert_eq!(clock(&plain, NOW, timeout).verdict, Verdict::Skipped);
    }

    #[test]
    fn round_trips_in_words() {
        let well = ping(&Ok(pong(NOW, Duration::from_micros(1_234))));
        assert_eq!(
            well.message,
            "fibrpcd 1.2.3 \"blue\\u{1b}\" answered within 1.23ms"
        );
        let late = Status::new(Code::DeadlineExceeded, "no reply within 5s; busy?");
        let finding = ping(&Err(late));
        assert_eq!(
            (
                finding.verdict,
                finding.message.as_str(),
                finding.fix.as_deref()
            ),
            (
                Verdict::Problem,
                "no reply within 5s",
                Some("busy?; or a policy of the queue drops requests (rabbitmqctl list_policies)")
            )
        );
        let reply = |value: &str| Number {
            value: value.into(),
            trailer: Trailer::default(),
            round_trip: Duration::from_millis(2),
        };
        let refused = |code| Err(Status::new(code, "no").into());
        for (outcome, verdict, words) in [
            (
                Ok(reply("832040")),
                Verdict::Ok,
                "30 gives 832040, within 2ms",
            ),
            (Ok(reply("7")), Verdict::Warning, "30 gives 7, not 832040"),
            (
                Ok(reply(&"9".repeat(100))),
                Verdict::Warning,
                "30 gives 99999999999999999999, not",
            ),
            (refused(Code::OutOfRange), Verdict::Warning, "no"),
            (refused(Code::Internal), Verdict::Problem, "no"),
            (refused(Code::Unknown), Verdict::Problem, "no"),
        ] {
            let finding = answer(&outcome);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.message.starts_with(words), "{finding:?}");
        }
    }
}
