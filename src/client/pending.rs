//! The calls that wait for their replies: a map from id to call, ordered by deadline as well.
//!
//! Pure: owns no timer and reads no clock; the driver asks for [`Pending::next_deadline`] and takes
//! out what has expired. Promises that every call leaves exactly once, by [`Pending::remove`] or
//! [`Pending::pop_expired`].

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;
use uuid::Uuid;

/// Waiting calls of type `T`.
#[derive(Debug)]
pub(super) struct Pending<T> {
    calls: HashMap<Uuid, (Urgency, T)>,
    order: BTreeMap<Urgency, Uuid>,
    added: u64,
}

/// Calls go by their deadlines, those with the same one by the order in which they came.
type Urgency = (Instant, u64);

impl<T> Pending<T> {
    /// Nothing waits yet.
    pub(super) fn new() -> Self {
        Self {
            calls: HashMap::new(),
            order: BTreeMap::new(),
            added: 0,
        }
    }

    /// Adds a call; gives back the one that had this id before, if any.
    pub(super) fn insert(&mut self, id: Uuid, deadline: Instant, call: T) -> Option<T> {
        let urgency = (deadline, self.added);
        self.added += 1;
        let before = self.calls.insert(id, (urgency, call));
        self.order.insert(urgency, id);
        before.map(|(urgency, call)| {
            self.order.remove(&urgency);
            call
        })
    }

    /// The call with this id and when it expires.
    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<(Instant, &mut T)> {
        let ((deadline, _), call) = self.calls.get_mut(&id)?;
        Some((*deadline, call))
    }

    /// Takes out the call with this id.
    pub(super) fn remove(&mut self, id: Uuid) -> Option<T> {
        let (urgency, call) = self.calls.remove(&id)?;
        self.order.remove(&urgency);
        Some(call)
    }

    /// When the next call expires.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let ((deadline, _), _) = self.order.first_key_value()?;
        Some(*deadline)
    }

    /// Takes out one call whose deadline is not after `now`, the earliest first.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, id) = self.order.pop_first()?;
        let (_, call) = self.calls.remove(&id)?;
        Some(call)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The ids of the calls that `wanted` accepts, the most urgent first.
    pub(super) fn ids(&self, wanted: impl Fn(&T) -> bool) -> Vec<Uuid> {
        let mut ids: Vec<Uuid> = self.order.values().copied().collect();
        ids.retain(|id| self.calls.get(id).is_some_and(|(_, call)| wanted(call)));
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn a_call_leaves_once() {
        let now = Instant::now();
        let mut pending = Pending::new();
        assert_eq!(pending.insert(id(1), now, "one"), None);
        assert_eq!(pending.remove(id(2)), None);
        assert_eq!(pending.remove(id(1)), Some("one"));
        assert_eq!(pending.remove(id(1)), None);
        assert_eq!(pending.pop_expired(now), None);
        assert_eq!(pending.next_deadline(), None);
    }

    #[test]
    fn calls_expire_in_order_of_their_deadlines() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pending = Pending::new();
        pending.insert(id(1), now + 3 * second, 'c');
        pending.insert(id(2), now + second, 'a');
        pending.insert(id(3), now + second, 'b'); // the same instant: nobody is lost
        assert_eq!(pending.next_deadline(), Some(now + second));
        assert_eq!(pending.pop_expired(now), None);
        assert_eq!(pending.pop_expired(now + second), Some('a'));
        assert_eq!(pending.pop_expired(now + second), Some('b'));
        assert_eq!(pending.pop_expired(now + second), None);
        assert_eq!(pending.next_deadline(), Some(now + 3 * second));
        assert_eq!(pending.pop_expired(now + 9 * second), Some('c'));
    }

    #[test]
    fn an_answered_call_does_not_expire_any_more() {
        let now = Instant::now();
        let mut pending = Pending::new();
        pending.insert(id(1), now, 'a');
        pending.insert(id(2), now, 'b');
        assert_eq!(pending.remove(id(1)), Some('a'));
        assert_eq!(pending.pop_expired(now), Some('b'));
        assert_eq!(pending.pop_expired(now), None);
    }

    #[test]
    fn an_id_that_comes_again_replaces_the_call_and_its_deadline() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut pending = Pending::new();
        pending.insert(id(1), now, 'a');
        assert_eq!(pending.insert(id(1), later, 'b'), Some('a'));
        assert_eq!(pending.next_deadline(), Some(later));
        assert_eq!(pending.pop_expired(now), None);
        assert_eq!(pending.pop_expired(later), Some('b'));
        assert_eq!(pending.next_deadline(), None);
    }

    #[test]
    fn calls_with_the_same_deadline_keep_their_order() {
        let now = Instant::now();
        let mut pending = Pending::new();
        for n in [3, 1, 2] {
            pending.insert(id(n), now, n);
        }
        assert_eq!(pending.ids(|_| true), [id(3), id(1), id(2)]);
        assert_eq!(pending.pop_expired(now), Some(3));
    }

    #[test]
    fn ids_go_by_urgency() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pending = Pending::new();
        for (n, delay) in [(1, 3), (2, 1), (3, 2)] {
            pending.insert(id(n), now + second * delay, n);
        }
        assert_eq!(pending.ids(|n| *n != 3), [id(2), id(1)]);
        assert_eq!(pending.ids(|_| true), [id(2), id(3), id(1)]);
    }
}
