//! One connection's bytes: who reads and writes them, and what they mean to whom.
//!
//! [`Link`] is the shared state; the session writes messages into it, the AMQP library reads and writes its
//! part of the conversation through [`LibraryEnd`], and [`Pump`], a task of the connection's own, moves all
//! of it through the socket. So a message crosses no thread: what the socket brings is read, split by the
//! [`Guard`] and put into the [`Letterbox`]es in one go, and what a session publishes goes out with the next
//! write, however many messages that are.
//!
//! Promises: frames go out whole and in the order in which they were written; once the link has ended, by a
//! fault, by the peer, or by [`Link::kill`], everybody who waits on it knows at once.

use super::codec::frame::{A_HEARTBEAT, Head};
use super::codec::method::{self, Reason};
use super::guard::{Broken, Guard, Intake};
use super::inbox::{Arrival, Inbox, Letterbox};
use super::transport::Stream;
use super::{Error, Kind};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// The protocol header, which the library sends before its first frame, in bytes.
const PROTOCOL_HEADER: u64 = 8;

/// As much as is read at once, in bytes.
const READ: usize = 64 * 1024;

/// The largest buffer that is kept for the next write, in bytes.
const KEEP: usize = 256 * 1024;

/// The library has to hear of life on the connection this often, or it takes it for dead.
const WORD_OF_LIFE: Duration = Duration::from_millis(500);

/// The shared state of a connection. All clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `host:port`, for messages.
    address: String,
    state: Mutex<State>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Whole frames for the socket.
    outbound: Vec<u8>,
    /// What the library has written of a frame that is not whole yet.
    begun: Vec<u8>,
    /// Whether the library has sent the protocol header.
    greeted: bool,
    /// For the library to read, from `inbound_at` on.
    inbound: Vec<u8>,
    inbound_at: usize,
    letterboxes: HashMap<u16, Arc<Letterbox>>,
    server_properties: Vec<u8>,
    closed: Option<Reason>,
    ended: Option<Ended>,
    /// The library has let go of its end: what it has said is to go out, and the connection ends.
    library_gone: bool,
    /// Who waits to write to the socket, and who to read from the library's end.
    pump: Option<Waker>,
    reader: Option<Waker>,
}

/// Why a connection has ended.
#[derive(Debug, Clone)]
struct Ended {
    kind: Kind,
    cause: String,
}

impl Link {
    /// The link of a connection to `address` that begins now.
    pub(super) fn new(address: String) -> Self {
        Self(Arc::new(Shared {
            address,
            state: Mutex::default(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }))
    }

    /// Ends the connection, whatever it is waiting for. The socket is closed as soon as the pump sees it.
    pub(super) fn kill(&self) {
        self.end(Kind::Lost, "it was cut".into());
    }

    /// Why the connection has ended or ends: because the broker closed it, or of what happened to it.
    pub(super) fn failure(&self) -> Option<Error> {
        let state = self.state();
        let closed = state.closed.as_ref().map(|reason| self.closing(reason));
        closed.or_else(|| state.ended.as_ref().map(|ended| self.lost(ended)))
    }

    /// A text of the properties that the broker opened the conversation with.
    pub(super) fn server_property(&self, name: &str) -> Option<String> {
        method::server_property(&self.state().server_properties, name)
    }

    /// Bytes read and written so far.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let [received, sent] = [&self.0.bytes_in, &self.0.bytes_out];
        (
            received.load(Ordering::Relaxed),
            sent.load(Ordering::Relaxed),
        )
    }

    /// The inbox of a channel that was just opened.
    pub(super) fn inbox(&self, channel: u16) -> Inbox {
        let letterbox = Arc::new(Letterbox::default());
        let mut state = self.state();
        if let Some(ended) = &state.ended {
            letterbox.put(Arrival::Failed(self.lost(ended)));
        }
        state.letterboxes.insert(channel, Arc::clone(&letterbox));
        Inbox::new(letterbox)
    }

    /// Adds whole frames, which `append` writes, to what goes out; gives back what `append` does. Where the
    /// connection has ended, they go nowhere.
    pub(super) fn write<T>(&self, append: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = self.state();
        let appended = append(&mut state.outbound);
        state.wake_pump();
        appended
    }

    fn closing(&self, reason: &Reason) -> Error {
        let what = format!("connection to {} lost", self.0.address);
        Error::closed(&what, reason.code, &reason.text)
    }

    fn lost(&self, ended: &Ended) -> Error {
        let message = format!("connection to {} lost: {}", self.0.address, ended.cause);
        Error::new(ended.kind, message)
    }

    /// Ends the link, if nothing has ended it before.
    fn end(&self, kind: Kind, cause: String) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        let ended = Ended { kind, cause };
        state.fail_all(&self.lost(&ended));
        state.ended = Some(ended);
        state.outbound = Vec::new();
        state.wake_pump();
        state.wake_reader();
    }

    /// Hands on what a read has brought.
    fn deliver(&self, intake: &mut Intake) {
        let mut state = self.state();
        for (channel, arrival) in intake.arrivals.drain(..) {
            // A channel that nobody listens on any more may still be sent something.
            if let Some(letterbox) = state.letterboxes.get(&channel) {
                letterbox.put(arrival);
            }
        }
        if let Some(properties) = intake.server_properties.take() {
            state.server_properties = properties;
        }
        if !intake.library.is_empty() {
            let read = std::mem::take(&mut state.inbound_at);
            state.inbound.drain(..read);
            state.inbound.append(&mut intake.library);
            state.wake_reader();
        }
        if let Some(reason) = intake.closed.take() {
            state.fail_all(&self.closing(&reason));
            state.closed = Some(reason);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail_all(&self, error: &Error) {
        for letterbox in self.letterboxes.values() {
            letterbox.put(Arrival::Failed(error.clone()));
        }
    }

    fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Moves the whole frames at the front of what the library has begun to what goes out.
    fn take_whole_frames(&mut self) {
        let mut whole = 0;
        loop {
            let rest = &self.begun[whole..];
            let length = if self.greeted {
                Head::read(rest).map_or(u64::MAX, Head::total)
            } else {
                PROTOCOL_HEADER
            };
            match usize::try_from(length) {
                Ok(length) if length <= rest.len() => whole += length,
                _ => break,
            }
            self.greeted = true;
        }
        self.outbound.extend(self.begun.drain(..whole));
    }
}

/// What the AMQP library reads from and writes to. Dropped, it lets the connection end once all that the
/// library has said is out.
#[derive(Debug)]
pub(super) struct LibraryEnd(pub(super) Link);

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
            state.reader = Some(context.waker().clone());
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
        state.wake_pump();
    }
}

fn aborted(ended: &Ended) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, ended.cause.clone())
}

/// The task of a connection. It ends with the connection, and then the socket is closed.
#[derive(Debug)]
pub(super) struct Pump {
    link: Link,
    stream: Stream,
    guard: Guard,
    intake: Intake,
    buffer: Box<[u8]>,
    /// On its way out, from `sent` on.
    sending: Vec<u8>,
    sent: usize,
    /// When the library last read something.
    word: Instant,
}

impl Pump {
    /// The task that moves the bytes of `link` through `stream`.
    pub(super) fn new(link: Link, stream: Stream, guard: Guard) -> Self {
        Self {
            link,
            stream,
            guard,
            intake: Intake::default(),
            buffer: vec![0; READ].into(),
            sending: Vec::new(),
            sent: 0,
            word: Instant::now(),
        }
    }

    /// Writes and reads as much as the socket lets it. Ready once the connection has ended, and of what.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<(Kind, String)> {
        // Takes note of whom to wake before it looks whether there is something to do.
        let library_gone = {
            let mut state = self.link.state();
            if state.ended.is_some() {
                return Poll::Ready((Kind::Lost, String::new()));
            }
            state.pump = Some(context.waker().clone());
            state.library_gone
        };
        match self.write(context) {
            Poll::Ready(Err(error)) => return Poll::Ready((Kind::Lost, error.to_string())),
            Poll::Ready(Ok(())) if library_gone => {
                return Poll::Ready((Kind::Lost, "it was closed".into()));
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match ready!(self.read(context)) {
            Ok(Broken(what)) => Poll::Ready((Kind::Protocol, format!("the broker sent {what}"))),
            Err(error) => Poll::Ready((Kind::Lost, error.to_string())),
        }
    }

    /// Writes all there is. Ready once it is out.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.sent == self.sending.len() {
                self.sent = 0;
                self.sending.clear();
                if self.sending.capacity() > KEEP {
                    self.sending = Vec::new();
                }
                std::mem::swap(&mut self.sending, &mut self.link.state().outbound);
                if self.sending.is_empty() {
                    return self.stream.poll_flush(context);
                }
            }
            let rest = &self.sending[self.sent..];
            let written = ready!(self.stream.poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
            self.link
                .0
                .bytes_out
                .fetch_add(written as u64, Ordering::Relaxed);
        }
    }

    /// Reads until there is no more for now. Ready once there never will be.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Broken>> {
        loop {
            let read = ready!(self.stream.poll_read(context, &mut self.buffer))?;
            if read == 0 {
                let closed = "the broker closed it";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, closed)));
            }
            self.link
                .0
                .bytes_in
                .fetch_add(read as u64, Ordering::Relaxed);
            let taken = self.guard.take(&self.buffer[..read], &mut self.intake);
            self.give_word_of_life();
            if let Some(blocked) = self.intake.blocked.take() {
                self.stream.expect_progress(!blocked);
            }
            self.link.deliver(&mut self.intake);
            if let Err(broken) = taken {
                return Poll::Ready(Ok(broken));
            }
        }
    }

    /// Brokers send no heartbeats while they send other things, of which the library sees nothing.
    fn give_word_of_life(&mut self) {
        let now = Instant::now();
        if self.intake.library.is_empty() && now - self.word >= WORD_OF_LIFE {
            self.intake.library.extend_from_slice(&A_HEARTBEAT);
        }
        if !self.intake.library.is_empty() {
            self.word = now;
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (kind, cause) = ready!(self.turn(context));
        self.link.end(kind, cause);
        Poll::Ready(())
    }
}
