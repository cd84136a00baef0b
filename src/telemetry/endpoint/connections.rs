//! The endpoint's connections: at most four, each for one request and at most a second.
//!
//! A connection that is one too many takes the place of the oldest. A scraper sends its request at once, and is answered at
//! once, so that those who keep connections open and say nothing only drive out each other.

use super::listener::Listener;
use super::pages::Pages;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

/// How many connections there are at once.
const MAX_OPEN: usize = 4;

/// How long a connection lasts at most.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The most that is read of a request: its line and its headers, in bytes.
const MAX_HEAD: usize = 8 << 10;

/// The most that is read and discarded after a response, in bytes.
const MAX_REST: usize = 64 << 10;

/// How long to wait after a failure to accept, which would persist: no descriptors or no memory are left.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection at work.
type Conversation = Pin<Box<dyn Future<Output = ()>>>;

/// Answers all connections, without end.
pub(super) async fn serve(listener: &Listener, pages: &Rc<Pages>) {
    let mut open = VecDeque::with_capacity(MAX_OPEN);
    loop {
        match meanwhile(&mut open, |context| accept(listener, pages, context)).await {
            Ok(conversation) => {
                if open.len() == MAX_OPEN {
                    open.pop_front();
                }
                open.push_back(conversation);
                // Only then does the runtime know what this connection has received: a request that came with it is
                // answered before the next connection can take its place.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::debug!("telemetry: cannot accept a connection: {error}");
                let mut pause = pin!(sleep(PAUSE));
                meanwhile(&mut open, |context| pause.as_mut().poll(context)).await;
            }
        }
    }
}

/// Serves the connections until something else is ready.
async fn meanwhile<T>(
    open: &mut VecDeque<Conversation>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> T {
    poll_fn(|context| {
        open.retain_mut(|conversation| conversation.as_mut().poll(context).is_pending());
        poll(context)
    })
    .await
}

fn accept(
    listener: &Listener,
    pages: &Rc<Pages>,
    context: &mut Context<'_>,
) -> Poll<std::io::Result<Conversation>> {
    match listener {
        Listener::Tcp(tcp) => tcp
            .poll_accept(context)
            .map_ok(|(stream, _)| conversation(stream, pages)),
        Listener::Unix(unix, _) => unix
            .poll_accept(context)
            .map_ok(|(stream, _)| conversation(stream, pages)),
    }
}

fn conversation(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    pages: &Rc<Pages>,
) -> Conversation {
    let pages = pages.clone();
    Box::pin(async move {
        // Whatever went wrong, the connection is closed, and nobody else is concerned.
        let _ = timeout(MAX_AGE, converse(stream, &pages)).await;
    })
}

/// Answers one request.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, pages: &Pages) {
    let service = service_fn(|request| ready(Ok::<_, Infallible>(pages.respond(&request))));
    let mut connection = http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // A malformed request was answered, too.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    // If something is left unread when a connection is closed, the peer may lose the response.
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(MAX_REST as u64);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }
}
