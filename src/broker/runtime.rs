//! The runtime that the AMQP library is given: tokio's, but for the connections, which are ours.

use super::link::LibraryEnd;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

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
    type TcpStream = LibraryEnd;
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
    ) -> impl Future<Output = io::Result<LibraryEnd>> + Send + 'static {
        std::future::ready(Err(io::Error::other(
            "connections are opened by fibrpc alone",
        )))
    }
}
