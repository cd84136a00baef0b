//! One connection of the client: one channel that asks and hears the replies, and what happens there.
//!
//! Owns the connection, the reply consumer and the publishes that wait for their confirms. Everything
//! that happens comes out of [`Session::event`], one thing after the other; after [`Event::Lost`] the
//! session is of no use any more.

use super::Settings;
use super::presence::{self, Look};
use crate::broker::{
    Arrival, Channel, Channels, Connection, ConnectionEvent, Error, Kind, Mailbox, Options,
    QueueStatus, Returned, Subscription, Unconfirmed,
};
use crate::config::BrokerUrl;
use crate::protocol::Message;
use futures_util::future::OptionFuture;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use uuid::Uuid;

/// The pseudo queue of direct reply-to. Requests name it; the broker makes a real address of it.
pub(super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// How long the broker has to answer the goodbye. It has been sent by then, so that nobody who leaves is held up by a
/// broker that does not answer.
pub(super) const CLOSE: Duration = Duration::from_millis(100);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that happened on the connection.
#[derive(Debug)]
pub(super) enum Event {
    /// A reply, perhaps one that nobody waits for.
    Reply(Message),
    /// The broker did not take the request with this id.
    Refused(Uuid),
    /// A request came back.
    Returned(Returned),
    /// What [`Session::check`] found.
    Checked(Result<QueueStatus, Error>),
    /// The broker reads no more requests; its reason.
    Blocked(String),
    /// It reads again.
    Unblocked,
    /// The connection or the channel is gone.
    Lost(Error),
}

/// A connection that is ready to ask.
pub(super) struct Session {
    connection: Connection,
    channel: Channel,
    inbox: Mailbox,
    _replies: Subscription,
    /// Whether the broker says what it made of requests.
    confirmed: bool,
    unconfirmed: Unconfirmed<Uuid>,
    /// Whether the broker has taken any request.
    taken: bool,
    /// Requests that the broker has just refused.
    refused: Vec<Uuid>,
    check: Option<Boxed<Result<QueueStatus, Error>>>,
}

impl Session {
    /// Connects and gets ready to ask; where `check` says so, looks at the queue once in the same round trips,
    /// and gives back what it saw.
    pub(super) async fn open(
        url: BrokerUrl,
        settings: &Settings,
        check: bool,
    ) -> Result<(Box<Self>, Option<Look>), Error> {
        let options = Options {
            name: settings.name.clone(),
            operation_timeout: settings.broker.confirm_timeout,
            max_body: None,
            patience: settings.connect_limit,
        };
        let connection = Connection::open(&url, &settings.broker, options).await?;
        let opening = connection.channel();
        let confirmed = !settings.plain;
        let ready = async {
            let (channel, inbox) = opening.await?;
            let (confirms, replies) = tokio::join!(
                OptionFuture::from(confirmed.then(|| channel.confirm_select())),
                channel.consume(REPLY_TO, "", true)
            );
            confirms.transpose()?;
            Ok::<_, Error>((channel, inbox, replies?))
        };
        let look = || presence::look(connection.channels(), settings.queue.clone());
        let (ready, seen) = tokio::join!(ready, OptionFuture::from(check.then(look)));
        let (channel, inbox, replies) = ready?;
        let session = Self {
            connection,
            channel,
            inbox,
            _replies: replies,
            confirmed,
            unconfirmed: Unconfirmed::default(),
            taken: false,
            refused: Vec::new(),
            check: None,
        };
        Ok((Box::new(session), seen))
    }

    /// Sends a request, and gives its number; what becomes of it comes out of [`Session::event`].
    pub(super) fn publish(
        &mut self,
        id: Uuid,
        queue: &str,
        message: &Message,
    ) -> Result<u64, Error> {
        let number = self.channel.publish(queue, true, message)?;
        if self.confirmed {
            self.unconfirmed.add(number, id);
        }
        Ok(number)
    }

    /// Looks at the queue until it is certain who is there, unless that is already going on.
    pub(super) fn check(&mut self, queue: &str, agree: Duration) {
        if self.check.is_none() {
            let check = presence::certain(self.channels(), queue.to_owned(), agree, None);
            self.check = Some(Box::pin(check));
        }
    }

    /// Opens further channels of the connection.
    pub(super) fn channels(&self) -> Channels {
        self.connection.channels()
    }

    /// Completes when all that has arrived by now can be taken by [`Session::try_event`].
    pub(super) fn caught_up(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.connection.caught_up()
    }

    /// Whether the broker was asked to confirm the request with this number and has not done so.
    pub(super) fn is_unconfirmed(&self, number: u64) -> bool {
        self.unconfirmed.waits(number)
    }

    /// Whether the broker has taken any request on this connection.
    pub(super) fn has_taken(&self) -> bool {
        self.taken
    }

    /// The request that has waited longest for its confirm.
    pub(super) fn oldest_unconfirmed(&self) -> Option<Uuid> {
        self.unconfirmed.iter().next().copied()
    }

    /// The next thing that happens. Loses nothing when it is dropped unfinished.
    pub(super) async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.try_event() {
                return event;
            }
            // What has arrived comes before the end of the connection that brought it.
            let arrival = tokio::select! {
                biased;
                arrival = self.inbox.next() => arrival,
                seen = finish(&mut self.check), if self.check.is_some() => {
                    self.check = None;
                    return Event::Checked(seen);
                }
                event = self.connection.event() => return match event {
                    ConnectionEvent::Blocked(reason) => Event::Blocked(reason),
                    ConnectionEvent::Unblocked => Event::Unblocked,
                    ConnectionEvent::Failed(error) => Event::Lost(error),
                },
            };
            if let Some(event) = self.arrived(arrival) {
                return event;
            }
        }
    }

    /// What has happened on the channel already.
    pub(super) fn try_event(&mut self) -> Option<Event> {
        if let Some(id) = self.refused.pop() {
            return Some(Event::Refused(id));
        }
        while let Some(arrival) = self.inbox.try_next() {
            let event = self.arrived(arrival);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn arrived(&mut self, arrival: Arrival) -> Option<Event> {
        Some(match arrival {
            Arrival::Delivered(delivery) => Event::Reply(delivery.message),
            Arrival::Returned(returned) => Event::Returned(returned),
            Arrival::Confirmed {
                number,
                multiple,
                taken,
            } => {
                self.taken |= taken;
                while let Some(id) = self.unconfirmed.confirm(number, multiple) {
                    if !taken {
                        self.refused.push(id);
                    }
                }
                Event::Refused(self.refused.pop()?)
            }
            Arrival::Cancelled(_) => Event::Lost(Error::new(
                Kind::Cancelled,
                "the broker ended the subscription to replies",
            )),
            Arrival::Failed(error) => Event::Lost(error),
        })
    }

    /// Closes in order, or cuts the connection where that takes too long.
    pub(super) async fn close(self) {
        // Whoever closes has no more use for the connection: a failure here changes nothing.
        let _ = self.connection.close(CLOSE).await;
    }

    /// Cuts the connection at once.
    pub(super) fn kill(self) {
        self.connection.kill();
    }
}

async fn finish<T>(slot: &mut Option<Boxed<T>>) -> T {
    match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
