//! The waiting calls: a map from id to call that is also ordered by deadline.
//!
//! Pure: owns no timer and reads no clock; the driver sets a timer to [`DeadlineMap::next_deadline`]. Every call leaves exactly
//! once, by [`DeadlineMap::remove`] or [`DeadlineMap::pop_expired`].

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;
use uuid::Uuid;

/// Waiting calls of type `T`.
#[derive(Debug)]
pub(super) struct DeadlineMap<T> {
    calls: HashMap<Uuid, (Urgency, T)>,
    order: BTreeMap<Urgency, Uuid>,
    added: u64,
}

/// The deadline, then the order of insertion.
type Urgency = (Instant, u64);

impl<T> DeadlineMap<T> {
    pub(super) fn new() -> Self {
        Self {
            calls: HashMap::new(),
            order: BTreeMap::new(),
            added: 0,
        }
    }

    /// Adds a call, and returns the call that it replaces, if any.
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

    /// The deadline of a call, and the call.
    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<(Instant, &mut T)> {
        let ((deadline, _), call) = self.calls.get_mut(&id)?;
        Some((*deadline, call))
    }

    /// Removes a call.
    pub(super) fn remove(&mut self, id: Uuid) -> Option<T> {
        let (urgency, call) = self.calls.remove(&id)?;
        self.order.remove(&urgency);
        Some(call)
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let ((deadline, _), _) = self.order.first_key_value()?;
        Some(*deadline)
    }

    /// Removes the call with the earliest deadline, if that is not after `now`.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, id) = self.order.pop_first()?;
        let (_, call) = self.calls.remove(&id)?;
        Some(call)
    }

    /// Whether there are no calls.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The first call that `wanted` accepts, in order of deadlines.
    pub(super) fn first(&self, wanted: impl Fn(&T) -> bool) -> Option<&T> {
        let mut calls = self.order.values().filter_map(|id| self.calls.get(id));
        calls.find(|(_, call)| wanted(call)).map(|(_, call)| call)
    }

    /// The ids of the calls that `wanted` accepts, in order of deadlines.
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
        let mut map = DeadlineMap::new();
        assert_eq!(map.insert(id(1), now, "one"), None);
        assert_eq!(map.remove(id(2)), None);
        assert_eq!(map.remove(id(1)), Some("one"));
        assert_eq!(map.remove(id(1)), None);
        assert_eq!(map.pop_expired(now), None);
        assert_eq!(map.next_deadline(), None);
    }

    #[test]
    fn calls_expire_in_order_of_their_deadlines() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut map = DeadlineMap::new();
        map.insert(id(1), now + 3 * second, 'c');
        map.insert(id(2), now + second, 'a');
        map.insert(id(3), now + second, 'b'); // the same deadline: none is lost
        assert_eq!(map.next_deadline(), Some(now + second));
        assert_eq!(map.pop_expired(now), None);
        assert_eq!(map.pop_expired(now + second), Some('a'));
        assert_eq!(map.pop_expired(now + second), Some('b'));
        assert_eq!(map.pop_expired(now + second), None);
        assert_eq!(map.next_deadline(), Some(now + 3 * second));
        assert_eq!(map.pop_expired(now + 9 * second), Some('c'));
    }

    #[test]
    fn a_removed_call_does_not_expire() {
        let now = Instant::now();
        let mut map = DeadlineMap::new();
        map.insert(id(1), now, 'a');
        map.insert(id(2), now, 'b');
        assert_eq!(map.remove(id(1)), Some('a'));
        assert_eq!(map.pop_expired(now), Some('b'));
        assert_eq!(map.pop_expired(now), None);
    }

    #[test]
    fn inserting_an_id_again_replaces_the_call_and_its_deadline() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut map = DeadlineMap::new();
        map.insert(id(1), now, 'a');
        assert_eq!(map.insert(id(1), later, 'b'), Some('a'));
        assert_eq!(map.next_deadline(), Some(later));
        assert_eq!(map.pop_expired(now), None);
        assert_eq!(map.pop_expired(later), Some('b'));
        assert_eq!(map.next_deadline(), None);
    }

    #[test]
    fn calls_with_the_same_deadline_keep_their_order() {
        let now = Instant::now();
        let mut map = DeadlineMap::new();
        for n in [3, 1, 2] {
            map.insert(id(n), now, n);
        }
        assert_eq!(map.ids(|_| true), [id(3), id(1), id(2)]);
        assert_eq!(map.pop_expired(now), Some(3));
    }

    #[test]
    fn ids_are_ordered_by_deadline() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut map = DeadlineMap::new();
        for (n, delay) in [(1, 3), (2, 1), (3, 2)] {
            map.insert(id(n), now + second * delay, n);
        }
        assert_eq!(map.ids(|n| *n != 3), [id(2), id(1)]);
        assert_eq!(map.ids(|_| true), [id(2), id(3), id(1)]);
    }
}
