//! In place of the export of traces, in a build without it.

use super::Program;
use crate::config::Loaded;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tracing_subscriber::layer::Identity;

/// No exporter.
#[derive(Debug)]
pub(crate) enum Traces {}

impl Traces {
    /// Warns if a collector is configured.
    #[allow(clippy::unnecessary_wraps, reason = "as with the feature")]
    pub(crate) fn start(
        loaded: &Loaded,
        _: &Program,
        _: &Arc<AtomicU64>,
    ) -> io::Result<(Option<Self>, Vec<String>)> {
        let is_configured = loaded.config.telemetry.otlp.endpoint.is_some();
        let warning =
            "telemetry.otlp.endpoint: is not used, this program was built without the feature otlp";
        let warnings = is_configured.then(|| warning.to_owned());
        Ok((None, warnings.into_iter().collect()))
    }

    /// There is no layer.
    pub(crate) fn layer(&self) -> Identity {
        match *self {}
    }

    /// There is no layer.
    pub(crate) fn roots(&self) -> Identity {
        match *self {}
    }

    /// Nothing to stop.
    pub(crate) fn stop(self, _: Duration) {
        match self {}
    }
}
