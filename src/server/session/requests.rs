//! What a session does with requests: from a delivery to the ack of its settled slot.
//!
//! The order is the promise: a slot is settled by the confirm of its reply, or where there is nobody to
//! reply to, and by nothing else.

use super::{Pending, Published, Session};
use crate::broker::{Confirm, Delivery, Error, Kind, Returned};
use crate::protocol::control::{Question, Report, pong};
use crate::protocol::reply_to::Address;
use crate::protocol::{Answer, Message, Request, Status, reply};
use crate::server::Context;
use crate::server::admission::{self, Admitted};
use crate::server::control::Asked;
use crate::server::pool::{Done, Task, compute};
use crate::server::service::{Cancel, Service};
use crate::server::state::Counters;
use crate::server::{events, isolation};
use std::time::{Duration, Instant};

/// How often a reply that the broker refuses (a full reply queue) is offered.
const OFFERS: u32 = 3;

impl<S: Service> Session<'_, S> {
    /// A delivery, or the end of them.
    pub(super) async fn on_delivery(
        &mut self,
        delivery: Option<Result<Delivery, Error>>,
    ) -> Result<(), Error> {
        let Some(delivery) = delivery else {
            events::cancelled(&self.url.address(), &self.settings.queue.name);
            let message = format!(
                "the broker cancelled the consumer of queue {:?}: deleted, moved, or a request took too long",
                self.settings.queue.name
            );
            return Err(Error::new(Kind::Cancelled, message));
        };
        let Delivery {
            tag,
            redelivered,
            message,
        } = delivery?;
        let counters = self.context.counters.clone();
        Counters::add(&counters.received);
        if redelivered {
            Counters::add(&counters.redelivered);
        }
        self.window.open(tag);
        let request = Request::read(message);
        if self.one_at_a_time && self.context.isolation.active() {
            let fingerprint = isolation::fingerprint(&request);
            if let Err(strikes) = self.context.isolation.begin(fingerprint) {
                Counters::add(&counters.poisoned);
                events::poisoned(
                    fingerprint,
                    strikes,
                    "each of its deliveries ended the session",
                );
                self.incoming.reject(tag).await?;
                self.window.told(tag);
                self.context.isolation.rejected(fingerprint);
                return Ok(());
            }
        }
        self.on_request(tag, request);
        self.leave_isolation().await
    }

    /// Admits a request and answers it, now or by way of the pool.
    pub(super) fn on_request(&mut self, tag: u64, request: Request) {
        let (service, counters) = (self.context.service.clone(), self.context.counters.clone());
        let address = match admission::address(&request, &self.policy) {
            Ok(Some(address)) => address,
            Ok(None) => {
                Counters::add(&counters.unanswerable);
                return self.settle(tag);
            }
            Err(refusal) => {
                Counters::add(&counters.unanswerable);
                Counters::add(&counters.refused);
                self.context.refusals.log(&refusal);
                return self.settle(tag);
            }
        };
        if Question::of(&request) == Some(Question::Ping) {
            return self.pong(tag, &request, address);
        }
        let since = Instant::now();
        let limits = &self.settings.server;
        match admission::admit(service.as_ref(), &request, limits, self.pool.wait()) {
            Err(status) => self.reply(tag, &request, address, Err(status), None),
            Ok(Admitted::Cheap(job, deadline)) => {
                let began = Instant::now();
                let cancel = Cancel::new(deadline, counters);
                let outcome = compute(service.as_ref(), job, &cancel);
                let now = Instant::now();
                self.context.reporter.times.record(now, now - since);
                self.reply(tag, &request, address, outcome, Some(now - began));
            }
            Ok(Admitted::Dear(job, cost, deadline)) => {
                self.pool.push(Task {
                    tag,
                    request,
                    address,
                    job,
                    cost,
                    since,
                    deadline,
                });
            }
        }
    }

    /// A job of the pool ended.
    pub(super) fn on_computed(&mut self, done: Done) {
        let Done {
            tag,
            request,
            address,
            outcome,
            since,
            compute,
        } = done;
        let now = Instant::now();
        self.context.reporter.times.record(now, now - since);
        self.reply(tag, &request, address, outcome, Some(compute));
    }

    /// Sends the reply to a request; the request is settled once the broker has it.
    fn reply(
        &mut self,
        tag: u64,
        request: &Request,
        address: Address,
        outcome: Result<Answer, Status>,
        compute: Option<Duration>,
    ) {
        let outcome = admission::fitting(outcome, &self.settings.server);
        let counters = &self.context.counters;
        match &outcome {
            Ok(_) => Counters::add(&counters.served),
            Err(status) => {
                Counters::add(&counters.failed);
                if status.code == crate::protocol::Code::DeadlineExceeded {
                    Counters::add(&counters.expired);
                }
            }
        }
        let trailer = reply::Trailer {
            server: Some(self.context.instance.clone()),
            queued: admission::queued(request),
            compute,
        };
        let id = self.next_reply;
        self.next_reply += 1;
        let message = reply::write(request, outcome, &trailer, id);
        self.send(id, tag, request, address, message);
    }

    /// Answers a ping: no computation, else the way of all requests.
    fn pong(&mut self, tag: u64, request: &Request, address: Address) {
        Counters::add(&self.context.counters.pinged);
        let id = self.next_reply;
        self.next_reply += 1;
        let message = pong(request, &self.report(), id);
        self.send(id, tag, request, address, message);
    }

    /// Somebody asks how this server is doing.
    pub(super) fn on_status(&mut self, asked: &Asked) {
        let report = self.report();
        if let Err(refusal) = self.control.answer(asked, &self.policy, &report) {
            self.context.refusals.log(&refusal);
        }
    }

    fn report(&mut self) -> Report {
        self.update_gauges();
        let Context {
            reporter,
            counters,
            state,
            ..
        } = &mut *self.context;
        let report = reporter.report(&self.settings, counters, &state.borrow());
        self.control.complete(report)
    }

    fn send(&mut self, id: u64, tag: u64, request: &Request, address: Address, message: Message) {
        let to = request.reply_to.clone().unwrap_or_default();
        let pending = Pending {
            tag,
            to,
            address,
            since: Instant::now(),
            offers: 1,
        };
        self.publish(id, pending, message, Duration::ZERO);
    }

    fn publish(&mut self, id: u64, pending: Pending, message: Message, delay: Duration) {
        let mandatory = pending.address == Address::Queue;
        let publish = self
            .outgoing
            .publish(pending.to.clone(), mandatory, message);
        self.pending.insert(id, pending);
        self.replies.push(Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            (id, publish.await)
        }));
    }

    /// The broker confirmed a reply, or refused it, or gave one back.
    pub(super) fn on_published(&mut self, (id, result): Published) -> Result<(), Error> {
        let (confirm, returned) = result?;
        if let Some(returned) = returned {
            self.on_returned(&returned);
        }
        let Some(mut pending) = self.pending.remove(&id) else {
            return Ok(());
        };
        match confirm {
            Confirm::Ack => self.settle(pending.tag),
            Confirm::Nack(message) if pending.offers < OFFERS => {
                Counters::add(&self.context.counters.nacked);
                let delay = Duration::from_millis(100) * pending.offers;
                pending.offers += 1;
                pending.since = Instant::now();
                self.publish(id, pending, *message, delay);
            }
            Confirm::Nack(_) => {
                Counters::add(&self.context.counters.nacked);
                self.context.refusals.log(&"the reply queue is full");
                // Nobody can be told, so the request goes where the queue's owner wants such requests.
                self.reject(pending.tag);
            }
        }
        Ok(())
    }

    /// A reply came back: its caller has gone, which is no error. Matched by our own id; the confirm
    /// that happened to carry it may be another reply's.
    fn on_returned(&mut self, returned: &Returned) {
        let id = returned
            .message_id
            .as_deref()
            .and_then(|id| std::str::from_utf8(id).ok());
        let known = id
            .and_then(|id| id.parse::<u64>().ok())
            .is_some_and(|id| id < self.next_reply);
        if known {
            Counters::add(&self.context.counters.returned);
            tracing::debug!(reply_to = %returned.routing_key, "the caller has gone");
        }
    }

    fn settle(&mut self, tag: u64) {
        self.window.settle(tag);
        self.pool.release(tag);
        self.settled += 1;
        if self.context.isolation.active() {
            self.context.isolation.settled();
        }
    }

    fn reject(&mut self, tag: u64) {
        let channel = self.incoming.clone();
        self.window.told(tag);
        self.pool.release(tag);
        self.settled += 1;
        self.acks
            .push(Box::pin(async move { channel.reject(tag).await }));
    }

    pub(super) fn flush_acks(&mut self) {
        for ack in self.window.flush() {
            self.acks
                .push(Box::pin(self.incoming.ack(ack.tag, ack.multiple)));
        }
    }
}
