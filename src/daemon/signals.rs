//! Signals, as a stream of what they ask for.
//!
//! The first SIGTERM or SIGINT asks for a drain, the second to leave now. From then on a third one
//! ends the process inside the signal handler, since whoever sends three has seen the first two
//! change nothing.
//!
//! SIGINT stays ignored where it was when the process was started: it is Ctrl-C at a terminal, from which a script's
//! background jobs are kept that way. SIGTERM and SIGHUP are caught all the same: they are how a daemon is stopped and
//! told to reload, and a reload is as good an answer to a terminal that is gone as none, which is what `nohup` asks for.

use super::exit::Exit;
use crate::inherited::Ignored;
use crate::server::Stop;
use futures_util::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is caught in any case.
const CAUGHT: &[i32] = &[
    SIGTERM,
    SIGHUP,
    #[cfg(feature = "test-wedge")]
    signal_hook::consts::SIGUSR1,
];

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Finish what is in flight, then leave.
    Drain,
    /// Leave at once.
    Now,
    /// Read the configuration again.
    Reload,
    /// Stop making progress, so that a test sees what the watchdog does about it.
    #[cfg(feature = "test-wedge")]
    Wedge,
}

/// The signals of this process.
pub(super) struct Signals {
    stream: signal_hook_tokio::Signals,
    stop: Stop,
    /// Set once a further signal shall end the process whatever state it is in.
    last_resort: Arc<AtomicBool>,
}

impl Signals {
    /// Catches the signals from now on. Needs a tokio runtime with I/O.
    pub(super) fn register() -> io::Result<Self> {
        let ignored = Ignored::now();
        if ignored.has(SIGTERM) {
            tracing::warn!(
                "SIGTERM was ignored by the parent process; it stops fibrpcd nevertheless"
            );
        }
        let mut caught = CAUGHT.to_vec();
        let mut stopping = vec![SIGTERM];
        if ignored.has(SIGINT) {
            tracing::info!(
                "SIGINT stays ignored, as the parent process has set it; SIGTERM stops fibrpcd"
            );
        } else {
            caught.push(SIGINT);
            stopping.push(SIGINT);
        }
        let last_resort = Arc::new(AtomicBool::new(false));
        for signal in stopping {
            signal_hook::flag::register_conditional_shutdown(
                signal,
                Exit::Abandoned as i32,
                last_resort.clone(),
            )?;
        }
        Ok(Self {
            stream: signal_hook_tokio::Signals::new(caught)?,
            stop: Stop::No,
            last_resort,
        })
    }

    /// Waits for the next signal. Signals that arrive together may count as one.
    pub(super) async fn next(&mut self) -> Signal {
        loop {
            let Some(number) = self.stream.next().await else {
                // The stream ends only when its handle is told to, and nobody has one.
                return std::future::pending().await;
            };
            if let Some(signal) = meaning(number, &mut self.stop) {
                if signal == Signal::Now {
                    self.last_resort.store(true, Ordering::Relaxed);
                }
                return signal;
            }
        }
    }
}

/// What a signal means after those before it, which `stop` keeps.
fn meaning(number: i32, stop: &mut Stop) -> Option<Signal> {
    match (number, *stop) {
        (SIGHUP, Stop::No) => Some(Signal::Reload),
        #[cfg(feature = "test-wedge")]
        (signal_hook::consts::SIGUSR1, _) => Some(Signal::Wedge),
        (SIGTERM | SIGINT, Stop::No) => {
            *stop = Stop::Drain;
            Some(Signal::Drain)
        }
        (SIGTERM | SIGINT, _) => {
            *stop = Stop::Now;
            Some(Signal::Now)
        }
        // A configuration is of no use to a server that leaves.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_mean_what_those_before_them_allow() {
        use Signal::{Drain, Now, Reload};
        for (signals, expect) in [
            (&[SIGHUP, SIGHUP][..], &[Some(Reload), Some(Reload)][..]),
            (&[SIGTERM, SIGTERM], &[Some(Drain), Some(Now)]),
            (
                &[SIGINT, SIGTERM, SIGINT],
                &[Some(Drain), Some(Now), Some(Now)],
            ),
            (
                &[SIGHUP, SIGTERM, SIGHUP, SIGINT, SIGHUP],
                &[Some(Reload), Some(Drain), None, Some(Now), None],
            ),
        ] {
            let mut stop = Stop::No;
            let meanings: Vec<_> = signals
                .iter()
                .map(|number| meaning(*number, &mut stop))
                .collect();
            assert_eq!(meanings, expect, "{signals:?}");
        }
    }
}
