//! What a client publishes about itself: the state of its connection, and counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Not connected; the client keeps trying. The last failure in one line.
    Connecting(String),
    /// Connected.
    Ready,
    /// Connected, but the broker accepts no requests; its reason.
    Blocked(String),
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(why) => write!(f, "no connection to the broker: {why}"),
            Self::Ready => f.write_str("connected"),
            Self::Blocked(why) => write!(f, "the broker has blocked the connection: {why}"),
        }
    }
}

/// Counters since the client was created, shared by its clones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests published, repeated ones included.
    pub published: u64,
    /// Replies to a call.
    pub replies: u64,
    /// Replies to no waiting call (late, duplicate or with an unknown id), which were dropped. Those to calls that were
    /// dropped do not count.
    pub unexpected: u64,
    /// Requests returned because there was no queue.
    pub returned: u64,
    /// Calls that their callers dropped before they had ended.
    pub dropped: u64,
    /// Connections lost.
    pub lost: u64,
    /// Calls that wait at present.
    pub waiting: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) published: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) unexpected: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) waiting: AtomicU64,
}

impl Counters {
    pub(super) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            published: read(&self.published),
            replies: read(&self.replies),
            unexpected: read(&self.unexpected),
            returned: read(&self.returned),
            dropped: read(&self.dropped),
            lost: read(&self.lost),
            waiting: read(&self.waiting),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
