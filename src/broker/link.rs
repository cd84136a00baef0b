//! One connection's bytes: who reads and writes them, and what they mean to whom.
//!
//! [`Link`] is the shared state; sessions write messages into it, the AMQP library reads and writes its part
//! of the conversation through [`LibraryEnd`], and [`Pump`], a task of the connection's own, moves all of it
//! through the socket. So a message crosses no thread: what the socket brings is read, split by the
//! [guard](super::guard) and put into the [`Letterbox`]es in one go, and what a session publishes goes out with the next
//! write, however many messages that are.
//!
//! Promises: frames go out whole and in the order in which they were written; once the link has ended, by a
//! fault, by the peer, or by [`Link::kill`], everybody who waits on it knows at once.

mod caught_up;
mod library;
mod pump;

pub(super) use caught_up::within;
pub(super) use library::{LibraryEnd, Runtime, runtime};
pub(super) use pump::Pump;

use super::codec::frame::Head;
use super::codec::method::{self, Reason};
use super::guard::Intake;
use super::inbox::{Arrival, Inbox, Letterbox};
use super::{Error, Kind};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The protocol header, which the library sends before its first frame, in bytes.
const PROTOCOL_HEADER: u64 = 8;

/// The shared state of a connection. All clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `host:port`, for messages.
    address: String,
    state: Mutex<State>,
    /// Cancelled when the link has ended.
    over: CancellationToken,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Larger bodies are left out.
    max_body: AtomicU64,
    /// The last round of reading that is done, of those that [`Link::caught_up`] asks for.
    rounds: watch::Sender<u64>,
    /// How often the library has found nothing more to read; the largest number once it has let go.
    idle: watch::Sender<u64>,
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
    /// How many rounds of reading were asked for.
    rounds: u64,
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
            over: CancellationToken::new(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            max_body: AtomicU64::new(u64::MAX),
            rounds: watch::Sender::new(0),
            idle: watch::Sender::new(0),
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

    /// From now on bodies larger than this are left out.
    pub(super) fn limit_bodies(&self, max_body: u64) {
        self.0.max_body.store(max_body, Ordering::Relaxed);
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
        self.0.over.cancel();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::codec::frame::A_HEARTBEAT;
    use futures_io::{AsyncRead as _, AsyncWrite as _};
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    const GREETING: &[u8] = b"AMQP\0\0\x09\x01";

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn say(library: &mut LibraryEnd, bytes: &[u8]) {
        let written = Pin::new(library).poll_write(&mut context(), bytes);
        assert!(matches!(written, Poll::Ready(Ok(length)) if length == bytes.len()));
    }

    fn hear(library: &mut LibraryEnd) -> Poll<io::Result<usize>> {
        Pin::new(library).poll_read(&mut context(), &mut [0; 16])
    }

    /// Our frames are never put into the middle of one of the library's.
    #[test]
    fn frames_go_out_whole() {
        let link = Link::new("mq:5672".into());
        let mut library = LibraryEnd(link.clone());
        let said = [GREETING, &A_HEARTBEAT, &A_HEARTBEAT].concat();
        for byte in said.chunks(1) {
            link.write(|out| out.push(b'+'));
            say(&mut library, byte);
        }
        let sent = String::from_utf8(
            link.state()
                .outbound
                .clone()
                .iter()
                .map(|byte| if *byte == b'+' { b'+' } else { b'.' })
                .collect(),
        )
        .unwrap();
        assert_eq!(sent, "++++++++........++++++++........++++++++........");
    }

    #[test]
    fn who_waits_is_told_of_the_end_once() {
        let link = Link::new("mq:5672".into());
        let mut library = LibraryEnd(link.clone());
        let mut before = link.inbox(1);
        assert!(before.try_next().is_none());
        assert!(hear(&mut library).is_pending());
        link.kill();
        link.end(Kind::Protocol, "too late".into());
        let mut after = link.inbox(2);
        for inbox in [&mut before, &mut after] {
            let Some(Arrival::Failed(error)) = inbox.try_next() else {
                panic!("not told")
            };
            assert_eq!(error.message, "connection to mq:5672 lost: it was cut");
            assert!(inbox.try_next().is_none());
        }
        assert!(matches!(hear(&mut library), Poll::Ready(Err(_))));
        let spoken = Pin::new(&mut library).poll_write(&mut context(), b"x");
        assert!(matches!(spoken, Poll::Ready(Err(_))));
    }

    #[test]
    fn who_asks_in_the_moment_of_the_end_is_told_too() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let link = Link::new("mq:5672".into());
        let lost = async |link: &Link| {
            let error = link.or_ended(std::future::pending::<lapin::Result<()>>());
            Error::from_lapin("cannot ask", &error.await.unwrap_err())
        };
        runtime.block_on(async {
            assert!(link.or_ended(async { Ok(()) }).await.is_ok());
            let (error, ()) = tokio::join!(lost(&link), async { link.kill() });
            assert_eq!(error.message, "cannot ask: it was cut");
            assert_eq!(lost(&link).await.kind, Kind::Lost);
            // What the library has to say of it comes first.
            let said = link.or_ended(async {
                tokio::task::yield_now().await;
                Ok("said")
            });
            assert_eq!(said.await.unwrap(), "said");
        });
    }

    #[test]
    fn what_the_broker_closes_with_says_more_than_what_follows() {
        let link = Link::new("mq:5672".into());
        let mut inbox = link.inbox(1);
        let mut intake = Intake {
            closed: Some(Reason {
                code: 320,
                text: "shutdown".into(),
            }),
            ..Intake::default()
        };
        link.deliver(&mut intake);
        link.end(Kind::Lost, "the broker closed it".into());
        let failure = link.failure().unwrap().message;
        assert_eq!(failure, "connection to mq:5672 lost: shutdown");
        assert!(
            matches!(inbox.try_next(), Some(Arrival::Failed(error)) if error.message == failure)
        );
        assert!(inbox.try_next().is_none());
    }
}
