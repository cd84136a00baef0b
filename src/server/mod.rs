//! The server: [`run`] answers requests with a [`Service`], session after session, until told to stop.

pub mod service;
pub mod state;

pub use service::{Cancel, Cost, Service};
pub use state::{Counters, State, Stop};

use crate::config::Config;
use std::sync::Arc;
use tokio::sync::watch;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Requests that were begun and given back because the drain time was over.
    pub abandoned: u64,
}

/// Answers requests until `stop` says so. Configuration changes arrive through `config`.
///
/// The state is published on `state`, and nowhere else; numbers are in `counters`.
pub async fn run<S: Service>(
    service: Arc<S>,
    config: watch::Receiver<Arc<Config>>,
    stop: watch::Receiver<Stop>,
    state: watch::Sender<State>,
    counters: Arc<Counters>,
) -> Outcome {
    let _ = (service, config, stop, state, counters);
    std::future::pending().await
}
