//! The load: one loop that sends due requests, over all connections in turn, and collects the outcomes. Owns the calls
//! in flight.

use super::pacer::Pacer;
use super::schedule::{Due, Pace, Schedule};
use super::tally::{Ended, Tally};
use super::work::Work;
use crate::cli::output::Output;
use crate::client::Client;
use fastrand::Rng;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How long a failed request stays in flight in the closed loop, so that a server that is gone does not cause millions
/// of failures.
const REST: Duration = Duration::from_millis(100);

/// The same for each run, so that runs are comparable.
const SEED: u64 = 5;

/// Refresh interval of the live line.
const TICK: Duration = Duration::from_millis(500);

/// What to send, and where.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    pub(super) clients: &'a [Client],
    pub(super) queue: Arc<str>,
    pub(super) work: &'a Work,
    pub(super) pace: Pace,
    /// The maximum in flight.
    pub(super) in_flight: usize,
    pub(super) timeout: Duration,
}

impl Generator<'_> {
    /// Sends all requests, and waits until all have ended: at most a call's timeout longer. Returns whether it was stopped
    /// before that.
    pub(super) async fn run(
        &self,
        tally: &mut Tally,
        live: Option<&Output>,
        stop: &CancellationToken,
    ) -> io::Result<bool> {
        let mut schedule = Schedule::new(self.pace, Instant::now());
        let sending = self.send(&mut schedule, tally, live);
        let ended = stop.run_until_cancelled(sending).await;
        let now = Instant::now();
        tally.missed(schedule.missed(now));
        if schedule.is_crowded(now) {
            tally.crowded();
        }
        Ok(ended.transpose()?.is_none())
    }

    async fn send(
        &self,
        schedule: &mut Schedule,
        tally: &mut Tally,
        live: Option<&Output>,
    ) -> io::Result<()> {
        let mut pacer = Pacer::new()?;
        let mut random = Rng::with_seed(SEED);
        let mut clients = self.clients.iter().cycle();
        let mut calls = FuturesUnordered::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut now = Instant::now();
            while calls.len() < self.in_flight
                && let Some(due) = schedule.next(now)
                && let Some(client) = clients.next()
            {
                tally.sent(due, now);
                calls.push(self.call(client, self.work.pick(&mut random), due));
                now = Instant::now();
            }
            let mut next = schedule.next_due(now);
            // Only the end of a request makes room again.
            if calls.len() == self.in_flight {
                schedule.no_room(now);
                if next.take().is_some_and(|due| due < now) {
                    tally.crowded();
                }
            }
            if calls.is_empty() && next.is_none() {
                return Ok(());
            }
            tokio::select! {
                Some(ended) = calls.next(), if !calls.is_empty() => {
                    tally.ended(ended);
                    while let Some(Some(ended)) = calls.next().now_or_never() {
                        tally.ended(ended);
                    }
                }
                paced = pacer.until(next.unwrap_or(now), Instant::now()), if next.is_some() => paced?,
                _ = tick.tick(), if live.is_some() => {
                    if let Some(output) = live {
                        output.live(tally.progress(Instant::now()));
                    }
                }
            }
        }
    }

    async fn call(&self, client: &Client, n: u64, due: Due) -> Ended {
        let outcome = self
            .work
            .ask(client, Arc::clone(&self.queue), n, self.timeout)
            .await;
        let at = Instant::now();
        if outcome.is_err() && self.pace.rate.is_none() {
            Box::pin(tokio::time::sleep(REST)).await;
        }
        Ended { due, at, outcome }
    }
}
