//! A session's part of the server's counters.
//!
//! Owns plain numbers, which the session publishes once per turn of its loop: so a request costs no atomic operation for each,
//! and in the counters those received are always those in flight and those settled. Histograms, if the server has any, are
//! shared. Dropping the tally settles what is left as lost, and dropping a part of a gauge takes it away.

use super::metrics::{Measured, Metrics};
use super::state::{Counters, Settled};
use crate::protocol::RequestMessage;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happened to the requests of one session and was not published yet.
#[derive(Debug)]
pub(super) struct Tally {
    counters: Arc<Counters>,
    /// As published.
    in_flight: u64,
    received: u64,
    request_bytes: u64,
    reply_bytes: u64,
    confirmed: u64,
    /// By [`Settled`].
    settled: [u64; Settled::ALL.len()],
    /// If the server measures times.
    metrics: Option<Arc<Metrics>>,
}

impl Tally {
    /// The tally of a session without requests, which measures times if there are metrics.
    pub(super) fn new(counters: &Arc<Counters>, metrics: Option<&Arc<Metrics>>) -> Self {
        Self {
            counters: counters.clone(),
            in_flight: 0,
            received: 0,
            request_bytes: 0,
            reply_bytes: 0,
            confirmed: 0,
            settled: Default::default(),
            metrics: metrics.cloned(),
        }
    }

    /// Counts a delivery with a body of this size.
    pub(super) fn received(&mut self, body: u64) {
        self.received += 1;
        self.request_bytes += body;
    }

    /// Counts a reply with a body of this size, which is published for the first time.
    pub(super) fn replied(&mut self, body: u64) {
        self.reply_bytes += body;
    }

    /// Counts a reply that the broker confirmed.
    pub(super) fn confirmed(&mut self) {
        self.confirmed += 1;
    }

    /// Counts a request that was settled.
    pub(super) fn settled(&mut self, how: Settled) {
        self.settled[how as usize] += 1;
    }

    /// Whether times are measured.
    pub(super) fn measures(&self) -> bool {
        self.metrics.is_some()
    }

    /// Observes a time, if times are measured.
    pub(super) fn observe(&self, measured: Measured, time: Duration) {
        if let Some(metrics) = &self.metrics {
            metrics.observe(measured, time);
        }
    }

    /// Observes how long a request was in the queue that was delivered at `now` (Unix milliseconds), if times are measured.
    pub(super) fn delivered(&self, request: &RequestMessage, now: i64) {
        if let Some(metrics) = &self.metrics {
            metrics.delivered(request, now);
        }
    }

    /// Publishes all this, and how many requests are in flight.
    pub(super) fn publish(&mut self, in_flight: u64) {
        let counters = &self.counters;
        take(&mut self.received, &counters.received);
        take(&mut self.request_bytes, &counters.request_bytes);
        take(&mut self.reply_bytes, &counters.reply_bytes);
        take(&mut self.confirmed, &counters.confirmed);
        for how in Settled::ALL {
            take(&mut self.settled[*how as usize], counters.settled(*how));
        }
        move_gauge(&counters.in_flight, &mut self.in_flight, in_flight);
    }

    /// Settles everything in flight, and publishes that.
    pub(super) fn end(&mut self, how: Settled) {
        let settled: u64 = self.settled.iter().sum();
        let open = (self.in_flight + self.received).saturating_sub(settled);
        self.settled[how as usize] += open;
        self.publish(0);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.end(Settled::Lost);
    }
}

/// A session's part of a gauge.
#[derive(Debug)]
pub(super) struct Part {
    counters: Arc<Counters>,
    gauge: fn(&Counters) -> &AtomicU64,
    value: u64,
}

impl Part {
    /// A part of zero.
    pub(super) fn new(counters: &Arc<Counters>, gauge: fn(&Counters) -> &AtomicU64) -> Self {
        Self {
            counters: counters.clone(),
            gauge,
            value: 0,
        }
    }

    /// Sets the part.
    pub(super) fn set(&mut self, part: u64) {
        move_gauge((self.gauge)(&self.counters), &mut self.value, part);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn take(from: &mut u64, to: &AtomicU64) {
    if *from > 0 {
        to.fetch_add(std::mem::take(from), Ordering::Relaxed);
    }
}

fn move_gauge(gauge: &AtomicU64, part: &mut u64, to: u64) {
    if to != *part {
        gauge.fetch_add(to.wrapping_sub(*part), Ordering::Relaxed);
        *part = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(counters: &Counters, how: Settled) -> u64 {
        Counters::get(counters.settled(how))
    }

    /// Those received are those in flight and those settled.
    fn adds_up(counters: &Counters) -> bool {
        let all = Settled::ALL.iter().map(|how| settled(counters, *how));
        Counters::get(&counters.received) == all.sum::<u64>() + Counters::get(&counters.in_flight)
    }

    #[test]
    fn the_gauge_is_the_sum_over_sessions() {
        let counters = Arc::new(Counters::default());
        let gauge = || Counters::get(&counters.prefetch);
        let mut old = Part::new(&counters, |counters| &counters.prefetch);
        let mut new = Part::new(&counters, |counters| &counters.prefetch);
        old.set(3);
        new.set(2);
        old.set(1);
        assert_eq!(gauge(), 3);
        drop(old);
        assert_eq!(gauge(), 2);
        new.set(0);
        assert_eq!(gauge(), 0);
    }

    #[test]
    fn what_a_session_has_in_flight_at_its_end_is_lost() {
        let counters = Arc::new(Counters::default());
        let mut tally = Tally::new(&counters, None);
        (0..5).for_each(|_| tally.received(10));
        tally.publish(5);
        assert!(adds_up(&counters));
        tally.settled(Settled::Replied);
        tally.received(1);
        drop(tally);
        assert_eq!(Counters::get(&counters.request_bytes), 51);
        assert_eq!(settled(&counters, Settled::Replied), 1);
        assert_eq!(settled(&counters, Settled::Lost), 5);
        assert_eq!(Counters::get(&counters.in_flight), 0);
        assert!(adds_up(&counters));
    }

    #[test]
    fn a_session_that_ends_in_order_loses_nothing() {
        let counters = Arc::new(Counters::default());
        let mut tally = Tally::new(&counters, None);
        (0..3).for_each(|_| tally.received(0));
        tally.settled(Settled::Poisoned);
        tally.end(Settled::HandedBack);
        drop(tally);
        let ways = [Settled::Poisoned, Settled::HandedBack, Settled::Lost];
        assert_eq!(ways.map(|how| settled(&counters, how)), [1, 2, 0]);
        assert!(adds_up(&counters));
    }
}
