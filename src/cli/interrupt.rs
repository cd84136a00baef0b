//! Ctrl-C, for all commands: the first SIGINT or SIGTERM makes the command print its summary and end, the second
//! one ends the process at once. Either way the process dies by the signal, as shells expect.
//!
//! A command gets a [`CancellationToken`] and stops when it is cancelled. It has [`GRACE`] for that, so that a
//! stopped reader or a lost broker cannot keep the process alive.
//!
//! A signal that was ignored when the process started stays ignored, as expected under `nohup`, `trap ''` and in the
//! background of a script.

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

/// How long a stopped command may take to print its summary and to disconnect.
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
            // In this order: the first signal finds the flag clear and sets it for the second, which then ends the
            // process in the signal handler, whatever the rest is busy with.
            flag::register_conditional_default(signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
        }
        Ok(Self {
            signals: Signals::new(caught)?,
            stop: CancellationToken::new(),
        })
    }

    /// The token that stops the command.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs the command to its end or the end of its grace; returns its exit status, or the signal.
    pub(super) async fn watch(mut self, command: impl Future<Output = u8>) -> Result<u8, Signal> {
        let mut command = pin!(command);
        let signal = tokio::select! {
            status = &mut command => return Ok(status),
            Some(signal) = self.signals.next() => signal,
        };
        self.stop.cancel();
        // On timeout the command is dropped.
        let _ = tokio::time::timeout(GRACE, command).await;
        Err(Signal(signal))
    }
}

impl Signal {
    /// Ends the process as if the signal had never been caught.
    pub(super) fn end_process(self) -> u8 {
        // Returns only if the signal is blocked.
        let _ = low_level::emulate_default_handler(self.0);
        Code::Internal.exit_status()
    }
}
