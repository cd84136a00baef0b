//! The supervisor opens sessions, one after another, for as long as the server runs.
//!
//! Owns the running sessions, each a task that ends with it, and the attempt to open the next one. There is one current
//! session, or none while brokers are tried. If broker or queue settings change, the current session serves until the next
//! one consumes. Then it drains in parallel with its successor: it takes no further requests and finishes those it has. If
//! the successor cannot be opened, attempts continue while the current session serves with the old settings. So changing
//! sessions leaves no gap, and no request waits for a long computation of the old session.

use super::backend::Backend;
use super::broker_wait::BrokerWait;
use super::brokers::{Brokers, HEALTHY, is_refusal};
use super::context::Context;
use super::log;
use super::session::{End, Failure, Session};
use super::state::{Counters, Outcome, ServerState, Stop};
use super::undeliverable::Undeliverable;
use crate::broker::Error;
use crate::config::Config;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Sleep;

/// A session, or why there is none.
type Opened<B> = Result<Box<Session<B>>, Error>;

/// Why the next session has to wait.
const STILL_LEAVING: &str = "the session before the current one still has requests in flight";

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) struct Supervisor<'a, B: Backend> {
    service: Arc<B>,
    context: &'a Context,
    config: watch::Receiver<Arc<Config>>,
    brokers: Brokers,
    /// The current session and those that drain. They are tasks, so that the supervisor is not polled for each message.
    sessions: JoinSet<Ended>,
    /// The session that consumes, if there is one.
    current: Option<SessionInfo>,
    next: Next<B>,
    undeliverable: Undeliverable,
    /// Counts as progress while there is no session.
    waiting: BrokerWait,
    /// When the server began to drain.
    draining: Option<Instant>,
    /// Requests that ended sessions had begun and not finished.
    abandoned: u64,
}

/// A session as seen by the supervisor.
#[derive(Clone)]
struct SessionInfo {
    settings: Arc<Config>,
    endpoint: String,
    began: Instant,
    /// Requests received by the server before it.
    received: u64,
    /// Makes it drain.
    retire: watch::Sender<bool>,
}

struct Ended {
    info: SessionInfo,
    end: End,
    /// Whether it has settled anything.
    useful: bool,
}

enum Next<B: Backend> {
    /// None is wanted: the current one has the configured settings, or the server stops.
    Nothing,
    Opening(SessionInfo, Boxed<Opened<B>>),
    /// It will be opened after a delay.
    Waiting(Pin<Box<Sleep>>),
}

impl<B: Backend> Next<B> {
    /// The opened session; `None` after the delay. Never ready if no session is wanted. Cancel safe.
    async fn step(&mut self) -> Option<Opened<B>> {
        match self {
            Self::Nothing => std::future::pending().await,
            Self::Opening(_, opened) => Some(opened.await),
            Self::Waiting(sleep) => {
                sleep.await;
                None
            }
        }
    }
}

impl<'a, B: Backend> Supervisor<'a, B> {
    /// A supervisor that is ready to run.
    pub(super) fn new(service: Arc<B>, context: &'a Context) -> Self {
        let config = context.config.clone();
        let brokers = Brokers::new(&config.borrow().broker);
        Self {
            service,
            context,
            config,
            brokers,
            sessions: JoinSet::new(),
            current: None,
            next: Next::Nothing,
            undeliverable: Undeliverable::default(),
            waiting: BrokerWait::begin(&context.counters, Duration::ZERO),
            draining: None,
            abandoned: 0,
        }
    }

    /// Runs until the server stops and all sessions have ended.
    pub(super) async fn run(mut self) -> Outcome {
        let mut stop = self.context.stop.clone();
        if *stop.borrow_and_update() == Stop::No {
            self.attempt();
        }
        loop {
            if self.is_stopping() {
                self.next = Next::Nothing;
                if self.sessions.is_empty() {
                    return self.conclude();
                }
            }
            tokio::select! {
                biased;
                Ok(()) = stop.changed() => self.on_stop(*stop.borrow_and_update()),
                Some(ended) = self.sessions.join_next() => self.on_ended(ended.unwrap_or_else(panicked)),
                Ok(()) = self.config.changed() => self.on_configuration(),
                step = self.next.step() => match step {
                    Some(Ok(session)) => self.on_opened(session),
                    Some(Err(error)) => self.on_unopened(error),
                    None => self.attempt(),
                },
                () = self.waiting.beat(), if self.sessions.is_empty() => {}
            }
        }
    }

    fn is_stopping(&self) -> bool {
        *self.context.stop.borrow() != Stop::No
    }

    /// Begins to open a session with the current configuration.
    fn attempt(&mut self) {
        let settings = self.config.borrow_and_update().clone();
        self.adopt(&settings);
        let url = self.brokers.next_url();
        let mut context = self.context.clone();
        context.config = self.config.clone();
        self.waiting = BrokerWait::for_operations(&context.counters, &settings.broker);
        let (retire, retired) = watch::channel(false);
        let info = SessionInfo {
            settings: settings.clone(),
            endpoint: url.address(),
            began: Instant::now(),
            received: Counters::get(&context.counters.received),
            retire,
        };
        let (service, time) = (self.service.clone(), self.brokers.time_to_begin());
        let opening = Session::open(service, context, url, settings, retired, time);
        let opened = async { opening.await.map(Box::new) };
        self.next = Next::Opening(info, Box::pin(opened));
        self.publish();
    }

    /// Adopts the `[broker]` section; a changed one starts over.
    fn adopt(&mut self, settings: &Config) {
        if self.brokers.adopt(&settings.broker) {
            let largest_reply = &self.context.largest_reply;
            largest_reply.store(u64::MAX, Ordering::Relaxed);
        }
    }

    /// The next session consumes, so the current one drains.
    fn on_opened(&mut self, session: Box<Session<B>>) {
        let Next::Opening(info, _) = std::mem::replace(&mut self.next, Next::Nothing) else {
            return;
        };
        if let Some(last) = self.current.replace(info.clone()) {
            last.retire.send_replace(true);
        }
        self.context.unopened.send_replace(None);
        self.sessions.spawn(serve(info, session));
    }

    fn on_unopened(&mut self, error: Error) {
        let Next::Opening(info, _) = &self.next else {
            return;
        };
        Counters::add(self.context.counters.failures(error.kind));
        let endpoint = info.endpoint.clone();
        let queue = &info.settings.queue.name;
        let error = self.undeliverable.ended(error, queue, false);
        let delay = self.brokers.delay(&error);
        self.wait(endpoint, &error, delay);
    }

    /// Waits before the next attempt; a reloaded configuration ends the wait.
    fn wait(&mut self, endpoint: String, error: &Error, delay: Duration) {
        let (attempt, refused) = (self.brokers.attempt(), is_refusal(error));
        let message = &error.message;
        match &self.current {
            None => {
                log::disconnected(&endpoint, message, delay, attempt, refused);
                self.context.state.send_replace(ServerState::Waiting {
                    endpoint,
                    attempt,
                    next: Instant::now() + delay,
                    error: message.clone(),
                });
            }
            Some(current) => {
                let serving = &current.endpoint;
                log::kept(serving, &endpoint, message, delay, attempt, refused);
                self.set_unopened(Some(message.clone()));
            }
        }
        self.waiting = BrokerWait::begin(&self.context.counters, delay);
        self.next = Next::Waiting(Box::pin(tokio::time::sleep(delay)));
    }

    /// The configuration was reloaded, possibly without a change.
    fn on_configuration(&mut self) {
        let config = self.config.borrow_and_update().clone();
        let wanted = |info: &SessionInfo| {
            info.settings.broker == config.broker && info.settings.queue == config.queue
        };
        match (&self.current, &self.next) {
            // The session applies the other changes itself. An earlier change may have asked for a successor.
            (Some(current), _) if wanted(current) => {
                self.next = Next::Nothing;
                self.adopt(&config);
                self.set_unopened(None);
            }
            (_, Next::Opening(info, _)) if wanted(info) => {}
            // Only one drains at a time, because each may have large computations.
            (Some(_), _) if self.sessions.len() > 1 => {
                self.next = Next::Nothing;
                self.set_unopened(Some(STILL_LEAVING.to_owned()));
            }
            _ => self.attempt(),
        }
    }

    fn on_ended(&mut self, Ended { info, end, useful }: Ended) {
        let is_current = |current: &mut SessionInfo| current.began == info.began;
        let current = self.current.take_if(is_current);
        if let End::Failed(failure) = &end {
            Counters::add(self.context.counters.failures(failure.error.kind));
        }
        match end {
            End::Stopped { abandoned } => self.abandoned += abandoned,
            End::Left => {}
            End::Failed(failure) if current.is_some() => self.on_death(&info, failure, useful),
            End::Failed(failure) => log::cut_short(&info.endpoint, &failure.error.message),
        }
        // A changed configuration may have waited for this.
        if self.current.is_some() && matches!(self.next, Next::Nothing) && !self.is_stopping() {
            self.on_configuration();
        }
    }

    /// A fault ended the current session.
    fn on_death(&mut self, info: &SessionInfo, failure: Failure, useful: bool) {
        let Failure {
            error,
            culpable,
            mut learnt,
        } = failure;
        if let Some(limit) = error.limit {
            let largest_reply = &self.context.largest_reply;
            learnt |= limit < largest_reply.fetch_min(limit, Ordering::Relaxed);
        }
        if info.began.elapsed() >= HEALTHY || (useful && !culpable) {
            self.brokers.worked();
        }
        self.context.unopened.send_replace(None);
        if self.is_stopping() {
            return;
        }
        // A reply to a status request may have ended it as well.
        let received = Counters::get(&self.context.counters.received);
        let delivered = !culpable || received != info.received;
        let queue = &info.settings.queue.name;
        let error = self.undeliverable.ended(error, queue, delivered);
        if matches!(self.next, Next::Nothing) {
            let delay = if learnt {
                self.brokers.at_once()
            } else {
                self.brokers.delay(&error)
            };
            self.wait(info.endpoint.clone(), &error, delay);
        } else {
            // A successor was to be opened anyway, and is now urgent.
            let attempt = self.brokers.attempt();
            log::disconnected(
                &info.endpoint,
                &error.message,
                Duration::ZERO,
                attempt,
                false,
            );
            if matches!(self.next, Next::Waiting(_)) {
                self.attempt();
            }
            self.publish();
        }
    }

    /// The server is to stop, or to stop faster. The sessions observe that themselves.
    fn on_stop(&mut self, stop: Stop) {
        if stop == Stop::Drain && !self.sessions.is_empty() {
            let limit = self.config.borrow().server.drain_timeout;
            let in_flight = Counters::get(&self.context.counters.in_flight);
            log::draining(in_flight, limit);
            let now = Instant::now();
            self.draining = Some(now);
            let until = now + limit;
            self.context
                .state
                .send_replace(ServerState::Draining { until });
        }
    }

    /// All sessions have ended.
    fn conclude(&self) -> Outcome {
        let abandoned = self.abandoned;
        if abandoned > 0 {
            log::abandoned(abandoned);
        } else if let Some(since) = self.draining {
            log::drained(since.elapsed());
        }
        Outcome { abandoned }
    }

    /// Publishes that a broker is tried, unless a session serves.
    fn publish(&self) {
        if let (None, Next::Opening(info, _)) = (&self.current, &self.next) {
            self.context.state.send_replace(ServerState::Connecting {
                endpoint: info.endpoint.clone(),
                attempt: self.brokers.attempt(),
            });
        }
    }

    /// Publishes why no session with the new settings could be opened while another one serves.
    fn set_unopened(&self, why: Option<String>) {
        self.context.unopened.send_replace(why.clone());
        self.context.state.send_if_modified(|state| match state {
            ServerState::Consuming { unopened, .. } if *unopened != why => {
                *unopened = why;
                true
            }
            _ => false,
        });
    }
}

/// Passes on the panic of a session's task. It cannot have been cancelled while the supervisor runs.
fn panicked(error: JoinError) -> Ended {
    std::panic::resume_unwind(error.into_panic())
}

/// Runs a session to its end.
async fn serve<B: Backend>(info: SessionInfo, mut session: Box<Session<B>>) -> Ended {
    let end = session.serve().await;
    let useful = session.was_useful();
    match end {
        End::Stopped { abandoned: 0 } | End::Left => session.close().await,
        _ => drop(session),
    }
    Ended { info, end, useful }
}
