//! One session: two connections, a consumer, and everything in flight between them.
//!
//! Owns every delivery from its arrival to its ack. Promises that nothing is acknowledged before its
//! reply is confirmed (or came back, or there is no one to reply to), and that when the session is
//! dropped the broker has everything back that was not.
//!
//! Deliveries come and acks go on one connection, replies go on the other: a broker short of memory
//! stops reading from connections that publish, and would stop our acks with them.

use super::acks::AckWindow;
use super::admission::{self, Admitted};
use super::control::{Asked, Control};
use super::isolation;
use super::pool::{Done, Pool, compute};
use super::service::{Cancel, Service};
use super::state::{Counters, State, Stop};
use super::{Context, events};
use crate::broker::{
    Channel, Confirm, Connection, Consumer, Delivery, Error, Event, Kind, Options, Returned,
    topology,
};
use crate::config::{BrokerUrl, Config};
use crate::protocol::control::{Question, Report, pong};
use crate::protocol::reply_to::{Address, Policy};
use crate::protocol::{Answer, Message, Request, Status, reply};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::{FutureExt as _, future};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, sleep_until};

/// How often a reply that the broker refuses (a full reply queue) is offered.
const OFFERS: u32 = 3;

/// How long closing in order may take once everything is settled, or the drain time is over.
const CLOSING: Duration = Duration::from_millis(900);

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was told to stop; so many requests were begun and not finished.
    Stopped { abandoned: u64 },
    /// It was drained because broker or queue settings changed.
    Reconfigured,
    /// It died, with so many requests in flight.
    Failed { error: Error, in_flight: u64 },
}

/// The id of a reply, and what became of it.
type Published = (u64, Result<(Confirm, Option<Returned>), Error>);

/// Operations under way on the broker, all driven by the session's own task.
type UnderWay<T> = FuturesUnordered<Pin<Box<dyn Future<Output = T> + Send>>>;

/// A reply that waits for its confirm.
#[derive(Debug)]
struct Pending {
    tag: u64,
    to: String,
    address: Address,
    since: Instant,
    offers: u32,
}

/// An established session.
pub(super) struct Session<'a, S: Service> {
    context: &'a mut Context<S>,
    settings: Arc<Config>,
    policy: Policy,
    url: BrokerUrl,
    consuming: Connection,
    publishing: Connection,
    incoming: Channel,
    outgoing: Channel,
    consumer: Consumer,
    consumer_tag: String,
    control: Control,
    /// Whether the consumer was told to deliver one at a time.
    one_at_a_time: bool,
    pool: Pool<S>,
    window: AckWindow,
    acks: UnderWay<Result<(), Error>>,
    replies: UnderWay<Published>,
    /// By our own id of the reply, which is its `message_id`.
    pending: HashMap<u64, Pending>,
    next_reply: u64,
    blocked_since: Option<Instant>,
    unblocked_at: Instant,
    draining: Option<Drain>,
    settled: u64,
}

#[derive(Debug, Clone, Copy)]
struct Drain {
    since: Instant,
    until: Instant,
    /// Whether the server stops after it.
    stopping: bool,
}

impl<'a, S: Service> Session<'a, S> {
    /// Connects, finds or makes the queue, and starts to consume.
    pub(super) async fn open(context: &'a mut Context<S>, url: BrokerUrl) -> Result<Self, Error> {
        let settings = context.config.borrow_and_update().clone();
        let name = &context.instance;
        let options = |role: &str| Options {
            name: format!("fibrpcd {name} {role}"),
            operation_timeout: settings.broker.confirm_timeout,
            max_body: Some(settings.server.max_request_bytes),
        };
        let (consuming, publishing) = future::try_join(
            Connection::open(&url, &settings.broker, options("consume")),
            Connection::open(&url, &settings.broker, options("publish")),
        )
        .await?;
        topology::prepare(&consuming, &settings.queue).await?;
        let (incoming, outgoing) =
            future::try_join(consuming.channel(), publishing.channel()).await?;
        outgoing.confirm_select().await?;
        let one_at_a_time = context.isolation.active();
        let consumer_tag = format!("fibrpcd-{}", uuid::Uuid::new_v4().simple());
        incoming
            .qos(if one_at_a_time {
                1
            } else {
                settings.server.prefetch
            })
            .await?;
        let consumer = incoming
            .consume(&settings.queue.name, &consumer_tag, false)
            .await?;
        let (service, counters) = (context.service.clone(), context.counters.clone());
        Ok(Self {
            policy: Policy::new(&settings.queue.name, &settings.server.reply_to_allow),
            pool: Pool::new(service, counters, settings.server.concurrency),
            control: Control::start(&publishing, &settings),
            context,
            settings,
            url,
            consuming,
            publishing,
            incoming,
            outgoing,
            consumer,
            consumer_tag,
            one_at_a_time,
            window: AckWindow::default(),
            acks: FuturesUnordered::new(),
            replies: FuturesUnordered::new(),
            pending: HashMap::new(),
            next_reply: 1,
            blocked_since: None,
            unblocked_at: Instant::now(),
            draining: None,
            settled: 0,
        })
    }

    /// Tells the world that the session is up.
    fn announce(&self) {
        let (product, version) = self.consuming.broker_version();
        let broker = format!("{product} {version}");
        events::connected(
            &self.url.address(),
            &self.settings.queue.name,
            broker.trim(),
        );
        Counters::add(&self.context.counters.sessions);
        self.publish_state();
    }

    /// Whether anything was settled: the session was of use.
    pub(super) fn was_useful(&self) -> bool {
        self.settled > 0
    }

    /// Serves until the session ends, one way or another.
    pub(super) async fn serve(&mut self) -> End {
        self.announce();
        let ended = self.run().await;
        let in_flight = self.window.outstanding() as u64;
        self.context
            .counters
            .in_flight
            .store(0, std::sync::atomic::Ordering::Relaxed);
        match ended {
            Ok(end) => end,
            Err(_) if self.draining.is_some_and(|drain| drain.stopping) => End::Stopped {
                abandoned: in_flight,
            },
            Err(error) => End::Failed {
                error: self.cause_of(error),
                in_flight,
            },
        }
    }

    /// Where an operation failed because the broker was closing the connection: why it did.
    fn cause_of(&self, error: Error) -> Error {
        let connections = [&self.publishing, &self.consuming];
        let mut closed = connections.into_iter().filter_map(Connection::closed);
        match error.kind {
            Kind::Lost => closed.next().unwrap_or(error),
            _ => error,
        }
    }

    async fn run(&mut self) -> Result<End, Error> {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.flush_acks();
            self.update_gauges();
            if let Some(drain) = self.draining
                && self.is_drained()
            {
                return Ok(self.finish(drain).await);
            }
            let drain_end = self.draining.map(|drain| drain.until.into());
            tokio::select! {
                biased;
                Ok(()) = self.context.stop.changed() => {
                    let stop = *self.context.stop.borrow_and_update();
                    match stop {
                        Stop::No => {}
                        Stop::Drain => self.begin_drain(true).await?,
                        Stop::Now => return Ok(self.leave()),
                    }
                }
                () = sleep_until(drain_end.unwrap_or_else(tokio::time::Instant::now)),
                    if drain_end.is_some() => {
                    if let Some(drain) = self.draining {
                        return Ok(self.finish(drain).await);
                    }
                }
                Ok(()) = self.context.config.changed(), if self.draining.is_none() => {
                    self.reconfigure().await?;
                }
                event = self.consuming.event() => self.on_event(event)?,
                event = self.publishing.event() => self.on_event(event)?,
                Some(acked) = self.acks.next(), if !self.acks.is_empty() => acked?,
                Some(published) = self.replies.next(), if !self.replies.is_empty() => {
                    self.on_published(published)?;
                    while let Some(Some(published)) = self.replies.next().now_or_never() {
                        self.on_published(published)?;
                    }
                    self.leave_isolation().await?;
                }
                done = self.pool.next(), if self.pool.is_working() => self.on_computed(done),
                asked = self.control.next() => self.on_status(&asked),
                delivery = self.consumer.next(), if self.draining.is_none() => {
                    self.on_delivery(delivery).await?;
                    while let Some(delivery) = self.consumer.next().now_or_never() {
                        self.on_delivery(delivery).await?;
                    }
                }
                _ = tick.tick() => self.on_tick()?,
            }
        }
    }

    /// A delivery, or the end of them.
    async fn on_delivery(
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
    fn on_request(&mut self, tag: u64, request: Request) {
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
                self.pool.push(super::pool::Task {
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
    fn on_computed(&mut self, done: Done) {
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
    fn on_status(&mut self, asked: &Asked) {
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
    fn on_published(&mut self, (id, result): Published) -> Result<(), Error> {
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

    fn flush_acks(&mut self) {
        for ack in self.window.flush() {
            self.acks
                .push(Box::pin(self.incoming.ack(ack.tag, ack.multiple)));
        }
    }

    /// Back to the full prefetch once a request settled in isolation.
    async fn leave_isolation(&mut self) -> Result<(), Error> {
        if self.one_at_a_time && !self.context.isolation.active() && self.draining.is_none() {
            self.resubscribe().await?;
        }
        Ok(())
    }

    /// Consumes anew, with the prefetch that now holds (a consumer keeps the one that it began with).
    async fn resubscribe(&mut self) -> Result<(), Error> {
        self.one_at_a_time = self.context.isolation.active();
        self.incoming.cancel(&self.consumer_tag).await?;
        let prefetch = if self.one_at_a_time {
            1
        } else {
            self.settings.server.prefetch
        };
        self.incoming.qos(prefetch).await?;
        self.consumer_tag = format!("fibrpcd-{}", uuid::Uuid::new_v4().simple());
        let queue = self.settings.queue.name.clone();
        let next = self
            .incoming
            .consume(&queue, &self.consumer_tag, false)
            .await?;
        let mut last = std::mem::replace(&mut self.consumer, next);
        while let Some(delivery) = last.next().await {
            let Delivery { tag, message, .. } = delivery?;
            self.window.open(tag);
            self.on_request(tag, Request::read(message));
        }
        Ok(())
    }

    /// The configuration changed: apply it here, or give way to a session that has it.
    async fn reconfigure(&mut self) -> Result<(), Error> {
        let next = self.context.config.borrow_and_update().clone();
        let last = std::mem::replace(&mut self.settings, next);
        if last.broker != self.settings.broker || last.queue != self.settings.queue {
            return self.begin_drain(false).await;
        }
        if last.server.concurrency != self.settings.server.concurrency {
            self.pool.set_concurrency(self.settings.server.concurrency);
        }
        self.policy = Policy::new(
            &self.settings.queue.name,
            &self.settings.server.reply_to_allow,
        );
        if last.server.control != self.settings.server.control {
            self.control = Control::start(&self.publishing, &self.settings);
        }
        if last.server.prefetch != self.settings.server.prefetch {
            self.resubscribe().await?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Blocked(reason) => {
                events::blocked(&self.url.address(), &reason);
                self.blocked_since = Some(Instant::now());
                if self.draining.is_none() {
                    let endpoint = self.url.address();
                    self.context
                        .state
                        .send_replace(State::Blocked { endpoint, reason });
                }
            }
            Event::Unblocked => {
                self.unblocked_at = Instant::now();
                if let Some(since) = self.blocked_since.take() {
                    events::unblocked(&self.url.address(), since.elapsed());
                }
                self.control.try_again(&self.publishing, &self.settings);
                self.publish_state();
            }
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Once a second: signs of life, and the deadline of confirms.
    fn on_tick(&mut self) -> Result<(), Error> {
        Counters::add(&self.context.counters.loop_beats);
        self.pool.beat();
        self.context.refusals.log_overdue();
        if self.blocked_since.is_some() {
            return Ok(());
        }
        let limit = self.settings.broker.confirm_timeout;
        let late = |pending: &Pending| pending.since.max(self.unblocked_at).elapsed() > limit;
        if self.pending.values().any(late) {
            self.publishing.kill();
            let message = format!(
                "the broker did not confirm a reply within {limit:?} (broker.confirm_timeout)"
            );
            return Err(Error::new(Kind::Timeout, message));
        }
        Ok(())
    }

    fn publish_state(&self) {
        if self.draining.is_none() {
            let state = State::Consuming {
                endpoint: self.url.address(),
                queue: self.settings.queue.name.clone(),
            };
            self.context.state.send_replace(state);
        }
    }

    fn update_gauges(&self) {
        let outstanding = self.window.outstanding() as u64;
        self.context
            .counters
            .in_flight
            .store(outstanding, std::sync::atomic::Ordering::Relaxed);
    }

    /// Stops consuming and hands back what was not begun; what was goes on until the drain time ends.
    async fn begin_drain(&mut self, stopping: bool) -> Result<(), Error> {
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
        let handed_back = tokio::time::timeout(limit, self.hand_back()).await;
        handed_back.unwrap_or(Ok(()))
    }

    async fn hand_back(&mut self) -> Result<(), Error> {
        self.incoming.cancel(&self.consumer_tag).await?;
        while let Some(delivery) = self.consumer.next().await {
            let tag = delivery?.tag;
            self.window.open(tag);
            self.incoming.requeue(tag).await?;
            self.window.told(tag);
        }
        for tag in self.pool.clear() {
            self.incoming.requeue(tag).await?;
            self.window.told(tag);
        }
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.window.outstanding() == 0 && self.acks.is_empty()
    }

    /// Closes in order: channel first, since its close-ok says that every ack has arrived.
    async fn finish(&mut self, drain: Drain) -> End {
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
    fn leave(&mut self) -> End {
        let abandoned = self.window.outstanding() as u64;
        if abandoned > 0 {
            events::abandoned(abandoned);
        }
        End::Stopped { abandoned }
    }

    /// Closes the connections in order where that is quick; dropping the session cuts them.
    pub(super) async fn close(self) {
        let Self {
            consuming,
            publishing,
            ..
        } = self;
        let _ = future::join(consuming.close(CLOSING), publishing.close(CLOSING)).await;
    }
}
