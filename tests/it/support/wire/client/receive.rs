//! The client's frames: its requests, and what it processes while it waits for an answer.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use super::{CHANNEL, Client, Error, Result};
use crate::support::wire::frame::{self, Arguments, Frame, method};
use crate::support::wire::message::Delivery;
use crate::support::wire::properties::Properties;

impl Client {
    pub(super) fn send(
        &mut self,
        channel: u16,
        id: method::Id,
        arguments: Arguments,
    ) -> Result<()> {
        self.send_frame(&Frame::method(channel, id, arguments))
    }

    pub(super) fn ask(
        &mut self,
        id: method::Id,
        arguments: Arguments,
        answer: method::Id,
    ) -> Result<Frame> {
        self.send(CHANNEL, id, arguments)?;
        self.expect(answer)
    }

    /// Waits for one method, taking in what comes before it.
    pub(super) fn expect(&mut self, id: method::Id) -> Result<Frame> {
        let end = Instant::now() + self.limit;
        loop {
            if let Some(frame) = self.handle_next(end)?
                && frame.method_id() == Some(id)
            {
                return Ok(frame);
            }
        }
    }

    /// Processes the next frame; returns it if it answers a request.
    pub(super) fn handle_next(&mut self, end: Instant) -> Result<Option<Frame>> {
        let frame = self.read_frame(end)?;
        let Some(id) = frame.method_id() else {
            return Ok(None); // a heartbeat: content is read where it belongs
        };
        let mut arguments = frame.arguments();
        match id {
            method::BASIC_DELIVER => {
                arguments.short();
                let delivery = self.content(arguments.u64(), arguments, end)?;
                self.deliveries.push_back(delivery);
            }
            method::BASIC_RETURN => {
                arguments.u16();
                arguments.short();
                arguments.short();
                let routing_key = arguments.text();
                let content = self.content_of(0, false, routing_key, end)?;
                self.returned.push(content);
            }
            method::BASIC_ACK => self.settle(arguments.u64(), arguments.u8() & 1 != 0, true),
            method::BASIC_NACK => self.settle(arguments.u64(), arguments.u8() & 1 != 0, false),
            method::BASIC_CANCEL => self.cancelled.push(arguments.text()),
            method::CONNECTION_BLOCKED => self.blocked = Some(arguments.text()),
            method::CONNECTION_UNBLOCKED => self.blocked = None,
            method::CHANNEL_CLOSE => {
                let error = Error::Channel(arguments.u16(), arguments.text());
                self.send(CHANNEL, method::CHANNEL_CLOSE_OK, Arguments::default())?;
                return Err(error);
            }
            method::CONNECTION_CLOSE => {
                let error = Error::Connection(arguments.u16(), arguments.text());
                self.send(0, method::CONNECTION_CLOSE_OK, Arguments::default())?;
                return Err(error);
            }
            _ => return Ok(Some(frame)),
        }
        Ok(None)
    }

    /// The message that follows a `basic.deliver` or `basic.get-ok`; `rest` is what is left of it.
    pub(super) fn content(
        &mut self,
        tag: u64,
        mut rest: frame::Reader<'_>,
        end: Instant,
    ) -> Result<Delivery> {
        let redelivered = rest.u8() & 1 != 0;
        rest.short();
        self.content_of(tag, redelivered, rest.text(), end)
    }

    fn content_of(
        &mut self,
        tag: u64,
        redelivered: bool,
        routing_key: String,
        end: Instant,
    ) -> Result<Delivery> {
        let (size, properties) = Properties::decode(&self.content_frame(frame::HEADER, end)?);
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            body.extend(self.content_frame(frame::BODY, end)?);
        }
        Ok(Delivery {
            tag,
            redelivered,
            routing_key,
            properties,
            body,
        })
    }

    fn content_frame(&mut self, kind: u8, end: Instant) -> Result<Vec<u8>> {
        loop {
            let frame = self.read_frame(end)?;
            if frame.kind == kind {
                return Ok(frame.payload);
            }
            assert_eq!(frame.kind, frame::HEARTBEAT, "content in one piece");
        }
    }

    fn settle(&mut self, tag: u64, multiple: bool, confirmed: bool) {
        let first = if multiple { 0 } else { tag };
        let settled: Vec<u64> = self.unconfirmed.range(first..=tag).copied().collect();
        for tag in settled {
            self.unconfirmed.remove(&tag);
            if !confirmed {
                self.nacked.push(tag);
            }
        }
    }

    pub(super) fn read_frame(&mut self, end: Instant) -> Result<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.buffer) {
                return Ok(frame);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::TimedOut);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
                // The latter after the process was stopped.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
