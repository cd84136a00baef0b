//! Metrics as Prometheus reads them, made of the counters when they are asked for.

use super::source::Source;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The older text format of Prometheus, 0.0.4.
    Text,
}

/// All metrics.
pub(crate) fn encode(source: &Source, format: Format) -> String {
    let (name, end) = match format {
        Format::OpenMetrics => ("fibrpc_reloads", "# EOF\n"),
        Format::Text => ("fibrpc_reloads_total", ""),
    };
    let [applied, refused] = source.process.reloads();
    format!(
        "# HELP {name} Reloads of the configuration\n# TYPE {name} counter\n\
         fibrpc_reloads_total{{result=\"applied\"}} {applied}\n\
         fibrpc_reloads_total{{result=\"refused\"}} {refused}\n{end}"
    )
}
