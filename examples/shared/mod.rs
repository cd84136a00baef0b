//! A server with the configuration of `fibrpcd`, and its log on standard error: what the examples share that are such servers.

use fibrpc::internals::config::load::{Overrides, Program, load};
use fibrpc::server::Builder;

/// Starts the log, and reads the configuration.
pub fn builder() -> Result<Builder, String> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match load(Program::Daemon, &Overrides::default()) {
        Ok(loaded) => Ok(Builder::from(loaded.config)),
        Err(problems) => Err(problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()),
    }
}
