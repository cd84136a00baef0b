//! The shared state of a connection: bytes on their way out, bytes and messages that have come in, the progress of the
//! handshake, and the one answer to why the connection has ended.

use crate::broker::codec::frame::{HEAD, Head};
use crate::broker::codec::method::{self, Control, Reason};
use crate::broker::ending::Ending;
use crate::broker::error::Error;
use crate::broker::last_read::LastRead;
use crate::broker::mailbox::{Arrival, ConnectionEvent, Mailbox, MailboxSender};
use crate::broker::progress::{Progress, Step};
use crate::broker::reader::{Intake, MAX_CHANNEL};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The protocol header, which the library sends before its first frame, in bytes.
const PROTOCOL_HEADER: u64 = 8;

/// The shared state of a connection. All clones are the same one.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Link(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    /// `host:port`, for messages.
    address: String,
    state: Mutex<LinkState>,
    /// Cancelled when the connection fails.
    pub(super) failed: CancellationToken,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) last_read: Arc<LastRead>,
    /// Larger bodies are dropped.
    pub(super) max_body: AtomicU64,
    /// The number of the last completed round of reading, of those that [`Link::caught_up`] asks for.
    pub(super) rounds: watch::Sender<u64>,
    /// How often the library has found nothing more to read; `u64::MAX` once it has let go.
    pub(super) idle: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct LinkState {
    /// Whole frames for the socket.
    pub(super) outbound: Vec<u8>,
    /// An incomplete frame of the library.
    begun: Vec<u8>,
    /// Whether the library has sent the protocol header.
    greeted: bool,
    /// For the library to read, from `inbound_at` on.
    pub(super) inbound: Vec<u8>,
    pub(super) inbound_at: usize,
    /// By number. Channel 0 is the connection itself: `events`.
    channels: [Option<ChannelState>; MAX_CHANNEL as usize + 1],
    events: Arc<MailboxSender<ConnectionEvent>>,
    progress: Progress,
    /// The mechanism that we log in with.
    mechanism: Option<&'static str>,
    /// Why the connection has failed. From then on nothing waits for it, but an orderly end may still be under way.
    ending: Option<Ending>,
    /// The connection is over: nothing more is read or written.
    pub(super) over: bool,
    /// The library has dropped its end: what it has written still goes out, then the connection ends.
    pub(super) library_gone: bool,
    /// How many rounds of reading were requested.
    pub(super) rounds: u64,
    /// Wake the task that moves the bytes, and the library as it waits for something to read.
    pub(super) pump: Option<Waker>,
    pub(super) library: Option<Waker>,
}

#[derive(Debug)]
struct ChannelState {
    mailbox: Arc<MailboxSender<Arrival>>,
    /// Why the broker has closed the channel.
    closed: Option<Reason>,
}

impl Link {
    /// The link of a connection to `address` that begins now.
    pub(in crate::broker) fn new(address: String) -> Self {
        Self(Arc::new(Shared {
            address,
            state: Mutex::default(),
            failed: CancellationToken::new(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            last_read: Arc::new(LastRead::new()),
            max_body: AtomicU64::new(u64::MAX),
            rounds: watch::Sender::new(0),
            idle: watch::Sender::new(0),
        }))
    }

    /// `host:port`.
    pub(in crate::broker) fn address(&self) -> &str {
        &self.0.address
    }

    /// Cuts the connection, whatever it is waiting for. The pump closes the socket as soon as it runs.
    pub(in crate::broker) fn kill(&self) {
        self.end(Ending::here("it was cut"));
    }

    /// Why the connection has failed; `None` while it works.
    pub(in crate::broker) fn ending(&self) -> Option<Ending> {
        self.state().ending.clone()
    }

    /// The same, as an error.
    pub(in crate::broker) fn failure(&self) -> Option<Error> {
        Some(self.ending()?.error(&self.0.address))
    }

    /// Why operation `what` on a channel failed: because the broker closed the channel, or the connection ended;
    /// `None` if neither is so.
    pub(super) fn cause(&self, what: &str, channel: u16) -> Option<Error> {
        let mut state = self.state();
        let channel = state.channel(channel);
        if let Some(reason) = channel.and_then(|channel| channel.closed.as_ref()) {
            return Some(Error::closed(what, reason));
        }
        let ending = state.ending.as_ref()?;
        Some(ending.error_of_operation(what, &self.0.address))
    }

    /// The handshake has reached this step.
    pub(in crate::broker) fn reached(&self, step: Step) {
        self.state().progress.reach(step);
    }

    /// We log in with this mechanism: if the broker does not offer it, the connection ends before the login is sent.
    pub(in crate::broker) fn log_in_by(&self, mechanism: &'static str) {
        self.state().mechanism = Some(mechanism);
    }

    /// The progress of the handshake, and what is known of the broker.
    pub(in crate::broker) fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// From now on bodies larger than this are dropped.
    pub(in crate::broker) fn limit_bodies(&self, max_body: u64) {
        self.0.max_body.store(max_body, Ordering::Relaxed);
    }

    /// Bytes read and written so far.
    pub(in crate::broker) fn bytes(&self) -> (u64, u64) {
        let [received, sent] = [&self.0.bytes_in, &self.0.bytes_out];
        (
            received.load(Ordering::Relaxed),
            sent.load(Ordering::Relaxed),
        )
    }

    /// When something was last read.
    pub(in crate::broker) fn last_read(&self) -> &Arc<LastRead> {
        &self.0.last_read
    }

    /// The mailbox of a channel that was just opened.
    pub(in crate::broker) fn mailbox(&self, channel: u16) -> Mailbox {
        let mailbox = Arc::new(MailboxSender::default());
        let mut state = self.state();
        if let Some(ending) = &state.ending {
            mailbox.put_last(Arrival::Failed(ending.error(&self.0.address)));
        }
        if let Some(slot) = state.channels.get_mut(usize::from(channel)) {
            *slot = Some(ChannelState {
                mailbox: Arc::clone(&mailbox),
                closed: None,
            });
        }
        Mailbox::new(mailbox)
    }

    /// The mailbox of the connection's events. There is one: each event goes to the first receiver that takes it.
    pub(in crate::broker) fn events(&self) -> Mailbox<ConnectionEvent> {
        Mailbox::new(Arc::clone(&self.state().events))
    }

    /// Sends the whole frames that `append` writes; returns what it returns. If the connection has ended, they are
    /// dropped.
    pub(in crate::broker) fn write<T>(&self, append: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = self.state();
        let appended = append(&mut state.outbound);
        state.wake_pump();
        appended
    }

    /// Ends the connection. Unless it has failed before, this is why.
    pub(super) fn end(&self, ending: Ending) {
        let mut state = self.state();
        self.fail(&mut state, ending);
        state.over = true;
        state.outbound = Vec::new();
        state.wake_pump();
        state.wake_library();
    }

    /// From now on, everything that waits on the connection fails with the first ending.
    fn fail(&self, state: &mut LinkState, ending: Ending) {
        if state.ending.is_some() {
            return;
        }
        let error = ending.error(&self.0.address);
        for channel in state.channels.iter().flatten() {
            channel.mailbox.put_last(Arrival::Failed(error.clone()));
        }
        state.events.put_last(ConnectionEvent::Failed(error));
        state.ending = Some(ending);
        self.0.failed.cancel();
    }

    /// Distributes what a read has brought.
    pub(super) fn deliver(&self, intake: &mut Intake) {
        let mut state = self.state();
        for (channel, arrival) in intake.arrivals.drain(..) {
            // The broker may still send something to a channel that is closed here.
            if let Some(channel) = state.channel(channel) {
                channel.mailbox.put(arrival);
            }
        }
        for (channel, control) in intake.control.drain(..) {
            self.control(&mut state, channel, control);
        }
        if !intake.library.is_empty() {
            let read = std::mem::take(&mut state.inbound_at);
            state.inbound.drain(..read);
            state.inbound.append(&mut intake.library);
            state.wake_library();
        }
        if state.login_is_futile() {
            drop(state);
            self.end(Ending::FutileLogin);
        }
    }

    fn control(&self, state: &mut LinkState, channel: u16, control: Control) {
        match control {
            Control::Start(greeting) => {
                state.progress.greeting = greeting;
                state.progress.reach(Step::Login);
            }
            Control::Tune => state.progress.reach(Step::Opening),
            Control::Blocked(reason) => state.events.put(ConnectionEvent::Blocked(reason)),
            Control::Unblocked => state.events.put(ConnectionEvent::Unblocked),
            Control::ChannelClose(reason) => {
                if let Some(channel) = state.channel(channel) {
                    let error = Error::closed("channel closed", &reason);
                    channel.mailbox.put_last(Arrival::Failed(error));
                    channel.closed = Some(reason);
                }
            }
            Control::ConnectionClose(reason) => self.fail(state, Ending::Closed(reason)),
            Control::ConnectionCloseOk => self.fail(state, Ending::Left),
        }
    }

    /// Takes what the library writes.
    pub(super) fn library_writes(&self, bytes: &[u8]) {
        let mut state = self.state();
        // Taken without a bound: the library writes little, and waits for an answer to most of it.
        state.begun.extend_from_slice(bytes);
        state.take_whole_frames();
        if state.login_is_futile() {
            drop(state);
            // None of it goes out.
            self.end(Ending::FutileLogin);
        } else {
            state.wake_pump();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, LinkState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinkState {
    /// Whether the broker has greeted and cannot accept our login.
    fn login_is_futile(&self) -> bool {
        let Self {
            progress,
            mechanism,
            ..
        } = self;
        let lacking = || mechanism.is_some_and(|wanted| progress.lacks(wanted));
        progress.step == Step::Login && (lacking() || progress.login_is_too_large())
    }

    fn channel(&mut self, channel: u16) -> Option<&mut ChannelState> {
        self.channels.get_mut(usize::from(channel))?.as_mut()
    }

    pub(super) fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    pub(super) fn wake_library(&mut self) {
        if let Some(library) = self.library.take() {
            library.wake();
        }
    }

    /// Moves the whole frames among what the library has written to what goes out.
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
                        self.progress.login_size = payload.len() as u64 - 1;
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
