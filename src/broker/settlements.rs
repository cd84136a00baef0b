//! How many acks and requeues a quorum queue may forget when their channel closes.
//!
//! The broker has at most 33 commands of a channel on their way to the leader of a quorum queue (`SOFT_LIMIT` in
//! `rabbit_fifo_client`). It keeps later acks in the channel until the leader has carried out earlier ones, and drops them if
//! the channel closes first: their messages are delivered again (seen with RabbitMQ 3.10, 4.0 and 4.3). It answers a new
//! consumer, and the end of one, after the leader has carried out the commands before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The queue is certain to take this many frames. The limit is 33 commands, and a frame that settles deliveries of two
/// consumers, as after a change of the prefetch, is two of them.
const CERTAIN: u64 = 16;

/// The frames with acks or requeues that the broker may still keep in a channel. All clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Settlements(Arc<AtomicU64>);

impl Settlements {
    /// Counts a frame.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Frames until now.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The queue has taken this many, those sent first.
    pub(super) fn taken(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether the queue gets all of them, also if the channel closes at once.
    pub(super) fn are_certain(&self) -> bool {
        self.count() <= CERTAIN
    }
}
