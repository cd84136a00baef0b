//! What others see of a running program: metrics, health and traces.
//!
//! Reads what the layers below count and publish; none of them knows it. Off unless it is configured.

#[cfg(feature = "daemon")]
pub(crate) mod endpoint;
#[cfg(feature = "daemon")]
mod metrics;
#[cfg(feature = "daemon")]
pub(crate) mod progress;
#[cfg(feature = "daemon")]
pub(crate) mod source;
#[cfg(feature = "daemon")]
pub(crate) mod status;
#[cfg(feature = "otlp")]
pub(crate) mod traces;
#[cfg(not(feature = "otlp"))]
#[path = "no_traces.rs"]
pub(crate) mod traces;

/// The program whose traces are exported.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// The configured name of this instance; empty: host name and process id, as in replies.
    pub(crate) instance: String,
}
