//! Exit statuses of `fibrpcd`.

use std::process::ExitCode;

/// How the process ends, in the numbers of sysexits.h, which systemd knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything that was begun is finished.
    Done = 0,
    /// The command line makes no sense.
    Usage = 64,
    /// A fault of ours or of the system.
    Internal = 70,
    /// What was to be printed could not be written.
    Output = 74,
    /// Requests that were begun went back to the broker.
    Abandoned = 75,
    /// The configuration has problems.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
