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

/// How long calls survive the refusal of every request: RabbitMQ replaces a leader in less time.
const REFUSAL_GRACE: Duration = Duration::from_secs(2);

/// When a connection on which the broker refuses every request is replaced: at first, and after [`REFUSAL_GRACE`].
const RECONNECT: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// How often a client that waits for a queue publishes again.
const PUBLISH_RETURNED: Duration = Duration::from_millis(250);

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
            Stage::Held | Stage::Returned => Duration::ZERO,
        };
        count(&self.counters.replies);
        self.connector.reset_backoff();
        self.refused_since = None;
        self.queues.note_served(&call.queue, now);
        call.end(Ok((message, since)));
    }

    /// The broker refused a request. The queue may be full. But RabbitMQ 3.10 also refuses everything on a channel whose
    /// first publish to a quorum queue met a leader that had just died, until that node is back
    /// (`rabbit_fifo_client:enqueue/3`): another connection may succeed, at once or a moment later.
    fn on_refused(&mut self, id: Uuid) {
        let now = Instant::now();
        let session = self.connector.session();
        if session.is_none_or(|session| session.has_accepted()) {
            self.refused_since = None;
            return self.end_refused(id);
        }
        let since = *self.refused_since.get_or_insert(now);
        let [soon, later] = RECONNECT;
        let persists = now - since >= REFUSAL_GRACE;
        self.reconnect_at
            .get_or_insert(now + if persists { later } else { soon });
        match self.calls.get_mut(id) {
            Some((deadline, call)) if !persists && deadline > now + 2 * soon => {
                // Held until there is another connection.
                call.stage = Stage::Held;
                call.exposed = call.exposed.saturating_sub(1);
            }
            _ => self.end_refused(id),
        }
    }

    fn end_refused(&mut self, id: Uuid) {
        match self.calls.remove(id) {
            Some(call) => {
                let status = failure::refused(&call.queue);
                call.fail(&status);
            }
            None => _ = self.is_unwanted(),
        }
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
        self.publish_returned_at
            .get_or_insert(now + PUBLISH_RETURNED);
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
