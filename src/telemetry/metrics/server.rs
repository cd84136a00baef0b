//! The metrics of a server: its times, counters, state and broker. Holds no state.

use super::output::Output;
use super::table;
use crate::broker::{Kind, LastRead};
use crate::protocol::Code;
use crate::server::metrics::{BOUNDS_US, Measured, Metrics};
use crate::server::{BrokerInfo, Counters, ServerState, Settled};
use crate::text::excerpt;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, UNIX_EPOCH};

/// The status codes of fibrpcd's replies, in the order of the export. Any other is a fault of the server, and counts as the last.
const CODES: [Code; 6] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::OutOfRange,
    Code::DeadlineExceeded,
    Code::ResourceExhausted,
    Code::Internal,
];

/// The causes of failures, see [`cause`].
const CAUSES: [&str; 8] = [
    "unreachable",
    "lost",
    "timeout",
    "tls",
    "refused",
    "queue",
    "protocol",
    "local",
];

/// The most characters of a text of the broker.
const MAX_BROKER_TEXT: usize = 60;

/// The bounds of the times that are part of a call, in microseconds; fewer, to keep the number of series small.
const QUEUE_WAIT_BOUNDS_US: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
const COMPUTE_BOUNDS_US: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const CONFIRM_BOUNDS_US: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// The histograms.
pub(super) fn encode_times(
    method: &str,
    metrics: &Metrics,
    output: &mut Output<'_>,
) -> fmt::Result {
    let calls = CODES.map(|code| {
        let codes = Code::ALL.iter().filter(|any| shown_as(**any) == code);
        let times = codes
            .map(|code| metrics.times(Measured::Call(*code)))
            .collect();
        ([method, code.name()], times)
    });
    output.histogram(&table::CALL_DURATION, &BOUNDS_US, &calls)?;
    output.histogram(
        &table::QUEUE_WAIT,
        &QUEUE_WAIT_BOUNDS_US,
        &[
            (["caller"], vec![metrics.times(Measured::QueueWaitCaller)]),
            (["broker"], vec![metrics.times(Measured::QueueWaitBroker)]),
        ],
    )?;
    output.histogram(
        &table::COMPUTE,
        &COMPUTE_BOUNDS_US,
        &[
            (["inline"], vec![metrics.times(Measured::ComputeInline)]),
            (["pool"], vec![metrics.times(Measured::ComputePool)]),
        ],
    )?;
    output.histogram(
        &table::CONFIRM,
        &CONFIRM_BOUNDS_US,
        &[([], vec![metrics.times(Measured::Confirm)])],
    )
}

/// The counters and the gauges beside them.
pub(super) fn encode_counters(counters: &Counters, output: &mut Output<'_>) -> fmt::Result {
    let get = Counters::get;
    let redelivered = get(&counters.redelivered);
    let first = get(&counters.received).saturating_sub(redelivered);
    output.counter(
        &table::REQUESTS_RECEIVED,
        &[(["false"], first), (["true"], redelivered)],
    )?;
    let settled = Settled::ALL.iter();
    let settled: Vec<_> = settled
        .map(|how| ([how.name()], get(counters.settled(*how))))
        .collect();
    output.counter(&table::REQUESTS_SETTLED, &settled)?;
    let single = |counter: &AtomicU64| [([], get(counter))];
    output.gauge(&table::REQUESTS_IN_FLIGHT, &single(&counters.in_flight))?;
    output.gauge(&table::PREFETCH, &single(&counters.prefetch))?;
    output.gauge(
        &table::POOL_JOBS,
        &[
            (["running"], get(&counters.pool_running)),
            (["waiting"], get(&counters.pool_waiting)),
        ],
    )?;
    output.gauge(&table::POOL_THREADS, &single(&counters.pool_threads))?;
    output.gauge(&table::POOL_WAIT, &[([], seconds(&counters.pool_wait_ms))])?;
    output.counter(
        &table::REPLIES,
        &[
            (["confirmed"], get(&counters.confirmed)),
            (["returned"], get(&counters.returned)),
            (["nacked"], get(&counters.nacked)),
            (["resent"], get(&counters.resent)),
        ],
    )?;
    output.counter(&table::REQUEST_BYTES, &single(&counters.request_bytes))?;
    output.counter(&table::REPLY_BYTES, &single(&counters.reply_bytes))?;
    output.counter(&table::SESSIONS, &single(&counters.sessions))?;
    let failures = CAUSES.map(|name| {
        let kinds = Kind::ALL.iter().filter(|kind| cause(**kind) == name);
        let count: u64 = kinds.map(|kind| get(counters.failures(*kind))).sum();
        ([name], count)
    });
    output.counter(&table::SESSION_FAILURES, &failures)?;
    output.counter(
        &table::BROKER_BLOCKED,
        &[([], seconds(&counters.blocked_ms))],
    )?;
    output.gauge(&table::ISOLATION, &single(&counters.isolated))?;
    output.counter(&table::POISON_STRIKES, &single(&counters.strikes))?;
    output.counter(&table::DRAIN_ABANDONED, &single(&counters.abandoned))
}

/// The state, and what belongs to it.
pub(super) fn encode_state(
    state: &ServerState,
    now: Instant,
    output: &mut Output<'_>,
) -> fmt::Result {
    let states = ServerState::NAMES.map(|name| ([name], u64::from(name == state.name())));
    output.gauge(&table::STATE, &states)?;
    let (attempt, wait) = match state {
        ServerState::Connecting { attempt, .. } => (*attempt, 0.0),
        ServerState::Waiting { attempt, next, .. } => {
            let wait = next.saturating_duration_since(now);
            (*attempt, wait.as_secs_f64())
        }
        _ => (0, 0.0),
    };
    output.gauge(&table::CONNECT_ATTEMPT, &[([], attempt)])?;
    output.gauge(&table::NEXT_ATTEMPT, &[([], wait)])
}

/// What is known of the broker, and the connections to it if there is a session.
pub(super) fn encode_broker(
    broker: &BrokerInfo,
    has_session: bool,
    now: Instant,
    output: &mut Output<'_>,
) -> fmt::Result {
    let product = excerpt(&broker.product, MAX_BROKER_TEXT);
    let version = excerpt(&broker.version, MAX_BROKER_TEXT);
    output.info(&table::BROKER_INFO, &[&product, &version])?;
    if has_session {
        let age = |read: &LastRead| read.age(now).as_secs_f64();
        output.gauge(
            &table::LAST_READ_AGE,
            &[
                (["consuming"], age(&broker.consuming)),
                (["publishing"], age(&broker.publishing)),
            ],
        )?;
    }
    let expiry = &broker.expiry;
    let known = [
        ("broker", expiry.broker),
        ("client", expiry.client),
        ("authorities", expiry.authorities),
    ];
    let known = known.into_iter().filter_map(|(which, expires)| {
        let since_epoch = expires?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(([which], since_epoch.as_secs_f64()))
    });
    let known: Vec<_> = known.collect();
    if known.is_empty() {
        return Ok(());
    }
    output.gauge(&table::CERTIFICATE_EXPIRY, &known)
}

/// The code under which replies with this one are shown.
fn shown_as(code: Code) -> Code {
    if CODES.contains(&code) {
        code
    } else {
        Code::Internal
    }
}

/// Why a session failed, in as few words as an operator needs to know where to look; the log has the details.
const fn cause(kind: Kind) -> &'static str {
    match kind {
        Kind::Unreachable => "unreachable",
        Kind::Lost => "lost",
        Kind::Timeout => "timeout",
        Kind::Tls => "tls",
        Kind::Credentials | Kind::Denied | Kind::Limit | Kind::Locked | Kind::Refused => "refused",
        Kind::NoQueue | Kind::QueueDown | Kind::VhostDown | Kind::Mismatch | Kind::Cancelled => {
            "queue"
        }
        Kind::TooLarge | Kind::Protocol => "protocol",
        Kind::Split | Kind::Local | Kind::Shortage => "local",
    }
}

/// A counter of milliseconds in seconds.
#[allow(
    clippy::cast_precision_loss,
    reason = "it is shown, not calculated with"
)]
fn seconds(ms: &AtomicU64) -> f64 {
    Counters::get(ms) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_one_of_the_causes() {
        for kind in Kind::ALL {
            assert!(CAUSES.contains(&cause(*kind)), "{kind:?}");
        }
    }
}
