//! A channel: the operations that we use. Answers of the broker are awaited under a deadline; messages and
//! acknowledgements go out at once, and what becomes of them arrives in the channel's [`Mailbox`].

use super::codec::method;
use super::error::{Error, Kind};
use super::link::Link;
use super::mailbox::Mailbox;
use super::settlements::Settlements;
use crate::config::QueueKind;
use crate::protocol::{Message, Properties};
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An open channel. Cheap to clone; all clones are the same channel.
#[derive(Clone)]
pub struct Channel {
    library: lapin::Channel,
    link: Link,
    id: u16,
    /// In bytes, as negotiated.
    frame_max: usize,
    /// How many messages were published; the broker's confirms use the same numbers.
    published: Arc<AtomicU64>,
    settlements: Settlements,
    /// Whether a passed deadline cuts the connection; else the operation fails and the connection stays.
    vital: bool,
    timeout: Duration,
}

/// A queue as a passive or active declare saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStatus {
    /// Its name (chosen by the broker if it was asked to).
    pub name: String,
    /// Messages ready for delivery.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// A consumer. Dropped, it is cancelled.
pub struct Subscription {
    _library: lapin::Consumer,
}

impl Channel {
    pub(super) fn new(
        library: lapin::Channel,
        frame_max: usize,
        link: Link,
        vital: bool,
        timeout: Duration,
    ) -> (Self, Mailbox) {
        let id = library.id();
        let mailbox = link.mailbox(id);
        let channel = Self {
            library,
            link,
            id,
            frame_max,
            published: Arc::default(),
            settlements: Settlements::default(),
            vital,
            timeout,
        };
        (channel, mailbox)
    }

    /// Turns publisher confirms on.
    pub async fn confirm_select(&self) -> Result<(), Error> {
        let select = self.library.confirm_select(ConfirmSelectOptions::default());
        self.bounded("cannot switch confirms on", select).await
    }

    /// Limits unacknowledged deliveries of consumers that start after this.
    pub async fn qos(&self, prefetch: u16) -> Result<(), Error> {
        let options = BasicQosOptions { global: false };
        let qos = self.library.basic_qos(prefetch, options);
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
    ///
    /// Without `x-delivery-limit`, although RabbitMQ 4.0 deletes a request after 20 deliveries: a queue that was declared
    /// with one refuses a declare without it, and the other way round ("406 inequivalent arg 'x-delivery-limit' ...
    /// received none but current is the value '1000'", tried with RabbitMQ 3.10.8 and 4.0.5), so that no client or server written
    /// from the tutorial could declare it any more. Another limit is set by a policy.
    pub async fn declare(
        &self,
        name: &str,
        kind: QueueKind,
        durable: bool,
    ) -> Result<QueueStatus, Error> {
        let arguments = table([("x-queue-type", text(kind.name()))]);
        self.declare_with(name, durable, false, arguments).await
    }

    /// Declares a queue with any arguments, to learn from the refusal how it is declared.
    pub(super) async fn declare_with(
        &self,
        name: &str,
        durable: bool,
        auto_delete: bool,
        arguments: FieldTable,
    ) -> Result<QueueStatus, Error> {
        let options = QueueDeclareOptions {
            durable,
            auto_delete,
            ..QueueDeclareOptions::default()
        };
        self.queue_declare(name, options, arguments, "cannot declare")
            .await
    }

    /// Declares a queue for this connection alone, named by the broker, that holds at most `max_length` messages (the
    /// oldest are dropped first) and is deleted with its consumer.
    pub async fn declare_exclusive(&self, max_length: u16) -> Result<QueueStatus, Error> {
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let arguments = table([("x-max-length", AMQPValue::LongInt(max_length.into()))]);
        self.queue_declare("", options, arguments, "cannot declare exclusive")
            .await
    }

    /// Binds the queue to the exchange with this routing key.
    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
        let bind = self.library.queue_bind(
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
        let declare = self.library.queue_declare(queue, options, arguments);
        let queue = self
            .bounded(&format!("{what} queue {name:?}"), declare)
            .await?;
        Ok(QueueStatus {
            name: queue.name().to_string(),
            messages: queue.message_count(),
            consumers: queue.consumer_count(),
        })
    }

    /// Starts a consumer with this tag; deliveries arrive in the mailbox.
    pub async fn consume(
        &self,
        queue: &str,
        tag: &str,
        no_ack: bool,
    ) -> Result<Subscription, Error> {
        let options = BasicConsumeOptions {
            no_ack,
            ..BasicConsumeOptions::default()
        };
        let consume = self.library.basic_consume(
            short("the queue's name", queue)?,
            short("the consumer tag", tag)?,
            options,
            FieldTable::default(),
        );
        let sent = self.settlements.count();
        let what = format!("cannot consume from queue {queue:?}");
        let consumer = self.bounded(&what, consume).await?;
        self.settlements.taken(sent);
        Ok(Subscription { _library: consumer })
    }

    /// Whether the user may consume from the queue: if not, an error of [`Kind::Denied`].
    ///
    /// Tries to consume with an invalid argument. RabbitMQ and `LavinMQ` check the permission first and then
    /// refuse the argument; not for brokers that may ignore it. Closes the channel.
    pub async fn may_consume(&self, queue: &str) -> Result<(), Error> {
        let consume = self.library.basic_consume(
            short("the queue's name", queue)?,
            "".into(),
            BasicConsumeOptions::default(),
            table([("x-priority", text("not a number"))]),
        );
        let what = format!("cannot consume from queue {queue:?}");
        match self.bounded(&what, consume).await {
            Err(error) if error.kind == Kind::Refused && error.message.contains("x-priority") => {
                Ok(())
            }
            Err(error) => Err(error),
            // Ignored: what has been delivered is returned as the channel closes.
            Ok(_) => self.close(self.timeout).await,
        }
    }

    /// Stops the consumer; deliveries that were on their way are in the mailbox when this is done.
    pub async fn cancel(&self, tag: &str) -> Result<(), Error> {
        let tag = short("the consumer tag", tag)?;
        let cancel = self
            .library
            .basic_cancel(tag, BasicCancelOptions::default());
        let sent = self.settlements.count();
        self.bounded("cannot cancel the consumer", cancel).await?;
        self.settlements.taken(sent);
        Ok(())
    }

    /// Publishes to a queue through the default exchange; see [`Channel::publish_to`].
    pub fn publish(&self, queue: &str, mandatory: bool, message: &Message) -> Result<u64, Error> {
        self.publish_to("", queue, mandatory, message)
    }

    /// Publishes to an exchange. Returns the number of the publish, counted from 1, by which the broker
    /// confirms it (after [`Channel::confirm_select`]).
    ///
    /// Fails if a name or property is longer than AMQP allows. A lost connection is reported by the mailbox. A
    /// confirm has no deadline, since a broker in a memory alarm may hold it back for any time: the session, which
    /// knows whether the connection is blocked, cuts it if it is not.
    pub fn publish_to(
        &self,
        exchange: &str,
        key: &str,
        mandatory: bool,
        message: &Message,
    ) -> Result<u64, Error> {
        check_short("the exchange's name", exchange.len())?;
        check_short("the routing key", key.len())?;
        let (id, frame_max) = (self.id, self.frame_max);
        check_properties(&message.properties, frame_max)?;
        // Counted under the lock for writing, so that the numbers are in the order of the wire.
        Ok(self.link.write(|out| {
            method::append_publish(out, id, frame_max, exchange, key, mandatory, message);
            self.published.fetch_add(1, Ordering::Relaxed) + 1
        }))
    }

    /// Acknowledges one delivery, or all up to it.
    pub fn ack(&self, tag: u64, multiple: bool) {
        self.settle(method::ACK, tag, u8::from(multiple) * method::MULTIPLE);
    }

    /// Returns a delivery to the queue.
    ///
    /// With `basic.nack`, which quorum queues of RabbitMQ 4.3 do not count against the delivery limit.
    pub fn requeue(&self, tag: u64) {
        self.settle(method::NACK, tag, method::REQUEUE);
    }

    /// Returns all unsettled deliveries to the queue, with one frame.
    pub fn requeue_all(&self) {
        self.settle(method::NACK, 0, method::MULTIPLE | method::REQUEUE);
    }

    /// Rejects a delivery for good (dropped or dead-lettered).
    pub fn reject(&self, tag: u64) {
        self.settle(method::REJECT, tag, 0);
    }

    fn settle(&self, method: u16, tag: u64, bits: u8) {
        self.settlements.add();
        self.link
            .write(|out| method::append_settlement(out, self.id, method, tag, bits));
    }

    /// Waits until the queue is certain to get all acks and requeues sent so far, even if the channel closes next; for at most
    /// three times `limit`.
    ///
    /// If there are few, it is certain already. Otherwise a consumer with this tag is started and cancelled: when its start is
    /// answered, the broker passes on what it has kept, and when its end is answered, that is done. It may get one delivery.
    pub async fn await_settlements(
        &self,
        queue: &str,
        tag: &str,
        limit: Duration,
    ) -> Result<(), Error> {
        if self.settlements.are_certain() {
            return Ok(());
        }
        let channel = Self {
            timeout: limit,
            ..self.clone()
        };
        channel.qos(1).await?;
        let _consumer = channel.consume(queue, tag, false).await?;
        channel.cancel(tag).await
    }

    /// Closes the channel within `limit`; everything sent on it before has then reached the broker, but see
    /// [`Channel::await_settlements`].
    pub async fn close(&self, limit: Duration) -> Result<(), Error> {
        let closing = self.library.close(200, "bye".into());
        let (what, id) = ("cannot close the channel", self.id);
        self.link.run(limit, what, id, self.vital, closing).await
    }

    /// See [`Connection::caught_up`](super::Connection::caught_up).
    pub fn caught_up(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.link.caught_up()
    }

    /// Runs an operation under the deadline; if that passes, the connection is cut (but see
    /// [`Connection::side_channel`](super::Connection::side_channel)).
    async fn bounded<T>(
        &self,
        what: &str,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        let (limit, id) = (self.timeout, self.id);
        self.link.run(limit, what, id, self.vital, operation).await
    }
}

fn check_properties(properties: &Properties, frame_max: usize) -> Result<(), Error> {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    for (what, length) in [
        ("content_type", text(&properties.content_type)),
        ("correlation_id", bytes(&properties.correlation_id)),
        ("reply_to", text(&properties.reply_to)),
        ("expiration", text(&properties.expiration)),
        ("message_id", bytes(&properties.message_id)),
        ("type", text(&properties.kind)),
    ] {
        check_short(what, length)?;
    }
    let Some(unread) = &properties.unread else {
        return Ok(());
    };
    let mut size = OTHER_PROPERTIES;
    for (name, value) in &unread.headers {
        check_short("a header's name", name.len())?;
        size += name.len() + value.size();
    }
    // Properties are not split over frames.
    if size > frame_max {
        let message = format!("the headers are larger than a frame of {frame_max} bytes");
        return Err(Kind::Local.error(message));
    }
    Ok(())
}

/// More than all properties take but for the headers that are not the protocol's.
const OTHER_PROPERTIES: usize = 3072;

/// The arguments of a declare or consumer.
pub(super) fn table<'a>(entries: impl IntoIterator<Item = (&'a str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// A text as the value of an argument.
pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// A name in the AMQP library's type, or an error that names what is too long.
fn short(what: &str, text: &str) -> Result<ShortString, Error> {
    check_short(what, text.len())?;
    Ok(ShortString::from(text))
}

/// An error that names `what` if `length` bytes do not fit into a short string of AMQP.
fn check_short(what: &str, length: usize) -> Result<(), Error> {
    if length > 255 {
        return Err(Kind::Local.error(format!("{what} is longer than the 255 bytes of AMQP")));
    }
    Ok(())
}
