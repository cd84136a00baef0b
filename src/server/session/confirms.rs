//! What a session does when the broker confirms, refuses or returns replies.

use super::open::Session;
use super::replies::{PendingReply, Retry};
use crate::broker::{Arrival, Error, Kind, Returned};
use crate::protocol::reply_to::{Refusal, Refused};
use crate::server::backend::Backend;
use crate::server::log;
use crate::server::metrics::Measured;
use crate::server::span::RequestSpan;
use crate::server::state::{Counters, Settled};
use std::time::Instant;

impl<B: Backend> Session<B> {
    /// Handles all confirms, refusals and returned replies that have arrived, `first` first.
    pub(super) fn on_confirms(&mut self, first: Option<Arrival>) -> Result<(), Error> {
        let mut next = first.or_else(|| self.replies.mailbox.try_next());
        while let Some(arrival) = next {
            self.on_confirm(arrival)?;
            next = self.replies.mailbox.try_next();
        }
        self.publish_waiting()
    }

    /// Publishes a reply, for the first time or again, now or when less is unconfirmed.
    pub(super) fn publish(&mut self, reply: PendingReply) -> Result<(), Error> {
        match self.replies.admit(reply) {
            Some(reply) => self.publish_now(reply),
            None => Ok(()),
        }
    }

    /// Publishes the large replies that do not have to wait any longer.
    fn publish_waiting(&mut self) -> Result<(), Error> {
        while let Some(reply) = self.replies.next() {
            self.publish_now(reply)?;
        }
        Ok(())
    }

    fn publish_now(&mut self, mut reply: PendingReply) -> Result<(), Error> {
        if let Some((delivered, code)) = reply.call.take() {
            let took = reply.since.saturating_duration_since(delivered);
            let tally = &mut self.requests.tally;
            tally.observe(Measured::Call(code), took);
        }
        self.replies.publish(reply)
    }

    fn on_confirm(&mut self, arrival: Arrival) -> Result<(), Error> {
        match arrival {
            Arrival::Confirmed {
                number,
                multiple,
                taken,
            } => {
                // No further reading of the clock: the confirm was read then, or a little earlier.
                let is_measured = taken && self.requests.tally.measures();
                let read = is_measured.then(|| self.replies.connection.last_read().time());
                while let Some(mut reply) = self.replies.take(number, multiple) {
                    if taken {
                        if let Some(read) = read {
                            let took = read.saturating_duration_since(reply.since);
                            self.requests.tally.observe(Measured::Confirm, took);
                        }
                        self.confirmed(&mut reply);
                    } else {
                        self.refused(reply);
                    }
                }
            }
            Arrival::Returned(returned) => self.on_returned(&returned),
            Arrival::Failed(error) => return Err(error),
            // Nothing is consumed on this channel.
            Arrival::Delivered(_) | Arrival::Cancelled(_) => {}
        }
        Ok(())
    }

    /// Continues with a reply that was refused.
    pub(super) fn on_retry(&mut self, retry: Retry) -> Result<(), Error> {
        let (mut reply, taken) = match retry {
            Retry::Due(mut reply) => {
                reply.since = Instant::now();
                Counters::add(&self.context.counters.resent);
                return self.publish(reply);
            }
            Retry::Made(reply, taken) => (reply, taken),
        };
        Counters::add(&self.context.counters.resent);
        match taken {
            Ok(true) => {
                self.confirmed(&mut reply);
                self.requests.flush_acks();
                let message = format!(
                    "the broker refuses replies to queue {:?} on one channel and takes them on another, as one does whose \
                     cluster has lost a node",
                    reply.to
                );
                return Err(Kind::Lost.error(message));
            }
            Ok(false) => Counters::add(&self.context.counters.nacked),
            Err(_) => {}
        }
        if let Some(reply) = self.replies.retry_again(reply, taken.is_ok()) {
            self.give_up(&reply);
        }
        self.publish_waiting()
    }

    /// Allows a request to be acknowledged.
    pub(super) fn settle(&mut self, tag: u64, how: Settled, span: RequestSpan) {
        self.requests.settle(tag, how, span);
        if self.context.isolation.active() {
            self.context.isolation.settled();
        }
    }

    fn confirmed(&mut self, reply: &mut PendingReply) {
        self.requests.tally.confirmed();
        reply.span.event("confirmed");
        if let Some(poison) = reply.poison {
            let _entered = reply.span.enter();
            self.reject_poison(reply.tag, poison);
        } else {
            let span = std::mem::take(&mut reply.span);
            self.settle(reply.tag, Settled::Replied, span);
        }
    }

    fn refused(&mut self, reply: PendingReply) {
        Counters::add(&self.context.counters.nacked);
        if let Some(reply) = self.replies.retry(reply) {
            self.give_up(&reply);
        }
    }

    /// The caller cannot be notified, so the request is rejected: dropped or dead-lettered, as the queue is configured.
    fn give_up(&mut self, reply: &PendingReply) {
        let _entered = reply.span.enter();
        reply.span.fail(Settled::ReplyRefused);
        log::reply_refused(&Refused::new(reply.to.as_bytes(), Refusal::Full));
        match reply.poison {
            Some(poison) => self.reject_poison(reply.tag, poison),
            None => self.requests.reject(reply.tag, Settled::ReplyRefused),
        }
    }

    /// The broker returned a reply because its caller has gone, which is not an error. Its confirm follows. It is matched by
    /// its `message_id`.
    fn on_returned(&mut self, returned: &Returned) {
        let id = returned.message_id.as_deref();
        let id = id.and_then(|id| std::str::from_utf8(id).ok()?.parse::<u64>().ok());
        if id.is_some_and(|id| id < self.next_reply()) {
            Counters::add(&self.context.counters.returned);
            tracing::debug!(fibrpc_reply_to = %returned.routing_key, "the caller has gone");
        }
    }
}
