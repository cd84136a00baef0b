//! Whether the server lives, and whether it is ready.
//!
//! Owns what it has seen of the server's progress. It reads counters and a copy of the state, and works if the thread of
//! the server hangs.

use crate::server::{Counters, ServerState};
use crate::telemetry::progress::{Beats, Progress};
use crate::telemetry::source::Source;
use crate::telemetry::status::status_line;
use std::cell::RefCell;
use std::time::Instant;

/// Whether it is good, with the reason in one line.
pub(super) type Condition = Result<String, String>;

#[derive(Debug)]
pub(super) struct Health {
    progress: RefCell<Progress>,
}

impl Health {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            progress: RefCell::new(Progress::new(now)),
        }
    }

    /// Whether the server lives: while it does, systemd's watchdog is fed. To be called at least once per second.
    pub(super) fn live(&self, source: &Source, now: Instant) -> Condition {
        let beats = Beats::of(source.handle.counters());
        // It is borrowed nowhere else.
        let mut progress = self.progress.borrow_mut();
        match progress.stalled(beats, now, source.patience) {
            None => Ok("live".into()),
            Some(stall) => Err(format!("not live: {stall}")),
        }
    }

    /// Whether requests are answered as usual.
    pub(super) fn ready(&self, source: &Source, now: Instant) -> Condition {
        self.live(source, now)?;
        let counters = source.handle.counters();
        let state = source.handle.state().borrow().clone();
        let line = status_line(&state, counters, now);
        match state {
            // Without requests there is nothing to isolate, and the next one is answered at once.
            ServerState::Consuming { .. }
                if Counters::get(&counters.isolated) == 0
                    || Counters::get(&counters.in_flight) == 0 =>
            {
                Ok(format!("ready: {line}"))
            }
            ServerState::Consuming { .. } => Err(format!(
                "not ready: requests are taken one by one, because one of them may end sessions; {line}"
            )),
            _ => Err(format!("not ready: {line}")),
        }
    }
}
