//! Reading what has arrived before anything is judged late.
//!
//! A process that was stopped (a signal, a frozen cgroup, a paused virtual machine, a debugger) finds its timers
//! expired when it resumes, and the answers that came meanwhile in its socket. So a deadline that has passed
//! proves nothing until the socket has been read once more.

use super::state::Link;
use crate::broker::error::{Error, Kind};
use crate::text::duration;
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a round of reading may take, in case the library hangs.
const MAX_ROUND: Duration = Duration::from_secs(1);

/// How long an answer that has been read may take to become the outcome of its operation.
const ANSWER_GRACE: Duration = Duration::from_millis(100);

/// A timer that fires later than this shows that the process was stopped. On a busy machine timers are late as well,
/// but less so.
const STOPPED_THRESHOLD: Duration = Duration::from_secs(1);

impl Link {
    /// Completes when all that had arrived in the socket at the time of the call has been read and put into the
    /// mailboxes, and the library has dealt with its part. At once if the connection has ended.
    pub(in crate::broker) fn caught_up(&self) -> BoxFuture<'static, ()> {
        let link = self.clone();
        let round = {
            let mut state = link.state();
            state.rounds += 1;
            state.wake_pump();
            state.rounds
        };
        Box::pin(async move {
            let reading = async {
                // Never fails, since the link holds the sender.
                let _ = (link.0.rounds.subscribe())
                    .wait_for(|done| *done >= round)
                    .await;
                // The library reads what is there, and deals with it before it asks for more.
                for _ in 0..2 {
                    link.library_turn().await;
                }
                // The tasks that it has woken have had a turn.
                tokio::task::yield_now().await;
            };
            let ended = link.0.failed.cancelled();
            let read_or_ended = async {
                tokio::select! {
                    biased;
                    () = reading => {}
                    () = ended => {}
                }
            };
            within(MAX_ROUND, async || {}, read_or_ended).await;
        })
    }

    /// Makes the library read until it finds nothing more.
    async fn library_turn(&self) {
        let (mut idle, before) = {
            let mut state = self.state();
            state.wake_library();
            let idle = self.0.idle.subscribe();
            let before = *idle.borrow();
            (idle, before)
        };
        let turned = |idle: &u64| *idle > before || *idle == u64::MAX;
        let _ = idle.wait_for(turned).await;
    }

    /// Runs an operation of the library on a channel (0: on the connection) for at most `limit`; see [`within`]. Errors
    /// begin with `what`, for example "cannot declare queue". If the broker has not answered by then, `vital` decides
    /// whether the connection is cut.
    pub(in crate::broker) async fn run<T>(
        &self,
        limit: Duration,
        what: &str,
        channel: u16,
        vital: bool,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        let caught_up = async || self.caught_up().await;
        let operation = Box::pin(self.or_failed(operation));
        if let Some(done) = within(limit, caught_up, operation).await {
            return done.map_err(|refusal| self.error(what, channel, refusal));
        }
        if vital {
            self.kill();
        }
        let message = format!(
            "{what}: no answer from the broker within {}",
            duration(limit)
        );
        Err(Kind::Timeout.error(message))
    }
}

/// Runs an operation for at most `limit`, not counting time in which this process is stopped; `None`: it did not end.
/// Before that is concluded, `caught_up` reads what has arrived.
pub(in crate::broker) async fn within<T>(
    limit: Duration,
    caught_up: impl AsyncFnOnce(),
    operation: impl Future<Output = T>,
) -> Option<T> {
    let mut operation = std::pin::pin!(operation);
    let mut left = limit;
    loop {
        let due = Instant::now() + left;
        tokio::select! {
            biased;
            done = &mut operation => return Some(done),
            () = sleep_until(due) => {}
        }
        let late = due.elapsed();
        if late < STOPPED_THRESHOLD {
            break;
        }
        // The request may not even have been sent.
        left = late.min(limit);
    }
    let last_chance = async {
        caught_up().await;
        sleep(ANSWER_GRACE).await;
    };
    tokio::select! {
        biased;
        done = &mut operation => Some(done),
        () = last_chance => None,
    }
}

#[cfg(test)]
mod tests;
