//! Connecting, stage by stage, for diagnosis: what [`Connection::open_observed`] reports, and what an open connection
//! does not need to know (the addresses that it did not try, a broker's late objection to our certificate).
//!
//! [`Connection::open_observed`]: super::Connection::open_observed

#[cfg(feature = "process")]
pub use super::tls::certificate::Certificate;
pub use super::tls::{Peer, own_certificate};

use super::error::Error;
use super::tls;
use crate::config::{BrokerUrl, Shortage, Tls};
use futures_util::future::join_all;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a broker may take to object to our certificate.
const OBJECTION_LIMIT: Duration = Duration::from_secs(1);

/// The outcome of a TCP connection to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dial {
    /// It was accepted, within this time.
    Connected(Duration),
    /// It was refused: nothing listens there, or a firewall pretends that.
    Refused,
    /// There was no answer within this time.
    Silent(Duration),
    /// This machine is short of a resource and did not try.
    Short(Shortage),
    /// Anything else, such as no route to that network.
    Failed(String),
}

/// A completed stage of [`Connection::open_observed`](super::Connection::open_observed).
#[derive(Debug)]
pub enum Stage {
    /// The password was read, if the login uses one.
    Prepared,
    /// The broker's name was resolved.
    Resolved(Vec<SocketAddr>),
    /// The outcome of a TCP connection to an address. Not reported: addresses that were not needed, and those without an
    /// answer by then.
    Dialled(SocketAddr, Dial),
    /// One of the TCP connections is used.
    Connected,
    /// The TLS handshake is done.
    Secured(Peer),
}

/// Called with each stage.
pub(super) type Observer<'a> = &'a mut (dyn FnMut(Stage) + Send);

/// A TCP connection.
#[derive(Debug)]
pub struct Socket(TcpStream);

/// Connects to all these addresses at once: each outcome, and the connection to the first in the list that accepted.
pub async fn dial(
    addresses: &[SocketAddr],
    limit: Duration,
) -> (Vec<(SocketAddr, Dial)>, Option<Socket>) {
    let dials = addresses.iter().map(|address| async move {
        let began = Instant::now();
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(dialled) => {
                let dial = Dial::of(&dialled, began.elapsed());
                (dial, dialled.ok().map(Socket))
            }
            Err(_) => (Dial::Silent(limit), None),
        }
    });
    let (dials, sockets): (Vec<_>, Vec<_>) = join_all(dials).await.into_iter().unzip();
    let dials = addresses.iter().copied().zip(dials).collect();
    (dials, sockets.into_iter().flatten().next())
}

impl Dial {
    /// The outcome of an attempt `after` this time.
    pub(super) fn of(dialled: &io::Result<TcpStream>, after: Duration) -> Self {
        match dialled {
            Ok(_) => Self::Connected(after),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Self::Refused,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Self::Silent(after),
            Err(error) => {
                Shortage::of(error).map_or_else(|| Self::Failed(error.to_string()), Self::Short)
            }
        }
    }
}

/// The broker's objection to our certificate, which with TLS 1.3 follows a handshake that looks successful. The AMQP
/// handshake may see no more of it than a lost connection.
pub async fn objection(
    socket: Socket,
    url: &BrokerUrl,
    settings: &Tls,
    limit: Duration,
) -> Option<Error> {
    let handshake = timeout(limit, tls::handshake(socket.0, url, settings));
    let (mut stream, _) = handshake.await.ok()?.ok()?;
    // A broker without an objection waits for our protocol header.
    let heard = timeout(limit.min(OBJECTION_LIMIT), stream.read_u8())
        .await
        .ok()?;
    let error = heard.err()?;
    Some(tls::refused(url, settings, tls::within(&error)?))
}
