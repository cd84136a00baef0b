//! What a server does with a request: the [`Service`] that it is given.

use super::state::Counters;
use crate::protocol::{Answer, Request, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A function over requests.
pub trait Service: Send + Sync + 'static {
    /// A request that was looked at and found good.
    type Job: Send + 'static;

    /// Looks at a request: what has to be done and what it costs, or why it is refused. Runs on the
    /// session's own task, so it must be quick.
    fn admit(&self, request: &Request) -> Result<(Self::Job, Cost), Status>;

    /// Does the work. Jobs that are known to be cheap run on the session's task, all others (see [`Cost`]) on a
    /// pool of threads. A long computation asks `cancel` now and then, and may return any status once it
    /// says yes. A panic becomes `INTERNAL` for this request alone.
    fn run(&self, job: Self::Job, cancel: &Cancel) -> Result<Answer, Status>;
}

/// The estimated cost of a job. The default states nothing: the job runs on the thread pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Rough computing time; from [`Cost::POOL_FROM`] on the job runs on the thread pool.
    pub time: Duration,
    /// Size of the reply's body in bytes, at least roughly.
    pub reply_bytes: u64,
    /// Bytes of memory at the worst moment of the computation, the result included.
    pub memory: u64,
}

impl Cost {
    /// Jobs that take at least this long run on the pool.
    pub const POOL_FROM: Duration = Duration::from_micros(100);
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

/// Says whether a computation should stop: nobody waits for it any more, or the server leaves.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    stopped: Arc<AtomicBool>,
    deadline: Option<Instant>,
    /// Asking is the sign of life of a long computation; of one beside the pool it would hide the pool's end.
    counters: Option<Arc<Counters>>,
}

impl Cancel {
    /// One that fires at `deadline`, if there is one, or when told to. `counters`: the pool's, for its jobs.
    pub(super) fn new(deadline: Option<Instant>, counters: Option<Arc<Counters>>) -> Self {
        Self {
            stopped: Arc::default(),
            deadline,
            counters,
        }
    }

    /// Tells all clones to stop.
    pub fn cancel(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        if let Some(counters) = &self.counters {
            Counters::add(&counters.pool_beats);
        }
        self.stopped.load(Ordering::Relaxed) || self.deadline.is_some_and(|at| Instant::now() >= at)
    }
}
