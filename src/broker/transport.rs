//! The byte stream under the AMQP library: TCP or TLS, a kill switch, byte counters, the guard.
//!
//! [`open`] makes one, [`Transport`] is what the library reads and writes, [`KillSwitch`] ends both
//! from outside: every pending operation on the connection then fails at once, and the library's
//! thread for it ends. [`Runtime`] is what the library needs to accept a stream that is not its own.

use super::connection::FRAME_MAX;
use super::guard::{Inbound, Limits, Outbound, Step};
use super::tls;
use super::{Error, Kind};
use crate::config::{self, BrokerUrl, Scheme};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How long one address has a head start over the next one (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Ends a connection from outside, whatever it is waiting for.
#[derive(Debug, Clone, Default)]
pub(super) struct KillSwitch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    killed: AtomicBool,
    /// Who waits to read, and who waits to write.
    waiting: Mutex<[Option<Waker>; 2]>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Whether a reply to a raw correlation id was ever published here: the guard then looks for it.
    raw_ids: Arc<AtomicBool>,
    /// What the broker closed the connection with: code and text.
    closed: OnceLock<(u16, String)>,
    /// The first bytes the broker sent, until its name and version were read from them.
    greeting: Mutex<Vec<u8>>,
}

const READ: usize = 0;
const WRITE: usize = 1;
/// As much of the broker's first frame as is kept to read its name and version from.
const GREETING: usize = 4096;

impl KillSwitch {
    /// Pulls it.
    pub(super) fn kill(&self) {
        self.0.killed.store(true, Ordering::SeqCst);
        for waker in self.0.waiting().iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }

    /// From now on replies may carry a correlation id that is not text.
    pub(super) fn allow_raw_ids(&self) {
        self.0.raw_ids.store(true, Ordering::Relaxed);
    }

    /// Bytes read and written so far, as the AMQP library saw them.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (
            self.0.bytes_in.load(Ordering::Relaxed),
            self.0.bytes_out.load(Ordering::Relaxed),
        )
    }

    /// The code and text with which the broker closed the connection, if it did.
    pub(super) fn closed(&self) -> Option<&(u16, String)> {
        self.0.closed.get()
    }

    /// A text entry of the server properties that the broker opened the conversation with.
    pub(super) fn server_property(&self, name: &str) -> Option<String> {
        let greeting = self
            .0
            .greeting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut entry = vec![u8::try_from(name.len()).ok()?];
        entry.extend_from_slice(name.as_bytes());
        entry.push(b'S');
        let at = greeting
            .windows(entry.len())
            .position(|window| window == entry)?
            + entry.len();
        let (length, rest) = greeting.get(at..)?.split_first_chunk::<4>()?;
        let value = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// What the peer does in place of AMQP 0-9-1, where its first bytes show that. AMQP begins with a
    /// method frame, whose type is 1.
    pub(super) fn stranger(&self) -> Option<&'static str> {
        let greeting = self
            .0
            .greeting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match greeting.as_slice() {
            [] | [1, ..] => None,
            [b'A', b'M', b'Q', b'P', ..] => Some("speaks another version of AMQP"),
            [b'H', b'T', b'T', b'P', ..] | [b'<', ..] => Some("is a web server"),
            [0x15, 3, ..] => Some("speaks TLS"),
            _ => Some("does not speak AMQP"),
        }
    }

    /// Fails once the switch was pulled; else remembers whom to wake when it is.
    fn watch(&self, side: usize, context: &Context<'_>) -> io::Result<()> {
        if !self.0.killed.load(Ordering::SeqCst) {
            let mut waiting = self.0.waiting();
            match &mut waiting[side] {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
        }
        // Asked again after the waker is in place, so that a kill in between is not missed.
        if self.0.killed.load(Ordering::SeqCst) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was cut",
            ));
        }
        Ok(())
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to the broker, with TLS where the URL says so. The caller bounds the time.
pub(super) async fn open(
    url: &BrokerUrl,
    settings: &config::Broker,
    max_body: Option<u64>,
    switch: &KillSwitch,
) -> Result<Transport, Error> {
    let tcp = connect(url).await?;
    tune(&tcp, settings.heartbeat).map_err(|error| {
        Error::new(
            Kind::Unreachable,
            format!("cannot set up the socket: {error}"),
        )
    })?;
    let stream = match url.scheme {
        Scheme::Amqp => Stream::Plain(tcp),
        Scheme::Amqps => Stream::Tls(Box::new(tls::handshake(tcp, url, &settings.tls).await?)),
    };
    let limits = Limits {
        max_body,
        frame_max: FRAME_MAX as usize,
    };
    Ok(Transport {
        stream,
        switch: switch.clone(),
        greeted: false,
        blocked: false,
        patience: patience(settings.heartbeat),
        inbound: Inbound::new(limits),
        outbound: Outbound::new(switch.0.raw_ids.clone()),
    })
}

/// The addresses of the broker, in the order of trying them.
pub(super) async fn resolve(url: &BrokerUrl) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let found = found.map_err(|error| {
        Error::new(
            Kind::Unreachable,
            format!(
                "cannot find the address of broker {}: {error}; check broker.url",
                url.host
            ),
        )
    })?;
    Ok(found.collect())
}

/// The first address that answers; each next one is tried when the one before has failed, or has not
/// answered within its head start.
async fn connect(url: &BrokerUrl) -> Result<TcpStream, Error> {
    let address = url.address();
    let mut addresses = resolve(url).await?.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = None;
    loop {
        match addresses.next() {
            Some(next) => attempts.push(TcpStream::connect(next)),
            None if attempts.is_empty() => break,
            None => {}
        }
        let more = addresses.len() > 0;
        let head_start = tokio::time::sleep(HEAD_START);
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            },
            () = head_start, if more => {}
        }
    }
    let (cause, cure) = match last {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => (
            "connection refused".to_owned(),
            "; is rabbitmq-server running there?",
        ),
        Some(error) => (error.to_string(), ""),
        None => ("the name has no address".to_owned(), "; check broker.url"),
    };
    Err(Error::new(
        Kind::Unreachable,
        format!("cannot reach broker {address}: {cause}{cure}"),
    ))
}

/// Small frames go out at once; a dead peer is noticed by the kernel too, not by heartbeats alone.
fn tune(tcp: &TcpStream, heartbeat: Duration) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_nodelay(true)?;
    let interval = heartbeat.max(Duration::from_secs(1));
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

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(bytes);
        ready!(match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, &mut buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
        }
    }
}

/// What the AMQP library reads from and writes to.
#[derive(Debug)]
pub(super) struct Transport {
    stream: Stream,
    switch: KillSwitch,
    /// Whether the greeting is complete.
    greeted: bool,
    /// Whether the broker has said that it reads no more.
    blocked: bool,
    /// How long the broker may take nothing of what is sent, unless it has said so.
    patience: Duration,
    inbound: Inbound,
    outbound: Outbound,
}

impl Transport {
    /// Writes what the guard took over.
    fn poll_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbound.pending().is_empty() {
            let pending = self.outbound.pending();
            let written = ready!(self.stream.poll_write(context, pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbound.sent(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Acts on what the guard saw pass.
    fn observe(&mut self) {
        if let Some(closed) = self.inbound.closed() {
            // Only the first one counts, and there is none after it.
            let _ = self.switch.0.closed.set(closed.clone());
        }
        let blocked = self.inbound.blocked();
        if blocked != self.blocked {
            self.blocked = blocked;
            // The kernel ends a connection whose peer is alive and takes nothing for so long, which
            // is what a blocked broker does. Should it die meanwhile, heartbeats tell.
            let limit = (!blocked).then_some(self.patience);
            let _ = SockRef::from(self.stream.tcp()).set_tcp_user_timeout(limit);
        }
    }

    fn greet(&mut self, bytes: &[u8]) {
        let mut greeting = self
            .switch
            .0
            .greeting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let room = GREETING - greeting.len().min(GREETING);
        greeting.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // Type, channel, then the payload's size: complete once all of the first frame is here.
        let complete = greeting
            .get(3..7)
            .and_then(|size| size.try_into().ok())
            .is_some_and(|size: [u8; 4]| {
                greeting.len() >= 8 + usize::try_from(u32::from_be_bytes(size)).unwrap_or(0)
            });
        self.greeted = complete || greeting.len() >= GREETING;
    }
}

impl futures_io::AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.switch.watch(READ, context)?;
        loop {
            let finished = this.inbound.drain(bytes);
            if finished > 0 {
                this.observe();
                return Poll::Ready(Ok(finished));
            }
            let room = this.inbound.room(bytes.len());
            let read = ready!(this.stream.poll_read(context, &mut bytes[room..]))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            this.switch
                .0
                .bytes_in
                .fetch_add(read as u64, Ordering::Relaxed);
            if !this.greeted {
                this.greet(&bytes[room..room + read]);
            }
            let passed = this.inbound.filter(&mut bytes[..room + read], room);
            this.observe();
            if passed > 0 {
                return Poll::Ready(Ok(passed));
            }
        }
    }
}

impl futures_io::AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.switch.watch(WRITE, context)?;
        ready!(this.poll_own(context))?;
        let written = match this.outbound.scan(bytes) {
            Step::Write(length) => {
                let written = ready!(this.stream.poll_write(context, &bytes[..length]))?;
                this.outbound.advance(&bytes[..written]);
                written
            }
            Step::Take(length) => length,
        };
        this.switch
            .0
            .bytes_out
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.switch.watch(WRITE, context)?;
        ready!(this.poll_own(context))?;
        this.stream.poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Asked by the library's thread when all is over: what is cut needs no goodbye.
        if this.switch.watch(WRITE, context).is_err() {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_own(context))?;
        this.stream.poll_shutdown(context)
    }
}

/// Timers and sockets for the AMQP library, from tokio; it never opens a connection itself.
#[derive(Debug, Clone)]
pub(super) struct Reactor(async_rs::Tokio);

/// The runtime that the AMQP library gets: tokio's executor, our reactor.
pub(super) type Runtime = async_rs::Runtime<async_rs::util::RuntimeParts<async_rs::Tokio, Reactor>>;

/// The AMQP library's view of the current tokio runtime.
pub(super) fn runtime() -> Runtime {
    let tokio = async_rs::Tokio::current();
    async_rs::Runtime::new(async_rs::util::RuntimeParts::new(
        tokio.clone(),
        Reactor(tokio),
    ))
}

impl async_rs::traits::Reactor for Reactor {
    type TcpStream = Transport;
    type Sleep = tokio::time::Sleep;

    fn register<
        H: io::Read + io::Write + std::os::fd::AsFd + std::os::fd::AsRawFd + Send + 'static,
    >(
        &self,
        socket: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        period: Duration,
    ) -> impl futures_core::Stream<Item = Instant> + Send + 'static {
        self.0.interval(period)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Transport>> + Send + 'static {
        std::future::ready(Err(io::Error::other(
            "connections are opened by fibrpc alone",
        )))
    }
}
