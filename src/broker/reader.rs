//! Reads what a connection receives: messages are decoded here, what ends a channel or the connection is noted, and the
//! AMQP library sees only what it can decode.
//!
//! The library keeps the conversation (handshake, heartbeats, channels, queues, consumers); messages, whose
//! content is untrusted, never reach it. See [`super::codec`] for why. What does reach it are whole method frames and
//! heartbeats, with strings in UTF-8 and tables of bounded depth.
//!
//! Pure: bytes in, values out. State: the position within the current frame, at most one incomplete method or
//! header frame of up to [`MAX_HEADER_FRAME`] bytes, and for each channel at most one incomplete message.
//! Guarantees, for any bytes and any split of them: no panic, no memory beyond that, and an outcome that does not
//! depend on the split.

use super::codec::content::{self, FIXED};
use super::codec::frame::{BODY, END, HEAD, HEADER, HEARTBEAT, Head, METHOD};
use super::codec::method::{self, Control, Method};
use super::mailbox::{Arrival, Delivery, Returned};
use crate::protocol::{Defect, Message};

/// The largest content header frame that is decoded, in bytes; of a larger one only the body's size is kept.
/// RabbitMQ splits bodies to our frame size, but forwards headers whole, up to the sender's frame size (128 KiB by
/// default).
pub(super) const MAX_HEADER_FRAME: usize = 256 * 1024;

/// The largest method frame, in bytes: the library's buffer is certain to hold this much.
const MAX_METHOD_FRAME: usize = 32 * 1024;

/// The most memory that is reserved for a body before any of it has arrived, in bytes.
const MAX_RESERVED_BODY: u64 = 64 * 1024;

/// The outcome of one read.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// For the library, byte for byte.
    pub(super) library: Vec<u8>,
    /// With the number of the channel, in the order in which they came.
    pub(super) arrivals: Vec<(u16, Arrival)>,
    /// The same for the connection and for the ends of channels. What is in `arrivals` came before a channel's end.
    pub(super) control: Vec<(u16, Control)>,
}

/// The stream cannot be read, or not be trusted; the connection has to be given up. Follows "the broker sent".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// The broker answers our protocol header with its own.
pub(super) const ANOTHER_VERSION: Broken = Broken("another version of AMQP");

const UNENDED: Broken = Broken("a frame without its end");

/// The highest channel number: as many channels as we ask for when connecting.
pub(super) const MAX_CHANNEL: u16 = 16;

/// Splits the stream of one connection.
#[derive(Debug)]
pub(super) struct Reader {
    max_body: Option<u64>,
    position: Position,
    /// An incomplete frame.
    begun: Vec<u8>,
    /// Incomplete messages, by the number of their channel.
    partial: [Option<Partial>; MAX_CHANNEL as usize + 1],
}

#[derive(Debug, Clone, Copy)]
enum Position {
    /// Between two frames.
    Boundary,
    /// In a body frame of this channel, before this number of bytes.
    Body(u16, u64),
    /// In a content header of this channel, before this number of bytes that are skipped.
    Skip(u16, u64),
    /// Before the end octet of a frame of this channel.
    End(u16),
}

/// An incomplete message.
#[derive(Debug)]
struct Partial {
    /// Of a returned message, only `message` counts.
    delivery: Delivery,
    /// The routing key of a returned message.
    returned: Option<String>,
    /// The bytes of the body that are missing; `None`: the content header is missing.
    left: Option<u64>,
}

impl Reader {
    /// For a fresh connection. Bodies larger than `max_body` bytes are dropped as they arrive, at no cost in
    /// memory, and their messages delivered with the [`Defect`]; `None`: no limit.
    pub(super) fn new(max_body: Option<u64>) -> Self {
        Self {
            max_body,
            position: Position::Boundary,
            begun: Vec::new(),
            partial: Default::default(),
        }
    }

    /// Changes `max_body`, for messages that begin from now on.
    pub(super) fn limit_bodies(&mut self, max_body: u64) {
        self.max_body = Some(max_body);
    }

    /// Takes what was read, and adds what it contains to `intake`. Not to be called again after an error.
    pub(super) fn take(&mut self, bytes: &[u8], intake: &mut Intake) -> Result<(), Broken> {
        if self.begun.is_empty() {
            let used = self.process(bytes, intake)?;
            self.begun.extend_from_slice(&bytes[used..]);
        } else {
            let mut begun = std::mem::take(&mut self.begun);
            begun.extend_from_slice(bytes);
            let used = self.process(&begun, intake)?;
            begun.drain(..used);
            self.begun = begun;
        }
        Ok(())
    }

    /// Processes `bytes` as far as it can; returns how many.
    fn process(&mut self, bytes: &[u8], intake: &mut Intake) -> Result<usize, Broken> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            used += match self.position {
                Position::Boundary => match self.frame(rest, intake)? {
                    Some(length) => length,
                    None => break,
                },
                Position::Body(channel, left) => {
                    let part = at_most(left, rest.len());
                    self.body(channel, &rest[..part])?;
                    self.position = Position::Body(channel, left - part as u64).or_end();
                    part
                }
                Position::Skip(channel, left) => {
                    let part = at_most(left, rest.len());
                    self.position = Position::Skip(channel, left - part as u64).or_end();
                    part
                }
                Position::End(channel) => {
                    if rest[0] != END {
                        return Err(UNENDED);
                    }
                    self.position = Position::Boundary;
                    self.finish(channel, intake);
                    1
                }
            };
        }
        Ok(used)
    }

    /// Looks at the frame at the front of `bytes`: how much of it is processed, or `None` if more of it has to
    /// arrive.
    fn frame(&mut self, bytes: &[u8], intake: &mut Intake) -> Result<Option<usize>, Broken> {
        match bytes[0] {
            METHOD | HEADER | BODY | HEARTBEAT => {}
            // A protocol header, the answer to one that the broker does not support.
            b'A' => return Err(ANOTHER_VERSION),
            b'H' | b'<' => return Err(Broken("HTTP instead of AMQP, as a web server does")),
            // An alert, the answer of a TLS port to cleartext.
            0x15 => return Err(Broken("TLS instead of AMQP")),
            _ => return Err(Broken("a frame of an invalid type")),
        }
        let Some(head) = Head::read(bytes) else {
            return Ok(None);
        };
        if head.kind == BODY {
            self.position = Position::Body(head.channel, head.size.into()).or_end();
            return self.body(head.channel, &[]).map(|()| Some(HEAD));
        }
        if head.kind == HEADER && head.total() > MAX_HEADER_FRAME as u64 {
            let Some(fixed) = bytes.get(HEAD..HEAD + FIXED) else {
                return Ok(None);
            };
            self.header(head.channel, fixed)?;
            self.position = Position::Skip(head.channel, u64::from(head.size) - FIXED as u64);
            return Ok(Some(HEAD + FIXED));
        }
        let total = at_most(head.total(), usize::MAX);
        if head.kind != HEADER && total > MAX_METHOD_FRAME {
            return Err(Broken("a method frame that is too large"));
        }
        let Some(frame) = bytes.get(..total) else {
            return Ok(None);
        };
        let [_, _, _, _, _, _, _, payload @ .., END] = frame else {
            return Err(UNENDED);
        };
        match head.kind {
            METHOD => self.method(head.channel, payload, frame, intake)?,
            HEADER => {
                self.header(head.channel, payload)?;
                self.finish(head.channel, intake);
            }
            _ => intake.library.extend_from_slice(frame),
        }
        Ok(Some(total))
    }

    fn method(
        &mut self,
        channel: u16,
        payload: &[u8],
        frame: &[u8],
        intake: &mut Intake,
    ) -> Result<(), Broken> {
        if matches!(self.partial.get(usize::from(channel)), Some(Some(_))) {
            return Err(Broken("a method within a message"));
        }
        let method = method::read(payload).ok_or(Broken("a method that cannot be decoded"))?;
        match method {
            Method::Deliver {
                consumer,
                tag,
                redelivered,
            } => {
                let delivery = Delivery {
                    consumer,
                    tag,
                    redelivered,
                    message: Message::default(),
                };
                return self.begin(channel, delivery, None);
            }
            Method::Return { routing_key } => {
                return self.begin(channel, Delivery::default(), Some(routing_key));
            }
            Method::Confirm {
                number,
                multiple,
                taken,
            } => {
                let confirmed = Arrival::Confirmed {
                    number,
                    multiple,
                    taken,
                };
                intake.arrivals.push((channel, confirmed));
                return Ok(());
            }
            Method::Cancel { consumer } => {
                let cancelled = Arrival::Cancelled(consumer);
                intake.arrivals.push((channel, cancelled));
            }
            Method::Control(control) => intake.control.push((channel, control)),
            Method::Other => {}
        }
        let at = intake.library.len();
        intake.library.extend_from_slice(frame);
        method::make_decodable(&mut intake.library[at + HEAD..]);
        Ok(())
    }

    fn begin(
        &mut self,
        channel: u16,
        delivery: Delivery,
        returned: Option<String>,
    ) -> Result<(), Broken> {
        let partial = self.partial.get_mut(usize::from(channel));
        *partial.ok_or(Broken("a message on a channel that is not open"))? = Some(Partial {
            delivery,
            returned,
            left: None,
        });
        Ok(())
    }

    /// The incomplete message of a channel.
    fn partial(&mut self, channel: u16) -> Option<&mut Partial> {
        self.partial.get_mut(usize::from(channel))?.as_mut()
    }

    fn header(&mut self, channel: u16, payload: &[u8]) -> Result<(), Broken> {
        let max_body = self.max_body;
        let partial = self.partial(channel);
        let Some(partial) = partial.filter(|partial| partial.left.is_none()) else {
            return Err(Broken("a content header without a message"));
        };
        let size = content::body_size(payload).ok_or(Broken("a content header cut short"))?;
        partial.left = Some(size);
        let message = &mut partial.delivery.message;
        message.properties = content::read(payload);
        if max_body.is_some_and(|max| size > max) {
            message.properties.defect = Some(Defect::Body(size));
        } else {
            let reserved = at_most(size.min(MAX_RESERVED_BODY), usize::MAX);
            message.body.reserve_exact(reserved);
        }
        Ok(())
    }

    /// Takes a part of a body; it may be empty.
    fn body(&mut self, channel: u16, part: &[u8]) -> Result<(), Broken> {
        const NO_MESSAGE: Broken = Broken("a body without a message");
        let partial = self.partial(channel).ok_or(NO_MESSAGE)?;
        let left = partial.left.ok_or(NO_MESSAGE)?;
        let left = left.checked_sub(part.len() as u64);
        partial.left = Some(left.ok_or(Broken("a body longer than announced"))?);
        let message = &mut partial.delivery.message;
        if !matches!(message.properties.defect, Some(Defect::Body(_))) {
            message.body.extend_from_slice(part);
        }
        Ok(())
    }

    /// Passes on the message of a channel, if it is complete.
    fn finish(&mut self, channel: u16, intake: &mut Intake) {
        let slot = self.partial.get_mut(usize::from(channel));
        let complete = slot.and_then(|slot| slot.take_if(|partial| partial.left == Some(0)));
        let Some(partial) = complete else {
            return;
        };
        let arrival = match partial.returned {
            None => Arrival::Delivered(partial.delivery),
            Some(routing_key) => Arrival::Returned(Returned {
                message_id: partial.delivery.message.properties.message_id,
                correlation_id: partial.delivery.message.properties.correlation_id,
                routing_key,
            }),
        };
        intake.arrivals.push((channel, arrival));
    }
}

impl Position {
    /// If nothing is left of the payload, the frame's end comes next.
    fn or_end(self) -> Self {
        match self {
            Self::Body(channel, 0) | Self::Skip(channel, 0) => Self::End(channel),
            position => position,
        }
    }
}

fn at_most(left: u64, bytes: usize) -> usize {
    usize::try_from(left).map_or(bytes, |left| left.min(bytes))
}

#[cfg(test)]
mod tests;
