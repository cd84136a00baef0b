//! Replies that the broker has refused with `basic.nack`: they are offered again before their queue is called full.
//!
//! A queue that is full refuses everybody. But a channel may be refused alone: if the first publish of a channel to a quorum
//! queue meets a leader that has just died, RabbitMQ 3.10 refuses all that the channel publishes to that queue until the
//! leader's node is back (`rabbit_fifo_client:enqueue`). So the last offers are made over channels of their own, for
//! longer than an election takes. If one of them is taken, the session's own channel is what is broken, and the session
//! ends: the next one has a new channel. Queues that were found to be full are not given as much time again.

use super::{Pending, Session};
use crate::broker::{Arrival, Channel, Error, Kind, Mailbox};
use crate::protocol::reply_to::{Address, Refusal, Refused};
use crate::server::events;
use crate::server::service::Service;
use crate::server::state::Counters;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often a reply is offered on the session's own channel.
const OFFERS: u32 = 3;

/// How often after that, each time on a new channel.
const FRESH_OFFERS: u32 = 4;

/// How long the broker may take to confirm or refuse an offer on a new channel.
const LIMIT: Duration = Duration::from_secs(5);

/// How long a queue counts as full.
const FULL: Duration = Duration::from_secs(60);

/// Of so many full queues at most.
const MAX_FULL: usize = 1000;

/// The queues that were found to be full, and until when that is believed.
#[derive(Debug, Default)]
pub(super) struct FullQueues(HashMap<String, Instant>);

impl FullQueues {
    fn contains(&self, queue: &str) -> bool {
        let until = self.0.get(queue);
        until.is_some_and(|until| Instant::now() < *until)
    }

    fn add(&mut self, queue: &str) {
        let now = Instant::now();
        if self.0.len() >= MAX_FULL {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() < MAX_FULL {
            self.0.insert(queue.to_owned(), now + FULL);
        }
    }
}

/// What comes of a reply that was refused.
#[derive(Debug)]
pub(super) enum Offer {
    /// It is to be offered on the session's own channel again.
    Again(Pending),
    /// It was offered on a new channel: whether it was taken; an error if that cannot be told.
    Made(Pending, Result<bool, Error>),
}

impl<S: Service> Session<S> {
    /// The broker refused a reply on the session's channel.
    pub(super) fn refused(&mut self, pending: Pending) {
        Counters::add(&self.context.counters.nacked);
        if pending.offers < OFFERS {
            let delay = Duration::from_millis(100) * pending.offers;
            self.refused.push(Box::pin(async move {
                tokio::time::sleep(delay).await;
                Offer::Again(pending)
            }));
        } else if self.full.contains(&pending.to) {
            self.give_up(&pending);
        } else {
            self.offer_afresh(pending);
        }
    }

    /// Goes on with a reply that was refused.
    pub(super) fn on_offer(&mut self, offer: Offer) -> Result<(), Error> {
        let (mut pending, taken) = match offer {
            Offer::Again(pending) => return self.publish(pending),
            Offer::Made(pending, taken) => (pending, taken),
        };
        match taken {
            Ok(true) => {
                self.confirmed(&pending);
                self.flush_acks();
                let message = format!(
                    "the broker refuses replies to queue {:?} on one channel and takes them on another, as one does whose \
                     cluster has lost a node",
                    pending.to
                );
                return Err(Error::new(Kind::Lost, message));
            }
            Ok(false) => {
                Counters::add(&self.context.counters.nacked);
                pending.offers += 1;
            }
            // A broker that is short of memory answers later.
            Err(_) if self.blocked_since.is_some() => {}
            Err(_) => pending.offers += 1,
        }
        if pending.offers < OFFERS + FRESH_OFFERS {
            self.offer_afresh(pending);
        } else {
            self.full.add(&pending.to);
            self.give_up(&pending);
        }
        Ok(())
    }

    /// Offers a reply on a channel of its own, after a pause.
    fn offer_afresh(&mut self, pending: Pending) {
        let pause = Duration::from_millis(200) * (1 << (pending.offers - OFFERS).min(2));
        let channels = self.publishing.channels();
        self.refused.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let offer = async {
                let (channel, inbox) = channels.open(false).await?;
                offer(&channel, inbox, &pending).await
            };
            let limit = Error::new(Kind::Timeout, "no answer");
            let taken = tokio::time::timeout(LIMIT, offer).await;
            Offer::Made(pending, taken.unwrap_or(Err(limit)))
        }));
    }

    /// Nobody can be told, so the request goes where the queue's owner wants such requests.
    fn give_up(&mut self, pending: &Pending) {
        events::reply_refused(&Refused::new(pending.to.as_bytes(), Refusal::Full));
        match pending.poison {
            Some(poison) => self.reject_poison(pending.tag, poison),
            None => self.reject(pending.tag),
        }
    }
}

/// Publishes a reply and waits for what the broker says.
async fn offer(channel: &Channel, mut inbox: Mailbox, pending: &Pending) -> Result<bool, Error> {
    channel.confirm_select().await?;
    let mandatory = pending.address == Address::Queue;
    channel.publish(&pending.to, mandatory, &pending.message)?;
    loop {
        match inbox.next().await {
            Arrival::Confirmed { taken, .. } => return Ok(taken),
            Arrival::Failed(error) => return Err(error),
            // One that comes back is confirmed after that: its caller has gone.
            Arrival::Returned(_) | Arrival::Delivered(_) | Arrival::Cancelled(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queues_are_few_and_forgotten() {
        let mut full = FullQueues::default();
        for index in 0..=MAX_FULL {
            full.add(&index.to_string());
        }
        assert!(full.contains("0") && !full.contains(&MAX_FULL.to_string()));
        for until in full.0.values_mut() {
            *until = Instant::now();
        }
        assert!(!full.contains("0"));
        full.add("again");
        assert!(full.contains("again"));
        assert_eq!(full.0.len(), 1);
    }
}
