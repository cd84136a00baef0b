//! The state of a driver, and what it does with calls: accept, publish, end.

use super::queues::Queues;
use crate::broker::Error;
use crate::client::connector::Connector;
use crate::client::deadline_map::DeadlineMap;
use crate::client::failure;
use crate::client::pending::{Command, PendingCall, Stage};
use crate::client::presence::{AGREEMENT, Check};
use crate::client::settings::Settings;
use crate::client::state::{ConnectionState, Counters, count};
use crate::protocol::Status;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// A broker that has not confirmed a request for this time may be cut off from the queue: another broker is searched for.
pub(super) const UNCONFIRMED: Duration = Duration::from_secs(2);

/// See the module `driver`.
pub(in crate::client) struct Driver {
    pub(super) settings: Arc<Settings>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) state: watch::Sender<ConnectionState>,
    pub(super) connector: Connector,
    pub(super) calls: DeadlineMap<PendingCall>,
    pub(super) queues: Queues,
    /// How many replies may still arrive for calls that were forgotten.
    pub(super) unwanted: u64,
    /// Until when calls wait for a missing queue or server. Set after a reconnect: if the broker was down, servers also need
    /// time to reconnect.
    pub(super) wait_for_server_until: Option<Instant>,
    /// When returned calls are published again.
    pub(super) publish_again_at: Option<Instant>,
    /// When another broker is searched for because of held calls.
    pub(super) search_at: Option<Instant>,
    /// When a connection is replaced on which the broker refuses every request for a queue.
    pub(super) reconnect_at: Option<Instant>,
    /// When to check that the broker confirms requests.
    pub(super) check_confirms_at: Option<Instant>,
    /// Calls that are due at this time expire once everything that has arrived was read.
    pub(super) catching_up: Option<BoxFuture<'static, Instant>>,
}

impl Driver {
    /// Connects, trying each URL once; with `wait_for_server`, [`Driver::run`] connects instead.
    pub(in crate::client) async fn connect(
        settings: Settings,
        commands: mpsc::UnboundedReceiver<Command>,
        counters: Arc<Counters>,
        state: watch::Sender<ConnectionState>,
    ) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let (connector, check) = if settings.wait_for_server {
            (Connector::connecting(Arc::clone(&settings)), None)
        } else {
            Connector::connect(Arc::clone(&settings)).await?
        };
        let mut driver = Self {
            settings,
            commands,
            counters,
            state,
            connector,
            calls: DeadlineMap::new(),
            queues: Queues::new(),
            unwanted: 0,
            wait_for_server_until: None,
            publish_again_at: None,
            search_at: None,
            reconnect_at: None,
            check_confirms_at: None,
            catching_up: None,
        };
        if driver.connector.session().is_none() {
            let silent = format!("{} did not answer", driver.connector.addresses());
            driver
                .state
                .send_replace(ConnectionState::Connecting(silent));
        }
        if let Some(Check { result, .. }) = check.filter(Check::is_conclusive)
            && let Some(queue) = driver.settings.queue.clone()
        {
            driver.learn(&queue, failure::availability(&queue, result));
        }
        Ok(driver)
    }

    /// Accepts a call: publishes it, holds it, or fails it at once because the queue is unserved.
    pub(super) fn accept(&mut self, id: Uuid, deadline: Instant, mut call: PendingCall) {
        if call.is_dropped() {
            return count(&self.counters.dropped);
        }
        let now = Instant::now();
        self.queues.enter(&mut call.queue);
        if self.connector.session().is_none() {
            self.calls.insert(id, deadline, call);
            return;
        }
        let waits = self.waits_for_server(now);
        let several = self.connector.has_alternatives();
        let is_served = match self.queues.availability(&call.queue, now) {
            Some(Err(status)) => return call.fail(status),
            known => known.is_some(),
        };
        // A call that waits in any case needs no check, unless there is another broker to try.
        if !is_served && (!waits || several) {
            self.start_check(&call.queue, now);
        }
        self.calls.insert(id, deadline, call);
        if is_served || waits {
            self.publish(id, now);
        } else if several {
            self.search_at.get_or_insert(now + AGREEMENT);
        }
    }

    /// Forgets a call that its caller has dropped, unless it has ended.
    pub(super) fn forget(&mut self, id: Uuid) {
        if let Some(call) = self.calls.remove(id) {
            count(&self.counters.dropped);
            self.unwanted += u64::from(matches!(call.stage, Stage::Published(_)));
        }
    }

    /// A reply to no call, or the return or refusal of a request without one: whether it is due to a call that was
    /// forgotten.
    pub(super) fn is_unwanted(&mut self) -> bool {
        let rest = self.unwanted.checked_sub(1);
        self.unwanted = rest.unwrap_or_default();
        rest.is_some()
    }

    /// Publishes how many calls wait.
    pub(super) fn publish_waiting(&self) {
        let waiting = u64::try_from(self.calls.len()).unwrap_or(u64::MAX);
        self.counters.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Starts to check whether the queue is served.
    pub(super) fn start_check(&mut self, queue: &Arc<str>, now: Instant) {
        let agreement = self.agreement(queue, now);
        if let Some(session) = self.connector.session() {
            session.start_check(queue, agreement);
        }
    }

    /// For how long checks have to agree: not again if they have just done so.
    fn agreement(&self, queue: &str, now: Instant) -> Duration {
        match self.queues.unserved(queue) {
            Some((at, _)) if now - *at < AGREEMENT => Duration::ZERO,
            _ => AGREEMENT,
        }
    }

    /// Takes the result of a check into account.
    pub(super) fn learn(&mut self, queue: &Arc<str>, result: Result<(), Status>) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.queues.note_served(queue, now);
                self.publish_all(|call| call.is_held_for(queue));
                if self.connector.stop_search() {
                    self.search_has_failed();
                }
            }
            Err(status) => {
                let agreement = self.agreement(queue, now);
                self.queues.note_unserved(queue, now, status.clone());
                // Another broker may serve this queue, but moving there would cost the others their calls in flight.
                let stays = self.queues.serves_another(queue, now);
                if !stays && self.connector.search(queue, agreement) {
                    self.queues.await_search(queue);
                } else {
                    self.fail_held(queue, status);
                }
            }
        }
    }

    /// The search for another broker has ended without one, so the calls that wait for it fail.
    pub(super) fn search_has_failed(&mut self) {
        for (queue, status) in self.queues.after_search() {
            self.fail_held(&queue, status);
        }
    }

    /// The queue is unserved, and there is no other broker to try.
    fn fail_held(&mut self, queue: &Arc<str>, status: Status) {
        let now = Instant::now();
        if self.waits_for_server(now) {
            return;
        }
        self.end_all(&status, |call| call.is_held_for(queue));
        self.queues.fail_at_once(queue, now, status);
    }

    /// Publishes one call, for the first time or again.
    fn publish(&mut self, id: Uuid, now: Instant) {
        let watch_confirms = self.connector.has_alternatives() && !self.settings.plain;
        let Some(session) = self.connector.session() else {
            return;
        };
        let Some((deadline, call)) = self.calls.get_mut(id) else {
            return;
        };
        let left = deadline.saturating_duration_since(now);
        let message = call.request(id, left, self.settings.plain);
        match session.publish(id, &call.queue, &message) {
            Ok(number) => {
                call.stage = Stage::Published(now);
                call.number = number;
                call.exposed += 1;
                count(&self.counters.published);
                if watch_confirms {
                    self.check_confirms_at.get_or_insert(now + UNCONFIRMED);
                }
            }
            Err(error) => self.end(id, &error.into()),
        }
    }

    pub(super) fn publish_all(&mut self, which: impl Fn(&PendingCall) -> bool) {
        let now = Instant::now();
        for id in self.calls.ids(which) {
            self.publish(id, now);
        }
    }

    pub(super) fn end_all(&mut self, status: &Status, which: impl Fn(&PendingCall) -> bool) {
        for id in self.calls.ids(which) {
            self.end(id, status);
        }
    }

    pub(super) fn end(&mut self, id: Uuid, status: &Status) {
        if let Some(call) = self.calls.remove(id) {
            call.fail(status);
        }
    }

    /// Whether calls wait for a missing queue or server.
    pub(super) fn waits_for_server(&self, now: Instant) -> bool {
        self.settings.wait_for_server || self.wait_for_server_until.is_some_and(|until| now < until)
    }
}
