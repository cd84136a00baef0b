//! The way to a broker, stage by stage, for a look at where it ends: what [`Connection::open`] tells an observer, and
//! what it does not have to know (addresses that it did not need, objections that it did not hear).
//!
//! [`Connection::open`]: super::Connection::open_observed

pub use super::tls::Peer;

use super::certificate::Certificate;
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

/// A stage that opening a connection has completed, told by
/// [`Connection::open_observed`](super::Connection::open_observed).
#[derive(Debug)]
pub enum Stage {
    /// What we log in with was read.
    Prepared,
    /// The broker's name was looked up.
    Resolved(Vec<SocketAddr>),
    /// How an address took a connection. Those that were not needed are left out, as are those without an answer by then.
    Dialled(SocketAddr, Dial),
    /// There is a TCP connection.
    Connected,
    /// The TLS handshake is done.
    Secured(Peer),
}

/// Called with each stage.
pub(super) type Observer<'a> = &'a mut (dyn FnMut(Stage) + Send);

/// A TCP connection.
#[derive(Debug)]
pub struct Socket(TcpStream);

/// Connects to all these addresses at once: how each one took it, and the connection to the first that did.
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
    /// What an attempt has come to `after` this time.
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

/// What the broker says against us after a TLS handshake that went well: with TLS 1.3 it judges our certificate
/// only then, and the AMQP handshake may see no more of that than a lost connection.
pub async fn objection(
    socket: Socket,
    url: &BrokerUrl,
    settings: &Tls,
    limit: Duration,
) -> Option<Error> {
    let handshake = timeout(limit, tls::handshake(socket.0, url, settings));
    let mut stream = handshake.await.ok()?.ok()?;
    // A broker without an objection waits for us to speak.
    let heard = timeout(limit.min(OBJECTION_LIMIT), stream.read_u8())
        .await
        .ok()?;
    let error = heard.err()?;
    Some(tls::refused(url, settings, tls::within(&error)?))
}

/// The certificate with which we log in, where there is one.
pub fn own_certificate(settings: &Tls) -> Result<Option<Certificate>, Error> {
    tls::own_certificate(settings)
}
