//! A filter over the byte stream against messages that the AMQP library cannot decode.
//!
//! The library below us decodes header tables by recursion without a bound, and short strings as
//! UTF-8 or not at all: one message with nested arrays overflows its stack and aborts the process,
//! one stray byte in a `correlation_id` ends every connection that the message is delivered to.
//! Brokers forward both as they came. [`Inbound`] stands between the socket and the library and sees
//! to it that whatever a broker forwards can be decoded and is shallow; what it must take away it
//! marks in the headers, for [`super`] to read. [`Outbound`] lets replies carry a `correlation_id`
//! that is not text, which the library cannot send.
//!
//! Pure: bytes in, bytes out. State: the place within the current frame, at most one incomplete frame
//! of up to [`MAX_HEADER_FRAME`] bytes, and what the last read brought behind a rewritten frame.
//! Valid traffic is neither changed nor copied, but for the start of a frame that a read cut in two.
//!
//! # How a transport reads
//!
//! ```text
//! poll_read(buf):                                     // buf is not empty
//!     loop:
//!         n = inbound.drain(buf)                      // finished, but not yet handed on
//!         if n > 0: return Ok(n)
//!         room = inbound.room(buf.len())              // for the start of a frame cut in two
//!         n = ready!(socket.poll_read(buf[room..]))?  // Pending: nothing to undo
//!         if n == 0: return Ok(0)                     // the end of the stream, and only that
//!         n = inbound.filter(buf[..room + n], room)
//!         if n > 0: return Ok(n)                      // else all of it was kept: go on
//! ```
//!
//! # How a transport writes
//!
//! ```text
//! poll_own():                                         // what the guard took over
//!     while outbound.pending() is not empty:
//!         n = ready!(socket.poll_write(outbound.pending()))?
//!         if n == 0: return Err(WriteZero)
//!         outbound.sent(n)
//! poll_write(buf):
//!     ready!(poll_own())?
//!     match outbound.scan(buf):
//!         Write(k): n = ready!(socket.poll_write(buf[..k]))?; outbound.advance(buf[..n]); return Ok(n)
//!         Take(k):  return Ok(k)                      // goes out with the next write or flush
//! poll_flush(), poll_close():
//!     ready!(poll_own())?, then the socket's own
//! ```

mod content;
mod frame;
mod inbound;
mod method;
mod outbound;
mod table;
#[cfg(test)]
mod tests;

pub use inbound::{Inbound, Limits};
pub use outbound::{Outbound, Step};

/// Header entry with a `correlation_id` that is not UTF-8, as a byte array (type `x`). Inbound it
/// stands in for the property; outbound, on an armed connection, it becomes the property.
pub const RAW_CORRELATION_ID: &str = "fibrpc-raw-correlation-id";

/// Header entry with a `message_id` that is not UTF-8, as a byte array (type `x`). Inbound only.
pub const RAW_MESSAGE_ID: &str = "fibrpc-raw-message-id";

/// Header entry that says what was taken away: a signed 64-bit integer (type `l`), the sum of
/// [`DEFECT_HEADERS`] and [`DEFECT_REPLY_TO`]. Inbound only.
pub const DEFECTS: &str = "fibrpc-guard-defects";

/// Bit of [`DEFECTS`]: headers, or properties that could not be read at all, were dropped.
pub const DEFECT_HEADERS: i64 = 1;

/// Bit of [`DEFECTS`]: a `reply_to` that could not be read or was not UTF-8 was dropped.
pub const DEFECT_REPLY_TO: i64 = 2;

/// Header entry that says that the body was dropped for its size: the size in bytes as a signed
/// 64-bit integer (type `l`). The message arrives with an empty body. Inbound only.
pub const DROPPED_BODY: &str = "fibrpc-guard-body";

/// How deep arrays and tables may be nested in a header's value.
pub const MAX_DEPTH: usize = 32;

/// The largest content header frame that is looked at, in bytes; of a larger one nothing but the
/// body's size is kept.
pub const MAX_HEADER_FRAME: usize = 256 * 1024;

/// Names that only the guard may give: entries that begin so are dropped from what peers send.
const RESERVED: [&[u8]; 2] = [b"fibrpc-raw-", b"fibrpc-guard-"];
