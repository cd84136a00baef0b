//! Sockets to the broker: name lookup, TCP, TLS, and socket options.

use super::error::{Error, Kind};
use super::handshake;
use super::stages::{Dial, Observer, Stage};
use super::tls;
use crate::config::{self, BrokerUrl, Scheme, Shortage};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// How long one address has a head start over the next one (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the broker, with TLS if the URL says so. The caller bounds the time.
pub(super) async fn open(
    url: &BrokerUrl,
    settings: &config::Broker,
    observe: Observer<'_>,
) -> Result<Stream, Error> {
    let addresses = resolve(url).await?;
    observe(Stage::Resolved(addresses.clone()));
    let tcp = connect(url, settings, addresses, observe).await?;
    observe(Stage::Connected);
    tune(&tcp, settings.heartbeat)
        .map_err(|error| Kind::Unreachable.error(format!("cannot set up the socket: {error}")))?;
    let inner = match url.scheme {
        Scheme::Amqp => Either::Left(tcp),
        Scheme::Amqps => {
            let (stream, peer) = tls::handshake(tcp, url, &settings.tls).await?;
            observe(Stage::Secured(peer));
            Either::Right(Box::new(stream))
        }
    };
    Ok(Stream {
        inner,
        patience: patience(settings.heartbeat),
    })
}

/// The addresses of the broker, in the order of trying them.
async fn resolve(url: &BrokerUrl) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let found = found.map_err(|error| {
        let what = format!("cannot find the address of broker {}", url.host);
        // The resolver takes a file that it cannot open for one that does not hold the name.
        let shortage =
            Shortage::of(&error).or_else(|| Shortage::of(&std::fs::File::open("/dev/null").err()?));
        match shortage {
            Some(shortage) => Error::short_of(&what, shortage),
            None => Kind::Unreachable.error(format!("{what}: {error}; check broker.url")),
        }
    })?;
    Ok(found.collect())
}

/// The first address that answers; each next one is tried when the one before has failed, or has not
/// answered within its head start.
async fn connect(
    url: &BrokerUrl,
    settings: &config::Broker,
    addresses: Vec<SocketAddr>,
    observe: Observer<'_>,
) -> Result<TcpStream, Error> {
    let address = url.address();
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = None;
    loop {
        match addresses.next() {
            Some(next) => attempts.push(async move {
                let began = Instant::now();
                let dialled = TcpStream::connect(next).await;
                (next, Dial::of(&dialled, began.elapsed()), dialled)
            }),
            None if attempts.is_empty() => break,
            None => {}
        }
        let more = addresses.len() > 0;
        let head_start = tokio::time::sleep(HEAD_START);
        tokio::select! {
            Some((address, dial, dialled)) = attempts.next() => {
                observe(Stage::Dialled(address, dial));
                match dialled {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = Some(error),
                }
            }
            () = head_start, if more => {}
        }
    }
    let what = format!("cannot reach broker {address}");
    if let Some(shortage) = last.as_ref().and_then(Shortage::of) {
        return Err(Error::short_of(&what, shortage));
    }
    let (cause, hint) = match last {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => (
            "connection refused".to_owned(),
            "; is rabbitmq-server running there?",
        ),
        // It was accepted first.
        Some(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err(handshake::before_any_data(url, settings, handshake::CLOSED));
        }
        Some(error) => (error.to_string(), ""),
        None => ("the name has no address".to_owned(), "; check broker.url"),
    };
    Err(Kind::Unreachable.error(format!("{what}: {cause}{hint}")))
}

/// The longest interval of keepalives that Linux takes (tcp(7): `MAX_TCP_KEEPIDLE`).
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// Sends small frames at once, and lets the kernel notice a dead peer, in addition to heartbeats.
fn tune(tcp: &TcpStream, heartbeat: Duration) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_nodelay(true)?;
    let interval = heartbeat.clamp(Duration::from_secs(1), MAX_KEEPALIVE);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(interval)
            .with_interval(interval),
    )?;
    socket.set_tcp_user_timeout(Some(patience(heartbeat)))
}

/// Two heartbeats, as for silence.
fn patience(heartbeat: Duration) -> Duration {
    heartbeat.max(Duration::from_secs(1)) * 2
}

/// A socket to the broker, in cleartext or encrypted.
#[derive(Debug)]
pub(super) struct Stream {
    inner: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    /// How long the broker may accept no data, unless the connection is blocked.
    patience: Duration,
}

impl Stream {
    #[cfg(test)]
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self {
            inner: Either::Left(tcp),
            patience: Duration::MAX,
        }
    }

    /// Whether the broker is expected to read. The kernel ends a connection whose peer is alive but reads nothing for
    /// `patience`, as a broker does that blocks the connection; if such a broker dies, heartbeats show it.
    pub(super) fn expect_progress(&self, expected: bool) {
        // Best effort: without it, heartbeats show it later.
        let _ = SockRef::from(self.tcp()).set_tcp_user_timeout(expected.then_some(self.patience));
    }

    /// How many bytes have arrived and were not read, as the kernel knows.
    pub(super) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(self.tcp()).unwrap_or(0)
    }

    fn tcp(&self) -> &TcpStream {
        match &self.inner {
            Either::Left(tcp) => tcp,
            Either::Right(tls) => tls.get_ref().0,
        }
    }

    /// Reads some bytes; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(bytes);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes some bytes.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    /// Sends what encryption holds back.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }
}
