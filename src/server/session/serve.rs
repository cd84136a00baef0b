//! The loop of a session: it waits for whatever happens next, and handles it.

use super::ending::End;
use super::open::Session;
use super::phase::Phase;
use crate::broker::{Error, Event};
use crate::server::broker_wait::INTERVAL;
use crate::server::log;
use crate::server::service::Service;
use crate::server::state::{Counters, State, Stop};
use futures_util::stream::StreamExt as _;
use std::time::Instant;
use tokio::time::MissedTickBehavior;

impl<S: Service> Session<S> {
    /// Serves until the session ends, one way or another.
    pub(in crate::server) async fn serve(&mut self) -> End {
        self.announce();
        let mut stop = self.context.stop.clone();
        // Ends whatever the session waits for at that moment.
        let ended = tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|stop| *stop == Stop::Now) => None,
            ended = self.run() => Some(ended),
        };
        let abandoned = self.requests.in_flight();
        let end = match ended {
            None => End::Stopped { abandoned },
            Some(Ok(end)) => end,
            Some(Err(error)) if self.phase.is_stopping() => {
                tracing::warn!("the drain was cut short: {}", self.cause_of(error));
                End::Stopped { abandoned }
            }
            Some(Err(error)) => End::Failed(self.judge(error)),
        };
        self.requests.clear_gauge();
        if !matches!(end, End::Failed(_)) {
            self.context.isolation.left();
        }
        end
    }

    /// Whether anything was settled: the session was useful.
    pub(in crate::server) fn was_useful(&self) -> bool {
        self.requests.has_settled()
    }

    async fn run(&mut self) -> Result<End, Error> {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.acks_are_due() {
                self.requests.flush_acks();
            }
            self.requests.update_gauge();
            let serving = self.phase.is_serving();
            if !serving && self.requests.in_flight() == 0 {
                return Ok(self.finish().await);
            }
            tokio::select! {
                biased;
                Ok(()) = self.context.stop.changed() => {
                    if *self.context.stop.borrow_and_update() == Stop::Drain {
                        self.begin_drain(true).await?;
                    }
                }
                () = self.phase.wake() => {
                    if let Phase::Draining(drain) = &mut self.phase
                        && let Some(left) = drain.step(Instant::now())
                    {
                        self.hand_back(left)?;
                    } else {
                        self.catch_up().await?;
                        return Ok(self.finish().await);
                    }
                }
                Ok(()) = self.retired.changed(), if serving => self.begin_drain(false).await?,
                Ok(()) = self.context.config.changed(), if serving => self.reconfigure(),
                event = self.requests.connection.event() => self.on_event(event)?,
                event = self.replies.connection.event() => self.on_event(event)?,
                confirm = self.replies.inbox.next() => {
                    self.on_confirm(confirm)?;
                    while let Some(confirm) = self.replies.inbox.try_next() {
                        self.on_confirm(confirm)?;
                    }
                    self.review_prefetch();
                }
                Some(retry) = self.replies.retries.next() => self.on_retry(retry)?,
                done = self.requests.pool.next() => self.on_computed(done)?,
                // After a session was replaced, the next one answers for both.
                asked = self.control.next(), if !self.phase.is_replaced() => self.on_status(asked),
                delivery = self.requests.inbox.next(), if serving => {
                    self.reachability.delivered();
                    self.on_delivery(delivery)?;
                    self.take_deliveries()?;
                    self.review_prefetch();
                }
                prefetch = self.prefetch.consumer.replaced(), if serving => {
                    self.on_replaced(prefetch?)?;
                }
                _ = tick.tick() => self.on_tick().await?,
                checked = self.reachability.checked(), if serving => checked?,
            }
        }
    }

    /// Logs and publishes that the session serves.
    fn announce(&self) {
        let (product, version) = self.requests.connection.broker_version();
        let broker = format!("{product} {version}");
        log::connected(&self.endpoint, &self.settings.queue.name, broker.trim());
        Counters::add(&self.context.counters.sessions);
        self.publish_consuming();
    }

    pub(super) fn on_event(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Blocked(reason) => {
                log::blocked(&self.endpoint, &reason);
                self.replies.block();
                self.publish_state(|endpoint| State::Blocked { endpoint, reason });
            }
            Event::Unblocked => {
                if let Some(lasted) = self.replies.unblock() {
                    log::unblocked(&self.endpoint, lasted);
                }
                self.retry_control();
                self.publish_consuming();
            }
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Another consumer has replaced the last one, with this prefetch.
    fn on_replaced(&mut self, prefetch: usize) -> Result<(), Error> {
        self.reachability.proven();
        // All deliveries to the last one have arrived.
        self.take_deliveries()?;
        self.prefetch.consumer.forget_earlier(&self.requests.window);
        self.prefetch.on_replaced(prefetch);
        self.review_prefetch();
        Ok(())
    }

    /// Whether to acknowledge what is settled, or to collect more: up to a quarter of the window while confirms are on their
    /// way. That saves work in the broker.
    fn acks_are_due(&self) -> bool {
        let more_is_coming = self.replies.expects_confirms() && self.phase.is_serving();
        !more_is_coming || self.requests.window.settled() * 4 >= usize::from(self.prefetch.window())
    }
}
