//! One connection's bytes: who reads and writes them, and what they mean to whom.
//!
//! [`Link`] is the shared state; sessions write messages into it, the AMQP library reads and writes its part
//! of the conversation through [`LibraryEnd`], and [`Pump`], a task of the connection's own, moves all of it
//! through the socket. So a message crosses no thread: what the socket brings is read, split by the
//! [reader](super::reader) and put into the [`MailboxSender`]s in one go, and what a session publishes goes out with the next
//! write, however many messages that are.
//!
//! Promises: frames go out whole and in the order in which they were written; once the link has ended, by a
//! fault, by the peer, or by [`Link::kill`], everybody who waits on it knows at once.

mod caught_up;
mod ending;
mod library;
mod pump;

pub(super) use caught_up::within;
pub(super) use ending::Ending;
pub(super) use library::{LibraryEnd, Runtime, runtime};
pub(super) use pump::Pump;

use super::Error;
use super::codec::frame::{HEAD, Head};
use super::codec::method::{self, Reason};
use super::handshake::{Progress, Step};
use super::mailbox::{Arrival, Mailbox, MailboxSender};
use super::reader::{Greeting, Intake};
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
    mailboxes: HashMap<u16, Arc<MailboxSender>>,
    /// How far the handshake has got, the mechanism that we log in with, and what the broker said of itself.
    step: Step,
    mechanism: Option<&'static str>,
    greeting: Greeting,
    /// The payload of the frame with the login, in bytes.
    login_size: u64,
    closed: Option<Reason>,
    ended: Option<Ending>,
    /// The library has let go of its end: what it has said is to go out, and the connection ends.
    library_gone: bool,
    /// How many rounds of reading were asked for.
    rounds: u64,
    /// Who waits to write to the socket, and who to read from the library's end.
    pump: Option<Waker>,
    library: Option<Waker>,
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
        self.end(Ending::here("it was cut"));
    }

    /// Why the connection has ended or ends: because the broker closed it, or of what happened to it.
    pub(super) fn failure(&self) -> Option<Error> {
        let ending = self.ending()?;
        Some(ending.error(&self.0.address))
    }

    /// The same, for judging.
    pub(super) fn ending(&self) -> Option<Ending> {
        let state = self.state();
        state
            .closed
            .as_ref()
            .map(Ending::from)
            .or(state.ended.clone())
    }

    /// The connection has come to this step of its handshake.
    pub(super) fn reached(&self, step: Step) {
        let mut state = self.state();
        state.step = state.step.max(step);
    }

    /// The login is made by this mechanism: where the broker does not offer it, the connection ends before that.
    pub(super) fn log_in_by(&self, mechanism: &'static str) {
        self.state().mechanism = Some(mechanism);
    }

    /// How far the handshake has got, and what is known of the broker.
    pub(super) fn progress(&self) -> Progress {
        self.state().progress()
    }

    /// A text of the properties that the broker opened the conversation with.
    pub(super) fn server_property(&self, name: &str) -> Option<String> {
        self.state().server_property(name)
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

    /// The mailbox of a channel that was just opened.
    pub(super) fn mailbox(&self, channel: u16) -> Mailbox {
        let sender = Arc::new(MailboxSender::default());
        let mut state = self.state();
        if let Some(ended) = &state.ended {
            sender.put(Arrival::Failed(ended.error(&self.0.address)));
        }
        state.mailboxes.insert(channel, Arc::clone(&sender));
        Mailbox::new(sender)
    }

    /// Adds whole frames, which `append` writes, to what goes out; gives back what `append` does. Where the
    /// connection has ended, they go nowhere.
    pub(super) fn write<T>(&self, append: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = self.state();
        let appended = append(&mut state.outbound);
        state.wake_pump();
        appended
    }

    /// Ends the link, if nothing has ended it before.
    fn end(&self, ending: Ending) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        state.fail_all(&ending.error(&self.0.address));
        state.ended = Some(ending);
        state.outbound = Vec::new();
        state.wake_pump();
        state.wake_library();
        self.0.over.cancel();
    }

    /// Ends the connection, since the login cannot succeed; what that is about is in [`Link::progress`].
    fn end_for_futile_login(&self) {
        self.end(Ending::here("the broker takes no such login"));
    }

    /// Hands on what a read has brought.
    fn deliver(&self, intake: &mut Intake) {
        let mut state = self.state();
        for (channel, arrival) in intake.arrivals.drain(..) {
            // A channel that nobody listens on any more may still be sent something.
            if let Some(sender) = state.mailboxes.get(&channel) {
                sender.put(arrival);
            }
        }
        if let Some(greeting) = intake.greeting.take() {
            state.greeting = greeting;
            state.step = state.step.max(Step::Login);
        }
        if std::mem::take(&mut intake.logged_in) {
            state.step = state.step.max(Step::Opening);
        }
        if !intake.library.is_empty() {
            let read = std::mem::take(&mut state.inbound_at);
            state.inbound.drain(..read);
            state.inbound.append(&mut intake.library);
            state.wake_library();
        }
        if let Some(reason) = intake.closed.take() {
            state.fail_all(&Ending::from(&reason).error(&self.0.address));
            state.closed = Some(reason);
        }
        if state.login_is_futile() {
            drop(state);
            self.end_for_futile_login();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn progress(&self) -> Progress {
        Progress {
            step: self.step,
            mechanisms: self.greeting.mechanisms.clone(),
            product: self.server_property("product").unwrap_or_default(),
            version: self.server_property("version").unwrap_or_default(),
            login_size: self.login_size,
        }
    }

    /// Whether the broker has greeted, and takes no login like the one that is wanted or about to be sent.
    fn login_is_futile(&self) -> bool {
        self.step == Step::Login && {
            let progress = self.progress();
            let lacking = self.mechanism.is_some_and(|wanted| progress.lacks(wanted));
            lacking || progress.login_is_too_large()
        }
    }

    fn server_property(&self, name: &str) -> Option<String> {
        method::server_property(&self.greeting.properties, name)
    }

    fn fail_all(&self, error: &Error) {
        for sender in self.mailboxes.values() {
            sender.put(Arrival::Failed(error.clone()));
        }
    }

    fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    fn wake_library(&mut self) {
        if let Some(library) = self.library.take() {
            library.wake();
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
                Ok(length) if length <= rest.len() => {
                    if let Some(payload) = rest[..length].get(HEAD..)
                        && method::is_login(payload)
                    {
                        self.login_size = payload.len() as u64 - 1;
                    }
                    whole += length;
                }
                _ => break,
            }
            self.greeted = true;
        }
        self.outbound.extend(self.begun.drain(..whole));
    }
}

#[cfg(test)]
mod tests;
