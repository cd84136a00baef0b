//! The requests of a session, from their delivery to their ack.
//!
//! Owns the consuming connection, the ack window, the pool and the futures. Nothing is acknowledged before [`Requests::settle`].

use super::prefetch::generation_of;
use crate::broker::{Arrival, Channel, Connection, Error, Mailbox};
use crate::server::acks::AckWindow;
use crate::server::backend::Backend;
use crate::server::futures::Futures;
use crate::server::pool::Pool;
use crate::server::span::{RequestSpan, Unacked};
use crate::server::state::Settled;
use crate::server::tally::Tally;
use std::time::Duration;

pub(super) struct Requests<B: Backend> {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
    pub(super) mailbox: Mailbox,
    pub(super) window: AckWindow,
    unacked: Unacked,
    pub(super) pool: Pool<B>,
    pub(super) futures: Futures,
    /// Deliveries that a drain will not begin and has not handed back yet.
    unbegun: Vec<u64>,
    /// Settled and rejected since the session began.
    pub(super) settled: u64,
    pub(super) tally: Tally,
}

impl<B: Backend> Requests<B> {
    pub(super) fn new(
        connection: Connection,
        (channel, mailbox): (Channel, Mailbox),
        pool: Pool<B>,
        tally: Tally,
    ) -> Self {
        Self {
            connection,
            channel,
            mailbox,
            window: AckWindow::default(),
            unacked: Unacked::default(),
            pool,
            futures: Futures::default(),
            unbegun: Vec::new(),
            settled: 0,
            tally,
        }
    }

    /// Allows a request to be acknowledged: its reply is confirmed, or nobody expects one.
    pub(super) fn settle(&mut self, tag: u64, how: Settled, span: RequestSpan) {
        self.window.settle(tag);
        self.unacked.add(tag, span);
        self.pool.release(tag);
        self.settled += 1;
        self.tally.settled(how);
    }

    /// Rejects a request without requeue.
    pub(super) fn reject(&mut self, tag: u64, how: Settled) {
        self.channel.reject(tag);
        self.window.done(tag);
        self.pool.release(tag);
        self.settled += 1;
        self.tally.settled(how);
    }

    /// Acknowledges what is settled.
    pub(super) fn flush_acks(&mut self) {
        for ack in self.window.flush() {
            self.channel.ack(ack.tag, ack.multiple);
            self.unacked.acked(&ack);
        }
    }

    /// Gives up those that the pool will probably not begin within `limit`; they are handed back later.
    pub(super) fn give_up_unbegun(&mut self, limit: Duration) {
        for tag in self.pool.withdraw(limit) {
            self.unbegun.push(tag);
            self.tally.settled(Settled::HandedBack);
        }
    }

    /// Gives up a delivery without looking at it; it is handed back later.
    pub(super) fn give_up(&mut self, arrival: Arrival) -> Result<(), Error> {
        match arrival {
            Arrival::Delivered(delivery) => {
                let generation = generation_of(delivery.consumer);
                self.window.open(delivery.tag, generation);
                self.unbegun.push(delivery.tag);
                self.tally.received(delivery.message.body_size());
                self.tally.settled(Settled::HandedBack);
                Ok(())
            }
            Arrival::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Hands back those that were given up and those that were not looked at.
    pub(super) fn hand_back(&mut self) -> Result<(), Error> {
        while let Some(arrival) = self.mailbox.try_next() {
            self.give_up(arrival)?;
        }
        for tag in std::mem::take(&mut self.unbegun) {
            self.channel.requeue(tag);
            self.window.done(tag);
        }
        Ok(())
    }

    /// Requests that are neither settled nor given up.
    pub(super) fn in_flight(&self) -> u64 {
        (self.window.outstanding() - self.unbegun.len()) as u64
    }

    /// Requests that the broker may redeliver if the session dies now: those in flight, and those whose acks may not have
    /// arrived.
    pub(super) fn returning(&self, prefetch: u16) -> u64 {
        (self.in_flight() + self.settled).min(prefetch.into())
    }

    /// Publishes what was counted.
    pub(super) fn publish(&mut self) {
        self.tally.publish(self.in_flight());
    }
}
