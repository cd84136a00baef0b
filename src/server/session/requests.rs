//! What a session does with requests: from a delivery to the ack of its settled slot.
//!
//! The order is the promise: a slot is settled by the confirm of its reply, or where there is nobody to
//! reply to, and by nothing else.

use super::consumer::generation_of;
use super::{Pending, Session};
use crate::broker::{Arrival, Delivery, Error, Returned};
use crate::protocol::control::{Question, Report, pong};
use crate::protocol::reply_to::Address;
use crate::protocol::{Answer, Code, Message, Request, Status, reply};
use crate::server::admission::{self, Admitted};
use crate::server::context::Context;
use crate::server::control::Asked;
use crate::server::events;
use crate::server::isolation::{self, Poison, Verdict};
use crate::server::pool::{Done, Task, compute};
use crate::server::service::{Cancel, Service};
use crate::server::state::Counters;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl<S: Service> Session<S> {
    /// A delivery, or the end of them.
    pub(super) fn on_delivery(&mut self, arrival: Arrival) -> Result<(), Error> {
        let Delivery {
            consumer,
            tag,
            redelivered,
            message,
        } = match arrival {
            Arrival::Delivered(delivery) => delivery,
            Arrival::Failed(error) => return Err(error),
            // Nothing is published on this channel.
            Arrival::Confirmed { .. } | Arrival::Returned(_) => return Ok(()),
            Arrival::Cancelled(tag) => return self.on_cancelled(&tag),
        };
        let counters = self.context.counters.clone();
        Counters::add(&counters.received);
        if redelivered {
            Counters::add(&counters.redelivered);
        }
        self.window.open(tag, generation_of(consumer));
        let request = Request::read(message);
        if self.one_at_a_time && self.context.isolation.active() {
            let fingerprint = isolation::fingerprint(&request);
            match self.context.isolation.begin(fingerprint) {
                Verdict::Innocent => {}
                Verdict::Answer(poison) => return self.condemn(tag, &request, poison),
                Verdict::Reject(poison) => {
                    self.reject_poison(tag, poison);
                    return Ok(());
                }
            }
        }
        self.on_request(tag, request)
    }

    /// All deliveries that are here.
    pub(super) fn take_deliveries(&mut self) -> Result<(), Error> {
        while let Some(delivery) = self.deliveries.try_next() {
            self.on_delivery(delivery)?;
        }
        Ok(())
    }

    /// Tells the caller, if there is one who may be told, that its request is rejected, and rejects it then.
    fn condemn(&mut self, tag: u64, request: &Request, poison: Poison) -> Result<(), Error> {
        let Some(address) = self.address(request) else {
            self.reject_poison(tag, poison);
            return Ok(());
        };
        let message = format!(
            "the request took the server down {} times; rejected",
            poison.strikes
        );
        let outcome = Err(Status::new(Code::Internal, message));
        let message = self.reply_message(request, outcome, None);
        self.send(tag, request, address, message, Some(poison))
    }

    /// Rejects a request for good that took the server down again and again.
    pub(super) fn reject_poison(&mut self, tag: u64, poison: Poison) {
        let Poison {
            fingerprint,
            strikes,
        } = poison;
        Counters::add(&self.context.counters.poisoned);
        events::poisoned(
            fingerprint,
            strikes,
            "each of its deliveries ended the session",
        );
        self.reject(tag);
        self.context.isolation.rejected(fingerprint);
    }

    /// Where the reply goes; `None`: nobody can be told, which is counted.
    fn address(&self, request: &Request) -> Option<Address> {
        let counters = &self.context.counters;
        match admission::address(request, &self.policy) {
            Ok(Some(address)) if !self.is_gone(address, request) => return Some(address),
            Ok(Some(_)) => tracing::debug!("a caller at a node that does not run"),
            Ok(None) => tracing::debug!("a request without a reply address"),
            Err(refused) => {
                Counters::add(&counters.refused);
                events::reply_refused(&refused);
            }
        }
        Counters::add(&counters.unanswerable);
        None
    }

    /// Whether the caller has gone with the node of the cluster that it was connected to.
    fn is_gone(&self, address: Address, request: &Request) -> bool {
        let nodes = &self.context.nodes;
        let made = |to| nodes.made(&self.url.address(), to);
        !nodes.is_empty()
            && address == Address::Direct
            && request.reply_to.as_deref().is_some_and(made)
    }

    /// Admits a request and answers it, now or by way of the pool.
    fn on_request(&mut self, tag: u64, request: Request) -> Result<(), Error> {
        let service = self.context.service.clone();
        let Some(address) = self.address(&request) else {
            self.settle(tag);
            return Ok(());
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
                let cancel = Cancel::new(deadline, None);
                let outcome = compute(service.as_ref(), job, &cancel, since);
                let now = Instant::now();
                self.context.reporter.times.record(now, now - since);
                self.reply(tag, &request, address, outcome, Some(now - began))
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
                Ok(())
            }
        }
    }

    /// A job of the pool ended.
    pub(super) fn on_computed(&mut self, done: Done) -> Result<(), Error> {
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
        self.reply(tag, &request, address, outcome, Some(compute))
    }

    /// Sends the reply to a request; the request is settled once the broker has it.
    fn reply(
        &mut self,
        tag: u64,
        request: &Request,
        address: Address,
        outcome: Result<Answer, Status>,
        compute: Option<Duration>,
    ) -> Result<(), Error> {
        let message = self.reply_message(request, outcome, compute);
        self.send(tag, request, address, message, None)
    }

    /// The reply to a request, counted.
    fn reply_message(
        &self,
        request: &Request,
        outcome: Result<Answer, Status>,
        compute: Option<Duration>,
    ) -> Message {
        let outcome = admission::fitting(outcome, &self.settings.server);
        tracing::debug!(
            fibrpc_code = outcome
                .as_ref()
                .map_or_else(|status| status.code, |_| Code::Ok)
                .name(),
            fibrpc_reply_to = request.reply_to.as_deref(),
            fibrpc_correlation_id = request
                .correlation_id
                .as_deref()
                .map(String::from_utf8_lossy)
                .as_deref(),
            fibrpc_compute_us = compute.map(|time| time.as_micros()),
            "answered"
        );
        let counters = &self.context.counters;
        match &outcome {
            Ok(_) => Counters::add(&counters.served),
            Err(status) => {
                Counters::add(&counters.failed);
                if status.code == Code::DeadlineExceeded {
                    Counters::add(&counters.expired);
                }
            }
        }
        let trailer = reply::Trailer {
            server: Some(self.context.instance.clone()),
            queued: admission::queued(request),
            compute,
        };
        reply::write(request, outcome, &trailer, self.next_reply())
    }

    /// Answers a ping: no computation, else the way of all requests.
    fn pong(&mut self, tag: u64, request: &Request, address: Address) -> Result<(), Error> {
        Counters::add(&self.context.counters.pinged);
        let message = pong(request, &self.report(), self.next_reply());
        self.send(tag, request, address, message, None)
    }

    /// Somebody asks how this server is doing.
    pub(super) fn on_status(&mut self, asked: &Asked) {
        let report = self.report();
        if let Err(refused) = self.control.answer(asked, &self.policy, &report) {
            Counters::add(&self.context.counters.refused);
            events::reply_refused(&refused);
        }
    }

    fn report(&mut self) -> Report {
        self.update_gauges();
        let Context {
            reporter,
            counters,
            state,
            ..
        } = &self.context;
        let report = reporter.report(&self.settings, counters, &state.borrow());
        let mut report = self.control.complete(report);
        let is_quorum = report.queue_type.as_deref() == Some("quorum");
        report.consumers = self.consumers(is_quorum);
        report
    }

    /// Our own id of the reply that is written next.
    fn next_reply(&self) -> u64 {
        self.context.next_reply.load(Ordering::Relaxed)
    }

    fn send(
        &mut self,
        tag: u64,
        request: &Request,
        address: Address,
        message: Message,
        poison: Option<Poison>,
    ) -> Result<(), Error> {
        self.context.next_reply.fetch_add(1, Ordering::Relaxed);
        self.publish(Pending {
            tag,
            to: request.reply_to.clone().unwrap_or_default(),
            address,
            message,
            since: Instant::now(),
            offers: 0,
            poison,
        })
    }

    /// Publishes a reply, for the first time or again.
    pub(super) fn publish(&mut self, mut pending: Pending) -> Result<(), Error> {
        pending.since = Instant::now();
        pending.offers += 1;
        let mandatory = pending.address == Address::Queue;
        let number = self
            .outgoing
            .publish(&pending.to, mandatory, &pending.message)?;
        self.pending.add(number, pending);
        Ok(())
    }

    /// The broker confirmed replies, or refused them, or gave one back.
    pub(super) fn on_confirm(&mut self, arrival: Arrival) -> Result<(), Error> {
        match arrival {
            Arrival::Confirmed {
                number,
                multiple,
                taken,
            } => {
                while let Some(pending) = self.pending.confirm(number, multiple) {
                    if taken {
                        self.confirmed(&pending);
                    } else {
                        self.refused(pending);
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

    /// A reply came back: its caller has gone, which is no error. Matched by our own id; the confirm
    /// that happened to carry it may be another reply's.
    fn on_returned(&mut self, returned: &Returned) {
        let id = returned
            .message_id
            .as_deref()
            .and_then(|id| std::str::from_utf8(id).ok());
        let known = id
            .and_then(|id| id.parse::<u64>().ok())
            .is_some_and(|id| id < self.next_reply());
        if known {
            Counters::add(&self.context.counters.returned);
            tracing::debug!(fibrpc_reply_to = %returned.routing_key, "the caller has gone");
        }
    }

    /// The broker has the reply.
    pub(super) fn confirmed(&mut self, pending: &Pending) {
        match pending.poison {
            Some(poison) => self.reject_poison(pending.tag, poison),
            None => self.settle(pending.tag),
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

    pub(super) fn reject(&mut self, tag: u64) {
        self.incoming.reject(tag);
        self.window.told(tag);
        self.pool.release(tag);
        self.settled += 1;
    }

    pub(super) fn flush_acks(&mut self) {
        for ack in self.window.flush() {
            self.incoming.ack(ack.tag, ack.multiple);
        }
    }
}
