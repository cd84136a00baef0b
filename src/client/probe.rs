//! A look at everything between a client and its queue, without touching a request.
//!
//! [`approach`] goes to one broker as far as it gets; [`look`] finds out over that connection what the user may
//! do and how the queue is. Both only gather; what it means is for others to say. Every step has a limit.

use super::Settings;
use super::presence;
use super::session::CLOSE;
use crate::broker::certificate::Certificate;
use crate::broker::declaration::{self, Declaration};
use crate::broker::stages::{self, Dial, Peer, Socket};
use crate::broker::{
    Arrival, Channel, Connection, ConnectionEvent, Error, Kind, Opened, Options, QueueStatus,
    cluster,
};
use crate::config::{self, BrokerUrl, Queue, Scheme};
use crate::protocol::Message;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Brokers that refuse a consumer for its arguments, so that asking whether one may consume does not.
const STRICT: [&str; 2] = ["RabbitMQ", "LavinMQ"];

/// How far one came on the way to a broker. A stage is `None` where one before it has failed.
#[derive(Debug)]
pub struct Approach {
    /// The broker.
    pub url: BrokerUrl,
    /// What its name stands for.
    pub addresses: Result<Vec<SocketAddr>, Error>,
    /// How each address took a connection.
    pub dials: Vec<(SocketAddr, Dial)>,
    /// The TLS handshake; `None` without TLS, too.
    pub tls: Option<Result<Peer, Error>>,
    /// The certificate that we show, where TLS is used and there is one.
    pub own_certificate: Option<Certificate>,
    /// The AMQP handshake: login and virtual host.
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

/// Goes to a broker, each stage within `settings.broker.connect_timeout`.
pub async fn approach(url: BrokerUrl, settings: &Settings) -> Approach {
    let mut approach = Approach {
        addresses: stages::resolve(&url, settings.broker.connect_timeout).await,
        url,
        dials: Vec::new(),
        tls: None,
        own_certificate: None,
        connection: None,
        place: Ok(()),
    };
    // How far it came is in what it has found.
    let _ = approach.go_on(settings).await;
    approach
}

impl Approach {
    /// Whether one can ask and serve there.
    pub fn is_usable(&self) -> bool {
        matches!(self.connection, Some(Ok(_))) && self.place.is_ok()
    }

    /// From the addresses to the connection; `None` where the way ends before.
    async fn go_on(&mut self, settings: &Settings) -> Option<()> {
        let broker = &settings.broker;
        let limit = broker.connect_timeout;
        let addresses = self.addresses.as_ref().ok()?.clone();
        let (dials, socket) = stages::dial(&addresses, limit).await;
        self.dials = dials;
        let socket = socket?;
        let with_tls = self.url.scheme == Scheme::Amqps;
        if with_tls {
            let secured = self.secure(socket, broker).await;
            self.tls.insert(secured).as_ref().ok()?;
        } else {
            drop(socket);
        }
        let options = Options {
            name: settings.name.clone(),
            operation_timeout: limit,
            max_body: None,
            patience: settings.connect_limit,
        };
        let opened = Connection::open(&self.url, broker, options.clone()).await;
        if let Ok(connection) = &opened
            && let Ok(another) = Connection::open(&self.url, broker, options).await
        {
            self.place = cluster::compare(connection, &another);
            close(another).await;
        }
        let lost = matches!(&opened, Err(error) if error.kind == Kind::Lost);
        if with_tls && lost {
            let (_, socket) = stages::dial(&addresses, limit).await;
            if let Some(socket) = socket
                && let Some(objection) =
                    stages::objection(socket, &self.url, &broker.tls, limit).await
            {
                self.tls = Some(Err(objection));
                return None;
            }
        }
        self.connection = Some(opened);
        Some(())
    }

    async fn secure(&mut self, socket: Socket, broker: &config::Broker) -> Result<Peer, Error> {
        self.own_certificate = stages::own_certificate(&broker.tls)?;
        stages::secure(socket, &self.url, &broker.tls, broker.connect_timeout).await
    }
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
            format!("the broker did not confirm a message within {limit:?}"),
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
