//! One connection of the client, with one channel that publishes requests and receives replies.
//!
//! Owns the connection, the reply consumer and the publishes that wait for their confirms. [`Session::event`] reports
//! everything that happens, in order; nothing follows [`SessionEvent::Lost`].

use super::presence::{self, Check};
use super::settings::Settings;
use crate::broker::{
    Arrival, Channel, Channels, Connection, ConnectionEvent, Error, Kind, Mailbox, QueueStatus,
    Returned, Subscription, Unconfirmed,
};
use crate::config::BrokerUrl;
use crate::protocol::Message;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// The pseudo queue of direct reply-to. Requests name it; the broker replaces it with a real address.
pub(super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// How long to wait for the broker to confirm the close, which has been sent by then.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// How many checks of queues have a channel at a time: a connection has few channels.
const MAX_CHECKS: usize = 8;

/// An event on the connection.
#[derive(Debug)]
pub(super) enum SessionEvent {
    /// A reply, perhaps to no waiting call.
    Reply(Message),
    /// The broker refused the request with this id (`basic.nack`).
    Refused(Uuid),
    /// The broker returned a request as unroutable.
    Returned(Returned),
    /// The result of [`Session::start_check`] for this queue.
    Checked(Arc<str>, Result<QueueStatus, Error>),
    /// The broker stops reading from the connection; its reason.
    Blocked(String),
    /// It reads again.
    Unblocked,
    /// The connection or the channel is lost.
    Lost(Error),
}

/// The result of a check, and the queue that it is about.
type Checked = (Arc<str>, Result<QueueStatus, Error>);

/// For how many queues it is known whether the broker has accepted a request.
const MAX_ACCEPTED: usize = 64;

/// A request that was published.
#[derive(Debug)]
struct Sent {
    id: Uuid,
    number: u64,
    queue: Arc<str>,
}

/// A connection that is ready for requests.
pub(super) struct Session {
    connection: Connection,
    channel: Channel,
    mailbox: Mailbox,
    _replies: Subscription,
    /// Whether publisher confirms are on.
    confirms: bool,
    unconfirmed: Unconfirmed<Sent>,
    /// The number of the first request that the broker has accepted for each queue, for the latest queues if they are many.
    accepted: HashMap<Box<str>, u64>,
    /// Requests that the broker has returned and not confirmed yet: the confirm will not mean that it has accepted them.
    returned: HashSet<Uuid>,
    /// The highest number that was confirmed.
    confirmed: u64,
    /// Requests that the broker has just refused, to be reported.
    refused: Vec<Uuid>,
    checks: FuturesUnordered<BoxFuture<'static, Checked>>,
    /// The queues that are being checked.
    checked: HashSet<Arc<str>>,
    turns: Arc<Semaphore>,
}

impl Session {
    /// Connects and prepares the channel; also checks this queue once, in the same round trips.
    pub(super) async fn open(
        url: BrokerUrl,
        settings: &Settings,
        check: Option<&Arc<str>>,
    ) -> Result<(Box<Self>, Option<Check>), Error> {
        let limit = settings.broker.confirm_timeout;
        let connection = settings.open(&url, limit).await?;
        let opening = connection.channel();
        let confirms = !settings.plain;
        let ready = async {
            let (channel, mailbox) = opening.await?;
            let (selected, replies) = tokio::join!(
                OptionFuture::from(confirms.then(|| channel.confirm_select())),
                channel.consume(REPLY_TO, "", true)
            );
            selected.transpose()?;
            Ok::<_, Error>((channel, mailbox, replies?))
        };
        let check_once = |queue| presence::check_once(connection.channels(), Arc::clone(queue));
        let (ready, check) = tokio::join!(ready, OptionFuture::from(check.map(check_once)));
        let (channel, mailbox, replies) = ready?;
        let session = Self {
            connection,
            channel,
            mailbox,
            _replies: replies,
            confirms,
            unconfirmed: Unconfirmed::default(),
            accepted: HashMap::new(),
            returned: HashSet::new(),
            confirmed: 0,
            refused: Vec::new(),
            checks: FuturesUnordered::new(),
            checked: HashSet::new(),
            turns: Arc::new(Semaphore::new(MAX_CHECKS)),
        };
        Ok((Box::new(session), check))
    }

    /// Publishes a request and returns its number.
    pub(super) fn publish(
        &mut self,
        id: Uuid,
        queue: &Arc<str>,
        message: &Message,
    ) -> Result<u64, Error> {
        let number = self.channel.publish(queue, true, message)?;
        if self.confirms {
            let queue = Arc::clone(queue);
            let sent = Sent { id, number, queue };
            self.unconfirmed.add(number, sent);
        }
        Ok(number)
    }

    /// Starts to check whether a queue is served, unless a check of it is in progress.
    pub(super) fn start_check(&mut self, queue: &Arc<str>, agreement: Duration) {
        if !self.checked.insert(Arc::clone(queue)) {
            return;
        }
        let (queue, turns) = (Arc::clone(queue), Arc::clone(&self.turns));
        let check = presence::check_in_turn(self.channels(), Arc::clone(&queue), agreement, turns);
        self.checks
            .push(Box::pin(check.map(|result| (queue, result))));
    }

    /// Opens further channels of the connection.
    pub(super) fn channels(&self) -> Channels {
        self.connection.channels()
    }

    /// Completes once [`Session::try_event`] returns everything that has arrived by now.
    pub(super) fn caught_up(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.connection.caught_up()
    }

    /// Whether the request with this number waits for its confirm.
    pub(super) fn is_unconfirmed(&self, number: u64) -> bool {
        self.unconfirmed.waits(number)
    }

    /// The number of the first request for this queue that the broker has accepted on this connection.
    pub(super) fn first_accepted(&self, queue: &str) -> Option<u64> {
        self.accepted.get(queue).copied()
    }

    /// Whether the broker has accepted any request on this connection.
    pub(super) fn has_accepted_any(&self) -> bool {
        !self.accepted.is_empty()
    }

    fn accept(&mut self, sent: &Sent) {
        if let Some(first) = self.accepted.get_mut(&*sent.queue) {
            *first = sent.number.min(*first);
            return;
        }
        if self.accepted.len() >= MAX_ACCEPTED {
            self.accepted.clear();
        }
        self.accepted.insert((&*sent.queue).into(), sent.number);
    }

    /// Whether a request was confirmed that was published after the one with this number.
    pub(super) fn has_confirmed_after(&self, number: u64) -> bool {
        self.confirmed > number
    }

    /// The request that has waited longest for its confirm.
    pub(super) fn oldest_unconfirmed(&self) -> Option<Uuid> {
        self.unconfirmed.iter().next().map(|sent| sent.id)
    }

    /// The next event. Cancellation safe.
    pub(super) async fn event(&mut self) -> SessionEvent {
        loop {
            if let Some(event) = self.try_event() {
                return event;
            }
            // What has arrived comes before the end of its connection.
            let arrival = tokio::select! {
                biased;
                arrival = self.mailbox.next() => arrival,
                Some((queue, result)) = self.checks.next(), if !self.checks.is_empty() => {
                    self.checked.remove(&queue);
                    return SessionEvent::Checked(queue, result);
                }
                event = self.connection.event() => return match event {
                    ConnectionEvent::Blocked(reason) => SessionEvent::Blocked(reason),
                    ConnectionEvent::Unblocked => SessionEvent::Unblocked,
                    ConnectionEvent::Failed(error) => SessionEvent::Lost(error),
                },
            };
            if let Some(event) = self.arrived(arrival) {
                return event;
            }
        }
    }

    /// The next event on the channel, if it has happened already.
    pub(super) fn try_event(&mut self) -> Option<SessionEvent> {
        if let Some(id) = self.refused.pop() {
            return Some(SessionEvent::Refused(id));
        }
        while let Some(arrival) = self.mailbox.try_next() {
            let event = self.arrived(arrival);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn arrived(&mut self, arrival: Arrival) -> Option<SessionEvent> {
        Some(match arrival {
            Arrival::Delivered(delivery) => SessionEvent::Reply(delivery.message),
            Arrival::Returned(returned) => {
                let id = returned.correlation_id.as_deref();
                if self.confirms
                    && let Some(Ok(id)) = id.map(Uuid::try_parse_ascii)
                {
                    self.returned.insert(id);
                }
                SessionEvent::Returned(returned)
            }
            Arrival::Confirmed {
                number,
                multiple,
                taken,
            } => {
                self.confirmed = self.confirmed.max(number);
                while let Some(sent) = self.unconfirmed.confirm(number, multiple) {
                    let was_returned = self.returned.remove(&sent.id);
                    if !taken {
                        self.refused.push(sent.id);
                    } else if !was_returned {
                        self.accept(&sent);
                    }
                }
                SessionEvent::Refused(self.refused.pop()?)
            }
            Arrival::Cancelled(_) => SessionEvent::Lost(
                Kind::Cancelled.error("the broker cancelled the consumer of the replies"),
            ),
            Arrival::Failed(error) => SessionEvent::Lost(error),
        })
    }

    /// Closes in order, or cuts the connection if that takes too long.
    pub(super) async fn close(self) {
        // A failure makes no difference: the connection ends in any case.
        let _ = self.connection.close(CLOSE_TIMEOUT).await;
    }

    /// Cuts the connection at once.
    pub(super) fn kill(self) {
        self.connection.kill();
    }
}

/// Completes the future and removes it; never returns if there is none. Cancellation safe.
pub(super) async fn finish<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let output = match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    };
    *slot = None;
    output
}
