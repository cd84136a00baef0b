//! One session: two connections, a consumer, and everything in flight between them.
//!
//! Owns every delivery from its arrival to its ack. Promises that nothing is acknowledged before its
//! reply is confirmed (or came back, or there is no one to reply to), and that when the session is
//! dropped the broker has everything back that was not.
//!
//! Deliveries come and acks go on one connection, replies go on the other: a broker short of memory
//! stops reading from connections that publish, and would stop our acks with them.

mod consumer;
mod deadlines;
mod drain;
mod ending;
mod offers;
mod requests;

pub(super) use ending::{End, Failure};
use offers::{FullQueues, Offer};

use super::acks::AckWindow;
use super::beats::{self, Beats};
use super::context::Context;
use super::control::Control;
use super::credit::Credit;
use super::isolation::Poison;
use super::pool::{self, Pool};
use super::reach::{self, Reach};
use super::service::Service;
use super::state::{Counters, InFlight, State, Stop};
use super::{adoption, events};
use crate::broker::{Channel, Connection, Error, Event, Inbox, Options, Unconfirmed};
use crate::config::{BrokerUrl, Config};
use crate::protocol::Message;
use crate::protocol::reply_to::{Address, Policy};
use consumer::Consumer;
use futures_util::future;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, sleep_until};

/// A reply that waits for its confirm.
#[derive(Debug)]
struct Pending {
    /// Of the request.
    tag: u64,
    to: String,
    address: Address,
    message: Message,
    /// When it was (last) published.
    since: Instant,
    /// How often it was.
    offers: u32,
    /// A request that is rejected once its caller has been told.
    poison: Option<Poison>,
}

/// An established session.
pub(super) struct Session<S: Service> {
    context: Context<S>,
    /// Becomes true when the next session has taken over.
    retired: watch::Receiver<bool>,
    /// As they are in force here: broker and queue as at the start, all else as it was configured last.
    settings: Arc<Config>,
    policy: Policy,
    url: BrokerUrl,
    consuming: Connection,
    publishing: Connection,
    incoming: Channel,
    deliveries: Mailbox,
    outgoing: Channel,
    confirms: Mailbox,
    consumer: Consumer,
    /// How many requests to ask the broker for.
    credit: Credit,
    control: Control,
    reach: Reach,
    /// Whether the consumer was told to deliver one at a time.
    one_at_a_time: bool,
    pool: Pool<S>,
    window: AckWindow,
    pending: Unconfirmed<Pending>,
    /// Replies that the broker has refused and that are offered again.
    refused: FuturesUnordered<Pin<Box<dyn Future<Output = Offer> + Send>>>,
    full: FullQueues,
    blocked_since: Option<Instant>,
    /// From when on the broker can have confirmed replies: it was not blocked, and this process ran.
    confirming_since: Instant,
    ticked: Instant,
    draining: Option<Drain>,
    /// Deliveries that a drain found waiting for the pool and too far behind: not handed back yet.
    untouched: Vec<u64>,
    settled: u64,
    gauge: InFlight,
}

#[derive(Debug, Clone, Copy)]
struct Drain {
    until: Instant,
    /// When to hand back what will not be begun; `None`: done.
    hand_back_at: Option<Instant>,
    /// From when on no more is begun.
    begin_until: Instant,
    /// Whether the server stops after it; else another session has taken over.
    stopping: bool,
}

impl<S: Service> Session<S> {
    /// Connects, finds or makes the queue, and starts to consume. `retired` becomes true when it is to leave.
    pub(super) async fn open(
        context: Context<S>,
        url: BrokerUrl,
        settings: Arc<Config>,
        retired: watch::Receiver<bool>,
        time_to_begin: Option<Duration>,
    ) -> Result<Self, Error> {
        let settings = within(context.largest_reply.load(Ordering::Relaxed), settings);
        let name = &context.instance;
        let options = |role: &str| Options {
            name: format!("fibrpcd {name} {role}"),
            operation_timeout: settings.broker.confirm_timeout,
            max_body: Some(settings.server.max_request_bytes),
            patience: None,
        };
        let (consuming, publishing) = future::try_join(
            Connection::open(&url, &settings.broker, options("consume")),
            Connection::open(&url, &settings.broker, options("publish")),
        )
        .await?;
        adoption::prepare(&consuming, &publishing, &url.vhost, &settings.queue).await?;
        let ((incoming, deliveries), (outgoing, confirms)) =
            future::try_join(consuming.channel(), publishing.channel()).await?;
        outgoing.confirm_select().await?;
        let one_at_a_time = context.isolation.active();
        let limits = &settings.server;
        let credit = Credit::new(limits.prefetch, pool::workers(limits.concurrency));
        let prefetch = if one_at_a_time { 1 } else { credit.window() };
        let queue = &settings.queue.name;
        let starting = Consumer::start(&incoming, queue, prefetch);
        let consumer = match time_to_begin {
            Some(limit) => tokio::time::timeout(limit, starting)
                .await
                .unwrap_or_else(|_| Err(reach::not_begun(queue, &url.address(), limit)))?,
            None => starting.await?,
        };
        let (service, counters) = (context.service.clone(), context.counters.clone());
        Ok(Self {
            policy: Policy::new(&settings.queue.name, &settings.server.reply_to_allow),
            pool: Pool::new(
                service,
                counters,
                &context.memory,
                settings.server.concurrency,
            ),
            control: Control::start(&publishing, &settings),
            reach: Reach::new(
                &consuming,
                url.address(),
                &settings.queue.name,
                settings.broker.url.len(),
            ),
            gauge: InFlight::new(&context.counters),
            context,
            retired,
            settings,
            url,
            consuming,
            publishing,
            incoming,
            deliveries,
            outgoing,
            confirms,
            consumer,
            credit,
            one_at_a_time,
            window: AckWindow::default(),
            pending: Unconfirmed::default(),
            refused: FuturesUnordered::new(),
            full: FullQueues::default(),
            blocked_since: None,
            confirming_since: Instant::now(),
            ticked: Instant::now(),
            draining: None,
            untouched: Vec::new(),
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

    async fn run(&mut self) -> Result<End, Error> {
        let mut tick = tokio::time::interval(beats::INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.acks_are_due() {
                self.flush_acks();
            }
            self.update_gauges();
            if let Some(drain) = self.draining
                && self.is_drained()
            {
                return Ok(self.finish(drain).await);
            }
            let drain_wakes = self.draining.map(|drain| drain.wakes());
            tokio::select! {
                biased;
                Ok(()) = self.context.stop.changed() => {
                    let stop = *self.context.stop.borrow_and_update();
                    if stop == Stop::Drain {
                        self.begin_drain(true).await?;
                    }
                }
                () = wake_at(drain_wakes) => {
                    if let Some(drain) = self.draining {
                        if drain.hand_back_at.is_none() {
                            self.catch_up().await?;
                            return Ok(self.finish(drain).await);
                        }
                        self.hand_back(drain)?;
                    }
                }
                Ok(()) = self.retired.changed(), if self.draining.is_none() => {
                    self.begin_drain(false).await?;
                }
                Ok(()) = self.context.config.changed(), if self.draining.is_none() => {
                    self.reconfigure();
                }
                event = self.consuming.event() => self.on_event(event)?,
                event = self.publishing.event() => self.on_event(event)?,
                confirm = self.confirms.next() => {
                    self.on_confirm(confirm)?;
                    while let Some(confirm) = self.confirms.try_next() {
                        self.on_confirm(confirm)?;
                    }
                    self.review_prefetch();
                }
                Some(offer) = self.refused.next(), if !self.refused.is_empty() => self.on_offer(offer)?,
                done = self.pool.next(), if self.pool.is_working() => self.on_computed(done)?,
                // One that leaves is not asked: the next session answers for both.
                asked = self.control.next(), if !self.is_leaving() => match asked {
                    Some(asked) => self.on_status(&asked),
                    None => self.control.try_again(&self.publishing, &self.settings),
                },
                delivery = self.deliveries.next(), if self.draining.is_none() => {
                    self.reach.delivered();
                    self.on_delivery(delivery)?;
                    self.take_deliveries()?;
                    self.review_prefetch();
                }
                replaced = self.consumer.replaced(), if self.draining.is_none() => {
                    self.on_replaced(replaced?)?;
                }
                _ = tick.tick() => self.on_tick().await?,
                looked = self.reach.looked(), if self.reach.is_looking() && self.draining.is_none() => looked?,
            }
        }
    }

    /// Signs of life while the broker is waited for.
    fn beats(&self) -> Beats {
        Beats::of_operations(&self.context.counters, &self.settings.broker)
    }

    /// The configuration changed: what needs no other session is applied here.
    fn reconfigure(&mut self) {
        let mut next = Config::clone(&self.context.config.borrow_and_update());
        next.broker = self.settings.broker.clone();
        next.queue = self.settings.queue.clone();
        let largest_reply = self.context.largest_reply.load(Ordering::Relaxed);
        let next = within(largest_reply, Arc::new(next));
        let last = std::mem::replace(&mut self.settings, next);
        if last.server.concurrency != self.settings.server.concurrency {
            self.pool.set_concurrency(self.settings.server.concurrency);
        }
        for connection in [&self.consuming, &self.publishing] {
            connection.limit_bodies(self.settings.server.max_request_bytes);
        }
        self.policy = Policy::new(
            &self.settings.queue.name,
            &self.settings.server.reply_to_allow,
        );
        if last.server.control == self.settings.server.control {
            self.control.try_again(&self.publishing, &self.settings);
        } else {
            self.control = Control::start(&self.publishing, &self.settings);
        }
        self.limit_prefetch();
    }

    fn on_event(&mut self, event: ConnectionEvent) -> Result<(), Error> {
        match event {
            ConnectionEvent::Blocked(reason) => {
                events::blocked(&self.url.address(), &reason);
                self.blocked_since = Some(Instant::now());
                if self.is_current() {
                    let endpoint = self.url.address();
                    self.context
                        .state
                        .send_replace(State::Blocked { endpoint, reason });
                }
            }
            ConnectionEvent::Unblocked => {
                self.confirming_since = Instant::now();
                if let Some(since) = self.blocked_since.take() {
                    events::unblocked(&self.url.address(), since.elapsed());
                }
                self.control.try_again(&self.publishing, &self.settings);
                self.publish_state();
            }
            ConnectionEvent::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether to acknowledge what is settled, or to let more of it come together: a quarter of the window,
    /// as long as confirms are on their way. What that saves is the broker's time.
    fn acks_are_due(&self) -> bool {
        let more_is_coming =
            !self.pending.is_empty() && self.blocked_since.is_none() && self.draining.is_none();
        !more_is_coming || self.window.settled() * 4 >= usize::from(self.credit.window())
    }

    /// Whether this is the session whose state is the server's.
    fn is_current(&self) -> bool {
        !*self.retired.borrow() && *self.context.stop.borrow() == Stop::No
    }

    /// Whether the next session has taken over.
    fn is_leaving(&self) -> bool {
        self.draining.is_some_and(|drain| !drain.stopping)
    }

    fn publish_state(&self) {
        if self.is_current() {
            let state = State::Consuming {
                endpoint: self.url.address(),
                queue: self.settings.queue.name.clone(),
                unopened: self.context.unopened.borrow().clone(),
            };
            self.context.state.send_replace(state);
        }
    }

    /// Requests that were taken and neither settled nor left for somebody else.
    fn in_flight(&self) -> u64 {
        (self.window.outstanding() - self.untouched.len()) as u64
    }

    /// Requests that the broker may deliver again if the session dies now: those in flight, and those whose
    /// acks may not have arrived.
    fn returning(&self) -> u64 {
        let window = u64::from(self.settings.server.prefetch);
        (self.in_flight() + self.settled).min(window)
    }

    fn update_gauges(&mut self) {
        self.gauge.set(self.in_flight());
    }
}

/// Completes at this time; pends for ever if there is none.
async fn wake_at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => future::pending().await,
    }
}

/// The settings, with replies no larger than the broker takes.
fn within(largest_reply: u64, settings: Arc<Config>) -> Arc<Config> {
    if settings.server.max_reply_bytes <= largest_reply {
        return settings;
    }
    let mut settings = Arc::unwrap_or_clone(settings);
    settings.server.max_reply_bytes = largest_reply;
    Arc::new(settings)
}
