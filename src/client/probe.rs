//! A look at everything between a client and its queue, without touching a request.
//!
//! [`approach`] goes to one broker as far as it gets; [`look`] finds out over that connection what the user may
//! do and how the queue is. Both only gather; what it means is for others to say. Every step has a limit.

use super::Settings;
use super::presence;
use super::session::CLOSE;
use crate::broker::certificate::Certificate;
use crate::broker::declaration::{self, Declaration};
use crate::broker::stages::{self, Dial, Peer, Stage};
use crate::broker::{
    Arrival, Channel, Connection, ConnectionEvent, Error, Kind, Opened, Options, QueueStatus,
    cluster,
};
use crate::config::{self, BrokerUrl, Queue, Scheme};
use crate::protocol::Message;
use crate::text::duration;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Brokers that refuse a consumer for its arguments, so that asking whether one may consume does not.
const STRICT: [&str; 2] = ["RabbitMQ", "LavinMQ"];

/// How far one came on the way to a broker. A stage is `None` if one before it has failed.
#[derive(Debug)]
pub struct Approach {
    /// The broker.
    pub url: BrokerUrl,
    /// What its name stands for.
    pub addresses: Option<Result<Vec<SocketAddr>, Error>>,
    /// How each address took a connection.
    pub dials: Vec<(SocketAddr, Dial)>,
    /// The TLS handshake; `None` without TLS, too.
    pub tls: Option<Result<Peer, Error>>,
    /// The certificate that we show, if TLS is used and there is one.
    pub own_certificate: Option<Certificate>,
    /// The AMQP handshake: login and virtual host. An error before all stages: there is nothing to log in with.
    pub connection: Option<Result<Connection, Error>>,
    /// Whether another connection reached the same broker or cluster, as the two of a server have to.
    pub place: Result<(), Error>,
}

/// How things are at the broker. What could not be looked at is `None`.
#[derive(Debug)]
pub struct Sight {
    /// The request queue.
    pub queue: Result<QueueStatus, Error>,
    /// How the queue is declared.
    pub declaration: Option<Result<Declaration, Error>>,
    /// Whether the user may consume from it, as servers do.
    pub read: Option<Result<(), Error>>,
    /// Whether the user may publish, as clients and servers do.
    pub write: Option<Result<(), Error>>,
    /// Why the broker takes no messages, if it does not.
    pub blocked: Option<String>,
    /// The broker's product and version, as far as it tells.
    pub broker: (String, String),
}

/// Connects to a broker as all programs do, and notes the stages; within `settings.broker.connect_timeout`. Addresses
/// that this did not need are tried as well, within another.
pub async fn approach(url: BrokerUrl, settings: &Settings) -> Approach {
    let broker = &settings.broker;
    let limit = broker.connect_timeout;
    let options = Options {
        name: settings.name.clone(),
        operation_timeout: limit,
        max_body: None,
        patience: Some(limit),
    };
    let mut approach = Approach {
        own_certificate: own_certificate(&url, broker),
        url,
        addresses: None,
        dials: Vec::new(),
        tls: None,
        connection: None,
        place: Ok(()),
    };
    let (mut prepared, mut connected) = (false, false);
    let mut observe = |stage| match stage {
        Stage::Prepared => prepared = true,
        Stage::Resolved(addresses) => approach.addresses = Some(Ok(addresses)),
        Stage::Dialled(address, dial) => approach.dials.push((address, dial)),
        Stage::Connected => connected = true,
        Stage::Secured(peer) => approach.tls = Some(Ok(peer)),
    };
    let opened =
        Connection::open_observed(&approach.url, broker, options.clone(), &mut observe).await;
    let with_tls = approach.url.scheme == Scheme::Amqps;
    match (&approach.addresses, opened) {
        (None, Err(error)) if prepared => approach.addresses = Some(Err(error)),
        (Some(Ok(addresses)), opened) => {
            let addresses = addresses.clone();
            connected |= approach.dial_others(&addresses, limit).await;
            match opened {
                Err(error) if connected && with_tls && approach.tls.is_none() => {
                    approach.tls = Some(Err(error));
                }
                Err(error) if connected && with_tls && error.kind == Kind::Lost => {
                    approach.hear_objection(&addresses, broker).await;
                    approach.connection = Some(Err(error));
                }
                opened if connected => approach.connection = Some(opened),
                _ => {}
            }
        }
        (_, opened) => approach.connection = Some(opened),
    }
    if let Some(Ok(connection)) = &approach.connection
        && let Ok(another) = Connection::open(&approach.url, broker, options).await
    {
        approach.place = cluster::compare(connection, &another);
        close(another).await;
    }
    approach
}

impl Approach {
    /// Whether one can ask and serve there.
    pub fn is_usable(&self) -> bool {
        matches!(self.connection, Some(Ok(_))) && self.place.is_ok()
    }

    /// Tries the addresses whose answer is not known. Whether one of them takes a connection.
    async fn dial_others(&mut self, addresses: &[SocketAddr], limit: Duration) -> bool {
        let place = |address: &SocketAddr| addresses.iter().position(|other| other == address);
        let is_known = |address| self.dials.iter().any(|(known, _)| known == address);
        let others = addresses.iter().filter(|address| !is_known(*address));
        let others: Vec<SocketAddr> = others.copied().collect();
        let (dials, socket) = stages::dial(&others, limit).await;
        self.dials.extend(dials);
        self.dials.sort_by_key(|(address, _)| place(address));
        socket.is_some()
    }

    /// With TLS 1.3 the broker judges our certificate after the handshake, and the lost connection may not say so.
    async fn hear_objection(&mut self, addresses: &[SocketAddr], broker: &config::Broker) {
        let limit = broker.connect_timeout;
        let (_, socket) = stages::dial(addresses, limit).await;
        if let Some(socket) = socket
            && let Some(objection) = stages::objection(socket, &self.url, &broker.tls, limit).await
        {
            self.tls = Some(Err(objection));
        }
    }
}

fn own_certificate(url: &BrokerUrl, broker: &config::Broker) -> Option<Certificate> {
    let with_tls = url.scheme == Scheme::Amqps;
    // A file that cannot be used is what the TLS handshake fails of.
    with_tls.then(|| stages::own_certificate(&broker.tls).ok()?)?
}

/// Looks around over a connection, and closes it; each step takes at most the connection's limit for an
/// operation.
///
/// Publishes one empty message, last of all, to a queue that does not exist: it comes back. Only a
/// connection that publishes is told that the broker takes no messages, and is read from no more.
pub async fn look(mut connection: Connection, queue: &Queue, limit: Duration) -> Sight {
    let mut sight = inspect(&connection, queue, limit).await;
    let channels = [connection.side_channel(), connection.side_channel()];
    // To be dropped after the connection's close: the library closes them then, and must not do it meanwhile.
    let mut opened = Vec::new();
    let publishing = publish(channels, &mut opened, &mut sight.write);
    let publishing = tokio::time::timeout(limit, publishing);
    let stopped = tokio::select! {
        published = publishing => published.map_err(|_| Error::new(
            Kind::Timeout,
            format!("the broker did not confirm a message within {}", duration(limit)),
        )),
        blocked = blocked(&mut connection) => blocked.map(|reason| sight.blocked = Some(reason)),
    };
    if let Err(error) = stopped {
        sight.write.get_or_insert(Err(error));
    }
    if sight.blocked.is_none() {
        close(connection).await;
    }
    sight
}

/// Closes a connection in order, or cuts it where that takes too long.
pub async fn close(connection: Connection) {
    // Whoever closes has no more use for the connection: a failure here changes nothing.
    let _ = connection.close(CLOSE).await;
}

/// Looks at the queue, on channels of their own, since the broker closes one on which it refuses something.
async fn inspect(connection: &Connection, queue: &Queue, limit: Duration) -> Sight {
    let look = presence::certain(
        connection.channels(),
        queue.name.clone(),
        presence::AGREE,
        Some(Instant::now() + limit),
    );
    let mut sight = Sight {
        queue: look.await,
        declaration: None,
        read: None,
        write: None,
        blocked: None,
        broker: connection.broker_version(),
    };
    if sight.queue.is_ok() {
        let read = async {
            let (channel, _) = connection.side_channel().await?;
            channel.may_consume(&queue.name).await
        };
        sight.declaration = Some(declaration::read(connection, queue).await);
        if STRICT.contains(&sight.broker.0.as_str()) {
            sight.read = Some(read.await);
        }
    }
    sight
}

/// Publishes what goes nowhere, and comes back once the broker reads on after that.
async fn publish(
    [channel, another]: [impl Future<Output = Opened>; 2],
    opened: &mut Vec<Channel>,
    outcome: &mut Option<Result<(), Error>>,
) {
    let publish = async {
        let (channel, mut inbox) = channel.await?;
        opened.push(channel.clone());
        channel.confirm_select().await?;
        let nowhere = format!("fibrpc.doctor.{}", Uuid::new_v4());
        channel.publish(&nowhere, true, &Message::default())?;
        loop {
            match inbox.next().await {
                Arrival::Confirmed { .. } => return Ok(()),
                Arrival::Failed(error) => return Err(error),
                _ => {}
            }
        }
    };
    *outcome = Some(publish.await);
    // That it fails says nothing, but that the broker answers says that it reads.
    opened.extend(another.await.ok().map(|(channel, _)| channel));
}

/// Why the broker takes no messages, or that the connection is lost; pends while neither is so.
async fn blocked(connection: &mut Connection) -> Result<String, Error> {
    loop {
        match connection.event().await {
            ConnectionEvent::Blocked(reason) => return Ok(reason),
            ConnectionEvent::Unblocked => {}
            ConnectionEvent::Failed(error) => return Err(error),
        }
    }
}
