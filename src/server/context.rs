//! What sessions share.

use super::isolation::Isolation;
use super::memory::Memory;
use super::nodes::GoneNodes;
use super::report::Reporter;
use super::state::{Counters, State, Stop};
use crate::config::Config;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

/// What sessions work with and none owns. Each session has a clone. Clones share everything, except for the configuration
/// and stop order that each session has seen, and its request in isolation.
pub(super) struct Context<S> {
    pub(super) service: Arc<S>,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) state: watch::Sender<State>,
    pub(super) counters: Arc<Counters>,
    pub(super) isolation: Isolation,
    pub(super) nodes: GoneNodes,
    pub(super) memory: Memory,
    pub(super) instance: String,
    /// The id of the next reply, which becomes its `message_id`; unique within the process. All sessions run on one task.
    pub(super) next_reply: Arc<AtomicU64>,
    /// The broker's limit for a message in bytes, if it is known.
    pub(super) largest_reply: Arc<AtomicU64>,
    /// Why no session with the new settings can be opened while another one serves.
    pub(super) unopened: watch::Sender<Option<String>>,
    pub(super) reporter: Reporter,
}

/// Not derived, because services need not be `Clone`.
impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            config: self.config.clone(),
            stop: self.stop.clone(),
            state: self.state.clone(),
            counters: self.counters.clone(),
            isolation: self.isolation.clone(),
            nodes: self.nodes.clone(),
            memory: self.memory.clone(),
            instance: self.instance.clone(),
            next_reply: self.next_reply.clone(),
            largest_reply: self.largest_reply.clone(),
            unopened: self.unopened.clone(),
            reporter: self.reporter.clone(),
        }
    }
}
