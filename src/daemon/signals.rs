//! Signals, as a stream of their meanings.
//!
//! The first SIGTERM or SIGINT requests a drain, the second an immediate stop. A third one ends the process inside the
//! signal handler, since the first two had no effect.
//!
//! SIGINT stays ignored if it was ignored when the process started: that is how a script protects its background jobs from
//! Ctrl-C. SIGTERM and SIGHUP are caught in any case: they stop a daemon and make it reload, and a reload does no harm
//! when a terminal closes under `nohup`.

use super::exit::Exit;
use crate::inherited::Ignored;
use crate::server::Stop;
use futures_util::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signals that are always caught.
const CAUGHT: &[i32] = &[
    SIGTERM,
    SIGHUP,
    #[cfg(test_wedge)]
    signal_hook::consts::SIGUSR1,
];

/// The meaning of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Finish the work in flight, then stop.
    Drain,
    Now,
    Reload,
    /// Stop making progress, to test the watchdog.
    #[cfg(test_wedge)]
    Wedge,
}

pub(super) struct Signals {
    stream: signal_hook_tokio::Signals,
    stop: Stop,
    /// Set once a further signal must end the process in any state.
    last_resort: Arc<AtomicBool>,
}

impl Signals {
    /// Catches the signals from now on. Needs a tokio runtime with I/O.
    pub(super) fn register() -> io::Result<Self> {
        let ignored = Ignored::now();
        let mut caught = CAUGHT.to_vec();
        let mut stopping = vec![SIGTERM];
        if !ignored.has(SIGINT) {
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
        let stream = signal_hook_tokio::Signals::new(caught)?;
        // Only now is it true.
        if ignored.has(SIGTERM) {
            tracing::warn!(
                "SIGTERM was ignored by the parent process; it stops fibrpcd nevertheless"
            );
        }
        if ignored.has(SIGINT) {
            tracing::info!(
                "SIGINT stays ignored, as the parent process has set it; SIGTERM stops fibrpcd"
            );
        }
        Ok(Self {
            stream,
            stop: Stop::No,
            last_resort,
        })
    }

    /// Waits for the next signal. Signals that arrive together may count as one.
    pub(super) async fn next(&mut self) -> Signal {
        loop {
            let Some(number) = self.stream.next().await else {
                // The stream ends only through its handle, which is not used.
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

/// The meaning of a signal after earlier ones, which `stop` records.
fn meaning(number: i32, stop: &mut Stop) -> Option<Signal> {
    match (number, *stop) {
        (SIGHUP, Stop::No) => Some(Signal::Reload),
        #[cfg(test_wedge)]
        (signal_hook::consts::SIGUSR1, _) => Some(Signal::Wedge),
        (SIGTERM | SIGINT, Stop::No) => {
            *stop = Stop::Drain;
            Some(Signal::Drain)
        }
        (SIGTERM | SIGINT, _) => {
            *stop = Stop::Now;
            Some(Signal::Now)
        }
        // No reload while stopping.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings_depend_on_earlier_signals() {
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
