//! The part of AMQP 0-9-1 that messages travel in: frames, content headers, header tables, and the few
//! methods of the message path. Bytes in, values out, and back.
//!
//! Everything else of the protocol is the AMQP library's. Messages are not, since the library decodes
//! header tables by recursion without a bound and short strings as UTF-8 or not at all: one message with
//! nested arrays overflows its stack and aborts the process, one stray byte in a `correlation_id` ends
//! every connection that the message is delivered to, and brokers forward both as they came. What is read
//! here is what [`crate::protocol`] gives a meaning to; the rest is skipped by its length.
//!
//! Pure, and total: whatever the bytes, there is a value or `None`, never a panic, and work is linear in
//! their number.

pub(crate) mod content;
pub(crate) mod frame;
pub(crate) mod method;
pub(crate) mod table;

#[cfg(test)]
mod tests;
