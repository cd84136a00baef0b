//! The [`Service`] trait: the function that a server runs for each request.

use super::state::Counters;
use crate::protocol::{Answer, Request, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A function of requests, run by a server.
pub trait Service: Send + Sync + 'static {
    /// A valid request.
    type Job: Send + 'static;

    /// Validates a request and estimates its cost, or refuses it. Runs on the session's own task, so it must be
    /// quick.
    fn admit(&self, request: &Request) -> Result<(Self::Job, Cost), Status>;

    /// Computes the answer. Jobs that are known to be cheap run on the session's task, all others (see [`Cost`]) on a
    /// pool of threads. A long computation should check `cancel` regularly, and may return any status once that is
    /// cancelled. A panic becomes `INTERNAL` for this request only.
    fn run(&self, job: Self::Job, cancel: &Cancel) -> Result<Answer, Status>;
}

/// The estimated cost of a job. The default states nothing: the job runs on the thread pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Rough computing time; from [`Cost::POOL_FROM`] on the job runs on the thread pool.
    pub time: Duration,
    /// Approximate size of the reply's body in bytes.
    pub reply_bytes: u64,
    /// Peak memory of the computation in bytes, the result included.
    pub memory: u64,
}

impl Cost {
    /// Jobs that take at least this long run on the pool.
    pub const POOL_FROM: Duration = Duration::from_micros(100);

    /// The cost of a job that takes this time.
    pub fn of(time: Duration) -> Self {
        Self {
            time,
            ..Self::default()
        }
    }

    /// The same with the size of the reply's body.
    #[must_use]
    pub fn reply_bytes(self, reply_bytes: u64) -> Self {
        Self {
            reply_bytes,
            ..self
        }
    }

    /// The same with the peak memory.
    #[must_use]
    pub fn memory(self, memory: u64) -> Self {
        Self { memory, ..self }
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            time: Self::POOL_FROM,
            reply_bytes: 0,
            memory: 0,
        }
    }
}

/// Whether a computation should stop: its deadline has passed, or the server is stopping.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    stopped: Arc<AtomicBool>,
    deadline: Option<Instant>,
    /// Set for jobs of the pool: each check counts as progress. A job on the session's task must not count, since it
    /// would hide a pool that hangs.
    counters: Option<Arc<Counters>>,
}

impl Cancel {
    /// Cancelled at `deadline`, if there is one, or by [`cancel`](Self::cancel). `counters`: for jobs of the pool.
    pub(super) fn new(deadline: Option<Instant>, counters: Option<Arc<Counters>>) -> Self {
        Self {
            stopped: Arc::default(),
            deadline,
            counters,
        }
    }

    /// Cancels all clones.
    pub fn cancel(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the computation should stop.
    pub fn is_cancelled(&self) -> bool {
        if let Some(counters) = &self.counters {
            Counters::add(&counters.pool_beats);
        }
        self.stopped.load(Ordering::Relaxed)
            || self
                .deadline
                .is_some_and(|at| tokio::time::Instant::now().into_std() >= at)
    }
}
