//! Memory that large computations take, those of all sessions of a server together: while a session leaves, two pools are
//! at work, and the limits are of the process.
//!
//! Owns the sums. What a pool has taken is given back when it is dropped, at the latest.

use super::service::Cost;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reply bytes that may be in memory at once, being computed or waiting for their confirm, before
/// further large jobs wait. One job alone may exceed it.
const REPLY_BUDGET: u64 = 64 << 20;

/// Bytes that jobs at work may take together before further ones wait. Together with [`REPLY_BUDGET`] it is less than the
/// shipped unit's `MemoryHigh=`.
pub(super) const WORK_BUDGET: u64 = 256 << 20;

/// What one job counts at most, so that it runs whatever it takes, and does not keep small ones waiting. How much
/// that one takes is bounded by the limits on n and on replies: with the defaults, less than this.
pub(super) const MAX_SHARE: u64 = WORK_BUDGET / 4 * 3;

/// What all pools have taken. Clones share it; all sessions run on one task.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    work: AtomicU64,
    replies: AtomicU64,
}

/// What one pool has taken.
#[derive(Debug)]
pub(super) struct Share {
    of: Memory,
    work: u64,
    replies: u64,
}

impl Share {
    /// Nothing yet.
    pub(super) fn of(memory: &Memory) -> Self {
        Self {
            of: memory.clone(),
            work: 0,
            replies: 0,
        }
    }

    /// Whether there is memory for a job and its reply.
    pub(super) fn fits(&self, cost: &Cost) -> bool {
        let Sums { work, replies } = &*self.of.0;
        let replies = replies.load(Ordering::Relaxed);
        let reply_fits = replies == 0 || replies + cost.reply_bytes <= REPLY_BUDGET;
        reply_fits && work.load(Ordering::Relaxed) + cost.memory <= WORK_BUDGET
    }

    /// A job begins.
    pub(super) fn take(&mut self, cost: &Cost) {
        self.work += cost.memory;
        self.replies += cost.reply_bytes;
        self.of.0.work.fetch_add(cost.memory, Ordering::Relaxed);
        self.of
            .0
            .replies
            .fetch_add(cost.reply_bytes, Ordering::Relaxed);
    }

    /// A job ended; its reply is still in memory.
    pub(super) fn end(&mut self, cost: &Cost) {
        self.work -= cost.memory;
        self.of.0.work.fetch_sub(cost.memory, Ordering::Relaxed);
    }

    /// A reply of so many bytes is out of memory.
    pub(super) fn release(&mut self, reply_bytes: u64) {
        self.replies -= reply_bytes;
        self.of.0.replies.fetch_sub(reply_bytes, Ordering::Relaxed);
    }

    /// What the jobs at work take.
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
    fn two_pools_together_keep_within_the_budget_of_one() {
        let memory = Memory::default();
        let (mut leaving, mut next) = (Share::of(&memory), Share::of(&memory));
        leaving.take(&cost(MAX_SHARE, 1));
        assert!(!next.fits(&cost(MAX_SHARE, 1)));
        assert!(next.fits(&cost(WORK_BUDGET - MAX_SHARE, 1)));
        next.take(&cost(1, REPLY_BUDGET));
        assert!(!leaving.fits(&cost(1, 1)), "replies count together as well");
        next.end(&cost(1, REPLY_BUDGET));
        next.release(REPLY_BUDGET);
        assert!(leaving.fits(&cost(1, 1)));
        drop(leaving);
        assert!(next.fits(&cost(MAX_SHARE, REPLY_BUDGET + 1)), "one alone");
    }
}
