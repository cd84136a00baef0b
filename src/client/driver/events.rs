//! How a driver reacts to the events of its connection.

use super::calls::Driver;
use crate::broker::{Error, Returned};
use crate::client::connector::ConnectorEvent;
use crate::client::failure;
use crate::client::pending::Stage;
use crate::client::session::SessionEvent;
use crate::client::state::{ConnectionState, count};
use crate::protocol::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long calls survive the refusal of every request for their queue: RabbitMQ replaces a leader in less time.
const REFUSAL_GRACE: Duration = Duration::from_secs(2);

/// When a connection is replaced on which the broker refuses every request for a queue: at first, and after [`REFUSAL_GRACE`].
const RECONNECT: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// How often requests are published again that were returned or refused.
const PUBLISH_AGAIN: Duration = Duration::from_millis(250);

impl Driver {
    pub(super) fn on_connector_event(&mut self, event: ConnectorEvent) {
        match event {
            ConnectorEvent::Session(event) => self.on_session_event(event),
            ConnectorEvent::Connected => {
                tracing::info!("connected");
                let grace = self.settings.broker.reconnect.max;
                self.wait_for_server_until = Some(Instant::now() + grace);
                self.on_connected();
            }
            ConnectorEvent::Moved(queue) => {
                tracing::info!("moved to another broker, which serves the queue");
                self.on_connected();
                self.learn(&queue, Ok(()));
            }
            ConnectorEvent::Failed(error) => self.on_connect_failed(&error),
            ConnectorEvent::NotFound => self.search_has_failed(),
        }
    }

    pub(super) fn on_session_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Reply(message) => self.on_reply(message),
            SessionEvent::Refused(id) => self.on_refused(id),
            SessionEvent::Returned(returned) => self.on_returned(&returned),
            SessionEvent::Checked(queue, result) => {
                self.learn(&queue, failure::availability(&queue, result));
            }
            SessionEvent::Blocked(reason) => {
                tracing::warn!(reason, "blocked by the broker");
                self.state.send_replace(ConnectionState::Blocked(reason));
            }
            SessionEvent::Unblocked => {
                tracing::info!("unblocked by the broker");
                self.state.send_replace(ConnectionState::Ready);
            }
            SessionEvent::Lost(error) => self.on_lost(error),
        }
    }

    fn on_reply(&mut self, message: Message) {
        let properties = &message.properties;
        let id = properties.correlation_id.as_deref().and_then(parse);
        let Some(call) = id.and_then(|id| self.calls.remove(id)) else {
            tracing::debug!(?id, "dropped a reply to no waiting call");
            if !self.is_unwanted() {
                count(&self.counters.unexpected);
            }
            return;
        };
        let now = Instant::now();
        let since = match call.stage {
            Stage::Published(at) => now.saturating_duration_since(at),
            Stage::Held | Stage::Returned | Stage::Refused => Duration::ZERO,
        };
        count(&self.counters.replies);
        self.connector.reset_backoff();
        self.queues.note_served(&call.queue, now);
        call.end(Ok((message, since)));
    }

    /// The broker refused a request. The queue is full if it had accepted one before. If not, the queue may not be ready yet:
    /// a leader is being elected, or the queue was just declared (RabbitMQ shows it before it takes messages), and it
    /// accepts requests a moment later. The refusal may arrive after the confirms of later requests
    /// (`rabbit_channel:send_confirms_and_nacks/1` sends confirms first), so the numbers of the requests decide.
    ///
    /// RabbitMQ 3.10 also refuses everything for a quorum queue on a channel whose first publish to it met a leader that had
    /// just died, until that node is back (`rabbit_fifo_client:enqueue/3`): another connection may succeed. It interrupts
    /// all calls, so it is tried only once while other queues accept requests on this one.
    fn on_refused(&mut self, id: Uuid) {
        let Some((deadline, call)) = self.calls.get_mut(id) else {
            self.is_unwanted();
            return;
        };
        let now = Instant::now();
        let [soon, later] = RECONNECT;
        let session = self.connector.session();
        let (first_accepted, accepts_any) = session.map_or((None, true), |session| {
            (
                session.first_accepted(&call.queue),
                session.has_accepted_any(),
            )
        });
        let mut is_final = deadline <= now + 2 * soon;
        if let Some(first) = first_accepted {
            self.queues.note_accepted(&call.queue);
            is_final |= first < call.number;
        } else {
            let (since, reconnected) = self.queues.note_refused(&call.queue, now);
            let persists = now - since >= REFUSAL_GRACE;
            if !reconnected || !accepts_any {
                self.reconnect_at
                    .get_or_insert(now + if persists { later } else { soon });
            }
            is_final |= persists && !self.settings.wait_for_server;
        }
        if is_final {
            let status = failure::refused(&call.queue);
            return self.end(id, &status);
        }
        call.stage = Stage::Refused;
        call.exposed = call.exposed.saturating_sub(1);
        self.publish_again_at.get_or_insert(now + PUBLISH_AGAIN);
    }

    /// A request was returned: there is no such queue.
    fn on_returned(&mut self, returned: &Returned) {
        count(&self.counters.returned);
        let queue = &returned.routing_key;
        tracing::debug!(queue, "a request was returned: no such queue");
        let Some(id) = returned.correlation_id.as_deref().and_then(parse) else {
            return;
        };
        let now = Instant::now();
        let waits = self.waits_for_server(now);
        let Some((_, call)) = self.calls.get_mut(id) else {
            self.is_unwanted();
            return;
        };
        call.exposed = call.exposed.saturating_sub(1);
        let queue = Arc::clone(&call.queue);
        if !waits {
            return self.end(id, &failure::no_queue(&queue));
        }
        call.stage = Stage::Returned;
        self.publish_again_at.get_or_insert(now + PUBLISH_AGAIN);
        // The queue may exist but not be available, which the caller is told at the deadline.
        self.start_check(&queue, now);
    }

    fn on_lost(&mut self, error: Error) {
        count(&self.counters.lost);
        tracing::warn!(%error, "the connection was lost");
        self.connector.reconnect();
        self.state
            .send_replace(ConnectionState::Connecting(error.message));
    }

    fn on_connect_failed(&mut self, error: &Error) {
        if !self.settings.wait_for_server && self.connector.is_refused(error) {
            self.end_all(&error.status(), |_| true);
        }
        tracing::warn!(%error, "no connection");
        self.connector.try_again(error, !self.calls.is_empty());
        self.state
            .send_replace(ConnectionState::Connecting(error.message.clone()));
    }

    /// There is a new session: publishes all waiting calls again.
    fn on_connected(&mut self) {
        self.state.send_replace(ConnectionState::Ready);
        self.queues.reset();
        // Replies over the connection before are lost.
        self.unwanted = 0;
        self.publish_all(|_| true);
    }
}

fn parse(id: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(id).ok()
}
