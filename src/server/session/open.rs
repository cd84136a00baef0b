//! A session and how it is opened.

use super::phase::Phase;
use super::prefetch::Prefetch;
use super::replies::Replies;
use super::requests::Requests;
use crate::broker::{Connection, Error, Options};
use crate::config::{BrokerUrl, Config};
use crate::protocol::reply_to::Policy;
use crate::server::adoption;
use crate::server::backend::Backend;
use crate::server::context::Context;
use crate::server::control::Control;
use crate::server::pool::{self, Pool};
use crate::server::reachability::{self, Reachability};
use crate::server::state::{ServerState, Stop};
use crate::server::tally::{Part, Tally};
use futures_util::future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;

pub(in crate::server) struct Session<B: Backend> {
    pub(super) context: Context,
    /// Becomes true when the next session has taken over.
    pub(super) retired: watch::Receiver<bool>,
    /// The settings in force here: broker and queue as at the start, everything else as configured last.
    pub(super) settings: Arc<Config>,
    pub(super) policy: Policy,
    /// `host:port` of the broker.
    pub(super) endpoint: String,
    pub(super) phase: Phase,
    pub(super) requests: Requests<B>,
    pub(super) prefetch: Prefetch,
    pub(super) replies: Replies,
    pub(super) control: Control,
    pub(super) reachability: Reachability,
    pub(super) ticked: Instant,
}

impl<B: Backend> Session<B> {
    /// Connects, finds or declares the queue, and starts to consume. `retired` becomes true when the session is to leave.
    /// `time_to_begin` limits how long the consumer may take to begin.
    pub(in crate::server) async fn open(
        service: Arc<B>,
        context: Context,
        url: BrokerUrl,
        settings: Arc<Config>,
        retired: watch::Receiver<bool>,
        time_to_begin: Option<Duration>,
    ) -> Result<Self, Error> {
        let settings = within(context.largest_reply.load(Ordering::Relaxed), settings);
        let (limits, queue) = (&settings.server, &settings.queue);
        let options = |role: &str| Options {
            name: format!("{} {} {role}", context.program, context.instance),
            operation_timeout: settings.broker.confirm_timeout,
            max_body: Some(limits.max_request_bytes),
            patience: None,
        };
        let (consuming, publishing) = future::try_join(
            Connection::open(&url, &settings.broker, options("consume")),
            Connection::open(&url, &settings.broker, options("publish")),
        )
        .await?;
        let queue_type = adoption::prepare(&consuming, &publishing, &url.vhost, queue).await?;
        let (incoming, outgoing) =
            future::try_join(consuming.channel(), publishing.channel()).await?;
        outgoing.0.confirm_select().await?;
        let endpoint = url.address();
        let isolated = context.isolation.active();
        let at_once = pool::at_once(service.as_ref(), limits.concurrency);
        let prefetch = (limits.prefetch, at_once);
        let gauge = Part::new(&context.counters, |counters| &counters.prefetch);
        let starting = Prefetch::start(&incoming.0, &queue.name, prefetch, isolated, gauge);
        let prefetch = match time_to_begin {
            Some(limit) => tokio::time::timeout(limit, starting)
                .await
                .unwrap_or_else(|_| Err(reachability::not_begun(&queue.name, &endpoint, limit)))?,
            None => starting.await?,
        };
        let pool = Pool::new(
            service,
            context.counters.clone(),
            &context.memory,
            limits.concurrency,
        );
        let tally = Tally::new(&context.counters, context.metrics.as_ref());
        let urls = settings.broker.url.len();
        Ok(Self {
            policy: Policy::new(&queue.name, &limits.reply_to_allow),
            phase: Phase::Serving,
            control: Control::start(&publishing, &settings, queue_type),
            reachability: Reachability::new(&consuming, endpoint.clone(), &queue.name, urls),
            requests: Requests::new(consuming, incoming, pool, tally),
            prefetch,
            replies: Replies::new(publishing, outgoing),
            ticked: Instant::now(),
            context,
            retired,
            settings,
            endpoint,
        })
    }

    /// Applies a changed configuration, except for the broker and queue settings, which take another session.
    pub(super) fn reconfigure(&mut self) {
        let mut next = Config::clone(&self.context.config.borrow_and_update());
        next.broker = self.settings.broker.clone();
        next.queue = self.settings.queue.clone();
        let largest_reply = self.context.largest_reply.load(Ordering::Relaxed);
        let next = within(largest_reply, Arc::new(next));
        let last = std::mem::replace(&mut self.settings, next);
        let limits = &self.settings.server;
        if last.server.concurrency != limits.concurrency {
            self.requests.pool.set_concurrency(limits.concurrency);
        }
        for connection in [&self.requests.connection, &self.replies.connection] {
            connection.limit_bodies(limits.max_request_bytes);
        }
        self.policy = Policy::new(&self.settings.queue.name, &limits.reply_to_allow);
        if last.server.control == limits.control {
            self.retry_control();
        } else {
            let queue_type = self.control.queue_type;
            self.control = Control::start(&self.replies.connection, &self.settings, queue_type);
        }
        let limits = &self.settings.server;
        let at_once = pool::at_once(self.requests.pool.service.as_ref(), limits.concurrency);
        self.prefetch.limit(limits.prefetch, at_once);
        self.review_prefetch();
    }

    /// Opens the control queue again, if it waits for that.
    pub(super) fn retry_control(&mut self) {
        let connection = &self.replies.connection;
        self.control.try_again(connection, &self.settings);
    }

    /// Replaces the consumer if its prefetch no longer fits.
    pub(super) fn review_prefetch(&mut self) {
        if self.phase.is_serving() {
            self.prefetch.review(
                &self.requests.window,
                self.requests.pool.line(),
                self.context.isolation.active(),
            );
        }
    }

    /// Publishes the server's state, unless that is another session's.
    pub(super) fn publish_state(&self, state: impl FnOnce(String) -> ServerState) {
        if !*self.retired.borrow() && *self.context.stop.borrow() == Stop::No {
            self.context
                .state
                .send_replace(state(self.endpoint.clone()));
        }
    }

    /// Publishes that the session consumes.
    pub(super) fn publish_consuming(&self) {
        self.publish_state(|endpoint| ServerState::Consuming {
            endpoint,
            queue: self.settings.queue.name.clone(),
            unopened: self.context.unopened.borrow().clone(),
        });
    }
}

/// The settings with a limit for replies that the broker accepts.
fn within(largest_reply: u64, settings: Arc<Config>) -> Arc<Config> {
    if settings.server.max_reply_bytes <= largest_reply {
        return settings;
    }
    let mut settings = Arc::unwrap_or_clone(settings);
    settings.server.max_reply_bytes = largest_reply;
    Arc::new(settings)
}
