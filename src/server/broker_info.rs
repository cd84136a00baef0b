//! What a session knows of its broker, for telemetry.

use crate::broker::{Connection, Expiry, LastRead};
use std::sync::Arc;

/// The broker of the session that began last.
#[derive(Debug)]
pub(crate) struct BrokerInfo {
    /// For example `RabbitMQ`; empty if it does not name itself.
    pub(crate) product: String,
    /// For example `3.10.8`.
    pub(crate) version: String,
    /// When certificates expire.
    pub(crate) expiry: Expiry,
    /// When something was last read from the connection that consumes.
    pub(crate) consuming: Arc<LastRead>,
    /// The same of the connection that publishes.
    pub(crate) publishing: Arc<LastRead>,
}

impl BrokerInfo {
    /// Of the broker at the other end of these connections.
    pub(super) fn of(consuming: &Connection, publishing: &Connection) -> Self {
        let (product, version) = consuming.broker_version();
        Self {
            product,
            version,
            expiry: consuming.expiry().clone(),
            consuming: consuming.last_read().clone(),
            publishing: publishing.last_read().clone(),
        }
    }
}
