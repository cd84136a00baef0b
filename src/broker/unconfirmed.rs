//! What was published and not confirmed yet, by the number of its publish. Pure.

use std::collections::VecDeque;

/// Values of type `T`, one for each publish on a channel that waits for its confirm.
#[derive(Debug)]
pub struct Unconfirmed<T> {
    /// The number of the first slot; the others follow without a gap.
    first: u64,
    /// Empty slots are confirmed, and the first one is not empty.
    slots: VecDeque<Option<T>>,
}

impl<T> Default for Unconfirmed<T> {
    fn default() -> Self {
        Self {
            first: 1,
            slots: VecDeque::new(),
        }
    }
}

impl<T> Unconfirmed<T> {
    /// Adds a publish, whose number is higher than those before.
    pub fn add(&mut self, number: u64, value: T) {
        if self.slots.is_empty() {
            self.first = number;
        }
        // Numbers left out belong to publishes whose confirms are not awaited.
        while self.first + (self.slots.len() as u64) < number {
            self.slots.push_back(None);
        }
        self.slots.push_back(Some(value));
    }

    /// Removes one of the publishes that a confirm covers, the oldest first: the one with this number, or, if
    /// `multiple`, any up to it. To be called until it returns `None`.
    pub fn confirm(&mut self, number: u64, multiple: bool) -> Option<T> {
        let slot = if multiple {
            self.slots.front_mut().filter(|_| self.first <= number)
        } else {
            let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
            self.slots.get_mut(index)
        };
        let value = slot?.take()?;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(value)
    }

    /// Whether the publish with this number waits.
    pub fn waits(&self, number: u64) -> bool {
        let index = number.checked_sub(self.first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        index.is_some_and(|index| matches!(self.slots.get(index), Some(Some(_))))
    }

    /// Those that wait, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// How many wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn confirmed(waiting: &mut Unconfirmed<u64>, number: u64, multiple: bool) -> Vec<u64> {
        std::iter::from_fn(|| waiting.confirm(number, multiple)).collect()
    }

    #[test]
    fn a_confirm_is_about_one_or_all_before_it() {
        let mut waiting = Unconfirmed::default();
        (1..=5).for_each(|number| waiting.add(number, number));
        assert_eq!(confirmed(&mut waiting, 2, false), [2]);
        assert_eq!(confirmed(&mut waiting, 2, false), [0; 0]);
        assert_eq!(confirmed(&mut waiting, 4, true), [1, 3, 4]);
        assert_eq!(waiting.len(), 1);
        assert_eq!(confirmed(&mut waiting, 9, true), [5]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn numbers_may_be_left_out() {
        let mut waiting = Unconfirmed::default();
        waiting.add(7, 'a');
        waiting.add(10, 'b');
        for nobodys in [0, 6, 8, 9, 11, u64::MAX] {
            assert_eq!(waiting.confirm(nobodys, false), None, "{nobodys}");
        }
        assert_eq!(waiting.iter().collect::<String>(), "ab");
        assert_eq!(waiting.confirm(10, false), Some('b'));
        assert_eq!(waiting.confirm(10, true), Some('a'));
    }

    proptest::proptest! {
        #[test]
        fn it_is_a_map_by_number(
            actions in proptest::collection::vec((0_u8..4, 1_u64..60), 0..300),
        ) {
            let mut waiting = Unconfirmed::default();
            let mut map = BTreeMap::new();
            let mut last = 0;
            for (action, number) in actions {
                match action {
                    0 | 1 => {
                        last += if action == 0 { 1 } else { number % 4 + 1 };
                        waiting.add(last, last);
                        map.insert(last, last);
                    }
                    2 => proptest::prop_assert_eq!(waiting.confirm(number, false), map.remove(&number)),
                    _ => {
                        let rest = map.split_off(&(number + 1));
                        let expected: Vec<u64> = map.into_values().collect();
                        map = rest;
                        proptest::prop_assert_eq!(confirmed(&mut waiting, number, true), expected);
                    }
                }
                proptest::prop_assert_eq!(waiting.len(), map.len());
                proptest::prop_assert_eq!(waiting.waits(number), map.contains_key(&number));
                proptest::prop_assert!(waiting.iter().eq(map.values()));
            }
        }
    }
}
