//! The AMQP library's side of a link: its end of the stream, the runtime that it is given (tokio's, except for
//! connections), and how its operations fail.

use super::state::Link;
use crate::broker::error::{Error, Kind};
use crate::text::safe;
use lapin::ErrorKind;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

impl Link {
    /// Waits for an operation of the library, but no longer than until the connection fails (`Err(None)`): the library
    /// may lose an operation that begins just then.
    pub(in crate::broker) async fn or_failed<T>(
        &self,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Option<lapin::Error>> {
        tokio::select! {
            biased;
            done = operation => done.map_err(Some),
            () = self.0.failed.cancelled() => Err(None),
        }
    }

    /// Why an operation on a channel failed: according to the reader, unless the library refused it by itself.
    pub(super) fn error(&self, what: &str, channel: u16, refusal: Option<lapin::Error>) -> Error {
        self.cause(what, channel).unwrap_or_else(|| {
            let cause = refusal.map_or_else(String::new, |error| refusal_text(&error));
            Kind::Lost.error(format!("{what}: {cause}"))
        })
    }
}

/// Why the library refused an operation, or gave up the connection, by itself.
pub(in crate::broker) fn refusal_text(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidChannelState(..) => "the channel is already closed".to_owned(),
        ErrorKind::InvalidConnectionState(_) => "the connection is already closed".to_owned(),
        _ => safe(&error.to_string()).into_owned(),
    }
}

/// The stream that the AMQP library reads from and writes to. When it is dropped, the connection ends once all that
/// the library has written is out.
#[derive(Debug)]
pub(in crate::broker) struct LibraryEnd(pub(in crate::broker) Link);

impl futures_io::AsyncRead for LibraryEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        let waiting = &state.inbound[state.inbound_at..];
        if waiting.is_empty() {
            if state.over {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            state.library = Some(context.waker().clone());
            (self.0.0.idle).send_modify(|idle| *idle = idle.saturating_add(1));
            return Poll::Pending;
        }
        let read = waiting.len().min(bytes.len());
        bytes[..read].copy_from_slice(&waiting[..read]);
        state.inbound_at += read;
        Poll::Ready(Ok(read))
    }
}

impl futures_io::AsyncWrite for LibraryEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.0.state().over {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.0.library_writes(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for LibraryEnd {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.library_gone = true;
        self.0.0.idle.send_replace(u64::MAX);
        state.wake_pump();
    }
}

/// Timers and sockets for the AMQP library, from tokio; it never opens a connection itself.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Reactor {
    tokio: async_rs::Tokio,
    link: Link,
}

/// The runtime that the AMQP library gets: tokio's executor, our reactor.
pub(in crate::broker) type Runtime =
    async_rs::Runtime<async_rs::util::RuntimeParts<async_rs::Tokio, Reactor>>;

/// The AMQP library's view of the current tokio runtime, on the connection of `link`.
pub(in crate::broker) fn runtime(link: Link) -> Runtime {
    let tokio = async_rs::Tokio::current();
    async_rs::Runtime::new(async_rs::util::RuntimeParts::new(
        tokio.clone(),
        Reactor { tokio, link },
    ))
}

impl async_rs::traits::Reactor for Reactor {
    type TcpStream = LibraryEnd;
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn register<
        H: io::Read + io::Write + std::os::fd::AsFd + std::os::fd::AsRawFd + Send + 'static,
    >(
        &self,
        socket: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        self.tokio.register(socket)
    }

    /// Afterwards, all that has arrived is read: the library sleeps before it checks whether the broker has been silent
    /// for too long, and a process that was stopped meanwhile has not read anything.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        let (sleep, link) = (self.tokio.sleep(duration), self.link.clone());
        Box::pin(async move {
            sleep.await;
            link.caught_up().await;
        })
    }

    fn interval(
        &self,
        period: Duration,
    ) -> impl futures_core::Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(period)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<LibraryEnd>> + Send + 'static {
        std::future::ready(Err(io::Error::other(
            "connections are opened by fibrpc alone",
        )))
    }
}
