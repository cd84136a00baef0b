//! What the server is doing, in one line, for people: systemd's STATUS, and the endpoint. Pure.

use crate::server::log::cause;
use crate::server::{Counters, ServerState};
use crate::text::{duration, safe};
use std::time::{Duration, Instant};

/// What the server is doing at `now`, in one line.
pub(crate) fn status_line(state: &ServerState, counters: &Counters, now: Instant) -> String {
    let in_flight = Counters::get(&counters.in_flight);
    let line = match state {
        ServerState::Starting => "starting".to_owned(),
        ServerState::Connecting { endpoint, attempt } => {
            format!("connecting to broker {endpoint}, try {attempt}")
        }
        ServerState::Waiting {
            endpoint,
            attempt,
            next,
            error,
        } => format!(
            "waiting for broker {endpoint}, try {attempt} in {}: {}",
            time_until(*next, now),
            cause(error, endpoint)
        ),
        ServerState::Consuming {
            endpoint,
            queue,
            unopened,
        } => {
            let line = format!("consuming {queue} on {endpoint}, {in_flight} in flight");
            match unopened {
                Some(why) => format!("{line}; new settings not in use: {why}"),
                None => line,
            }
        }
        ServerState::Blocked { reason, .. } => format!("blocked by the broker: {reason}"),
        ServerState::Draining { until } => {
            format!("draining, {in_flight} left, {}", time_until(*until, now))
        }
        ServerState::Stopped => "stopped".to_owned(),
    };
    safe(&line).into_owned()
}

/// Rounded up to whole seconds: `0s` is only what is over.
fn time_until(then: Instant, now: Instant) -> String {
    let left = then.saturating_duration_since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    duration(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn each_state_has_its_text() {
        let now = Instant::now() + Duration::from_secs(60);
        let endpoint = || "mq1:5672".to_owned();
        let waiting = |next, error: &str| ServerState::Waiting {
            endpoint: endpoint(),
            attempt: 7,
            next,
            error: error.into(),
        };
        for (state, in_flight, expect) in [
            (ServerState::Starting, 0, "starting"),
            (
                ServerState::Connecting {
                    endpoint: endpoint(),
                    attempt: 1,
                },
                0,
                "connecting to broker mq1:5672, try 1",
            ),
            (
                waiting(
                    now + Duration::from_millis(11_001),
                    "cannot reach broker mq1:5672: connection refused",
                ),
                0,
                "waiting for broker mq1:5672, try 7 in 12s: connection refused",
            ),
            (
                waiting(Instant::now(), "closed:\nREADY=1"),
                0,
                r"waiting for broker mq1:5672, try 7 in 0s: closed:\nREADY=1",
            ),
            (
                ServerState::Consuming {
                    endpoint: endpoint(),
                    queue: "rpc_queue".into(),
                    unopened: None,
                },
                12,
                "consuming rpc_queue on mq1:5672, 12 in flight",
            ),
            (
                ServerState::Consuming {
                    endpoint: endpoint(),
                    queue: "rpc_queue".into(),
                    unopened: Some("refused".into()),
                },
                1,
                "consuming rpc_queue on mq1:5672, 1 in flight; new settings not in use: refused",
            ),
            (
                ServerState::Blocked {
                    endpoint: endpoint(),
                    reason: "low on memory".into(),
                },
                64,
                "blocked by the broker: low on memory",
            ),
            (
                ServerState::Draining {
                    until: now + Duration::from_secs(21),
                },
                3,
                "draining, 3 left, 21s",
            ),
            (ServerState::Stopped, 0, "stopped"),
        ] {
            let counters = Counters::default();
            counters.in_flight.store(in_flight, Ordering::Relaxed);
            assert_eq!(status_line(&state, &counters, now), expect);
        }
    }
}
