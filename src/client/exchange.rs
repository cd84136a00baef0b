//! One request and its reply, as the caller waits for it.
//!
//! Nothing is sent before the first poll. Dropping it makes the driver forget the call at once.

use super::failure;
use super::pending::{Command, Outcome, Payload, PendingCall};
use super::shared::Shared;
use crate::broker::random_id;
use crate::protocol::Status;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The deadline of a call whose timeout is beyond the range of the clock.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// See the module. Pending forever once it has ended.
#[derive(Debug)]
pub(super) struct Exchange {
    shared: Arc<Shared>,
    timeout: Duration,
    /// From when the timeout counts: the first poll, unless it is given.
    since: Option<Instant>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New(Arc<str>, Payload),
    /// To fail with this.
    Refused(Status),
    Waiting(Uuid, oneshot::Receiver<Outcome>),
    Ended,
}

impl Exchange {
    /// A request to this queue, or the reason why it cannot be sent.
    pub(super) fn new(
        shared: Arc<Shared>,
        request: Result<(Arc<str>, Payload), Status>,
        timeout: Duration,
        since: Option<Instant>,
    ) -> Self {
        let stage = match request {
            Ok((queue, payload)) => Stage::New(queue, payload),
            Err(status) => Stage::Refused(status),
        };
        Self {
            shared,
            timeout,
            since,
            stage,
        }
    }

    /// The id of the request, while its reply is awaited.
    pub(super) fn id(&self) -> Option<Uuid> {
        match self.stage {
            Stage::Waiting(id, _) => Some(id),
            _ => None,
        }
    }

    fn send(&mut self, queue: Arc<str>, payload: Payload) -> Result<(), Status> {
        let (sender, outcome) = oneshot::channel();
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since.checked_add(self.timeout).unwrap_or(since + FOREVER);
        let id = random_id();
        let call = PendingCall::new(queue, payload, self.timeout, sender);
        let sent = self.shared.commands.send(Command::Call(id, deadline, call));
        self.stage = Stage::Waiting(id, outcome);
        sent.map_err(|_| failure::closed())
    }
}

impl Future for Exchange {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Stage::New(..) | Stage::Refused(_) = self.stage {
            let sent = match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::New(queue, payload) => self.send(queue, payload),
                Stage::Refused(status) => Err(status),
                Stage::Waiting(..) | Stage::Ended => Ok(()),
            };
            if let Err(status) = sent {
                self.stage = Stage::Ended;
                return Poll::Ready(Err(status));
            }
        }
        let Stage::Waiting(_, outcome) = &mut self.stage else {
            return Poll::Pending;
        };
        let outcome = ready!(Pin::new(outcome).poll(context));
        self.stage = Stage::Ended;
        // If the driver has ended without an outcome, the request may have been published already.
        let closed = || Err(failure::as_far_as_known(&failure::closed(), true));
        Poll::Ready(outcome.unwrap_or_else(|_| closed()))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Stage::Waiting(id, _) = self.stage {
            // An error means that the driver has ended.
            let _ = self.shared.commands.send(Command::Forget(id));
        }
    }
}
