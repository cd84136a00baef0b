//! Examines everything between a client and its queue, without touching a request.
//!
//! [`connect`] connects to one broker, step by step; [`inspect`] determines, over that connection, the user's permissions and
//! the state of the queue. Both collect facts and leave the conclusions to `doctor`. Every step has a time limit.

use super::presence;
use super::session::CLOSE_TIMEOUT;
use super::settings::Settings;
use crate::broker::declaration::{self, Declaration};
use crate::broker::stages::{self, Dial, Peer, Stage};
use crate::broker::{
    Arrival, Channel, Connection, ConnectionEvent, Error, Kind, Opened, Options, QueueStatus,
    cluster, random_id,
};
use crate::config::{self, BrokerUrl, Queue, Scheme};
use crate::protocol::Message;
use crate::text::duration;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Brokers that refuse a consumer with invalid arguments, so that checking the permission adds no consumer.
const STRICT: [&str; 2] = ["RabbitMQ", "LavinMQ"];

/// The steps of connecting to a broker. A step is `None` if an earlier one failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectReport {
    /// The broker.
    pub url: BrokerUrl,
    /// The addresses of its name.
    pub addresses: Option<Result<Vec<SocketAddr>, Error>>,
    /// The outcome of connecting to each address.
    pub dials: Vec<(SocketAddr, Dial)>,
    /// The TLS handshake; also `None` without TLS.
    pub tls: Option<Result<Peer, Error>>,
    /// The client certificate in DER, if TLS is used and there is one.
    pub own_certificate: Option<Vec<u8>>,
    /// The AMQP handshake: login and virtual host. An error before all steps: the login cannot be read.
    pub connection: Option<Result<Connection, Error>>,
    /// Whether a second connection reached the same broker or cluster, as the two connections of a server must.
    pub place: Result<(), Error>,
}

/// The state of the broker and the queue. What could not be examined is `None`.
#[derive(Debug)]
#[non_exhaustive]
pub struct QueueReport {
    /// The request queue.
    pub queue: Result<QueueStatus, Error>,
    /// The queue's declaration.
    pub declaration: Option<Result<Declaration, Error>>,
    /// Whether the user may consume from it, as servers do.
    pub read: Option<Result<(), Error>>,
    /// Whether the user may publish, as clients and servers do.
    pub write: Option<Result<(), Error>>,
    /// Why the broker blocks publishing connections, if it does.
    pub blocked: Option<String>,
    /// The broker's product and version, as far as it reports them.
    pub broker: (String, String),
}

/// Connects to a broker as all programs do, and records the steps, within `settings.broker.connect_timeout`. Then tries the
/// remaining addresses, with the same time limit.
pub async fn connect(url: BrokerUrl, settings: &Settings) -> ConnectReport {
    let broker = &settings.broker;
    let limit = broker.connect_timeout;
    let options = Options {
        name: settings.name.clone(),
        operation_timeout: limit,
        max_body: None,
        patience: Some(limit),
    };
    let mut report = ConnectReport {
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
        Stage::Resolved(addresses) => report.addresses = Some(Ok(addresses)),
        Stage::Dialled(address, dial) => report.dials.push((address, dial)),
        Stage::Connected => connected = true,
        Stage::Secured(peer) => report.tls = Some(Ok(peer)),
    };
    let opened =
        Connection::open_observed(&report.url, broker, options.clone(), &mut observe).await;
    let with_tls = report.url.scheme == Scheme::Amqps;
    match (&report.addresses, opened) {
        (None, Err(error)) if prepared => report.addresses = Some(Err(error)),
        (Some(Ok(addresses)), opened) => {
            let addresses = addresses.clone();
            connected |= report.dial_others(&addresses, limit).await;
            match opened {
                Err(error) if connected && with_tls && report.tls.is_none() => {
                    report.tls = Some(Err(error));
                }
                Err(error) if connected && with_tls && error.kind == Kind::Lost => {
                    report.receive_alert(&addresses, broker).await;
                    report.connection = Some(Err(error));
                }
                opened if connected => report.connection = Some(opened),
                _ => {}
            }
        }
        (_, opened) => report.connection = Some(opened),
    }
    if let Some(Ok(connection)) = &report.connection
        && let Ok(another) = Connection::open(&report.url, broker, options).await
    {
        report.place = cluster::compare(connection, &another);
        close(another).await;
    }
    report
}

impl ConnectReport {
    /// Whether clients and servers can use the broker.
    pub fn is_usable(&self) -> bool {
        matches!(self.connection, Some(Ok(_))) && self.place.is_ok()
    }

    /// Tries the addresses that were not tried; returns whether one of them accepts a connection.
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

    /// Asks for the broker's TLS alert: with TLS 1.3 it verifies our certificate after the handshake, and the error of the
    /// lost connection may not show that.
    async fn receive_alert(&mut self, addresses: &[SocketAddr], broker: &config::Broker) {
        let limit = broker.connect_timeout;
        let (_, socket) = stages::dial(addresses, limit).await;
        if let Some(socket) = socket
            && let Some(objection) = stages::objection(socket, &self.url, &broker.tls, limit).await
        {
            self.tls = Some(Err(objection));
        }
    }
}

fn own_certificate(url: &BrokerUrl, broker: &config::Broker) -> Option<Vec<u8>> {
    let with_tls = url.scheme == Scheme::Amqps;
    // If the file cannot be used, the TLS handshake reports it.
    with_tls.then(|| stages::own_certificate(&broker.tls).ok()?)?
}

/// Examines the queue and the permissions over a connection, and closes it; each step takes at most `limit`.
///
/// Finally publishes one empty message to a queue that does not exist, which is returned. Only a connection that publishes
/// is notified when the broker blocks it.
pub async fn inspect(mut connection: Connection, queue: &Queue, limit: Duration) -> QueueReport {
    let mut report = inspect_queue(&connection, queue, limit).await;
    let channels = [connection.side_channel(), connection.side_channel()];
    // Dropped after the connection is closed: dropping a channel makes the library close it.
    let mut opened = Vec::new();
    let publishing = publish(channels, &mut opened, &mut report.write);
    let publishing = tokio::time::timeout(limit, publishing);
    let stopped = tokio::select! {
        published = publishing => published.map_err(|_| Kind::Timeout.error(format!("the broker did not confirm a message within {}", duration(limit)))),
        blocked = blocked(&mut connection) => blocked.map(|reason| report.blocked = Some(reason)),
    };
    if let Err(error) = stopped {
        report.write.get_or_insert(Err(error));
    }
    if report.blocked.is_none() {
        close(connection).await;
    }
    report
}

/// Closes a connection in order, or cuts it if that takes too long.
pub async fn close(connection: Connection) {
    // A failure makes no difference: the connection ends in any case.
    let _ = connection.close(CLOSE_TIMEOUT).await;
}

/// Examines the queue, on separate channels, since the broker closes a channel on which it refuses something.
async fn inspect_queue(connection: &Connection, queue: &Queue, limit: Duration) -> QueueReport {
    let check = presence::check(
        connection.channels(),
        queue.name.as_str().into(),
        presence::AGREEMENT,
        Some(Instant::now() + limit),
    );
    let mut report = QueueReport {
        queue: check.await,
        declaration: None,
        read: None,
        write: None,
        blocked: None,
        broker: connection.broker_version(),
    };
    if report.queue.is_ok() {
        let read = async {
            let (channel, _) = connection.side_channel().await?;
            channel.may_consume(&queue.name).await
        };
        report.declaration = Some(declaration::read(connection, queue).await);
        if STRICT.contains(&report.broker.0.as_str()) {
            report.read = Some(read.await);
        }
    }
    report
}

/// Publishes an unroutable message; completes once the broker reads beyond it.
async fn publish(
    [channel, another]: [impl Future<Output = Opened>; 2],
    opened: &mut Vec<Channel>,
    outcome: &mut Option<Result<(), Error>>,
) {
    let publish = async {
        let (channel, mut mailbox) = channel.await?;
        opened.push(channel.clone());
        channel.confirm_select().await?;
        let nowhere = format!("fibrpc.doctor.{}", random_id());
        channel.publish(&nowhere, true, &Message::default())?;
        loop {
            match mailbox.next().await {
                Arrival::Confirmed { .. } => return Ok(()),
                Arrival::Failed(error) => return Err(error),
                _ => {}
            }
        }
    };
    *outcome = Some(publish.await);
    // Any answer shows that the broker reads; whether the channel opens does not matter.
    opened.extend(another.await.ok().map(|(channel, _)| channel));
}

/// Completes when the broker blocks the connection, with its reason, or when the connection is lost.
async fn blocked(connection: &mut Connection) -> Result<String, Error> {
    loop {
        match connection.event().await {
            ConnectionEvent::Blocked(reason) => return Ok(reason),
            ConnectionEvent::Unblocked => {}
            ConnectionEvent::Failed(error) => return Err(error),
        }
    }
}
