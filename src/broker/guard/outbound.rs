//! The filter over what the library sends: gives replies a `correlation_id` that is not text.
//!
//! The caller publishes such a reply without a `correlation_id` and with the header entry
//! [`super::RAW_CORRELATION_ID`]; here the entry becomes the property. As long as the connection is
//! not armed, nothing but frame lengths is read. Holds at most one content header frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::MAX_HEADER_FRAME;
use super::content::Content;
use super::frame::{self, HEAD, HEADER, Head};

/// The filter over one connection's outbound bytes. See [`super`] for how a transport drives it.
#[derive(Debug)]
pub struct Outbound {
    armed: Arc<AtomicBool>,
    place: Place,
    /// The start of a content header frame that was taken over; the rest has not come yet.
    begun: Vec<u8>,
    pending: Vec<u8>,
    sent: usize,
}

/// What to do with the bytes that the library wants to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes may be written as they are. Say with [`Outbound::advance`] which were.
    Write(usize),
    /// So many bytes count as written: the filter has taken them, and has them, or what stands for
    /// them, in [`Outbound::pending`] now or after a later [`Outbound::scan`].
    Take(usize),
}

/// Where in the stream of frames the bytes written so far end.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The head of the current frame, as far as it is written.
    head: [u8; HEAD],
    written: usize,
    /// What of the current frame follows its head and is not yet written.
    left: u64,
}

/// Length of the protocol header, which comes before the first frame.
const PROTOCOL_HEADER: u64 = 8;

impl Outbound {
    /// A filter for a fresh connection. It looks for entries once `armed` is set, which is to be
    /// done before the first message with one is published.
    pub fn new(armed: Arc<AtomicBool>) -> Self {
        Self {
            armed,
            place: Place {
                head: [0; HEAD],
                written: 0,
                left: PROTOCOL_HEADER,
            },
            begun: Vec::new(),
            pending: Vec::new(),
            sent: 0,
        }
    }

    /// What must be written before anything else.
    pub fn pending(&self) -> &[u8] {
        &self.pending[self.sent..]
    }

    /// So many bytes of [`Self::pending`] were written.
    pub fn sent(&mut self, bytes: usize) {
        self.sent = (self.sent + bytes).min(self.pending.len());
        if self.sent == self.pending.len() {
            self.pending = Vec::new();
            self.sent = 0;
        }
    }

    /// Says what to do with the front of `buf`, which follows what was written and taken so far.
    /// There must be nothing [pending](Self::pending). The step is about at least one byte, unless
    /// `buf` is empty.
    pub fn scan(&mut self, buf: &[u8]) -> Step {
        debug_assert!(self.pending.is_empty(), "not written out");
        if !self.begun.is_empty() {
            return Step::Take(self.collect(buf));
        }
        if !self.armed.load(Ordering::Acquire) {
            return Step::Write(buf.len());
        }
        let mut place = self.place;
        let mut at = 0;
        loop {
            at += place.finish(&buf[at..]);
            let rest = &buf[at..];
            if rest.is_empty() {
                return Step::Write(at);
            }
            let end = match look(rest) {
                Look::Other => {
                    // Step into the frame, so that the next round finishes it.
                    place.advance(&rest[..1]);
                    at + 1
                }
                Look::Pass(bytes) => at + bytes,
                _ if at > 0 => return Step::Write(at),
                Look::Incomplete => {
                    self.begun.extend_from_slice(rest);
                    return Step::Take(rest.len());
                }
                Look::Restored(frame, bytes) => {
                    self.pending = frame;
                    return Step::Take(bytes);
                }
            };
            at = end;
        }
    }

    /// These bytes were written directly: the front of what [`Self::scan`] allowed.
    pub fn advance(&mut self, written: &[u8]) {
        self.place.advance(written);
    }

    /// Adds to the frame that was begun, and returns how much of `buf` that took.
    fn collect(&mut self, buf: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let total = Head::read(&self.begun).map_or(HEAD as u64, Head::total);
            let missing = usize::try_from(total)
                .unwrap_or(usize::MAX)
                .saturating_sub(self.begun.len());
            let bytes = missing.min(buf.len() - taken);
            self.begun.extend_from_slice(&buf[taken..taken + bytes]);
            taken += bytes;
            match look(&self.begun) {
                Look::Incomplete if bytes > 0 => {}
                Look::Incomplete => return taken,
                Look::Restored(frame, _) => {
                    self.begun = Vec::new();
                    self.pending = frame;
                    return taken;
                }
                Look::Pass(_) | Look::Other => {
                    self.pending = std::mem::take(&mut self.begun);
                    self.place.advance(&self.pending);
                    return taken;
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.begun.len() + self.pending.len()
    }
}

impl Place {
    /// Moves past what of `bytes` belongs to the frame that has begun, and returns how much it was.
    fn finish(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        if self.written > 0 {
            at = (HEAD - self.written).min(bytes.len());
            self.head[self.written..self.written + at].copy_from_slice(&bytes[..at]);
            self.written += at;
            if self.written < HEAD {
                return at;
            }
            self.left = Head::read(&self.head).map_or(0, Head::total) - HEAD as u64;
            self.written = 0;
        }
        let bytes =
            usize::try_from(self.left).map_or(bytes.len() - at, |n| n.min(bytes.len() - at));
        self.left -= bytes as u64;
        at + bytes
    }

    fn advance(&mut self, bytes: &[u8]) {
        let mut at = self.finish(bytes);
        while at < bytes.len() {
            self.head[0] = bytes[at];
            self.written = 1;
            at += 1;
            at += self.finish(&bytes[at..]);
        }
    }
}

/// What stands at the front of some bytes that begin with a frame.
enum Look {
    /// A frame of another type, or one too large to be looked at.
    Other,
    /// A content header without the entry, so long.
    Pass(usize),
    /// A content header, not all of it.
    Incomplete,
    /// A content header with the entry, in its new form, and how long it was.
    Restored(Vec<u8>, usize),
}

fn look(bytes: &[u8]) -> Look {
    if bytes[0] != HEADER {
        return Look::Other;
    }
    let Some(head) = Head::read(bytes) else {
        return Look::Incomplete;
    };
    let total = usize::try_from(head.total()).unwrap_or(usize::MAX);
    if total > MAX_HEADER_FRAME {
        return Look::Other;
    }
    let Some(frame) = bytes.get(..total) else {
        return Look::Incomplete;
    };
    let payload = &frame[HEAD..total - 1];
    match Content::read(payload).and_then(|content| content.restored()) {
        Some(payload) => Look::Restored(frame::write(HEADER, head.channel, &payload), total),
        None => Look::Pass(total),
    }
}
