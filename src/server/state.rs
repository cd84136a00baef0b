//! The server's state, published in one place, and its counters.

use crate::broker::Kind;
use crate::named::named;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Whether and how the server is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Stop {
    /// Keep serving.
    #[default]
    No,
    /// Finish what is in flight, within `server.drain_timeout`.
    Drain,
    /// Stop at once; the broker redelivers what was not acknowledged.
    Now,
}

/// The server's state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerState {
    /// Not started.
    Starting,
    /// Trying to reach a broker.
    Connecting {
        /// `host:port`.
        endpoint: String,
        /// Counts from 1, again after a healthy minute or a session that settled a request.
        attempt: u32,
    },
    /// Waiting before the next attempt.
    Waiting {
        /// The `host:port` of the last failure.
        endpoint: String,
        /// The number of the next attempt.
        attempt: u32,
        /// When it begins.
        next: Instant,
        /// Why the last one failed, in one line.
        error: String,
    },
    /// Serving.
    Consuming {
        /// `host:port`.
        endpoint: String,
        /// The queue.
        queue: String,
        /// Why no session with the changed configuration can be opened, in one line; this one has the old settings.
        unopened: Option<String>,
    },
    /// Connected, but the broker currently accepts no replies.
    Blocked {
        /// `host:port`.
        endpoint: String,
        /// The broker's reason.
        reason: String,
    },
    /// Finishing what is in flight.
    Draining {
        /// When the drain time ends.
        until: Instant,
    },
    /// Stopped.
    Stopped,
}

impl ServerState {
    /// The names of all states, in the order of their declaration.
    pub(crate) const NAMES: [&str; 7] = [
        "starting",
        "connecting",
        "waiting",
        "consuming",
        "blocked",
        "draining",
        "stopped",
    ];

    /// The name of this one, for reports and metrics.
    pub(crate) const fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Starting => 0,
            Self::Connecting { .. } => 1,
            Self::Waiting { .. } => 2,
            Self::Consuming { .. } => 3,
            Self::Blocked { .. } => 4,
            Self::Draining { .. } => 5,
            Self::Stopped => 6,
        }]
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// Requests that were begun and handed back because the drain time was over.
    pub abandoned: u64,
}

named! {
    /// How a delivered request came to its end in this server.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Settled {
        /// Its reply was confirmed.
        Replied = "replied",
        /// Its reply was refused by a queue that stayed full, so it was rejected: dropped or dead-lettered.
        ReplyRefused = "reply_refused",
        /// It expects no reply, or its caller has gone with its cluster node.
        Unanswerable = "unanswerable",
        /// Its reply address is not allowed.
        RefusedAddress = "refused_address",
        /// It ended sessions repeatedly, so it was rejected.
        Poisoned = "poisoned",
        /// It was handed back to the broker by a drain.
        HandedBack = "handed_back",
        /// Its session failed; the broker delivers it again.
        Lost = "lost",
    }
}

/// Counters since the start, written by the server and readable at any time.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Requests delivered and not settled (a gauge).
    pub in_flight: AtomicU64,
    /// Deliveries.
    pub received: AtomicU64,
    /// Requests answered with `OK`.
    pub served: AtomicU64,
    /// Requests answered with an error.
    pub failed: AtomicU64,
    /// Pings answered.
    pub pinged: AtomicU64,
    /// Requests without a usable reply address, which are only acknowledged and counted.
    pub unanswerable: AtomicU64,
    /// Reply addresses refused by the policy, in requests and status requests.
    pub refused: AtomicU64,
    /// Replies that the broker returned because the caller had gone.
    pub returned: AtomicU64,
    /// Replies that the broker refused.
    pub nacked: AtomicU64,
    /// Deliveries with the `redelivered` flag.
    pub redelivered: AtomicU64,
    /// Requests rejected because they ended sessions repeatedly.
    pub poisoned: AtomicU64,
    /// Requests whose deadline passed before or during the computation.
    pub expired: AtomicU64,
    /// Sessions established.
    pub sessions: AtomicU64,
    /// Replies that the broker confirmed.
    pub confirmed: AtomicU64,
    /// Replies that were published again after the broker had refused them.
    pub resent: AtomicU64,
    /// Times that a session ended with a request that may have been the cause.
    pub strikes: AtomicU64,
    /// Requests that were begun and handed back because the drain time was over; with a state directory, by previous
    /// processes as well.
    pub abandoned: AtomicU64,
    /// Bytes of request bodies.
    pub request_bytes: AtomicU64,
    /// Bytes of reply bodies, counted when they are published first.
    pub reply_bytes: AtomicU64,
    /// Milliseconds for which the broker blocked publishes; a block that lasts is counted once per second.
    pub blocked_ms: AtomicU64,
    /// Deliveries that the broker may send ahead (a gauge); 0 without a session.
    pub prefetch: AtomicU64,
    /// Threads that compute at most (a gauge).
    pub pool_threads: AtomicU64,
    /// Computations that run on the pool (a gauge).
    pub pool_running: AtomicU64,
    /// Computations that wait for the pool (a gauge).
    pub pool_waiting: AtomicU64,
    /// Estimated milliseconds until a computation that is requested now would begin (a gauge).
    pub pool_wait_ms: AtomicU64,
    /// How many requests are still to be taken one by one, because one of them may end sessions (a gauge).
    pub isolated: AtomicU64,
    /// Grows while the session's loop (or a wait for the broker) makes progress, at least once per second.
    pub loop_beats: AtomicU64,
    /// Grows while the thread pool makes progress: at least once per second, or, if all of its threads are busy, as often as
    /// their computations ask whether to go on.
    pub pool_beats: AtomicU64,
    /// By [`Settled`]. Together with those in flight, they are those received.
    settled: [AtomicU64; Settled::ALL.len()],
    /// By [`Kind`].
    failures: [AtomicU64; Kind::ALL.len()],
}

impl Counters {
    /// Adds one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were settled in this way.
    pub(crate) fn settled(&self, how: Settled) -> &AtomicU64 {
        &self.settled[how as usize]
    }

    /// Sessions that failed, and attempts to open one, for a cause of this kind.
    pub(crate) fn failures(&self, kind: Kind) -> &AtomicU64 {
        &self.failures[kind as usize]
    }

    /// The current value.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
