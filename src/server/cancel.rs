//! [`Cancel`]: how a computation learns that nobody waits for it any more.

use super::state::Counters;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

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
