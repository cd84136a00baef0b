//! The AMQP library's side of a link: its end of the stream, and the runtime that it is given, which is
//! tokio's but for the connections.

use super::{Ending, Link};
use lapin::ErrorKind;
use lapin::protocol::AMQPError;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long after the end of a connection the library may still say what it makes of it.
const LAST_WORDS: Duration = Duration::from_millis(100);

impl Link {
    /// Waits for an operation of the library, but hardly longer than the connection lives: the library
    /// tells of the end those who wait for an answer, and forgets those who ask in the moment of it.
    pub(in crate::broker) async fn or_ended<T>(
        &self,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> lapin::Result<T> {
        let ended = async {
            self.0.over.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            biased;
            done = operation => done,
            () = ended => Err(self.end_for_library().into()),
        }
    }

    fn end_for_library(&self) -> ErrorKind {
        let state = self.state();
        let closed = state.closed.as_ref();
        let closed =
            closed.and_then(|closed| AMQPError::from_id(closed.code, (*closed.text).into()));
        match (closed, &state.ended) {
            (Some(closed), _) => ErrorKind::ProtocolError(closed),
            (None, Some(ended)) => ErrorKind::IOError(aborted(ended).into()),
            (None, None) => {
                ErrorKind::IOError(io::Error::from(io::ErrorKind::ConnectionAborted).into())
            }
        }
    }
}

/// What the AMQP library reads from and writes to. Dropped, it lets the connection end once all that the
/// library has said is out.
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
            if let Some(ended) = &state.ended {
                return Poll::Ready(Err(aborted(ended)));
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
        let mut state = self.0.state();
        if let Some(ended) = &state.ended {
            return Poll::Ready(Err(aborted(ended)));
        }
        // Taken without a bound: the library says little, and waits for an answer to most of it.
        state.begun.extend_from_slice(bytes);
        state.take_whole_frames();
        if state.login_is_futile() {
            // None of it is to go out.
            state.outbound.clear();
            drop(state);
            self.0.end_for_futile_login();
            return Poll::Ready(Ok(bytes.len()));
        }
        state.wake_pump();
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

fn aborted(ended: &Ending) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, ended.cause())
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

    /// After it all that has arrived is read: the library sleeps in order to see then whether the broker
    /// has been silent for too long, and a process that was stopped meanwhile has not listened.
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
