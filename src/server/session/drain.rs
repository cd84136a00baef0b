//! How a session ends in order: it stops consuming, hands back what was not begun, finishes what was,
//! and closes the channel that acks first, since its close-ok says that every ack has arrived.

use super::{Drain, End, Session};
use crate::broker::{Arrival, Error};
use crate::server::events;
use crate::server::service::Service;
use crate::server::state::State;
use futures_util::future;
use std::time::{Duration, Instant};

/// How long closing in order may take once everything is settled, or the drain time is over.
const CLOSING: Duration = Duration::from_millis(900);

impl<S: Service> Session<'_, S> {
    /// Stops consuming and hands back what was not begun; what was goes on until the drain time ends.
    pub(super) async fn begin_drain(&mut self, stopping: bool) -> Result<(), Error> {
        if let Some(drain) = &mut self.draining {
            drain.stopping |= stopping;
            return Ok(());
        }
        let limit = self.settings.server.drain_timeout;
        let since = Instant::now();
        self.draining = Some(Drain {
            since,
            until: since + limit,
            stopping,
        });
        if stopping {
            events::draining(self.window.outstanding() as u64, limit);
            self.context.state.send_replace(State::Draining {
                until: since + limit,
            });
        }
        let handing_back = self.beats().during(self.hand_back());
        let handed_back = tokio::time::timeout(limit, handing_back).await;
        handed_back.unwrap_or(Ok(()))
    }

    async fn hand_back(&mut self) -> Result<(), Error> {
        self.incoming.cancel(&self.consumer_tag).await?;
        while let Some(arrival) = self.deliveries.try_next() {
            match arrival {
                Arrival::Delivered(delivery) => {
                    self.window.open(delivery.tag);
                    self.give_back(delivery.tag);
                }
                Arrival::Failed(error) => return Err(error),
                _ => {}
            }
        }
        for tag in self.pool.clear() {
            self.give_back(tag);
        }
        Ok(())
    }

    fn give_back(&mut self, tag: u64) {
        self.incoming.requeue(tag);
        self.window.told(tag);
    }

    pub(super) fn is_drained(&self) -> bool {
        self.window.outstanding() == 0
    }

    /// Closes in order: channel first, since its close-ok says that every ack has arrived.
    pub(super) async fn finish(&mut self, drain: Drain) -> End {
        let abandoned = self.window.outstanding() as u64;
        self.pool.cancel();
        let closing = async {
            let _ = self.incoming.close(CLOSING).await;
            if abandoned == 0 {
                let _ = self.outgoing.close(CLOSING).await;
            }
        };
        // What does not close in time is cut when the session is dropped.
        let _ = tokio::time::timeout(CLOSING, closing).await;
        if drain.stopping {
            if abandoned > 0 {
                events::abandoned(abandoned);
            } else {
                events::drained(drain.since.elapsed());
            }
            End::Stopped { abandoned }
        } else {
            End::Reconfigured
        }
    }

    /// Leaves at once.
    pub(super) fn leave(&mut self) -> End {
        let abandoned = self.window.outstanding() as u64;
        if abandoned > 0 {
            events::abandoned(abandoned);
        }
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
