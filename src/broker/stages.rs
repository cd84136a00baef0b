//! The way to a broker, stage by stage, for a look at where it ends: what [`Connection::open`] tells an observer, and
//! what it does not have to know (addresses that it did not need, objections that it did not hear).
//!
//! [`Connection::open`]: super::Connection::open_observed

pub use super::tls::Peer;

use super::certificate::Certificate;
use super::error::{Error, Kind};
use super::{tls, transport};
use crate::config::{BrokerUrl, Shortage, Tls};
use futures_util::future::join_all;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// How long a broker may take to object to our certificate.
const OBJECTION_LIMIT: Duration = Duration::from_secs(1);

/// How an address took a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dial {
    /// It did, within this time.
    Connected(Duration),
    /// Nothing listens there, or a firewall says so.
    Refused,
    /// No answer at all within the limit.
    Silent(Duration),
    /// This machine is short of something, and did not try.
    Short(Shortage),
    /// Anything else, such as no route to that network.
    Failed(String),
}

/// A TCP connection.
#[derive(Debug)]
pub struct Socket(TcpStream);

/// The name lookup.
pub async fn resolve(url: &BrokerUrl, limit: Duration) -> Result<Vec<SocketAddr>, Error> {
    timeout(limit, transport::resolve(url))
        .await
        .unwrap_or_else(|_| {
            Err(Error::new(
                Kind::Timeout,
                format!(
                    "cannot find the address of broker {}: no answer from the name service within \
                     {limit:?}; check /etc/resolv.conf and the network",
                    url.host
                ),
            ))
        })
}

/// Connects to all addresses at once: how each one took it, and the connection to the first that did.
pub async fn dial(
    addresses: &[SocketAddr],
    limit: Duration,
) -> (Vec<(SocketAddr, Dial)>, Option<Socket>) {
    let dials = addresses.iter().map(|address| async move {
        let began = Instant::now();
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => (Dial::Connected(began.elapsed()), Some(Socket(stream))),
            Ok(Err(error)) => (failed(&error, limit), None),
            Err(_) => (Dial::Silent(limit), None),
        }
    });
    let (dials, sockets): (Vec<_>, Vec<_>) = join_all(dials).await.into_iter().unzip();
    let dials = addresses.iter().copied().zip(dials).collect();
    (dials, sockets.into_iter().flatten().next())
}

fn failed(error: &io::Error, limit: Duration) -> Dial {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Dial::Refused,
        io::ErrorKind::TimedOut => Dial::Silent(limit),
        _ => Shortage::of(error).map_or_else(|| Dial::Failed(error.to_string()), Dial::Short),
    }
}

/// The TLS handshake.
pub async fn secure(
    socket: Socket,
    url: &BrokerUrl,
    settings: &Tls,
    limit: Duration,
) -> Result<Peer, Error> {
    let stream = handshake(socket, url, settings, limit).await?;
    Ok(Peer::of(&stream))
}

/// What the broker says against us after a TLS handshake that went well: with TLS 1.3 it judges our certificate
/// only then, and the AMQP handshake may see no more of that than a lost connection.
pub async fn objection(
    socket: Socket,
    url: &BrokerUrl,
    settings: &Tls,
    limit: Duration,
) -> Option<Error> {
    let mut stream = handshake(socket, url, settings, limit).await.ok()?;
    // A broker without an objection waits for us to speak.
    let heard = timeout(limit.min(OBJECTION_LIMIT), stream.read_u8())
        .await
        .ok()?;
    let error = heard.err()?;
    Some(tls::refused(url, settings, tls::within(&error)?))
}

async fn handshake(
    socket: Socket,
    url: &BrokerUrl,
    settings: &Tls,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, Error> {
    let handshake = timeout(limit, tls::handshake(socket.0, url, settings)).await;
    handshake.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Timeout,
            format!(
                "TLS with broker {} failed: no answer to the handshake within {limit:?}; is that a port for TLS?",
                url.address()
            ),
        ))
    })
}

/// The certificate with which we log in, where there is one.
pub fn own_certificate(settings: &Tls) -> Result<Option<Certificate>, Error> {
    tls::own_certificate(settings)
}
