//! What a trace says about the process that made it (semantic conventions 1.44: service, host, process, telemetry).

use super::variables::Variables;
use crate::telemetry::Program;

/// The attributes of this process: ours, with those of `OTEL_RESOURCE_ATTRIBUTES` in their place and beside them.
pub(super) fn resource(program: &Program, variables: &mut Variables<'_>) -> Vec<(String, String)> {
    let version = env!("CARGO_PKG_VERSION");
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let pid = std::process::id();
    let instance = match program.instance.as_str() {
        "" => format!("{host}/{pid}"),
        name => name.to_owned(),
    };
    let mut attributes = vec![
        ("service.name".to_owned(), program.name.to_owned()),
        ("service.version".to_owned(), version.to_owned()),
        ("service.instance.id".to_owned(), instance),
        ("host.name".to_owned(), host),
        ("process.pid".to_owned(), pid.to_string()),
        ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
        ("telemetry.sdk.name".to_owned(), "fibrpc".to_owned()),
        ("telemetry.sdk.version".to_owned(), version.to_owned()),
    ];
    let mut given = variables.pairs(&["OTEL_RESOURCE_ATTRIBUTES"]);
    if let Some(name) = variables.text("OTEL_SERVICE_NAME") {
        given.push(("service.name".to_owned(), name));
    }
    for (key, value) in given {
        attributes.retain(|(known, _)| *known != key);
        attributes.push((key, value));
    }
    attributes
}
