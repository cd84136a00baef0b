//! Exit statuses of `fibrpcd`.

use std::process::ExitCode;

/// How the process ends, in the numbers of sysexits.h, which systemd knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All work is finished.
    Done = 0,
    /// The running daemon is not live, or not ready.
    Unhealthy = 1,
    Usage = 64,
    /// An internal error, or one of the system.
    Internal = 70,
    /// Standard output could not be written.
    Output = 74,
    /// Requests that had been started were returned to the broker.
    Abandoned = 75,
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
