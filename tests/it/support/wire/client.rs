//! A blocking AMQP client with one channel that sends anything.
//!
//! It owns its socket and whatever has arrived but was not requested yet. Every wait has a limit.

mod receive;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::frame::{self, Arguments, Frame, method};
use super::message::{Declare, Delivery, Publish};
use super::properties::Properties;

const CHANNEL: u16 = 1;
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// For answers of the broker that are not the point of a test.
const LIMIT: Duration = Duration::from_secs(20);

/// Why the client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker closed the channel.
    #[error("channel closed: {0} {1}")]
    Channel(u16, String),
    /// The broker closed the connection.
    #[error("connection closed: {0} {1}")]
    Connection(u16, String),
    /// The socket failed or was closed.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    /// Nothing came within the limit.
    #[error("nothing came in time")]
    TimedOut,
}

type Result<T> = std::result::Result<T, Error>;

/// A connection with one open channel.
pub struct Client {
    stream: TcpStream,
    limit: Duration,
    buffer: Vec<u8>,
    frame_max: usize,
    deliveries: VecDeque<Delivery>,
    published: u64,
    unconfirmed: BTreeSet<u64>,
    /// Publishes that the broker refused.
    pub nacked: Vec<u64>,
    /// Messages that no queue took.
    pub returned: Vec<Delivery>,
    /// Consumers that the broker cancelled.
    pub cancelled: Vec<String>,
    /// Why the broker blocks this connection, if it does.
    pub blocked: Option<String>,
    replies: bool,
}

impl Client {
    /// Connects as `guest` and opens a channel.
    pub fn connect(port: u16, vhost: &str) -> Result<Self> {
        Self::connect_as(port, "guest", "guest", vhost)
    }

    /// Connects as anybody and opens a channel. Heartbeats are off.
    pub fn connect_as(port: u16, user: &str, password: &str, vhost: &str) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        Self::login(stream, LIMIT, user, password, vhost)
    }

    /// Connects as `guest` to the virtual host `/` of a broker anywhere; each of its answers may take at most `limit`.
    pub fn connect_at(address: SocketAddr, limit: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        Self::login(stream, limit, "guest", "guest", "/")
    }

    fn login(
        stream: TcpStream,
        limit: Duration,
        user: &str,
        password: &str,
        vhost: &str,
    ) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(limit))?;
        let mut client = Self {
            stream,
            limit,
            buffer: Vec::new(),
            frame_max: 4096,
            deliveries: VecDeque::new(),
            published: 0,
            unconfirmed: BTreeSet::new(),
            nacked: Vec::new(),
            returned: Vec::new(),
            cancelled: Vec::new(),
            blocked: None,
            replies: false,
        };
        client.stream.write_all(frame::PROTOCOL_HEADER)?;
        client.expect(method::CONNECTION_START)?;
        let capability = |name: &str| Arguments::default().short(name).u8(b't').u8(1).0;
        let capabilities = ["connection.blocked", "consumer_cancel_notify"].map(capability);
        let properties = Arguments::default()
            .short("capabilities")
            .u8(b'F')
            .long(capabilities.concat());
        let start_ok = Arguments::default()
            .long(properties.0)
            .short("PLAIN")
            .long(format!("\0{user}\0{password}"))
            .short("en_US");
        client.send(0, method::CONNECTION_START_OK, start_ok)?;
        let tune = client.expect(method::CONNECTION_TUNE)?;
        let mut tune = tune.arguments();
        let (channels, frame_max) = (tune.u16(), tune.u32());
        client.frame_max = frame_max as usize;
        let tune_ok = Arguments::default().u16(channels).u32(frame_max).u16(0);
        client.send(0, method::CONNECTION_TUNE_OK, tune_ok)?;
        let open = Arguments::default().short(vhost).short("").u8(0);
        client.send(0, method::CONNECTION_OPEN, open)?;
        client.expect(method::CONNECTION_OPEN_OK)?;
        client.open_channel()?;
        Ok(client)
    }

    /// Opens the channel, again after the broker has closed it.
    pub fn open_channel(&mut self) -> Result<()> {
        (self.published, self.replies) = (0, false);
        self.unconfirmed.clear();
        self.deliveries.clear();
        let open = Arguments::default().short("");
        self.ask(method::CHANNEL_OPEN, open, method::CHANNEL_OPEN_OK)?;
        Ok(())
    }

    /// Declares a queue, or a server-named one if `name` is empty; returns name, messages, consumers.
    pub fn declare(&mut self, name: &str, how: &Declare) -> Result<(String, u32, u32)> {
        let declare = Arguments::default().u16(0).short(name).u8(how.bits);
        let declare = declare.long(&how.arguments);
        let answer = self.ask(method::QUEUE_DECLARE, declare, method::QUEUE_DECLARE_OK)?;
        let mut answer = answer.arguments();
        Ok((answer.text(), answer.u32(), answer.u32()))
    }

    /// Deletes a queue, used or not, empty or not.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        let delete = Arguments::default().u16(0).short(name).u8(0);
        self.ask(method::QUEUE_DELETE, delete, method::QUEUE_DELETE_OK)?;
        Ok(())
    }

    /// Drops what waits in a queue.
    pub fn purge(&mut self, name: &str) -> Result<()> {
        let purge = Arguments::default().u16(0).short(name).u8(0);
        self.ask(method::QUEUE_PURGE, purge, method::QUEUE_PURGE_OK)?;
        Ok(())
    }

    /// Limits the number of unacknowledged deliveries.
    pub fn prefetch(&mut self, count: u16) -> Result<()> {
        let qos = Arguments::default().u32(0).u16(count).u8(0);
        self.ask(method::BASIC_QOS, qos, method::BASIC_QOS_OK)?;
        Ok(())
    }

    /// Consumes; returns the consumer's tag.
    pub fn consume(&mut self, queue: &str, no_ack: bool) -> Result<String> {
        let bits = if no_ack { 2 } else { 0 };
        let consume = Arguments::default().u16(0).short(queue).short("");
        let consume = consume.u8(bits).long("");
        let answer = self.ask(method::BASIC_CONSUME, consume, method::BASIC_CONSUME_OK)?;
        Ok(answer.arguments().text())
    }

    /// Stops consuming.
    pub fn cancel(&mut self, tag: &str) -> Result<()> {
        let cancel = Arguments::default().short(tag).u8(0);
        self.ask(method::BASIC_CANCEL, cancel, method::BASIC_CANCEL_OK)?;
        Ok(())
    }

    /// The next delivery to any consumer.
    pub fn next_delivery(&mut self, limit: Duration) -> Result<Delivery> {
        let end = Instant::now() + limit;
        while self.deliveries.is_empty() {
            self.handle_next(end)?;
        }
        self.deliveries.pop_front().ok_or(Error::TimedOut)
    }

    /// Fetches one message, if there is one.
    pub fn get(&mut self, queue: &str, no_ack: bool) -> Result<Option<Delivery>> {
        let get = Arguments::default().u16(0).short(queue).u8(no_ack.into());
        self.send(CHANNEL, method::BASIC_GET, get)?;
        let end = Instant::now() + LIMIT;
        loop {
            let answer = self.handle_next(end)?;
            match answer.as_ref().and_then(Frame::method_id) {
                Some(method::BASIC_GET_EMPTY) => return Ok(None),
                Some(method::BASIC_GET_OK) => {
                    let answer = answer.expect("it has an id");
                    let mut arguments = answer.arguments();
                    return self.content(arguments.u64(), arguments, end).map(Some);
                }
                _ => {}
            }
        }
    }

    /// Acknowledges.
    pub fn ack(&mut self, tag: u64, multiple: bool) -> Result<()> {
        let ack = Arguments::default().u64(tag).u8(multiple.into());
        self.send(CHANNEL, method::BASIC_ACK, ack)
    }

    /// Hands back or drops one delivery.
    pub fn nack(&mut self, tag: u64, requeue: bool) -> Result<()> {
        let nack = Arguments::default()
            .u64(tag)
            .u8(if requeue { 2 } else { 0 });
        self.send(CHANNEL, method::BASIC_NACK, nack)
    }

    /// Switches publisher confirms on.
    pub fn confirm_select(&mut self) -> Result<()> {
        let select = Arguments::default().u8(0);
        self.ask(method::CONFIRM_SELECT, select, method::CONFIRM_SELECT_OK)?;
        Ok(())
    }

    /// Publishes to a queue; returns the number that a confirm would carry.
    pub fn publish(&mut self, queue: &str, properties: &Properties, body: &[u8]) -> Result<u64> {
        self.publish_raw(&Publish {
            routing_key: queue.as_bytes(),
            header: properties.encode(body.len() as u64),
            body,
            ..Publish::default()
        })
    }

    /// Publishes anything.
    pub fn publish_raw(&mut self, publish: &Publish<'_>) -> Result<u64> {
        let arguments = Arguments::default().u16(0).short(publish.exchange);
        let arguments = arguments.short(publish.routing_key);
        let arguments = arguments.u8(publish.mandatory.into());
        let mut bytes = Frame::method(CHANNEL, method::BASIC_PUBLISH, arguments).encode();
        let content = |kind, payload: &[u8]| Frame {
            kind,
            channel: CHANNEL,
            payload: payload.to_vec(),
        };
        bytes.extend(content(frame::HEADER, &publish.header).encode());
        for chunk in publish.body.chunks(self.frame_max - 8) {
            bytes.extend(content(frame::BODY, chunk).encode());
        }
        self.stream.write_all(&bytes)?;
        self.published += 1;
        self.unconfirmed.insert(self.published);
        Ok(self.published)
    }

    /// Waits until everything published has been confirmed or refused (see [`Client::nacked`]).
    pub fn wait_for_confirms(&mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while !self.unconfirmed.is_empty() {
            self.handle_next(end)?;
        }
        Ok(())
    }

    /// Numbers of publishes that are neither confirmed nor refused so far.
    pub fn unconfirmed(&self) -> &BTreeSet<u64> {
        &self.unconfirmed
    }

    /// Takes in whatever arrives within `limit`.
    pub fn listen(&mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            match self.handle_next(end) {
                Ok(_) => {}
                Err(Error::TimedOut) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request with direct reply-to; [`Client::next_delivery`] returns the reply.
    pub fn request(&mut self, queue: &str, properties: Properties, body: &[u8]) -> Result<u64> {
        if !self.replies {
            self.consume(DIRECT_REPLY_TO, true)?;
            self.replies = true;
        }
        self.publish(queue, &properties.reply_to(DIRECT_REPLY_TO), body)
    }

    /// Asks and waits for the reply.
    pub fn call(&mut self, queue: &str, body: &[u8], limit: Duration) -> Result<Delivery> {
        let id = format!("call-{}", self.published + 1);
        self.request(queue, Properties::new().correlation_id(&id), body)?;
        loop {
            let reply = self.next_delivery(limit)?;
            if reply.correlation_id() == id {
                return Ok(reply);
            }
        }
    }

    /// Pings a server of `queue` and returns the report in its pong, dropping replies that wait.
    pub fn report(&mut self, queue: &str, limit: Duration) -> Result<serde_json::Value> {
        let id = format!("report-{}", self.published + 1);
        let mut ping = Properties::new().correlation_id(&id);
        ping.kind = Some(b"fibrpc.ping".to_vec());
        self.request(queue, ping, b"0")?;
        loop {
            let reply = self.next_delivery(limit)?;
            if reply.correlation_id() == id {
                return Ok(serde_json::from_slice(&reply.body).expect("a pong is JSON"));
            }
        }
    }

    /// Sends any frame.
    pub fn send_frame(&mut self, frame: &Frame) -> Result<()> {
        Ok(self.stream.write_all(&frame.encode())?)
    }
}
