//! The large replies of a session: how much of them may be unconfirmed, and which wait for that.
//!
//! A reply is behind everything that the publishing connection has not sent yet. Without a limit, megabytes of large replies
//! would delay the small ones, and on a slow link the last of them would be confirmed later than `broker.confirm_timeout`
//! after its publish, which ends the session.
//!
//! Owns the sum of the large unconfirmed replies, and the queue of those that wait; they go in order, and small ones pass.
//! Guarantees that none waits if no large reply is unconfirmed. Pure; `replies.rs` publishes.

use std::collections::VecDeque;

/// A reply with a larger body is large, in bytes.
const LARGE: u64 = 16 << 10;

/// Limit for the large unconfirmed replies together, in bytes. A single one may exceed it. A link that takes 10 ms to the
/// broker and back still carries 100 MB/s.
const MAX_UNCONFIRMED: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Large<T> {
    unconfirmed: u64,
    /// With their sizes.
    waiting: VecDeque<(u64, T)>,
}

impl<T> Default for Large<T> {
    fn default() -> Self {
        Self {
            unconfirmed: 0,
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Large<T> {
    /// Whether a reply with a body of this size may be published now. If so, it counts until [`Large::end`]; otherwise it is
    /// to [`Large::wait`].
    pub(super) fn admits(&mut self, size: u64) -> bool {
        if size <= LARGE {
            return true;
        }
        let admitted = self.waiting.is_empty() && self.fits(size);
        if admitted {
            self.unconfirmed += size;
        }
        admitted
    }

    /// Keeps a reply that was not admitted.
    pub(super) fn wait(&mut self, size: u64, reply: T) {
        self.waiting.push_back((size, reply));
    }

    /// The next of those that waited, if it may be published now; it counts from now on.
    pub(super) fn next(&mut self) -> Option<T> {
        let &(size, _) = self.waiting.front()?;
        if !self.fits(size) {
            return None;
        }
        self.unconfirmed += size;
        self.waiting.pop_front().map(|(_, reply)| reply)
    }

    /// A reply of this size is published outside of this order, and counts as well.
    pub(super) fn begin(&mut self, size: u64) {
        if size > LARGE {
            self.unconfirmed += size;
        }
    }

    /// A reply of this size that counted is confirmed or refused.
    pub(super) fn end(&mut self, size: u64) {
        if size > LARGE {
            self.unconfirmed -= size;
        }
    }

    fn fits(&self, size: u64) -> bool {
        self.unconfirmed == 0 || self.unconfirmed + size <= MAX_UNCONFIRMED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that may be published now.
    fn next(large: &mut Large<u64>) -> Vec<u64> {
        std::iter::from_fn(|| large.next()).collect()
    }

    #[test]
    fn small_replies_pass_large_ones_that_wait_in_order() {
        const HALF: u64 = MAX_UNCONFIRMED / 2;
        let mut large = Large::default();
        assert!(large.admits(HALF) && large.admits(HALF));
        for (size, reply) in [(HALF, 1), (HALF + 1, 2), (LARGE + 1, 3)] {
            assert!(!large.admits(size));
            large.wait(size, reply);
        }
        assert!(large.admits(LARGE));
        large.end(LARGE);
        assert_eq!(next(&mut large), [0; 0]);
        large.end(HALF);
        assert_eq!(next(&mut large), [1], "no other fits");
        large.end(HALF);
        assert!(!large.admits(LARGE + 1), "it would pass others");
        assert_eq!(next(&mut large), [0; 0]);
        large.end(HALF);
        assert_eq!(next(&mut large), [2, 3]);
        assert!(large.admits(LARGE + 1), "none waits any more");
    }

    #[test]
    fn one_may_exceed_the_limit() {
        let mut large = Large::<u64>::default();
        assert!(large.admits(100 * MAX_UNCONFIRMED));
        assert!(!large.admits(LARGE + 1));
        large.wait(200 * MAX_UNCONFIRMED, 1);
        large.end(100 * MAX_UNCONFIRMED);
        assert_eq!(next(&mut large), [1]);
        large.end(200 * MAX_UNCONFIRMED);
        large.begin(MAX_UNCONFIRMED);
        assert!(!large.admits(LARGE + 1));
    }

    proptest::proptest! {
        /// Whatever happens, some reply is on its way as long as one waits, and not too many are.
        #[test]
        fn none_waits_for_nothing(
            actions in proptest::collection::vec((0_u8..3, 0_u64..2 * MAX_UNCONFIRMED), 0..300),
        ) {
            let mut large = Large::default();
            let mut published = VecDeque::new();
            for (action, size) in actions {
                if action == 0 && let Some(confirmed) = published.pop_front() {
                    large.end(confirmed);
                } else if large.admits(size) {
                    published.push_back(size);
                } else {
                    large.wait(size, size);
                }
                published.extend(std::iter::from_fn(|| large.next()));
                let sizes = || published.iter().filter(|size| **size > LARGE);
                proptest::prop_assert!(large.waiting.is_empty() || sizes().count() > 0);
                let sum = sizes().sum::<u64>();
                proptest::prop_assert_eq!(large.unconfirmed, sum);
                proptest::prop_assert!(sum <= MAX_UNCONFIRMED || sizes().count() == 1);
            }
        }
    }
}
