//! Launching a server: what its sessions share, the handle that controls it, and the run from start to stop.
//!
//! Holds no state of its own; [`Server`](super::Server) is made of these parts.

use super::abandoned;
use super::backend::Backend;
use super::broker_info::BrokerInfo;
use super::context::Context;
use super::isolation::Isolation;
use super::memory::Memory;
use super::nodes::GoneNodes;
use super::report::{self, Reporter, Serving};
use super::state::{Counters, Outcome, ServerState, Stop};
use super::supervisor::Supervisor;
use crate::config::Config;
use crate::protocol::control::Report;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Controls and observes a [`Server`](super::Server), from any task.
#[derive(Debug, Clone)]
pub struct Handle {
    config: watch::Sender<Arc<Config>>,
    stop: watch::Sender<Stop>,
    state: watch::Receiver<ServerState>,
    #[cfg_attr(
        not(feature = "daemon"),
        allow(dead_code, reason = "read by telemetry")
    )]
    broker: watch::Receiver<Option<Arc<BrokerInfo>>>,
    serving: watch::Receiver<Option<Serving>>,
    counters: Arc<Counters>,
    reporter: Reporter,
}

impl Handle {
    /// Stops the server. Another call can make that more urgent, not less.
    pub fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|stop| {
            let urgent = how > *stop;
            if urgent {
                *stop = how;
            }
            urgent
        });
    }

    /// Changes the configuration: limits at once, broker and queue by another session. The old session serves until the
    /// new one does, and then finishes its requests in parallel.
    pub(crate) fn reconfigure(&self, config: Config) {
        self.config.send_replace(Arc::new(config));
    }

    /// The server's state, which is published nowhere else.
    pub fn state(&self) -> watch::Receiver<ServerState> {
        self.state.clone()
    }

    /// The broker of the session that began last, if there was one.
    #[cfg_attr(
        not(feature = "daemon"),
        allow(dead_code, reason = "read by telemetry")
    )]
    pub(crate) fn broker(&self) -> Option<Arc<BrokerInfo>> {
        self.broker.borrow().clone()
    }

    /// The server's report about itself; about queue and consumers what the session knew at most a second ago. To be called
    /// on the thread of the server, whose lock on the times of requests it takes.
    pub(crate) fn report(&self) -> Report {
        let serving = self.serving.borrow().clone();
        let serving = serving.unwrap_or_else(|| Serving::nothing_yet(self.config.borrow().clone()));
        let state = self.state.borrow();
        self.reporter.report(&serving, &self.counters, &state)
    }

    /// Counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// What the sessions of a server with this configuration share, and its handle.
pub(super) fn prepare(config: Config) -> (Context, Handle) {
    let instance = instance(&config.server.instance);
    let (config_sender, config) = watch::channel(Arc::new(config));
    let (stop_sender, stop) = watch::channel(Stop::No);
    let (state, state_receiver) = watch::channel(ServerState::Starting);
    let (broker, broker_receiver) = watch::channel(None);
    let (serving, serving_receiver) = watch::channel(None);
    let counters = Arc::new(Counters::default());
    let reporter = Reporter::new(&instance);
    let handle = Handle {
        config: config_sender,
        stop: stop_sender,
        state: state_receiver,
        broker: broker_receiver,
        serving: serving_receiver,
        counters: counters.clone(),
        reporter: reporter.clone(),
    };
    let context = Context {
        config,
        stop,
        state,
        broker,
        serving,
        metrics: None,
        isolation: Isolation::new(counters.clone()),
        counters,
        reporter,
        nodes: GoneNodes::default(),
        memory: Memory::default(),
        next_reply: Arc::new(AtomicU64::new(1)),
        largest_reply: Arc::new(AtomicU64::new(u64::MAX)),
        unopened: watch::Sender::new(None),
        program: "fibrpc".into(),
        instance,
    };
    (context, handle)
}

/// Runs the service until the server is stopped.
pub(super) async fn run<B: Backend>(
    service: Arc<B>,
    mut context: Context,
    state_directory: Option<PathBuf>,
) -> Outcome {
    if let Some(directory) = &state_directory {
        let prefetch = context.config.borrow().server.prefetch.into();
        context.isolation = Isolation::load(directory, prefetch, context.counters.clone());
        let sum = abandoned::load(directory);
        context.counters.abandoned.store(sum, Ordering::Relaxed);
    }
    let before = Counters::get(&context.counters.abandoned);
    let supervisor = Supervisor::new(service, &context);
    let outcome = Box::pin(supervisor.run()).await;
    let after = Counters::get(&context.counters.abandoned);
    if let Some(directory) = state_directory.filter(|_| after > before) {
        abandoned::save(&directory, after);
    }
    context.isolation.ended();
    context.state.send_replace(ServerState::Stopped);
    outcome
}

/// The configured instance name, else host name and process id.
fn instance(configured: &str) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    format!("{}/{}", report::host(), std::process::id())
}
