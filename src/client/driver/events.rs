//! What a driver makes of what happens to its connection, and what it knows of servers on the queue.

use super::{Driver, Known, count};
use crate::broker::{Error, Returned};
use crate::client::State;
use crate::client::call::Stage;
use crate::client::failure;
use crate::client::link::LinkEvent;
use crate::client::session::Event;
use crate::protocol::{Message, Status};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a sign of a server (a reply, a consumer on the queue) counts as proof that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How long it counts that nobody is there.
const BAD_NEWS: Duration = Duration::from_millis(100);

/// How long the refusal of every request is not believed: RabbitMQ's leaders take less than that to be replaced.
const REFUSALS: Duration = Duration::from_secs(2);

/// How soon a connection on which the broker takes nothing is left: at first, and when refusals have lasted.
const RENEW: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// How often a client that waits for a queue asks again.
const PARKED: Duration = Duration::from_millis(250);

impl Driver {
    pub(super) fn linked(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Session(event) => self.happened(event),
            LinkEvent::Connected => {
                tracing::info!("connected");
                self.patient_until = Some(Instant::now() + self.settings.broker.reconnect.max);
                self.connected();
            }
            LinkEvent::Moved => {
                tracing::info!("moved to another broker, which serves the queue");
                self.connected();
                self.learn(Ok(()));
            }
            LinkEvent::Failed(error) => self.not_connected(&error),
            LinkEvent::NotFound => {
                if let Some((_, doubt)) = &self.doubt {
                    self.give_up_on_held(doubt.clone());
                }
            }
        }
    }

    pub(super) fn happened(&mut self, event: Event) {
        match event {
            Event::Reply(message) => self.reply(message),
            Event::Refused(id) => self.refused(id),
            Event::Returned(returned) => self.returned(&returned),
            Event::Checked(seen) => self.learn(failure::verdict(&self.settings.queue, seen)),
            Event::Blocked(reason) => {
                tracing::warn!(reason, "blocked by the broker");
                self.state.send_replace(State::Blocked(reason));
            }
            Event::Unblocked => {
                tracing::info!("the broker reads again");
                self.state.send_replace(State::Ready);
            }
            Event::Lost(error) => self.lost(error),
        }
    }

    fn reply(&mut self, message: Message) {
        let properties = &message.properties;
        let id = properties.correlation_id.as_deref().and_then(parse);
        let Some(call) = id.and_then(|id| self.calls.remove(id)) else {
            tracing::debug!(?id, "a reply that nobody waits for");
            return count(&self.counters.unexpected);
        };
        let now = Instant::now();
        let since = match call.stage {
            Stage::Asked(at) => now.saturating_duration_since(at),
            Stage::Held | Stage::Parked => Duration::ZERO,
        };
        count(&self.counters.answered);
        self.link.reset_backoff();
        self.doubt = None;
        self.refused_since = None;
        self.known = Some(Known {
            until: now + SIGN_OF_LIFE,
            verdict: Ok(()),
        });
        call.end(Ok((message, since)));
    }

    /// The broker did not take a request. The queue may be full. But RabbitMQ 3.10 also takes nothing on a channel whose first
    /// publish to a quorum queue met a leader that had just died, until that node is back (`rabbit_fifo_client:enqueue/3`):
    /// another connection may fare better, at once or a moment later.
    fn refused(&mut self, id: Uuid) {
        let now = Instant::now();
        let status = failure::refused(&self.settings.queue);
        let session = self.link.session();
        if session.is_none_or(|session| session.has_taken()) {
            self.refused_since = None;
            return self.end(id, &status);
        }
        let since = *self.refused_since.get_or_insert(now);
        let [soon, later] = RENEW;
        let lasts = now - since >= REFUSALS;
        self.renew_at
            .get_or_insert(now + if lasts { later } else { soon });
        match self.calls.get_mut(id) {
            Some((deadline, call)) if !lasts && deadline > now + 2 * soon => {
                // Held until there is another connection.
                call.stage = Stage::Held;
                call.exposed = call.exposed.saturating_sub(1);
            }
            _ => self.end(id, &status),
        }
    }

    /// A request came back: there is no such queue.
    fn returned(&mut self, returned: &Returned) {
        count(&self.counters.returned);
        tracing::debug!(
            queue = returned.routing_key,
            "a request came back: no such queue"
        );
        let Some(id) = returned.correlation_id.as_deref().and_then(parse) else {
            return;
        };
        let now = Instant::now();
        let patient = self.patient(now);
        let Some((_, call)) = self.calls.get_mut(id) else {
            return;
        };
        call.exposed = call.exposed.saturating_sub(1);
        if !patient {
            return self.end(id, &failure::no_queue(&self.settings.queue));
        }
        call.stage = Stage::Parked;
        self.ask_parked_at.get_or_insert(now + PARKED);
        // It may be there and not be available, which is worth knowing if the time runs out.
        self.check(now);
    }

    /// Learns whether somebody is there.
    pub(super) fn learn(&mut self, verdict: Result<(), Status>) {
        let now = Instant::now();
        match verdict {
            Ok(()) => {
                self.known = Some(Known {
                    until: now + SIGN_OF_LIFE,
                    verdict: Ok(()),
                });
                self.doubt = None;
                self.link.stop_search();
                self.ask_all(|call| call.stage == Stage::Held);
            }
            Err(status) => {
                let agree = self.agree(now);
                self.doubt = Some((now, status.clone()));
                self.known = None;
                if !self.link.search(agree) {
                    self.give_up_on_held(status);
                }
            }
        }
    }

    /// Nobody is there, and no other broker can be asked.
    fn give_up_on_held(&mut self, status: Status) {
        let now = Instant::now();
        if self.patient(now) {
            return;
        }
        self.end_all(&status, |call| call.stage == Stage::Held);
        self.known = Some(Known {
            until: now + BAD_NEWS,
            verdict: Err(status),
        });
    }

    fn lost(&mut self, error: Error) {
        count(&self.counters.lost);
        tracing::warn!(%error, "the connection was lost");
        self.link.lost();
        self.state.send_replace(State::Connecting(error.message));
    }

    fn not_connected(&mut self, error: &Error) {
        if !self.settings.wait_for_server && self.link.is_refused(error) {
            self.end_all(&error.status(), |_| true);
        }
        tracing::warn!(%error, "no connection");
        self.link.try_again(error, !self.calls.is_empty());
        self.state
            .send_replace(State::Connecting(error.message.clone()));
    }

    /// There is a new session: what waits is asked again.
    fn connected(&mut self) {
        self.state.send_replace(State::Ready);
        self.known = None;
        self.doubt = None;
        self.ask_all(|_| true);
    }
}

fn parse(id: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(id).ok()
}
