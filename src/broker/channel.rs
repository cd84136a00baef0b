//! A channel: the operations that we use, each under a deadline, in our own types.

mod permission;

use super::connection::short;
use super::convert;
use super::transport::KillSwitch;
use super::{Error, Kind};
use crate::config::QueueKind;
use crate::protocol::Message;
use futures_core::Stream;
use lapin::Confirmation;
use lapin::message::BasicReturnMessage;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
    BasicPublishOptions, BasicQosOptions, BasicRejectOptions, ConfirmSelectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// An open channel. Cheap to clone; all clones are the same channel.
#[derive(Clone)]
pub struct Channel {
    inner: Arc<lapin::Channel>,
    switch: KillSwitch,
    /// Whether a passed deadline pulls the switch; else the operation fails and the connection stays.
    vital: bool,
    timeout: Duration,
}

/// A queue as a passive or active declare saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStatus {
    /// Its name (the broker's choice where it was asked for one).
    pub name: String,
    /// Messages ready for delivery.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// What the broker made of a published message.
#[derive(Debug, Clone, PartialEq)]
pub enum Confirm {
    /// It took the message.
    Ack,
    /// It refused the message, which is here to be published again.
    Nack(Box<Message>),
}

/// A message that came back because no queue wanted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The `message_id` that it was published with.
    pub message_id: Option<Vec<u8>>,
    /// The routing key that it was published to.
    pub routing_key: String,
}

/// A message with its delivery tag.
#[derive(Debug)]
pub struct Delivery {
    /// The tag, valid on the channel that delivered it.
    pub tag: u64,
    /// Whether somebody may have seen it before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}

/// Deliveries of one consumer. Ends with `None` after a cancel, by whomever; not to be asked again
/// after that or after an error.
pub struct Consumer(lapin::Consumer);

impl Stream for Consumer {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(context)) {
            Some(Ok(delivery)) => Some(Ok(Delivery {
                tag: delivery.delivery_tag,
                redelivered: delivery.redelivered,
                message: Message {
                    body: delivery.data,
                    properties: convert::properties(&delivery.properties),
                },
            })),
            Some(Err(error)) => Some(Err(Error::from_lapin("deliveries ended", &error))),
            None => None,
        })
    }
}

impl Channel {
    pub(super) fn new(
        inner: lapin::Channel,
        switch: KillSwitch,
        vital: bool,
        timeout: Duration,
    ) -> Self {
        Self {
            inner: Arc::new(inner),
            switch,
            vital,
            timeout,
        }
    }

    /// Switches publisher confirms on.
    pub async fn confirm_select(&self) -> Result<(), Error> {
        let select = self.inner.confirm_select(ConfirmSelectOptions::default());
        self.bounded("cannot switch confirms on", select).await
    }

    /// Limits unacknowledged deliveries of consumers that start after this.
    pub async fn qos(&self, prefetch: u16) -> Result<(), Error> {
        let qos = self
            .inner
            .basic_qos(prefetch, BasicQosOptions { global: false });
        self.bounded("cannot set the prefetch", qos).await
    }

    /// Looks at a queue without making it. [`Kind::NoQueue`] closes the channel.
    pub async fn queue_status(&self, name: &str) -> Result<QueueStatus, Error> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        self.queue_declare(name, options, FieldTable::default(), "cannot look at")
            .await
    }

    /// Declares a queue.
    pub async fn declare(
        &self,
        name: &str,
        kind: QueueKind,
        durable: bool,
    ) -> Result<QueueStatus, Error> {
        let options = QueueDeclareOptions {
            durable,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString(LongString::from(kind.name())),
        );
        self.queue_declare(name, options, arguments, "cannot declare")
            .await
    }

    /// Makes a queue for this connection alone, with a name of the broker's choice, that holds at most
    /// `max_length` messages (the oldest leave first) and goes when its consumer does.
    pub async fn declare_exclusive(&self, max_length: u16) -> Result<QueueStatus, Error> {
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        let max_length = AMQPValue::LongInt(max_length.into());
        arguments.insert("x-max-length".into(), max_length);
        self.queue_declare("", options, arguments, "cannot declare exclusive")
            .await
    }

    /// Has the exchange put messages with this routing key into the queue.
    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
        let bind = self.inner.queue_bind(
            short("the queue's name", queue)?,
            short("the exchange's name", exchange)?,
            short("the routing key", key)?,
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        self.bounded(&format!("cannot bind a queue to exchange {exchange}"), bind)
            .await
    }

    async fn queue_declare(
        &self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
        what: &str,
    ) -> Result<QueueStatus, Error> {
        let queue = short("the queue's name", name)?;
        let declare = self.inner.queue_declare(queue, options, arguments);
        let queue = self
            .bounded(&format!("{what} queue {name:?}"), declare)
            .await?;
        Ok(QueueStatus {
            name: queue.name().to_string(),
            messages: queue.message_count(),
            consumers: queue.consumer_count(),
        })
    }

    /// Starts a consumer with this tag.
    pub async fn consume(&self, queue: &str, tag: &str, no_ack: bool) -> Result<Consumer, Error> {
        let options = BasicConsumeOptions {
            no_ack,
            ..BasicConsumeOptions::default()
        };
        let consume = self.inner.basic_consume(
            short("the queue's name", queue)?,
            short("the consumer tag", tag)?,
            options,
            FieldTable::default(),
        );
        self.bounded(&format!("cannot consume from queue {queue:?}"), consume)
            .await
            .map(Consumer)
    }

    /// Stops the consumer; deliveries that were already here still come out of its stream.
    pub async fn cancel(&self, tag: &str) -> Result<(), Error> {
        let tag = short("the consumer tag", tag)?;
        let cancel = self.inner.basic_cancel(tag, BasicCancelOptions::default());
        self.bounded("cannot cancel the consumer", cancel).await
    }

    /// Publishes to the default exchange; see [`Channel::publish_to`].
    pub fn publish(
        &self,
        queue: String,
        mandatory: bool,
        message: Message,
    ) -> impl Future<Output = Result<(Confirm, Option<Returned>), Error>> + Send + 'static + use<>
    {
        self.publish_to("", queue, mandatory, message)
    }

    /// Publishes to an exchange. The message is on its way after the first poll; the future
    /// resolves with the broker's confirm (needs [`Channel::confirm_select`]) and with a returned
    /// message *of any publish on this channel* that was seen at that moment.
    ///
    /// It has no deadline of its own, since a broker short of memory holds confirms back as long as
    /// it likes: whoever waits knows whether the connection is blocked, and cuts it when it is not.
    pub fn publish_to(
        &self,
        exchange: &'static str,
        key: String,
        mandatory: bool,
        message: Message,
    ) -> impl Future<Output = Result<(Confirm, Option<Returned>), Error>> + Send + 'static + use<>
    {
        let channel = self.inner.clone();
        if message.properties.has_raw_correlation_id() {
            self.switch.allow_raw_ids();
        }
        async move {
            let routing_key = short("the routing key", &key)?;
            let options = BasicPublishOptions {
                mandatory,
                immediate: false,
            };
            let properties = convert::basic_properties(&message.properties)?;
            let failed = |error| Error::from_lapin("cannot publish", &error);
            let confirmation = channel
                .basic_publish(
                    ShortString::from(exchange),
                    routing_key,
                    options,
                    &message.body,
                    properties,
                )
                .await
                .map_err(failed)?
                .await
                .map_err(failed)?;
            Ok(match confirmation {
                Confirmation::Ack(back) => (Confirm::Ack, back.as_ref().map(returned)),
                Confirmation::Nack(back) => (
                    Confirm::Nack(Box::new(message)),
                    back.as_ref().map(returned),
                ),
                Confirmation::NotRequested => {
                    return Err(Error::new(Kind::Protocol, "publisher confirms are off"));
                }
            })
        }
    }

    /// Acknowledges one delivery, or all up to it. On its way after the first poll.
    pub fn ack(
        &self,
        tag: u64,
        multiple: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static + use<> {
        let channel = self.clone();
        async move {
            let ack = channel.inner.basic_ack(tag, BasicAckOptions { multiple });
            channel.bounded("cannot acknowledge", ack).await
        }
    }

    /// Hands a delivery back to the queue.
    ///
    /// With `basic.nack`, which quorum queues of RabbitMQ 4.3 do not count against the delivery limit.
    pub async fn requeue(&self, tag: u64) -> Result<(), Error> {
        let options = BasicNackOptions {
            multiple: false,
            requeue: true,
        };
        self.bounded(
            "cannot hand a request back",
            self.inner.basic_nack(tag, options),
        )
        .await
    }

    /// Rejects a delivery for good (dropped or dead-lettered).
    pub async fn reject(&self, tag: u64) -> Result<(), Error> {
        let options = BasicRejectOptions { requeue: false };
        self.bounded(
            "cannot reject a request",
            self.inner.basic_reject(tag, options),
        )
        .await
    }

    /// Closes the channel within `limit`; everything sent on it before has then reached the broker.
    pub async fn close(&self, limit: Duration) -> Result<(), Error> {
        if let Ok(closed) = tokio::time::timeout(limit, self.inner.close(200, "bye".into())).await {
            closed.map_err(|error| Error::from_lapin("cannot close the channel", &error))
        } else {
            self.cut();
            Err(Error::new(
                Kind::Timeout,
                "the broker did not close the channel in time",
            ))
        }
    }

    fn cut(&self) {
        if self.vital {
            self.switch.kill();
        }
    }

    /// Runs an operation under the deadline; where it passes, the connection is cut (but see
    /// [`Connection::side_channel`](super::Connection::side_channel)).
    async fn bounded<T>(
        &self,
        what: &str,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        if let Ok(done) = tokio::time::timeout(self.timeout, operation).await {
            done.map_err(|error| Error::from_lapin(what, &error))
        } else {
            self.cut();
            Err(Error::new(
                Kind::Timeout,
                format!(
                    "{what}: no answer from the broker within {:?}",
                    self.timeout
                ),
            ))
        }
    }
}

fn returned(back: &BasicReturnMessage) -> Returned {
    Returned {
        message_id: back
            .delivery
            .properties
            .message_id()
            .as_ref()
            .map(|id| id.as_str().into()),
        routing_key: back.delivery.routing_key.to_string(),
    }
}
