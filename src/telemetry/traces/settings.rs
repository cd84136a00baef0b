//! What the exporter works with: the configuration, and the environment variables of OpenTelemetry.
//!
//! Precedence, lowest first: defaults, configuration files, `OTEL_*`, `FIBRPC_TELEMETRY__OTLP__*`. Nothing is exported unless
//! one of them names a collector.

use super::resource::resource;
use super::variables::Variables;
use crate::config::{Collector, Loaded, Share};
use crate::telemetry::Program;
use hyper::header::{HeaderName, HeaderValue};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The content type of requests and responses.
pub(super) const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// What the exporter works with.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where traces are sent, with the path.
    pub(super) collector: Collector,
    /// Additional headers; their values are secrets, which `Debug` does not show.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The only authorities to trust, instead of the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// The limit of one request.
    pub(super) timeout: Duration,
    /// The limit of a batch, with all requests for it.
    pub(super) export_timeout: Duration,
    /// How long spans may wait for a full batch.
    pub(super) delay: Duration,
    /// The most spans that wait.
    pub(super) max_queue: usize,
    /// The most spans in a batch.
    pub(super) max_batch: usize,
    /// The share of traces to sample, of those that begin here.
    pub(super) share: Share,
    /// Attributes of this process.
    pub(super) resource: Vec<(String, String)>,
}

/// The settings, if traces are exported at all, and what deserves a warning.
pub(super) fn settings(
    loaded: &Loaded,
    program: &Program,
    read: &dyn Fn(&str) -> Option<OsString>,
) -> (Option<Settings>, Vec<String>) {
    let mut variables = Variables::new(read);
    let settings = resolve(loaded, program, &mut variables);
    (settings, variables.warnings)
}

fn resolve(loaded: &Loaded, program: &Program, variables: &mut Variables<'_>) -> Option<Settings> {
    let collector = collector(loaded, variables)?;
    if variables.is_true("OTEL_SDK_DISABLED") {
        return None;
    }
    match variables.text("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return None,
        Some(_) => variables.ignore("OTEL_TRACES_EXPORTER", "must be otlp or none"),
    }
    let protocol = [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ];
    if let Some((name, text)) = variables.first(&protocol)
        && text != "http/protobuf"
    {
        variables.ignore(name, "only http/protobuf is supported");
    }
    let compression = [
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
    ];
    if let Some((name, text)) = variables.first(&compression)
        && text != "none"
    {
        variables.ignore(name, "compression is not supported");
    }
    let ca_file = [
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
    ];
    let timeout = [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ];
    let max_queue = variables
        .number(&["OTEL_BSP_MAX_QUEUE_SIZE"])
        .unwrap_or(2048)
        .min(MAX_QUEUE);
    let max_batch = variables
        .number(&["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"])
        .unwrap_or(512);
    Some(Settings {
        collector,
        headers: headers(variables),
        ca_file: variables.first(&ca_file).map(|(_, path)| path.into()),
        timeout: variables
            .milliseconds(&timeout)
            .unwrap_or(Duration::from_secs(10)),
        export_timeout: variables
            .milliseconds(&["OTEL_BSP_EXPORT_TIMEOUT"])
            .unwrap_or(Duration::from_secs(30)),
        delay: variables
            .milliseconds(&["OTEL_BSP_SCHEDULE_DELAY"])
            .unwrap_or(Duration::from_secs(5)),
        max_queue,
        max_batch: max_batch.min(max_queue),
        share: share(loaded, variables),
        resource: resource(program, variables),
    })
}

/// The most spans that may be configured to wait, a few hundred bytes each.
const MAX_QUEUE: usize = 1 << 20;

/// Whether a key is set by our own variable, and not only in a file.
fn by_variable(loaded: &Loaded, key: &str) -> bool {
    loaded.origin(key).starts_with("FIBRPC_")
}

/// Its value is used as it is.
const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

fn collector(loaded: &Loaded, variables: &mut Variables<'_>) -> Option<Collector> {
    let ours = loaded
        .config
        .telemetry
        .otlp
        .endpoint
        .as_ref()
        .map(Collector::traces);
    if ours.is_some() && by_variable(loaded, "telemetry.otlp.endpoint") {
        return ours;
    }
    for name in [OF_TRACES, "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        let Some(text) = variables.text(name) else {
            continue;
        };
        match Collector::parse(&text) {
            Ok(collector) if name == OF_TRACES => return Some(collector),
            Ok(collector) => return Some(collector.traces()),
            Err(fault) => variables.ignore(name, &fault.to_string()),
        }
    }
    ours
}

fn headers(variables: &mut Variables<'_>) -> Vec<(HeaderName, HeaderValue)> {
    const NAMES: [&str; 2] = [
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ];
    let mut headers = Vec::new();
    let mut is_invalid = false;
    for (name, value) in variables.pairs(&NAMES) {
        match (name.parse(), HeaderValue::from_str(&value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.push((name, value));
            }
            _ => is_invalid = true,
        }
    }
    if let Some((name, _)) = variables.first(&NAMES).filter(|_| is_invalid) {
        variables.ignore(name, "has an entry that is not a header");
    }
    headers
}

/// The share to sample. Whether a caller's trace is sampled is for the caller to decide.
fn share(loaded: &Loaded, variables: &mut Variables<'_>) -> Share {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    let ours = loaded.config.telemetry.otlp.sample_ratio;
    if by_variable(loaded, "telemetry.otlp.sample_ratio") {
        return ours;
    }
    match variables.text(NAME).as_deref() {
        None => ours,
        Some("parentbased_always_on") => Share::ALL,
        Some("parentbased_always_off") => Share::NONE,
        Some("parentbased_traceidratio") => ratio(variables),
        Some(_) => {
            let samplers =
                "must be parentbased_always_on, parentbased_always_off or parentbased_traceidratio";
            variables.ignore(NAME, samplers);
            ours
        }
    }
}

/// The ratio of the sampler; all, if there is none.
fn ratio(variables: &mut Variables<'_>) -> Share {
    const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
    let Some(text) = variables.text(NAME) else {
        return Share::ALL;
    };
    let share = text.parse().ok().and_then(Share::of);
    if share.is_none() {
        variables.ignore(NAME, "must be a number from 0 to 1");
    }
    share.unwrap_or(Share::ALL)
}

#[cfg(test)]
mod tests;
