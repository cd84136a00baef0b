//! How a session handles a request: from its delivery to the publish of its reply.
//!
//! The order is the guarantee: a request is settled by the confirm of its reply (`confirms.rs`), or if nobody expects one.

use super::open::Session;
use super::prefetch::generation_of;
use super::replies::PendingReply;
use crate::broker::clock::unix_ms;
use crate::broker::{Arrival, Error, Kind};
use crate::protocol::control::{Question, Report, pong};
use crate::protocol::reply_to::Address;
use crate::protocol::{self, Code, Message, Status};
use crate::server::admission::{self, Accepted};
use crate::server::answering;
use crate::server::backend::{Backend, Outcome};
use crate::server::context::Context;
use crate::server::control::StatusRequest;
use crate::server::isolation::{self, Decision, Poison};
use crate::server::log;
use crate::server::metrics::Measured;
use crate::server::pool::Done;
use crate::server::report::Serving;
use crate::server::span::RequestSpan;
use crate::server::state::{Counters, Settled};
use futures_util::future::FutureExt as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl<B: Backend> Session<B> {
    /// Handles a delivery, or the end of them.
    pub(super) fn on_delivery(&mut self, arrival: Arrival) -> Result<(), Error> {
        let delivery = match arrival {
            Arrival::Delivered(delivery) => delivery,
            Arrival::Failed(error) => return Err(error),
            // Nothing is published on this channel.
            Arrival::Confirmed { .. } | Arrival::Returned(_) => return Ok(()),
            Arrival::Cancelled(tag) => return self.on_cancelled(&tag),
        };
        self.requests.tally.received(delivery.message.body_size());
        if delivery.redelivered {
            Counters::add(&self.context.counters.redelivered);
        }
        let tag = delivery.tag;
        self.requests
            .window
            .open(tag, generation_of(delivery.consumer));
        let mut request = protocol::RequestMessage::read(delivery.message);
        let span = self.span(&mut request);
        let _entered = span.enter();
        if self.prefetch.is_isolated() && self.context.isolation.active() {
            let fingerprint = isolation::fingerprint(&request);
            match self.context.isolation.begin(fingerprint) {
                Decision::Proceed => {}
                Decision::Answer(poison) => return self.condemn(tag, request, span, poison),
                Decision::Reject(poison) => {
                    span.fail(Settled::Poisoned);
                    self.reject_poison(tag, poison);
                    return Ok(());
                }
            }
        }
        match self.accept(tag, request, span) {
            Ok(accepted) => self.on_request(accepted),
            Err((how, span)) => {
                self.settle(tag, how, span);
                Ok(())
            }
        }
    }

    /// Handles all deliveries that have arrived.
    pub(super) fn take_deliveries(&mut self) -> Result<(), Error> {
        while let Some(delivery) = self.requests.mailbox.try_next() {
            self.on_delivery(delivery)?;
        }
        Ok(())
    }

    /// The broker cancelled a consumer.
    fn on_cancelled(&mut self, tag: &str) -> Result<(), Error> {
        let consumer = &mut self.prefetch.consumer;
        consumer.forget_earlier(&self.requests.window);
        if !consumer.knows(tag) {
            return Ok(());
        }
        let queue = &self.settings.queue.name;
        log::cancelled(&self.endpoint, queue);
        let message = format!(
            "the broker cancelled the consumer of queue {queue:?}: deleted, moved, or a request took too long"
        );
        Err(Kind::Cancelled.error(message))
    }

    /// Replies that the request is rejected, then rejects it; at once if it cannot be answered.
    fn condemn(
        &mut self,
        tag: u64,
        request: protocol::RequestMessage,
        span: RequestSpan,
        poison: Poison,
    ) -> Result<(), Error> {
        let Ok(accepted) = self.accept(tag, request, span) else {
            self.reject_poison(tag, poison);
            return Ok(());
        };
        let message = format!(
            "the request took the server down {} times; rejected",
            poison.strikes
        );
        let outcome = Err(Status::internal(message));
        self.answer(accepted, outcome, None, Some(poison))
    }

    /// Rejects a request that ended sessions repeatedly.
    pub(super) fn reject_poison(&mut self, tag: u64, poison: Poison) {
        Counters::add(&self.context.counters.poisoned);
        let reason = "each of its deliveries ended the session";
        log::poisoned(poison.fingerprint, poison.strikes, reason);
        self.requests.reject(tag, Settled::Poisoned);
        self.context.isolation.rejected(poison.fingerprint);
    }

    /// The span of a request that has arrived.
    fn span(&self, request: &mut protocol::RequestMessage) -> RequestSpan {
        let service = &self.requests.pool.service;
        RequestSpan::begin(
            request,
            &self.settings.queue.name,
            |request| match Question::of(request) {
                Some(question) => Some(question.name()),
                None => service.method(request),
            },
        )
    }

    /// Checks the reply address. An error: the request cannot be answered, which is counted, and is settled like this.
    fn accept(
        &self,
        tag: u64,
        request: protocol::RequestMessage,
        span: RequestSpan,
    ) -> Result<Accepted, (Settled, RequestSpan)> {
        let counters = &self.context.counters;
        let mut how = Settled::Unanswerable;
        match admission::address(&request, &self.policy) {
            Ok(Some(address)) if !self.is_gone(address, &request) => {
                return Ok(Accepted::new(tag, request, address, span));
            }
            Ok(Some(_)) => tracing::debug!("a caller at a node that is down"),
            Ok(None) => tracing::debug!("a request without a reply address"),
            Err(refused) => {
                Counters::add(&counters.refused);
                span.fail(Settled::RefusedAddress);
                log::reply_refused(&refused);
                how = Settled::RefusedAddress;
            }
        }
        Counters::add(&counters.unanswerable);
        Err((how, span))
    }

    /// Whether the caller was connected to a cluster node that is down.
    fn is_gone(&self, address: Address, request: &protocol::RequestMessage) -> bool {
        let nodes = &self.context.nodes;
        let known = |to| nodes.knows(&self.endpoint, to, Instant::now());
        !nodes.is_empty()
            && address == Address::Direct
            && request.reply_to.as_deref().is_some_and(known)
    }

    /// Admits a request and answers it, now, by the pool, or by a future.
    fn on_request(&mut self, accepted: Accepted) -> Result<(), Error> {
        if Question::of(&accepted.request.message) == Some(Question::Ping) {
            let message = self.pong(&accepted.request.message);
            return self.send(accepted, message, None, Instant::now(), None);
        }
        let now = unix_ms();
        let requests = &mut self.requests;
        requests.tally.delivered(&accepted.request.message, now);
        let limits = &self.settings.server;
        let (pool, futures) = (&mut requests.pool, &mut requests.futures);
        let Some(done) = answering::begin(pool, futures, accepted, limits, now) else {
            return Ok(());
        };
        if let Some(time) = done.compute {
            requests.tally.observe(Measured::ComputeInline, time);
        }
        self.on_done(done)
    }

    /// Replies to a request that was computed on the pool.
    pub(super) fn on_pooled(&mut self, done: Done) -> Result<(), Error> {
        if let Some(time) = done.compute {
            let tally = &mut self.requests.tally;
            tally.observe(Measured::ComputePool, time);
        }
        self.on_done(done)
    }

    /// Replies to a request that has ended.
    pub(super) fn on_done(&mut self, done: Done) -> Result<(), Error> {
        let _entered = done.accepted.span.enter();
        let Done {
            accepted,
            outcome,
            compute,
        } = done;
        self.answer(accepted, outcome, compute, None)
    }

    /// Replies to all requests whose futures have ended by now.
    pub(super) fn take_outcomes(&mut self) -> Result<(), Error> {
        while let Some(done) = self.requests.futures.next().now_or_never() {
            self.on_done(done)?;
        }
        Ok(())
    }

    /// Replies with this outcome.
    fn answer(
        &mut self,
        accepted: Accepted,
        outcome: Outcome,
        compute: Option<Duration>,
        poison: Option<Poison>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        if let Some(compute) = compute {
            if self.context.isolation.active() {
                self.context
                    .isolation
                    .weigh(self.prefetch.stands_for(compute));
            }
            let took = now.saturating_duration_since(accepted.since);
            self.context.reporter.times.record(took);
        }
        let limits = &self.settings.server;
        let (message, code) =
            answering::message(&self.context, limits, &accepted, outcome, compute);
        let call = Some((accepted.since, code));
        self.send(accepted, message, call, now, poison)
    }

    /// The id of the next reply.
    pub(super) fn next_reply(&self) -> u64 {
        self.context.next_reply.load(Ordering::Relaxed)
    }

    /// Publishes a reply that is made at `now`; to a `call` if its time is measured.
    fn send(
        &mut self,
        accepted: Accepted,
        mut message: Message,
        call: Option<(Instant, Code)>,
        now: Instant,
        poison: Option<Poison>,
    ) -> Result<(), Error> {
        let request = &accepted.request.message;
        accepted.span.answer(request, &mut message);
        self.context.next_reply.fetch_add(1, Ordering::Relaxed);
        self.requests.tally.replied(message.body_size());
        self.publish(PendingReply {
            tag: accepted.tag,
            to: accepted.request.message.reply_to.unwrap_or_default(),
            address: accepted.address,
            message,
            call,
            since: now,
            attempts: 0,
            poison,
            span: accepted.span,
        })
    }

    /// The pong to a ping, which is counted.
    pub(super) fn pong(&mut self, request: &protocol::RequestMessage) -> Message {
        Counters::add(&self.context.counters.pinged);
        pong(request, &self.report(), self.next_reply())
    }

    /// Answers a status request, or opens the control queue again if it is time for that.
    pub(super) fn on_status(&mut self, asked: Option<StatusRequest>) {
        let Some(asked) = asked else {
            return self.retry_control();
        };
        let report = self.report();
        if let Err(refused) = self.control.answer(&asked, &self.policy, &report) {
            Counters::add(&self.context.counters.refused);
            log::reply_refused(&refused);
        }
    }

    fn report(&mut self) -> Report {
        self.requests.publish();
        let consumer = &mut self.prefetch.consumer;
        consumer.forget_earlier(&self.requests.window);
        let serving = self.serving();
        let Context {
            reporter,
            counters,
            state,
            ..
        } = &self.context;
        reporter.report(&serving, counters, &state.borrow())
    }

    /// What the session serves, for reports.
    pub(super) fn serving(&self) -> Serving {
        let queue_type = self.control.queue_type;
        Serving {
            settings: self.settings.clone(),
            queue_type,
            consumers: self.prefetch.consumer.count(queue_type == Some("quorum")),
        }
    }
}
