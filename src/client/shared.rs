//! What a client's clones and its calls have in common: the way to the driver, and what the driver publishes.

use super::pending::Command;
use super::state::{ConnectionState, Counters};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

/// Ends the driver when it is dropped.
#[derive(Debug)]
pub(super) struct Shared {
    /// Unbounded, since the driver holds any number of calls in any case: the callers bound it.
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) driver: Mutex<JoinSet<()>>,
    pub(super) counters: Arc<Counters>,
    pub(super) state: watch::Receiver<ConnectionState>,
    /// The timeout of calls that state none.
    pub(super) timeout: Duration,
}
