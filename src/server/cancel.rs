//! [`Cancel`]: how a computation learns that nobody waits for it any more.

use super::pace::Pauses;
use super::state::Counters;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Whether a computation should stop: its deadline has passed, or the server is stopping.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    stopped: Arc<AtomicBool>,
    deadline: Option<Instant>,
    pooled: Option<Arc<Pooled>>,
}

/// What belongs to a job of the pool. Each of its checks counts as progress, and may pause it. A job on the session's task
/// must not count, since it would hide a pool that hangs, and must not pause.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) counters: Arc<Counters>,
    pub(super) pauses: Pauses,
}

impl Cancel {
    /// Cancelled at `deadline`, if there is one, or by [`cancel`](Self::cancel). `pooled`: for jobs of the pool.
    pub(super) fn new(deadline: Option<Instant>, pooled: Option<Pooled>) -> Self {
        Self {
            stopped: Arc::default(),
            deadline,
            pooled: pooled.map(Arc::new),
        }
    }

    /// Cancels all clones.
    pub fn cancel(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the computation should stop.
    ///
    /// On the thread pool, a call may take some 100 microseconds while small requests arrive: the computation pauses in
    /// favour of them.
    pub fn is_cancelled(&self) -> bool {
        if let Some(pooled) = &self.pooled {
            pooled.check();
        }
        self.stopped.load(Ordering::Relaxed)
            || self
                .deadline
                .is_some_and(|at| tokio::time::Instant::now().into_std() >= at)
    }
}

impl Pooled {
    fn check(&self) {
        Counters::add(&self.counters.pool_beats);
        if let Some(pause) = self.pauses.due(Instant::now()) {
            std::thread::sleep(pause);
            self.pauses.ended(Instant::now());
        }
    }
}
