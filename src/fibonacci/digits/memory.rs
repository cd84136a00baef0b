//! The memory of a large computation: spectra and limbs.
//!
//! From [`MAPPED`] bytes on, it is mapped in huge pages if the system allows that. Page faults would otherwise take a
//! fifth of the time, and freed memory would stay with the process.

use super::stop::Stop;
use bytemuck::Pod;
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};

/// Less is in ordinary memory, which is reused without page faults.
const MAPPED: usize = 4 << 20;

/// Bytes of a huge page. Whole ones are mapped, since the rest would be in ordinary pages.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes of an ordinary page.
const PAGE: usize = 4_096;

/// Bytes between two calls of `keep_going`.
const STEP: usize = 1 << 18;

/// The memory that this many bytes take.
pub(super) const fn mapped(bytes: u64) -> u64 {
    if bytes < MAPPED as u64 {
        return bytes;
    }
    bytes.next_multiple_of(HUGE_PAGE as u64)
}

/// A slice of items that grows up to a capacity.
#[derive(Debug, Default)]
pub(super) struct Memory<T> {
    mapped: Option<MmapMut>,
    /// Used unless `mapped`.
    allocated: Vec<T>,
    /// How many items are in use.
    used: usize,
}

impl<T: Pod> Memory<T> {
    /// Room for up to `capacity` items; none is in use.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let bytes = capacity * size_of::<T>();
        let mapped =
            (bytes >= MAPPED).then(|| MmapMut::map_anon(bytes.next_multiple_of(HUGE_PAGE)).ok());
        let mut memory = Self {
            mapped: mapped.flatten(),
            allocated: Vec::new(),
            used: 0,
        };
        match &memory.mapped {
            // It is slower without.
            #[cfg(target_os = "linux")]
            Some(map) => drop(map.advise(memmap2::Advice::HugePage)),
            #[cfg(not(target_os = "linux"))]
            Some(_) => {}
            None => memory.allocated.reserve_exact(capacity),
        }
        memory
    }

    /// `length` zeros, with room for a few more items.
    pub(super) fn zeros(length: usize, keep_going: &dyn Fn() -> bool) -> Result<Self, Stop> {
        let mut memory = Self::with_capacity(length + 8);
        memory.grow(length, keep_going)?;
        Ok(memory)
    }

    /// Extends the items in use to `length`, the new ones zero unless they were used before; in steps: page faults take time.
    pub(super) fn grow(
        &mut self,
        length: usize,
        keep_going: &dyn Fn() -> bool,
    ) -> Result<(), Stop> {
        while self.used < length {
            Stop::unless(keep_going())?;
            let used = length.min(self.used + STEP / size_of::<T>());
            match &mut self.mapped {
                Some(map) => {
                    let new = &mut bytemuck::cast_slice_mut(map)[self.used..used];
                    new.iter_mut()
                        .step_by(PAGE / size_of::<T>())
                        .for_each(|item| *item = T::zeroed());
                }
                None => self.allocated.resize(used, T::zeroed()),
            }
            self.used = used;
        }
        Ok(())
    }

    /// Appends an item; without an effect beyond the capacity of mapped memory.
    pub(super) fn push(&mut self, item: T) {
        match &mut self.mapped {
            Some(map) => match bytemuck::cast_slice_mut(map).get_mut(self.used) {
                Some(place) => *place = item,
                None => return,
            },
            None => self.allocated.push(item),
        }
        self.used += 1;
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.used = self.used.min(length);
        self.allocated.truncate(length);
    }

    /// The vector in which the items are; empty if they are mapped.
    pub(super) fn into_vec(self) -> Vec<T> {
        self.allocated
    }
}

impl<T> From<Vec<T>> for Memory<T> {
    fn from(items: Vec<T>) -> Self {
        Self {
            mapped: None,
            used: items.len(),
            allocated: items,
        }
    }
}

/// The items in use.
impl<T: Pod> Deref for Memory<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let all = match &self.mapped {
            Some(map) => bytemuck::cast_slice(map),
            None => &self.allocated[..],
        };
        &all[..self.used]
    }
}

impl<T: Pod> DerefMut for Memory<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let all = match &mut self.mapped {
            Some(map) => bytemuck::cast_slice_mut(map),
            None => &mut self.allocated[..],
        };
        &mut all[..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustfft::num_complex::Complex64;
    use std::cell::Cell;

    /// Points in a step.
    const POINTS: usize = STEP / size_of::<Complex64>();

    #[test]
    fn items_are_zero_and_keep_their_values_as_they_grow() {
        for capacity in [3 * POINTS, MAPPED / 16 + 7] {
            let mut points = Memory::with_capacity(capacity);
            assert_eq!(points.mapped.is_some(), capacity > 3 * POINTS);
            points.grow(100, &|| true).unwrap();
            points.fill(Complex64::ONE);
            points.grow(capacity, &|| true).unwrap();
            let (ones, zeros) = points.split_at(100);
            assert!(ones.iter().all(|point| *point == Complex64::ONE));
            assert!(zeros.iter().all(|point| *point == Complex64::ZERO));
            assert_eq!(points.len(), capacity);
        }
    }

    #[test]
    fn growing_is_interrupted() {
        for capacity in [3 * POINTS, MAPPED / 16] {
            let asked = Cell::new(0);
            let result = Memory::<Complex64>::with_capacity(capacity).grow(capacity, &|| {
                asked.set(asked.get() + 1);
                asked.get() < 3
            });
            assert_eq!((result, asked.get()), (Err(Stop::Cancelled), 3));
        }
    }

    #[test]
    fn items_are_appended_and_removed() {
        for length in [10, MAPPED / 4] {
            let mut limbs = Memory::zeros(length, &|| true).unwrap();
            assert_eq!(limbs.mapped.is_some(), length > 10);
            limbs.push(7);
            assert_eq!(limbs[length - 1..], [0, 7]);
            limbs.truncate(length - 1);
            limbs.push(8);
            assert_eq!((limbs.len(), limbs.last()), (length, Some(&8)));
        }
        assert_eq!(Memory::from(vec![1, 2]).into_vec(), [1, 2]);
    }
}
