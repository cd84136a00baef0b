//! State that sessions share.

use super::broker_info::BrokerInfo;
use super::isolation::Isolation;
use super::memory::Memory;
use super::metrics::Metrics;
use super::nodes::GoneNodes;
use super::report::{Reporter, Serving};
use super::state::{Counters, ServerState, Stop};
use crate::config::Config;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

/// Shared by all sessions and owned by none. Each session has a clone. Clones share everything, except for the configuration
/// and stop order that each session has seen, and its request in isolation.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) state: watch::Sender<ServerState>,
    /// The broker of the session that began last.
    pub(super) broker: watch::Sender<Option<Arc<BrokerInfo>>>,
    /// What the session serves that consumes; `None` without one. Published once per second.
    pub(super) serving: watch::Sender<Option<Serving>>,
    pub(super) counters: Arc<Counters>,
    /// Histograms, if somebody reads them.
    pub(super) metrics: Option<Arc<Metrics>>,
    pub(super) isolation: Isolation,
    pub(super) nodes: GoneNodes,
    pub(super) memory: Memory,
    /// What runs the server: the first word of its connections' names.
    pub(super) program: String,
    pub(super) instance: String,
    /// The id of the next reply, which becomes its `message_id`; unique within the process. All sessions run on one task.
    pub(super) next_reply: Arc<AtomicU64>,
    /// The broker's limit for a message in bytes, if it is known.
    pub(super) largest_reply: Arc<AtomicU64>,
    /// Why no session with the new settings can be opened while another one serves.
    pub(super) unopened: watch::Sender<Option<String>>,
    pub(super) reporter: Reporter,
}
