//! The state of a driver, and what it does with calls: accept, publish, end.

use crate::broker::{Error, random_id};
use crate::client::call::{Call, Command, Stage};
use crate::client::connector::Connector;
use crate::client::deadline_map::DeadlineMap;
use crate::client::failure;
use crate::client::presence::{AGREEMENT, Check};
use crate::client::settings::Settings;
use crate::client::state::{ConnectionState, Counters, count};
use crate::protocol::Status;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// A broker that has not confirmed a request for this time may be cut off from the queue: another broker is searched for.
pub(super) const UNCONFIRMED: Duration = Duration::from_secs(2);

/// How long a queue is assumed to be served after a reply or a consumer was seen.
const SERVED: Duration = Duration::from_secs(1);

/// How long a queue is assumed to be unserved.
const UNSERVED: Duration = Duration::from_millis(100);

/// Whether the queue is served, and until when that is assumed.
pub(super) struct Availability {
    pub(super) until: Instant,
    pub(super) result: Result<(), Status>,
}

/// See the module `driver`.
pub(in crate::client) struct Driver {
    pub(super) settings: Arc<Settings>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) state: watch::Sender<ConnectionState>,
    pub(super) connector: Connector,
    pub(super) calls: DeadlineMap<Call>,
    pub(super) availability: Option<Availability>,
    /// Why the queue was last found unserved, and when; `None` after a reply.
    pub(super) unserved: Option<(Instant, Status)>,
    /// Until when calls wait for a missing queue or server. Set after a reconnect: if the broker was down, servers also need
    /// time to reconnect.
    pub(super) wait_for_server_until: Option<Instant>,
    /// When returned calls are published again.
    pub(super) publish_returned_at: Option<Instant>,
    /// When another broker is searched for because of held calls.
    pub(super) search_at: Option<Instant>,
    /// When a connection on which the broker refuses every request is replaced.
    pub(super) reconnect_at: Option<Instant>,
    /// Since when the broker has refused every request, over all connections.
    pub(super) refused_since: Option<Instant>,
    /// When to check that the broker confirms requests.
    pub(super) check_confirms_at: Option<Instant>,
    /// Calls that are due at this time expire once everything that has arrived was read.
    pub(super) catching_up: Option<BoxFuture<'static, Instant>>,
}

impl Driver {
    /// Connects, trying each URL once; with `wait_for_server`, [`Driver::run`] connects instead.
    pub(in crate::client) async fn connect(
        settings: Settings,
        commands: mpsc::Receiver<Command>,
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
            availability: None,
            unserved: None,
            wait_for_server_until: None,
            publish_returned_at: None,
            search_at: None,
            reconnect_at: None,
            refused_since: None,
            check_confirms_at: None,
            catching_up: None,
        };
        if driver.connector.session().is_none() {
            let silent = format!("{} did not answer", driver.connector.addresses());
            driver
                .state
                .send_replace(ConnectionState::Connecting(silent));
        }
        if let Some(Check { result, .. }) = check.filter(Check::is_conclusive) {
            driver.learn(failure::availability(&driver.settings.queue, result));
        }
        Ok(driver)
    }

    /// Accepts a call: publishes it, holds it, or fails it at once because the queue is unserved.
    pub(super) fn accept(&mut self, deadline: Instant, call: Call) {
        let now = Instant::now();
        let id = random_id();
        if self.connector.session().is_none() {
            self.calls.insert(id, deadline, call);
            return;
        }
        let waits = self.waits_for_server(now);
        let several = self.connector.has_alternatives();
        let known = self.availability.as_ref().filter(|known| now < known.until);
        if let Some(Err(status)) = known.map(|known| &known.result) {
            return call.fail(status);
        }
        let is_served = known.is_some();
        // A call that waits in any case needs no check, unless there is another broker to try.
        if !is_served && (!waits || several) {
            self.start_check(now);
        }
        self.calls.insert(id, deadline, call);
        if is_served || waits {
            self.publish(id, now);
        } else if several {
            self.search_at.get_or_insert(now + AGREEMENT);
        }
    }

    /// Starts to check whether the queue is served.
    pub(super) fn start_check(&mut self, now: Instant) {
        let agreement = self.agreement(now);
        if let Some(session) = self.connector.session() {
            session.start_check(&self.settings.queue, agreement);
        }
    }

    /// For how long checks have to agree: not again if they have just done so.
    pub(super) fn agreement(&self, now: Instant) -> Duration {
        match &self.unserved {
            Some((at, _)) if now - *at < AGREEMENT => Duration::ZERO,
            _ => AGREEMENT,
        }
    }

    /// Takes the result of a check into account.
    pub(super) fn learn(&mut self, result: Result<(), Status>) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.note_served(now);
                self.connector.stop_search();
                self.publish_all(|call| call.stage == Stage::Held);
            }
            Err(status) => {
                let agreement = self.agreement(now);
                self.unserved = Some((now, status.clone()));
                self.availability = None;
                if !self.connector.search(agreement) {
                    self.fail_held(status);
                }
            }
        }
    }

    /// A reply, or a consumer on the queue, has shown that there is a server.
    pub(super) fn note_served(&mut self, now: Instant) {
        self.unserved = None;
        self.availability = Some(Availability {
            until: now + SERVED,
            result: Ok(()),
        });
    }

    /// The queue is unserved, and there is no other broker to try.
    pub(super) fn fail_held(&mut self, status: Status) {
        let now = Instant::now();
        if self.waits_for_server(now) {
            return;
        }
        self.end_all(&status, |call| call.stage == Stage::Held);
        self.availability = Some(Availability {
            until: now + UNSERVED,
            result: Err(status),
        });
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
        match session.publish(id, &self.settings.queue, &message) {
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

    pub(super) fn publish_all(&mut self, which: impl Fn(&Call) -> bool) {
        let now = Instant::now();
        for id in self.calls.ids(which) {
            self.publish(id, now);
        }
    }

    pub(super) fn end_all(&mut self, status: &Status, which: impl Fn(&Call) -> bool) {
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
