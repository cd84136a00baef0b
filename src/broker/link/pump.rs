//! The task that moves a link's bytes through its socket.

use super::state::Link;
use crate::broker::codec::frame::A_HEARTBEAT;
use crate::broker::codec::method::Control;
use crate::broker::ending::Ending;
use crate::broker::reader::{Broken, Intake, Reader};
use crate::broker::tls;
use crate::broker::transport::Stream;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// The most that is read at once, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// The largest buffer that is kept for the next write, in bytes.
const MAX_KEPT_BUFFER: usize = 256 * 1024;

/// How often the library is given a heartbeat while only messages arrive, which it does not see.
const SYNTHETIC_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest heartbeat interval.
const MIN_HEARTBEAT: Duration = Duration::from_secs(1);

/// A round of reading that was requested; see [`Link::caught_up`].
#[derive(Debug, Clone, Copy)]
struct Round {
    number: u64,
    /// The count of bytes read at which all is read that had arrived. An encrypted connection may never reach it, since it
    /// counts decrypted bytes.
    until: u64,
}

/// The task of a connection. It ends with the connection, and then the socket is closed.
#[derive(Debug)]
pub(in crate::broker) struct Pump {
    link: Link,
    stream: Stream,
    reader: Reader,
    intake: Intake,
    buffer: Box<[u8]>,
    /// Being sent, from `sent` on.
    sending: Vec<u8>,
    sent: usize,
    /// When something was last read, and when the library last was given something.
    last_read: Instant,
    library_read: Instant,
    round: Option<Round>,
}

impl Pump {
    /// The task that moves the bytes of `link` through `stream`.
    pub(in crate::broker) fn new(link: Link, stream: Stream, reader: Reader) -> Self {
        Self {
            link,
            stream,
            reader,
            intake: Intake::default(),
            buffer: vec![0; READ_SIZE].into(),
            sending: Vec::new(),
            sent: 0,
            last_read: Instant::now(),
            library_read: Instant::now(),
            round: None,
        }
    }

    /// Writes and reads as much as the socket lets it. Ready once the connection has ended, and of what.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        // The waker is noted before checking whether there is something to do.
        let library_gone = {
            let mut state = self.link.state();
            if state.over {
                return Poll::Ready(Ending::here("")); // ended before: ignored
            }
            state.pump = Some(context.waker().clone());
            if self.round.is_none() && state.rounds != *self.link.0.rounds.borrow() {
                let read = self.link.0.bytes_in.load(Ordering::Relaxed);
                self.round = Some(Round {
                    number: state.rounds,
                    until: read.saturating_add(self.stream.unread()),
                });
            }
            state.library_gone
        };
        match self.write(context) {
            // A broker gives a reason before it closes a connection: that may wait to be read, and is more precise.
            Poll::Ready(Err(error)) => {
                return Poll::Ready(match self.read(context) {
                    Poll::Ready(Ok(broken)) => Ending::Broken(broken),
                    Poll::Ready(Err(read)) if tls::within(&read).is_some() => ending(&read),
                    Poll::Ready(Err(_)) | Poll::Pending => ending(&error),
                });
            }
            Poll::Ready(Ok(())) if library_gone => {
                return Poll::Ready(self.given_up());
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match self.read(context) {
            Poll::Ready(Ok(broken)) => Poll::Ready(Ending::Broken(broken)),
            Poll::Ready(Err(error)) => Poll::Ready(ending(&error)),
            Poll::Pending => {
                self.end_round(context);
                Poll::Pending
            }
        }
    }

    /// Writes all there is. Ready once it is out.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.sent == self.sending.len() {
                self.sent = 0;
                self.sending.clear();
                if self.sending.capacity() > MAX_KEPT_BUFFER {
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

    /// Reads until there is no more for now. Ready at the end of the stream.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Broken>> {
        loop {
            let read = ready!(self.stream.poll_read(context, &mut self.buffer))?;
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.last_read = Instant::now();
            self.link.0.last_read.set(self.last_read);
            self.link
                .0
                .bytes_in
                .fetch_add(read as u64, Ordering::Relaxed);
            let max_body = self.link.0.max_body.load(Ordering::Relaxed);
            self.reader.limit_bodies(max_body);
            let taken = self.reader.take(&self.buffer[..read], &mut self.intake);
            self.add_synthetic_heartbeat();
            for (_, control) in &self.intake.control {
                match control {
                    Control::Blocked(_) => self.stream.expect_progress(false),
                    Control::Unblocked => self.stream.expect_progress(true),
                    _ => {}
                }
            }
            self.link.deliver(&mut self.intake);
            if let Err(broken) = taken {
                return Poll::Ready(Ok(broken));
            }
        }
    }

    /// Ends the round of reading, if there is one and all is read that had arrived when it began. The stream being
    /// empty does not prove that: the runtime may not have asked the kernel yet.
    fn end_round(&mut self, context: &mut Context<'_>) {
        let Some(Round { number, until }) = self.round else {
            return;
        };
        if self.stream.unread() > 0 && self.link.0.bytes_in.load(Ordering::Relaxed) < until {
            // Comes back once the runtime has asked.
            let _ = pin!(tokio::task::yield_now()).poll(context);
            return;
        }
        self.round = None;
        self.link.0.rounds.send_replace(number);
        if self.link.state().rounds != number {
            context.waker().wake_by_ref();
        }
    }

    /// Why the library has dropped its end of a connection that has not failed. It does so after two heartbeat intervals
    /// without traffic, and at once if the broker sends something that it does not accept.
    fn given_up(&self) -> Ending {
        if self.last_read.elapsed() > MIN_HEARTBEAT {
            return Ending::here("no heartbeat from the broker");
        }
        let cause = "the broker sent something that breaks the AMQP protocol".to_owned();
        Ending::GivenUp { cause }
    }

    /// Brokers need not send heartbeats while they send messages, which the library does not see.
    fn add_synthetic_heartbeat(&mut self) {
        let now = self.last_read;
        if self.intake.library.is_empty() && now - self.library_read >= SYNTHETIC_HEARTBEAT_INTERVAL
        {
            self.intake.library.extend_from_slice(&A_HEARTBEAT);
        }
        if !self.intake.library.is_empty() {
            self.library_read = now;
        }
    }
}

/// The ending that an error of the socket is.
fn ending(error: &io::Error) -> Ending {
    if let Some(error) = tls::within(error) {
        return Ending::Tls(error.clone());
    }
    let (cause, closed) = match error.kind() {
        // Also with TLS, with or without a close_notify.
        io::ErrorKind::UnexpectedEof => ("the broker closed it".to_owned(), true),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => (error.to_string(), true),
        _ => (error.to_string(), false),
    };
    Ending::Lost { cause, closed }
}

/// Dropped before the connection has ended, it cuts it.
impl Drop for Pump {
    fn drop(&mut self) {
        self.link.kill();
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let ending = ready!(self.turn(context));
        self.link.end(ending);
        Poll::Ready(())
    }
}
