//! The test kit's part of a session: admission, work, replies and acks, with the session's own code and without a broker.

use super::delivery::{Delivered, Delivery};
use crate::broker::clock::unix_ms;
use crate::protocol::reply_to::Policy;
use crate::protocol::request::CLOCK_SKEW_MS;
use crate::protocol::{self, Defect, Message};
use crate::server::acks::AckWindow;
use crate::server::admission::{self, Accepted};
use crate::server::answering;
use crate::server::backend::Backend as _;
use crate::server::context::Context;
use crate::server::credit::MAX_LINE;
use crate::server::futures::Futures;
use crate::server::methods::Methods;
use crate::server::pool::{Done, Pool};
use crate::server::span::{RequestSpan, Unacked};
use crate::server::state::{Settled, Stop};
use crate::server::tally::Tally;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// Where replies go: a name that the broker might have given to a queue.
const REPLY_TO: &str = "amq.gen-testing";

/// A session without connections.
pub(super) struct Session {
    context: Context,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    pool: Pool<Methods>,
    futures: Futures,
    window: AckWindow,
    unacked: Unacked,
    tally: Tally,
    policy: Policy,
    /// The last delivery tag.
    tag: u64,
    /// By delivery tag: who waits, and the reply once there is one.
    callers: BTreeMap<u64, (oneshot::Sender<Delivered>, Option<Message>)>,
    /// An instant as Unix time: both clocks stand still while tokio's is paused.
    epoch: (tokio::time::Instant, i64),
}

impl Session {
    pub(super) fn new(
        service: Arc<Methods>,
        context: Context,
        deliveries: mpsc::UnboundedReceiver<Delivery>,
    ) -> Self {
        let config = context.config.borrow().clone();
        let (counters, threads) = (context.counters.clone(), config.server.concurrency);
        Self {
            pool: Pool::new(service, counters, &context.memory, threads),
            futures: Futures::default(),
            window: AckWindow::default(),
            unacked: Unacked::default(),
            tally: Tally::new(&context.counters, None),
            policy: Policy::new(&config.queue.name, &config.server.reply_to_allow),
            tag: 0,
            callers: BTreeMap::new(),
            epoch: (tokio::time::Instant::now(), unix_ms()),
            context,
            deliveries,
        }
    }

    /// Serves until the server drains, and drains.
    pub(super) async fn run(mut self) {
        let mut stop = self.context.stop.clone();
        let prefetch = self.context.config.borrow().server.prefetch.into();
        loop {
            self.ack();
            let is_free = self.window.outstanding() < prefetch;
            tokio::select! {
                biased;
                () = async { let _ = stop.wait_for(|stop| *stop != Stop::No).await; } => break,
                done = self.pool.next() => self.on_done(done),
                done = self.futures.next(), if !self.futures.is_empty() => self.on_done(done),
                Some(delivery) = self.deliveries.recv(), if is_free => self.on_delivery(delivery),
            }
        }
        self.drain().await;
    }

    /// Whoever still waits afterwards has a request that was handed back.
    async fn drain(mut self) {
        self.deliveries.close();
        for tag in self.pool.withdraw(MAX_LINE) {
            self.window.done(tag);
            self.tally.settled(Settled::HandedBack);
            self.callers.remove(&tag);
        }
        let limit = self.context.config.borrow().server.drain_timeout;
        let over = tokio::time::sleep(limit);
        tokio::pin!(over);
        loop {
            self.ack();
            if self.window.outstanding() == 0 {
                return;
            }
            tokio::select! {
                done = self.pool.next() => self.on_done(done),
                done = self.futures.next(), if !self.futures.is_empty() => self.on_done(done),
                () = &mut over => return,
            }
        }
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        self.tag += 1;
        let tag = self.tag;
        self.window.open(tag, 0);
        self.callers.insert(tag, (delivery.settled, None));
        self.tally.received(delivery.request.body().len() as u64);
        let limits = self.context.config.borrow().server.clone();
        let deadline = delivery.request.deadline();
        let mut request = delivery.request.message;
        request.reply_to = Some(REPLY_TO.into());
        request.deadline_ms = deadline.map(|at| self.unix(at.into()) - CLOCK_SKEW_MS);
        if request.body.len() as u64 > limits.max_request_bytes {
            request.defect = Some(Defect::Body(request.body.len() as u64));
            request.body.clear();
        }
        let Some(accepted) = self.accept(tag, request) else {
            return;
        };
        let _entered = accepted.span.enter();
        let now = self.unix(tokio::time::Instant::now());
        let (pool, futures) = (&mut self.pool, &mut self.futures);
        if let Some(done) = answering::begin(pool, futures, accepted, &limits, now) {
            self.on_done(done);
        }
    }

    /// The address is one that each server allows.
    fn accept(&self, tag: u64, mut request: protocol::RequestMessage) -> Option<Accepted> {
        let address = admission::address(&request, &self.policy).ok()??;
        let queue = &self.context.config.borrow().queue.name;
        let span = RequestSpan::begin(&mut request, queue, |request| {
            self.pool.service.method(request)
        });
        Some(Accepted::new(tag, request, address, span))
    }

    /// Makes the reply, which counts as confirmed.
    fn on_done(&mut self, done: Done) {
        let Accepted { tag, span, .. } = &done.accepted;
        let (tag, _entered) = (*tag, span.enter());
        let limits = &self.context.config.borrow().server;
        let (accepted, outcome) = (&done.accepted, done.outcome);
        let (mut message, _) =
            answering::message(&self.context, limits, accepted, outcome, done.compute);
        span.answer(&accepted.request.message, &mut message);
        span.event("confirmed");
        self.context.next_reply.fetch_add(1, Ordering::Relaxed);
        self.tally.replied(message.body_size());
        self.tally.confirmed();
        if let Some((_, reply)) = self.callers.get_mut(&tag) {
            *reply = Some(message);
        }
        self.tally.settled(Settled::Replied);
        self.window.settle(tag);
        self.unacked.add(tag, done.accepted.span);
        self.pool.release(tag);
    }

    /// Acknowledges what is settled.
    fn ack(&mut self) {
        for ack in self.window.flush() {
            self.unacked.acked(&ack);
            let first = if ack.multiple { 0 } else { ack.tag };
            let acked = self.callers.range(first..=ack.tag);
            let acked: Vec<_> = acked.map(|(tag, _)| *tag).collect();
            for tag in acked {
                if let Some((caller, Some(reply))) = self.callers.remove(&tag) {
                    // A caller may have gone.
                    let _ = caller.send(Delivered::acked(reply));
                }
            }
        }
        self.tally.publish(self.window.outstanding() as u64);
    }

    /// An instant as Unix time in milliseconds.
    fn unix(&self, at: tokio::time::Instant) -> i64 {
        let (epoch, unix) = self.epoch;
        let since = at.saturating_duration_since(epoch).as_millis();
        let before = epoch.saturating_duration_since(at).as_millis();
        let ms = |ms| i64::try_from(ms).unwrap_or(i64::MAX / 4);
        unix + ms(since) - ms(before)
    }
}
