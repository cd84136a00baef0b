//! What is reported about a configuration: problems in one line each, and files that cannot be used.

use super::file::ReadError;
use std::path::Path;

/// One thing that is wrong, in one line: key, what is wrong, where the value came from, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Problem {
    /// Makes the text safe and puts it on one line, whatever paths and keys contain.
    pub fn new(text: &str) -> Self {
        Self(one_line(text))
    }
}

/// A file named in the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// What is wrong with it.
    pub problem: Problem,
    /// Whether the only fault is that this user may not read it.
    pub denied: bool,
    /// Whether the machine was short of a resource, and nothing is known about the file.
    pub shortage: bool,
}

impl From<Problem> for FileFault {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            denied: false,
            shortage: false,
        }
    }
}

impl FileFault {
    /// A file that was not read; `of` is the key or credential that names it, `help` what to do if the error does not
    /// say.
    pub fn unread(of: &str, path: &Path, error: &ReadError, help: &str) -> Self {
        let (path, help) = (path.display(), error.help().unwrap_or(help));
        Self {
            problem: Problem::new(&format!("{of}: cannot use {path}: {error}; {help}")),
            denied: *error == ReadError::Denied,
            shortage: matches!(error, ReadError::Shortage(_)),
        }
    }
}

/// The text on one line, made safe.
pub(super) fn one_line(text: &str) -> String {
    crate::text::safe(text).into_owned()
}
