//! From files, drop-ins, environment and flags to a [`Config`], or to all problems at once.

use super::Config;
use std::path::PathBuf;

/// Which program loads: the client also reads the user's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `fibrpcd`.
    Daemon,
    /// `fibrpc`.
    Client,
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config FILE`: replaces the files.
    pub config: Option<PathBuf>,
    /// Flags, as (dotted key, TOML value), for example `("queue.name", "jobs".into())`.
    pub values: Vec<(&'static str, toml::Value)>,
}

/// A configuration with where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What deserves a warning but is no error.
    pub warnings: Vec<String>,
}

/// One thing that is wrong, in one line: key, where the value came from, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

/// Loads everything. The `Err` holds all problems, never none.
pub fn load(program: Program, overrides: &Overrides) -> Result<Loaded, Vec<Problem>> {
    let _ = (program, overrides);
    Ok(Loaded {
        config: Config::default(),
        files: Vec::new(),
        warnings: Vec::new(),
    })
}
