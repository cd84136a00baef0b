//! How a session ends in order: it stops consuming, finishes what is begun within a moment, hands back the rest, and
//! closes the channel that acks first, since its close-ok says that every ack has arrived.
//!
//! As little as possible is handed back: for RabbitMQ 4.0 that is a delivery, of which a request has 20 by default before
//! it is deleted. Small requests that are here are answered. Large ones go on to be begun for as long as the line is
//! that a session keeps ([`LINE`]). So each session finishes at least one of those that it was sent, and what it hands
//! back is less than a narrow prefetch.

use super::consumer::generation_of;
use super::{Drain, End, Session};
use crate::broker::{Arrival, Error};
use crate::server::credit::LINE;
use crate::server::service::Service;
use futures_util::future;
use std::time::{Duration, Instant};

/// How long what will not be begun is kept. Many drains are over by then, and one frame hands it all back. While
/// others are in flight it goes one by one, which costs the broker a command each, and a quorum queue that
/// has too many of them to do when the channel ends forgets the acks among them (seen with RabbitMQ 3.10).
const KEPT: Duration = Duration::from_millis(200);

/// How long closing in order may take once everything is settled, or the drain time is over.
const CLOSING: Duration = Duration::from_millis(900);

impl<S: Service> Session<S> {
    /// Stops consuming; what was begun goes on until the drain time ends.
    pub(super) async fn begin_drain(&mut self, stopping: bool) -> Result<(), Error> {
        let limit = self.settings.server.drain_timeout;
        let since = Instant::now();
        let before = self.draining;
        if before.is_some_and(|drain| drain.stopping || !stopping) {
            return Ok(());
        }
        self.draining = Some(Drain {
            until: since + limit,
            hand_back_at: before.map_or(Some(since + KEPT), |drain| drain.hand_back_at),
            begin_until: before.map_or(since + LINE.min(limit), |drain| drain.begin_until),
            stopping,
        });
        if before.is_some() {
            return Ok(());
        }
        let beats = self.beats();
        let stopped = beats.during(self.consumer.stop(&self.incoming));
        if let Ok(stopped) = tokio::time::timeout(limit, stopped).await {
            stopped?;
        }
        // A broker that takes no replies now may not take them before the end, either.
        let begins = if self.blocked_since.is_none() {
            self.take_deliveries()?;
            LINE
        } else {
            Duration::ZERO
        };
        self.untouched = self.pool.shorten(begins);
        Ok(())
    }

    /// Hands back what is not begun in time: from the line for the pool, and what has not been looked at.
    pub(super) fn hand_back(&mut self, drain: Drain) -> Result<(), Error> {
        let left = drain.begin_until.saturating_duration_since(Instant::now());
        // Once more at the end of that time, for what was to begin by then and has not.
        self.draining = Some(Drain {
            hand_back_at: (!left.is_zero()).then_some(drain.begin_until),
            ..drain
        });
        self.untouched.extend(self.pool.shorten(left));
        while let Some(arrival) = self.deliveries.try_next() {
            match arrival {
                Arrival::Delivered(delivery) => {
                    let generation = generation_of(delivery.consumer);
                    self.window.open(delivery.tag, generation);
                    self.untouched.push(delivery.tag);
                }
                Arrival::Failed(error) => return Err(error),
                _ => {}
            }
        }
        for tag in std::mem::take(&mut self.untouched) {
            self.incoming.requeue(tag);
            self.window.told(tag);
        }
        Ok(())
    }

    pub(super) fn is_drained(&self) -> bool {
        self.in_flight() == 0
    }

    /// Closes in order: channel first, since its close-ok says that every ack has arrived.
    pub(super) async fn finish(&mut self, drain: Drain) -> End {
        self.flush_acks();
        let abandoned = self.in_flight();
        self.pool.cancel();
        if abandoned == 0 {
            // All that is left of the channel's deliveries was not begun.
            self.incoming.requeue_all();
        }
        let closing_incoming = async {
            if let Err(error) = self.incoming.close(CLOSING).await {
                tracing::warn!(
                    "the last acks may be lost, and their requests answered again: {error}"
                );
            }
        };
        let closing_outgoing = async {
            if abandoned == 0 {
                let _ = self.outgoing.close(CLOSING).await;
            }
        };
        // What does not close in time is cut.
        future::join(closing_incoming, closing_outgoing).await;
        if drain.stopping {
            End::Stopped { abandoned }
        } else {
            End::Left
        }
    }

    /// Leaves at once.
    pub(super) fn leave(&mut self) -> End {
        let abandoned = self.in_flight();
        End::Stopped { abandoned }
    }

    /// Closes the connections in order where that is quick; dropping the session cuts them.
    pub(in crate::server) async fn close(self) {
        let Self {
            consuming,
            publishing,
            ..
        } = self;
        let _ = future::join(consuming.close(CLOSING), publishing.close(CLOSING)).await;
    }
}

impl Drain {
    /// When there is something to be done whatever else happens.
    pub(super) fn wakes(&self) -> Instant {
        self.hand_back_at
            .map_or(self.until, |at| at.min(self.until))
    }
}
