//! What a driver does at certain times: end calls whose deadline has passed, publish again, search for another broker.

use super::calls::{Driver, UNCONFIRMED};
use crate::client::late::Late;
use crate::client::pending::Stage;
use crate::client::presence::AGREEMENT;
use crate::client::state::ConnectionState;
use std::sync::Arc;
use std::time::Instant;

impl Driver {
    /// When [`Driver::on_timer`] is next due.
    pub(super) fn due(&self) -> Option<Instant> {
        let expires = self.calls.next_deadline();
        let due = [
            // Calls that become due while catching up expire with the others.
            expires.filter(|_| self.catching_up.is_none()),
            self.publish_again_at,
            self.search_at,
            self.reconnect_at,
            self.check_confirms_at,
        ];
        due.into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn on_timer(&mut self, now: Instant) {
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.publish_again_at) {
            self.publish_all(|call| matches!(call.stage, Stage::Returned | Stage::Refused));
        }
        if is_due(&mut self.search_at) {
            self.search_for_held(now);
        }
        if is_due(&mut self.reconnect_at) {
            self.reconnect();
        }
        if is_due(&mut self.check_confirms_at) {
            self.check_confirms(now);
        }
        if self.catching_up.is_none() && self.calls.next_deadline().is_some_and(|at| at <= now) {
            // A process that was stopped for a while (signal, debugger, paused machine) finds deadlines passed whose
            // replies have arrived meanwhile.
            let caught_up = self.connector.session().map(|session| session.caught_up());
            self.catching_up = Some(Box::pin(async move {
                if let Some(caught_up) = caught_up {
                    caught_up.await;
                }
                now
            }));
        }
    }

    /// Ends the calls whose deadline has passed; everything that has arrived was handled.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(call) = self.calls.pop_expired(now) {
            let session = self.connector.session();
            let confirmed = (!self.settings.plain)
                .then(|| session.is_some_and(|session| !session.is_unconfirmed(call.number)));
            let late = Late {
                queue: &call.queue,
                timeout: call.timeout,
                state: &self.state.borrow(),
                stage: call.stage,
                confirmed,
                unserved: self.queues.unserved(&call.queue).map(|(_, status)| status),
            };
            let status = late.status();
            call.fail(&status);
        }
    }

    /// A broker that does not answer checks for this time may be cut off from the queue, while others are not.
    fn search_for_held(&mut self, now: Instant) {
        if let Some(call) = self.calls.first(|call| call.stage == Stage::Held) {
            let queue = Arc::clone(&call.queue);
            if !self.queues.serves_another(&queue, now) {
                self.connector.search(&queue, AGREEMENT);
            }
            self.search_at = Some(now + AGREEMENT);
        }
    }

    /// The broker has refused every request for a queue on this connection, and may accept them on another one.
    fn reconnect(&mut self) {
        let Some(session) = self.connector.session() else {
            return;
        };
        if !self
            .queues
            .refused()
            .all(|queue| session.first_accepted(queue).is_some())
        {
            tracing::info!(
                "the broker refuses every request for a queue: trying another connection"
            );
            self.queues.note_reconnected();
            self.connector.reconnect();
            let why = "the broker refused every request";
            self.state
                .send_replace(ConnectionState::Connecting(why.into()));
        }
    }

    /// A broker that confirms nothing may be cut off from the queue, while others are not.
    fn check_confirms(&mut self, now: Instant) {
        let Some(session) = self.connector.session() else {
            return;
        };
        let Some(id) = session.oldest_unconfirmed() else {
            return;
        };
        // The call may have expired unconfirmed, or was dropped.
        let mut since = now.checked_sub(UNCONFIRMED).unwrap_or(now);
        let mut queue = None;
        if let Some((_, call)) = self.calls.get_mut(id) {
            if let Stage::Published(at) = call.stage {
                since = at;
            }
            // Not if it is only this queue whose requests are not confirmed.
            queue = (!session.has_confirmed_after(call.number)).then(|| Arc::clone(&call.queue));
        } else if let Some(call) = self.calls.first(|_| true) {
            queue = Some(Arc::clone(&call.queue));
        }
        let next = since + UNCONFIRMED;
        let blocked = matches!(*self.state.borrow(), ConnectionState::Blocked(_));
        if let Some(queue) = queue
            && next <= now
            && !blocked
        {
            self.connector.search(&queue, AGREEMENT);
        }
        self.check_confirms_at = Some(next.max(now + UNCONFIRMED / 2));
    }
}
