//! Ctrl-C, for all commands: a first SIGINT or SIGTERM tells the command to sum up and come to its end, a
//! second one ends the process at once. Either way the process ends by the signal, as a shell expects.
//!
//! A command gets a [`CancellationToken`] and stops when it is cancelled. It has [`GRACE`] for that, so a
//! reader who has stopped reading or a broker that is gone cannot keep the process.
//!
//! A signal that was ignored when the process was started stays ignored, as in all programs that a script runs
//! under `nohup`, `trap ''` or in the background.

use crate::inherited::Ignored;
use crate::protocol::Code;
use futures_util::stream::StreamExt as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use signal_hook_tokio::Signals;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a command that was told to stop may take to say what it has and to leave the broker.
const GRACE: Duration = Duration::from_secs(2);

/// The number of the signal that ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signal(i32);

/// The signals of this process, caught.
pub(super) struct Interrupt {
    signals: Signals,
    stop: CancellationToken,
}

impl Interrupt {
    /// Catches the signals from now on. Needs a tokio runtime with I/O.
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = Ignored::now();
        let caught = [SIGINT, SIGTERM].into_iter();
        let caught: Vec<i32> = caught.filter(|signal| !ignored.has(*signal)).collect();
        let again = Arc::new(AtomicBool::new(false));
        for &signal in &caught {
            // In this order: the first signal finds the flag down and puts it up for the second, which
            // then ends the process within its handler, whatever the rest is busy with.
            flag::register_conditional_default(signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
        }
        Ok(Self {
            signals: Signals::new(caught)?,
            stop: CancellationToken::new(),
        })
    }

    /// What the command listens to.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs the command, to its end or to that of its grace; gives its exit status, or the signal.
    pub(super) async fn watch(mut self, command: impl Future<Output = u8>) -> Result<u8, Signal> {
        let mut command = pin!(command);
        let signal = tokio::select! {
            status = &mut command => return Ok(status),
            Some(signal) = self.signals.next() => signal,
        };
        self.stop.cancel();
        // An error says that the grace is over: the command is dropped where it stands.
        let _ = tokio::time::timeout(GRACE, command).await;
        Err(Signal(signal))
    }
}

impl Signal {
    /// Ends the process as if the signal had never been caught.
    pub(super) fn end_process(self) -> u8 {
        // Does not come back, but in a process where the signal is blocked.
        let _ = low_level::emulate_default_handler(self.0);
        Code::Internal.exit_status()
    }
}
