//! The filter over what the broker sends: finds the frames in the stream, hands the dangerous ones
//! to be judged, and keeps what cannot go on yet.
//!
//! Promises, for any input and any split of it: no panic, memory bounded by one frame of
//! [`MAX_HEADER_FRAME`] bytes and one read, and output that does not depend on the split.

use std::collections::BTreeMap;

use super::MAX_HEADER_FRAME;
use super::content::{self, Content};
use super::frame::{self, BODY, END, HEAD, HEADER, HEARTBEAT, Head, METHOD};
use super::method;

/// What the receiver takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The largest message body in bytes; a larger one is dropped on the way, at no cost in memory,
    /// and its message marked with [`super::DROPPED_BODY`]. `None`: no limit.
    pub max_body: Option<u64>,
    /// The largest frame in bytes that the client offers to take; 0: no limit. The broker's own, in
    /// `connection.tune`, may lower it.
    pub frame_max: usize,
}

/// The filter over one connection's inbound bytes. See [`super`] for how a transport drives it.
#[derive(Debug)]
pub struct Inbound {
    limits: Limits,
    state: State,
    /// Channels on which the body of a message is being dropped, and how much of it is to come.
    dropping: BTreeMap<u16, u64>,
    /// Bytes that were read and not handed on: `ready` of them from `at` on are finished, those from
    /// `next` on are still to be looked at.
    stash: Vec<u8>,
    at: usize,
    ready: usize,
    next: usize,
    /// How many bytes from `next` on there must be before looking at them leads anywhere.
    need: usize,
    /// What the broker closed the connection with.
    closed: Option<(u16, String)>,
    /// Whether the broker has said that it reads no more.
    blocked: bool,
    /// A rewritten frame; goes out between `ready` and `next`.
    rewritten: Vec<u8>,
    rewritten_at: usize,
}

/// Where in the stream the filter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two frames.
    Boundary,
    /// So many bytes of a frame go on as they are, its end octet the last.
    Pass(u64),
    /// So many bytes of a frame are dropped, its end octet the last.
    Drop(u64),
    /// These are no frames. The library has refused them, or will with the next byte.
    Broken,
}

/// What becomes of the frame at the front.
enum Verdict {
    /// It goes on, as many bytes.
    Pass(u64),
    /// It is dropped, as many bytes.
    Drop(u64),
    /// There must be so many bytes to tell.
    Incomplete(usize),
    /// This goes on in its place; so many bytes of it were looked at, and as many more are dropped.
    Replace(Vec<u8>, usize, u64),
    /// It is none.
    Broken,
}

/// How far one look at some bytes came.
#[derive(Default)]
struct Progress {
    /// Bytes done with. Those after it wait for more, or for `rewritten` to go out first.
    consumed: usize,
    /// Bytes at the front that may go on.
    kept: usize,
}

/// The largest start of a frame for which room is made in the reader's buffer. A longer one is
/// collected here, so that a trickle of bytes does not copy it each time.
const MAX_ROOM: usize = 4096;

/// The smallest value that `frame_max` may have (AMQP 0-9-1, 4.2.3); the library raises lower ones.
const FRAME_MIN: usize = 4096;

/// Into how many frames of the largest size the library divides its receive buffer. A frame that
/// exceeds all of it would never be complete there and stop the connection without an error.
const LIBRARY_FRAMES: u64 = 32;

/// A method frame larger than this is none of those with short strings, or is refused anyway.
const MAX_STRINGS_FRAME: u64 = 4096;

impl Inbound {
    /// A filter for a fresh connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Boundary,
            dropping: BTreeMap::new(),
            stash: Vec::new(),
            at: 0,
            ready: 0,
            next: 0,
            need: 0,
            closed: None,
            blocked: false,
            rewritten: Vec::new(),
            rewritten_at: 0,
        }
    }

    /// Moves finished bytes to the front of `out` and returns how many. 0, if `out` is not empty:
    /// there are none, read more.
    pub fn drain(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < out.len() {
            let space = &mut out[filled..];
            if self.ready > 0 {
                let moved = copy(&self.stash[self.at..self.at + self.ready], space);
                self.at += moved;
                self.ready -= moved;
                filled += moved;
            } else if self.rewritten_at < self.rewritten.len() {
                let moved = copy(&self.rewritten[self.rewritten_at..], space);
                self.rewritten_at += moved;
                filled += moved;
            } else if !self.resume() {
                break;
            }
        }
        filled
    }

    /// The code and text of the broker's `connection.close`, once it has passed.
    pub fn closed(&self) -> Option<&(u16, String)> {
        self.closed.as_ref()
    }

    /// Whether `connection.blocked` has passed, and no `connection.unblocked` since.
    pub fn blocked(&self) -> bool {
        self.blocked
    }

    /// How many bytes to leave free at the front of a buffer of `capacity` bytes that is about to be
    /// read into. To be asked when [`Self::drain`] has returned 0, and before each read.
    pub fn room(&self, capacity: usize) -> usize {
        let begun = self.stash.len();
        if begun < capacity && begun <= MAX_ROOM {
            begun
        } else {
            0
        }
    }

    /// Filters the bytes that were just read into `buf` behind `room` free ones (as
    /// [`Self::room`] said). Returns how many bytes at the front of `buf` are to be handed on; what
    /// follows them was kept. 0: all of it was, [`Self::drain`] and read again.
    pub fn filter(&mut self, buf: &mut [u8], room: usize) -> usize {
        debug_assert!(self.ready == 0 && self.rewritten.is_empty(), "not drained");
        debug_assert!(
            room == 0 || room == self.stash.len(),
            "not the room asked for"
        );
        if room < self.stash.len() {
            self.stash.extend_from_slice(&buf[room..]);
            return 0;
        }
        buf[..room].copy_from_slice(&self.stash);
        self.stash.clear();
        let Progress { consumed, kept } = self.process(buf);
        if consumed < buf.len() {
            self.stash.extend_from_slice(&buf[consumed..]);
        }
        kept
    }

    /// Looks at what is stashed. `false`: there is nothing to be had before more is read.
    fn resume(&mut self) -> bool {
        self.rewritten = Vec::new();
        self.rewritten_at = 0;
        let rest = self.stash.len() - self.next;
        if rest > 0 && rest >= self.need {
            let mut stash = std::mem::take(&mut self.stash);
            let Progress { consumed, kept } = self.process(&mut stash[self.next..]);
            self.stash = stash;
            self.at = self.next;
            self.ready = kept;
            self.next += consumed;
            if consumed > 0 || !self.rewritten.is_empty() {
                return true;
            }
        }
        self.stash.drain(..self.next);
        if self.stash.is_empty() {
            self.stash = Vec::new();
        }
        self.at = 0;
        self.next = 0;
        false
    }

    /// Goes through `buf`, closing the gaps that dropped bytes leave, until its end, an incomplete
    /// frame that must be seen whole, or a frame that was rewritten.
    fn process(&mut self, buf: &mut [u8]) -> Progress {
        let mut done = Progress::default();
        self.need = 0;
        while done.consumed < buf.len() {
            let rest = &mut buf[done.consumed..];
            match self.state {
                State::Broken => {
                    let bytes = rest.len();
                    done.keep(buf, bytes);
                }
                State::Pass(left) => {
                    let bytes = at_most(left, rest.len());
                    let last = rest[bytes - 1];
                    self.state = State::Pass(left - bytes as u64);
                    if self.state == State::Pass(0) {
                        self.state = after(last);
                    }
                    done.keep(buf, bytes);
                }
                State::Drop(left) => {
                    let bytes = at_most(left, rest.len());
                    let last = rest[bytes - 1];
                    self.state = State::Drop(left - bytes as u64);
                    done.consumed += bytes;
                    if self.state == State::Drop(0) {
                        self.state = after(last);
                        if self.state == State::Broken {
                            // The frame is gone, so that its error must be made anew.
                            self.rewritten = vec![frame::INVALID];
                            return done;
                        }
                    }
                }
                State::Boundary => match self.judge(rest) {
                    Verdict::Pass(bytes) => self.state = State::Pass(bytes),
                    Verdict::Drop(bytes) => self.state = State::Drop(bytes),
                    Verdict::Broken => self.state = State::Broken,
                    Verdict::Incomplete(need) => {
                        self.need = need;
                        return done;
                    }
                    Verdict::Replace(frame, seen, left) => {
                        self.rewritten = frame;
                        done.consumed += seen;
                        if left > 0 {
                            self.state = State::Drop(left);
                        }
                        return done;
                    }
                },
            }
        }
        done
    }

    /// Judges the frame that begins at the front of `bytes`, and may mend it there.
    fn judge(&mut self, bytes: &mut [u8]) -> Verdict {
        if !matches!(bytes[0], METHOD | HEADER | BODY | HEARTBEAT) {
            // Among these is the protocol header with which a broker answers one it does not speak.
            return Verdict::Broken;
        }
        let Some(head) = Head::read(bytes) else {
            return Verdict::Incomplete(HEAD);
        };
        match head.kind {
            HEADER => self.judge_content(bytes, head),
            _ if head.total() > self.library_buffer() => refuse(bytes),
            METHOD => self.judge_method(bytes, head),
            BODY => self.judge_body(head),
            _ => Verdict::Pass(head.total()),
        }
    }

    fn judge_body(&mut self, head: Head) -> Verdict {
        if let Some(left) = self.dropping.get_mut(&head.channel) {
            *left = left.saturating_sub(u64::from(head.size));
            if *left == 0 {
                self.dropping.remove(&head.channel);
            }
            return Verdict::Drop(head.total());
        }
        Verdict::Pass(head.total())
    }

    fn judge_method(&mut self, bytes: &mut [u8], head: Head) -> Verdict {
        self.dropping.remove(&head.channel);
        if head.size < 4 {
            return Verdict::Pass(head.total());
        }
        let Some(kind) = method::kind(&bytes[HEAD..]) else {
            return Verdict::Incomplete(HEAD + 4);
        };
        self.blocked = method::blocked(&bytes[HEAD..]).unwrap_or(self.blocked);
        let largest = match kind {
            method::Kind::Plain => 0,
            method::Kind::Absurd => return refuse(bytes),
            method::Kind::Strings(_) | method::Kind::Tune => MAX_STRINGS_FRAME,
            method::Kind::Start if head.total() > self.largest_seen() as u64 => {
                return refuse(bytes);
            }
            method::Kind::Start => self.largest_seen() as u64,
        };
        if head.total() > largest {
            return Verdict::Pass(head.total());
        }
        let total = at_most(head.total(), usize::MAX);
        let Some([_, _, _, _, _, _, _, payload @ .., END]) = bytes.get_mut(..total) else {
            return unseen(bytes, total);
        };
        match kind {
            method::Kind::Strings(fields) => {
                method::mend(payload, fields);
                self.closed = self.closed.take().or_else(|| method::closed(payload));
            }
            method::Kind::Tune => self.tune(payload),
            _ => {
                if let Some(start) = method::sanitized_start(payload) {
                    let frame = frame::write(METHOD, head.channel, &start);
                    return Verdict::Replace(frame, total, 0);
                }
            }
        }
        Verdict::Pass(head.total())
    }

    fn judge_content(&mut self, bytes: &[u8], head: Head) -> Verdict {
        self.dropping.remove(&head.channel);
        if (head.size as usize) < content::FIXED {
            return Verdict::Pass(head.total());
        }
        if head.total() > MAX_HEADER_FRAME as u64 {
            let seen = HEAD + content::FIXED;
            let Some(content) = bytes.get(HEAD..seen).and_then(Content::stub) else {
                return Verdict::Incomplete(seen);
            };
            return self.rewrite(&content, head, seen);
        }
        let total = at_most(head.total(), usize::MAX);
        let Some([_, _, _, _, _, _, _, payload @ .., END]) = bytes.get(..total) else {
            return unseen(bytes, total);
        };
        // Brokers do not split a content header, so that one of up to the sender's frame size comes
        // whole, however small the frames are that we asked for; the library refuses it.
        let exceeds = total > self.largest_seen();
        match Content::read(payload) {
            Some(content) if exceeds || self.too_large(&content) || !content.clean() => {
                self.rewrite(&content, head, total)
            }
            _ => Verdict::Pass(head.total()),
        }
    }

    fn rewrite(&mut self, content: &Content<'_>, head: Head, seen: usize) -> Verdict {
        let drop_body = self.too_large(content);
        if drop_body {
            self.dropping.insert(head.channel, content.body_size);
        }
        let payload = content.sanitized(drop_body, self.largest_seen() - frame::OVERHEAD);
        let frame = frame::write(HEADER, head.channel, &payload);
        Verdict::Replace(frame, seen, head.total() - seen as u64)
    }

    fn too_large(&self, content: &Content<'_>) -> bool {
        self.limits
            .max_body
            .is_some_and(|max| content.body_size > max)
    }

    /// Takes over the broker's limit as the library does: the lower of the two that are set.
    fn tune(&mut self, payload: &[u8]) {
        let offered = method::tuned_frame_max(payload).map_or(0, |max| max as usize);
        if offered != 0 && (self.limits.frame_max == 0 || offered < self.limits.frame_max) {
            self.limits.frame_max = offered;
        }
    }

    /// The largest frame that the library takes, as far as it is looked at here.
    fn largest_seen(&self) -> usize {
        match self.limits.frame_max {
            0 => MAX_HEADER_FRAME,
            max => max.clamp(FRAME_MIN, MAX_HEADER_FRAME),
        }
    }

    fn library_buffer(&self) -> u64 {
        match self.limits.frame_max {
            0 => u64::MAX,
            max => max.max(FRAME_MIN) as u64 * LIBRARY_FRAMES,
        }
    }

    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.stash.len() + self.rewritten.len() + self.dropping.len()
    }

    #[cfg(test)]
    pub(super) fn broken(&self) -> bool {
        self.state == State::Broken
    }
}

impl Progress {
    /// The next `bytes` of `buf` go on, closing up to those before.
    fn keep(&mut self, buf: &mut [u8], bytes: usize) {
        if self.kept != self.consumed {
            buf.copy_within(self.consumed..self.consumed + bytes, self.kept);
        }
        self.consumed += bytes;
        self.kept += bytes;
    }
}

/// A frame that is not there as a whole, or does not end as it should: then the library refuses it.
fn unseen(bytes: &[u8], total: usize) -> Verdict {
    if bytes.len() < total {
        Verdict::Incomplete(total)
    } else {
        Verdict::Pass(total as u64)
    }
}

/// Makes the frame one that the library refuses without looking into it.
fn refuse(bytes: &mut [u8]) -> Verdict {
    bytes[0] = frame::INVALID;
    Verdict::Broken
}

/// The state after a frame that ends with `last`.
fn after(last: u8) -> State {
    if last == END {
        State::Boundary
    } else {
        State::Broken
    }
}

fn at_most(left: u64, bytes: usize) -> usize {
    usize::try_from(left).map_or(bytes, |left| left.min(bytes))
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let bytes = from.len().min(to.len());
    to[..bytes].copy_from_slice(&from[..bytes]);
    bytes
}
