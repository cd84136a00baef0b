//! What a driver does when its time has come: calls whose deadline has passed, and those that are asked again.

use super::Driver;
use crate::client::State;
use crate::client::call::Stage;
use crate::client::failure::Late;
use crate::client::presence::AGREE;
use futures_util::future::BoxFuture;
use std::time::{Duration, Instant};

/// A broker that has not confirmed a request for so long may be cut off from the queue: another one is looked for.
pub(super) const UNCONFIRMED: Duration = Duration::from_secs(2);

impl Driver {
    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let expires = self.calls.next_deadline();
        let due = [
            // Judging takes those that have become due meanwhile, too.
            expires.filter(|_| self.judging.is_none()),
            self.ask_parked_at,
            self.look_elsewhere_at,
            self.renew_at,
            self.look_at_confirms_at,
        ];
        due.into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn timed(&mut self, now: Instant) {
        if self.ask_parked_at.is_some_and(|at| at <= now) {
            self.ask_parked_at = None;
            self.ask_all(|call| call.stage == Stage::Parked);
        }
        if self.look_elsewhere_at.is_some_and(|at| at <= now) {
            self.look_elsewhere(now);
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew();
        }
        if self.look_at_confirms_at.is_some_and(|at| at <= now) {
            self.look_at_confirms(now);
        }
        if self.judging.is_none() && self.calls.next_deadline().is_some_and(|at| at <= now) {
            // Whoever was stopped for a while (a signal, a debugger, a paused machine) finds the time over before
            // the answers that came meanwhile have been read.
            let read: BoxFuture<'static, ()> = match self.link.session() {
                Some(session) => Box::pin(session.caught_up()),
                None => Box::pin(std::future::ready(())),
            };
            self.judging = Some((now, read));
        }
    }

    /// Ends the calls whose time is over; all that has arrived has been looked at.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(call) = self.calls.pop_expired(now) {
            let session = self.link.session();
            let confirmed = (!self.settings.plain)
                .then(|| session.is_some_and(|session| !session.is_unconfirmed(call.number)));
            let late = Late {
                queue: &self.settings.queue,
                timeout: call.timeout,
                state: &self.state.borrow(),
                stage: call.stage,
                confirmed,
                doubt: self.doubt.as_ref().map(|(_, status)| status),
            };
            let status = late.status();
            call.fail(&status);
        }
    }

    /// A broker that does not know for so long who serves may be cut off from the queue, while others are not.
    fn look_elsewhere(&mut self, now: Instant) {
        self.look_elsewhere_at = None;
        if !self.calls.ids(|call| call.stage == Stage::Held).is_empty() {
            self.link.search(AGREE);
            self.look_elsewhere_at = Some(now + AGREE);
        }
    }

    /// The broker has taken nothing on this connection: perhaps it does on another one.
    fn renew(&mut self) {
        self.renew_at = None;
        let session = self.link.session();
        if session.is_some_and(|session| !session.has_taken()) {
            tracing::info!("the broker refuses every request: trying another connection");
            self.link.lost();
            let why = "the broker refused every request";
            self.state.send_replace(State::Connecting(why.into()));
        }
    }

    /// A broker that confirms nothing may be cut off from the queue, while others are not.
    fn look_at_confirms(&mut self, now: Instant) {
        self.look_at_confirms_at = None;
        let Some(id) = self
            .link
            .session()
            .and_then(|session| session.oldest_unconfirmed())
        else {
            return;
        };
        let since = match self.calls.get_mut(id).map(|(_, call)| call.stage) {
            Some(Stage::Asked(since)) => since,
            // Its time is over, and it was not confirmed.
            _ => now.checked_sub(UNCONFIRMED).unwrap_or(now),
        };
        let next = since + UNCONFIRMED;
        let blocked = matches!(*self.state.borrow(), State::Blocked(_));
        if next <= now && !blocked && !self.calls.is_empty() {
            self.link.search(AGREE);
        }
        self.look_at_confirms_at = Some(next.max(now + UNCONFIRMED / 2));
    }
}
