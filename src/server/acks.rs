//! The ack window: which deliveries are settled, and the fewest frames to acknowledge them.
//!
//! Owns the state of every delivery tag of one channel from the oldest unsettled one on. Guarantees
//! that no tag is acknowledged twice, and none before [`AckWindow::settle`]. A run without a gap takes
//! one frame (`multiple`), whatever its length.

use std::collections::VecDeque;

/// How many consumers of one channel are counted separately.
pub(super) const CONSUMERS: u8 = 16;

/// One `basic.ack` to send: the tag, and whether it covers all earlier tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    pub(super) multiple: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// Delivered by this consumer, and not settled.
    Open(u8),
    /// To be acknowledged by the next flush.
    Settled,
    /// Acknowledged by a frame of its own, handed back or rejected.
    Done,
}

/// The deliveries of one channel.
#[derive(Debug, Default)]
pub(super) struct AckWindow {
    /// The tag of the first slot; tags start at 1 (AMQP 0-9-1, section 1.8.3.13).
    first: u64,
    slots: VecDeque<Slot>,
    /// Settled tags that are not acknowledged yet.
    fresh: Vec<u64>,
    /// Open slots.
    open: usize,
    /// Open slots by consumer.
    open_of: [usize; CONSUMERS as usize],
}

impl AckWindow {
    /// Adds a delivery to one of the channel's [`CONSUMERS`].
    pub(super) fn open(&mut self, tag: u64, consumer: u8) {
        if self.slots.is_empty() {
            self.first = tag;
        }
        // Tags count up by one. If the broker skips one, there is nothing to acknowledge for it.
        while self.first + (self.slots.len() as u64) < tag {
            self.slots.push_back(Slot::Done);
        }
        let consumer = consumer % CONSUMERS;
        self.slots.push_back(Slot::Open(consumer));
        self.open += 1;
        self.open_of[usize::from(consumer)] += 1;
    }

    /// Allows the delivery to be acknowledged.
    pub(super) fn settle(&mut self, tag: u64) {
        if self.close(tag, Slot::Settled) {
            self.fresh.push(tag);
        }
    }

    /// Notes that the delivery was handed back or rejected by a frame of its own.
    pub(super) fn done(&mut self, tag: u64) {
        self.close(tag, Slot::Done);
    }

    /// Deliveries that are settled and not acknowledged yet.
    pub(super) fn settled(&self) -> usize {
        self.fresh.len()
    }

    /// Deliveries that are neither settled nor handed back.
    pub(super) fn outstanding(&self) -> usize {
        self.open
    }

    /// The same, for this consumer.
    pub(super) fn outstanding_of(&self, consumer: u8) -> usize {
        self.open_of[usize::from(consumer % CONSUMERS)]
    }

    /// The acks to send now: one for the run at the front, and one for each settled tag behind a gap.
    pub(super) fn flush(&mut self) -> Vec<Ack> {
        let mut acks = Vec::new();
        if self.fresh.is_empty() {
            return acks;
        }
        let mut last = None;
        while let Some(slot) = self.slots.front() {
            match slot {
                Slot::Open(_) => break,
                Slot::Settled => last = Some(self.first),
                Slot::Done => {}
            }
            self.slots.pop_front();
            self.first += 1;
        }
        acks.extend(last.map(|tag| Ack {
            tag,
            multiple: true,
        }));
        for tag in std::mem::take(&mut self.fresh) {
            if let Some(slot) = self.slot(tag) {
                *slot = Slot::Done;
                acks.push(Ack {
                    tag,
                    multiple: false,
                });
            }
        }
        acks
    }

    fn close(&mut self, tag: u64, to: Slot) -> bool {
        let Some(slot) = self.slot(tag) else {
            return false;
        };
        let Slot::Open(consumer) = *slot else {
            return false;
        };
        *slot = to;
        self.open -= 1;
        self.open_of[usize::from(consumer)] -= 1;
        true
    }

    fn slot(&mut self, tag: u64) -> Option<&mut Slot> {
        self.slots
            .get_mut(usize::try_from(tag.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn window(tags: std::ops::RangeInclusive<u64>) -> AckWindow {
        let mut window = AckWindow::default();
        tags.for_each(|tag| window.open(tag, 0));
        window
    }

    fn one(tag: u64) -> Ack {
        Ack {
            tag,
            multiple: false,
        }
    }

    fn up_to(tag: u64) -> Ack {
        Ack {
            tag,
            multiple: true,
        }
    }

    #[test]
    fn nothing_is_acked_before_it_is_settled() {
        assert_eq!(window(1..=5).flush(), []);
    }

    #[test]
    fn a_run_is_one_frame() {
        let mut window = window(1..=100);
        (1..=70).rev().for_each(|tag| window.settle(tag));
        assert_eq!(window.flush(), [up_to(70)]);
        assert_eq!(window.flush(), []);
        assert_eq!(window.outstanding(), 30);
    }

    #[test]
    fn tags_behind_a_gap_are_acked_one_by_one_and_once() {
        let mut window = window(1..=6);
        window.settle(1);
        window.settle(3);
        window.settle(5);
        assert_eq!(window.flush(), [up_to(1), one(3), one(5)]);
        window.settle(2);
        assert_eq!(window.flush(), [up_to(2)], "3 was acked before");
        window.settle(4);
        window.settle(6);
        assert_eq!(window.flush(), [up_to(6)]);
        assert_eq!(window.outstanding(), 0);
    }

    #[test]
    fn tags_that_were_handed_back_are_never_acked() {
        let mut window = window(1..=4);
        window.done(2);
        window.settle(2);
        window.settle(1);
        window.done(3);
        assert_eq!(window.flush(), [up_to(1)]);
        window.settle(4);
        assert_eq!(window.flush(), [up_to(4)]);
    }

    proptest::proptest! {
        #[test]
        fn every_settled_tag_is_acked_exactly_once_and_no_other(
            actions in proptest::collection::vec((0u8..4, 1u64..40), 0..400),
        ) {
            let mut window = AckWindow::default();
            let (mut next, mut settled, mut done, mut acked) =
                (1u64, BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for (action, tag) in actions {
                match action {
                    0 => { window.open(next, 0); next += 1; }
                    1 if tag < next => {
                        window.settle(tag);
                        if !done.contains(&tag) { settled.insert(tag); }
                    }
                    2 if tag < next => {
                        window.done(tag);
                        if !settled.contains(&tag) { done.insert(tag); }
                    }
                    _ => for ack in window.flush() {
                        let covered = if ack.multiple { 1..=ack.tag } else { ack.tag..=ack.tag };
                        for tag in covered.filter(|tag| !done.contains(tag)) {
                            proptest::prop_assert!(settled.contains(&tag), "{} acked early", tag);
                            let fresh = acked.insert(tag);
                            proptest::prop_assert!(fresh || ack.multiple, "{} acked twice", tag);
                        }
                    },
                }
                let closed = settled.len() + done.len();
                proptest::prop_assert_eq!((window.outstanding() + closed) as u64, next - 1);
            }
            window.flush().iter().for_each(|ack| {
                if ack.multiple { acked.extend((1..=ack.tag).filter(|tag| !done.contains(tag))); }
                else { acked.insert(ack.tag); }
            });
            proptest::prop_assert_eq!(acked, settled);
        }
    }

    #[test]
    fn tags_that_were_skipped_are_never_acked() {
        let mut window = AckWindow::default();
        for tag in [3, 6] {
            window.open(tag, 0);
        }
        window.settle(4);
        assert_eq!((window.settled(), window.outstanding()), (0, 2));
        window.settle(6);
        assert_eq!((window.settled(), window.outstanding()), (1, 1));
        assert_eq!(window.flush(), [one(6)]);
        window.settle(3);
        assert_eq!(window.flush(), [up_to(3)]);
        window.open(9, 0);
        window.settle(9);
        assert_eq!(window.flush(), [up_to(9)]);
    }

    #[test]
    fn a_window_that_was_empty_begins_anew() {
        let mut window = window(1..=2);
        window.settle(1);
        window.settle(2);
        window.settle(0);
        window.settle(3);
        assert_eq!(window.flush(), [up_to(2)]);
        window.open(3, 0);
        assert_eq!(window.outstanding(), 1);
        window.settle(3);
        assert_eq!(window.flush(), [up_to(3)]);
    }

    #[test]
    fn outstanding_deliveries_are_counted_by_consumer() {
        let mut window = AckWindow::default();
        for (tag, consumer) in [(1, 0), (2, 0), (3, 1), (4, 0), (5, 1)] {
            window.open(tag, consumer);
        }
        let counts = |window: &AckWindow| [0, 1, 2].map(|of| window.outstanding_of(of));
        assert_eq!(counts(&window), [3, 2, 0]);
        for tag in [1, 3, 3] {
            window.settle(tag);
        }
        window.done(4);
        assert_eq!(counts(&window), [1, 1, 0]);
        window.flush();
        window.settle(2);
        window.settle(5);
        assert_eq!((counts(&window), window.outstanding()), ([0; 3], 0));
        // There is room for as many consumers and no more: the next one counts as the first.
        window.open(6, CONSUMERS);
        assert_eq!(counts(&window), [1, 0, 0]);
        assert_eq!(window.outstanding_of(CONSUMERS), 1);
    }
}
