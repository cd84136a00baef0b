//! The events that an operator looks for.
use std::fmt::Display;
use std::time::Duration;
/// Connected.
pub fn connected(endpoint: &str, queue: &str, broker: &str) {
    tracing::info!(endpoint, queue, broker, "connected");
}
/// Disconnected.
pub fn disconnected(endpoint: &str, error: &str, next_try: Duration, attempt: u32) {
    tracing::warn!(endpoint, error, ?next_try, attempt, "disconnected");
}
/// Blocked.
pub fn blocked(endpoint: &str, reason: &str) {
    tracing::warn!(endpoint, reason, "blocked");
}
/// Unblocked.
pub fn unblocked(endpoint: &str, after: Duration) {
    tracing::info!(endpoint, ?after, "unblocked");
}
/// Cancelled.
pub fn cancelled(endpoint: &str, queue: &str) {
    tracing::warn!(endpoint, queue, "cancelled");
}
/// Poisoned.
pub fn poisoned(fingerprint: u64, strikes: u32, reason: &str) {
    tracing::error!(fingerprint, strikes, reason, "poisoned");
}
/// Draining.
pub fn draining(in_flight: u64, timeout: Duration) {
    tracing::info!(in_flight, ?timeout, "draining");
}
/// Drained.
pub fn drained(took: Duration) {
    tracing::info!(?took, "drained");
}
/// Abandoned.
pub fn abandoned(count: u64) {
    tracing::warn!(count, "abandoned");
}
/// Refusals.
#[derive(Debug, Default)]
pub struct Refusals;
impl Refusals {
    /// Logs.
    pub fn log(&mut self, reason: &dyn Display) {
        tracing::warn!(%reason, "reply refused");
    }
}
