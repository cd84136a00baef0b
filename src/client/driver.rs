//! The task behind a [`Client`](super::Client), which owns the connection and all waiting calls.
//!
//! One loop handles whatever comes next: a call, a connection event, or a timer. A call is *held* until its queue is known
//! to have a server, then *published*; it is *returned* if there is no queue and the client waits for one. Every call ends
//! exactly once, by its deadline, or is forgotten at once if its caller drops it.

mod calls;
mod events;
mod queues;
mod timers;

pub(super) use calls::Driver;

use super::failure;
use super::pending::Command;
use super::session::finish;
use super::state::ConnectionState;
use std::pin::pin;
use std::time::{Duration, Instant};

/// The most commands and events that are handled before other tasks get a turn.
const MAX_BATCH: usize = 256;

impl Driver {
    /// Serves the client until it is closed or dropped.
    pub(super) async fn run(mut self) {
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let mut set = None;
        loop {
            // Set to the earliest deadline and not reset when that call ends: a timer per call would cost more than
            // everything else here.
            if let Some(due) = self.due()
                && set.is_none_or(|set| due < set)
            {
                timer.as_mut().reset(due.into());
                set = Some(due);
            }
            let (mut command, mut caught_up) = (None, None);
            tokio::select! {
                event = self.connector.event() => self.on_connector_event(event),
                received = self.commands.recv() => command = Some(received.unwrap_or(Command::Close)),
                () = &mut timer, if set.is_some() => {
                    set = None;
                    self.on_timer(Instant::now());
                }
                now = finish(&mut self.catching_up) => caught_up = Some(now),
            }
            for _ in 0..MAX_BATCH {
                match command.take().or_else(|| self.commands.try_recv().ok()) {
                    Some(Command::Call(id, deadline, call)) => self.accept(id, deadline, call),
                    Some(Command::Forget(id)) => self.forget(id),
                    Some(Command::Close) => return self.close().await,
                    None => break,
                }
            }
            // Everything that has arrived is handled before calls expire.
            let batch = caught_up.map_or(MAX_BATCH, |_| usize::MAX);
            for _ in 0..batch {
                match self.connector.try_event() {
                    Some(event) => self.on_session_event(event),
                    None => break,
                }
            }
            if let Some(now) = caught_up {
                self.expire(now);
            }
            self.publish_waiting();
            tokio::task::consume_budget().await;
        }
    }

    async fn close(mut self) {
        self.end_all(&failure::closed(), |_| true);
        // A broker that blocks the connection does not read the close.
        let reads = !matches!(*self.state.borrow(), ConnectionState::Blocked(_));
        self.connector.close(reads).await;
    }
}
