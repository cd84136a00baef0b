//! The memory of large computations, of all sessions together: while one session replaces another, two pools are
//! running, and the limits apply to the process.
//!
//! Owns the sums. Dropping a pool's share gives back what it still holds.

use super::service::Cost;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Limit for the replies in memory, computed or waiting for their confirm, in bytes; above it further jobs wait. A
/// single job may exceed it.
const REPLY_BUDGET: u64 = 64 << 20;

/// Limit for the memory of running jobs together, in bytes; above it further jobs wait. With [`REPLY_BUDGET`] it stays
/// below the shipped unit's `MemoryHigh=`.
pub(super) const WORK_BUDGET: u64 = 256 << 20;

/// The most that a single job counts, so that every job can run and leaves room for small ones. The real use is bounded
/// by the limits on n and on replies: with the defaults, it is less than this.
pub(super) const MAX_SHARE: u64 = WORK_BUDGET / 4 * 3;

/// The use of all pools together. Clones share it; all sessions run on one task.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    work: AtomicU64,
    replies: AtomicU64,
}

/// The use of one pool.
#[derive(Debug)]
pub(super) struct Share {
    of: Memory,
    work: u64,
    replies: u64,
}

impl Share {
    /// An empty share of `memory`.
    pub(super) fn of(memory: &Memory) -> Self {
        Self {
            of: memory.clone(),
            work: 0,
            replies: 0,
        }
    }

    /// Whether a job and its reply fit within the limits.
    pub(super) fn fits(&self, cost: &Cost) -> bool {
        let Sums { work, replies } = &*self.of.0;
        let replies = replies.load(Ordering::Relaxed);
        let reply_fits = replies == 0 || replies + cost.reply_bytes <= REPLY_BUDGET;
        reply_fits && work.load(Ordering::Relaxed) + cost.memory <= WORK_BUDGET
    }

    /// Adds a job that begins.
    pub(super) fn take(&mut self, cost: &Cost) {
        self.work += cost.memory;
        self.replies += cost.reply_bytes;
        let Sums { work, replies } = &*self.of.0;
        work.fetch_add(cost.memory, Ordering::Relaxed);
        replies.fetch_add(cost.reply_bytes, Ordering::Relaxed);
    }

    /// Removes a job that ended; its reply is still in memory.
    pub(super) fn end(&mut self, cost: &Cost) {
        self.work -= cost.memory;
        self.of.0.work.fetch_sub(cost.memory, Ordering::Relaxed);
    }

    /// Removes a reply of this size.
    pub(super) fn release(&mut self, reply_bytes: u64) {
        self.replies -= reply_bytes;
        self.of.0.replies.fetch_sub(reply_bytes, Ordering::Relaxed);
    }

    /// The memory of the running jobs.
    #[cfg(test)]
    pub(super) fn work(&self) -> u64 {
        self.work
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.work.fetch_sub(self.work, Ordering::Relaxed);
        self.of.0.replies.fetch_sub(self.replies, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(memory: u64, reply_bytes: u64) -> Cost {
        Cost {
            reply_bytes,
            memory,
            ..Cost::default()
        }
    }

    #[test]
    fn two_pools_share_the_limits() {
        let memory = Memory::default();
        let (mut leaving, mut next) = (Share::of(&memory), Share::of(&memory));
        leaving.take(&cost(MAX_SHARE, 1));
        assert!(!next.fits(&cost(MAX_SHARE, 1)));
        assert!(next.fits(&cost(WORK_BUDGET - MAX_SHARE, 1)));
        next.take(&cost(1, REPLY_BUDGET));
        assert!(
            !leaving.fits(&cost(1, 1)),
            "replies are counted together as well"
        );
        next.end(&cost(1, REPLY_BUDGET));
        next.release(REPLY_BUDGET);
        assert!(leaving.fits(&cost(1, 1)));
        drop(leaving);
        assert!(
            next.fits(&cost(MAX_SHARE, REPLY_BUDGET + 1)),
            "a single reply may exceed the limit"
        );
    }
}
