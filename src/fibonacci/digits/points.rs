//! The memory of a spectrum, which is most of what a large computation needs.
//!
//! From [`MAPPED`] bytes on, it is mapped in huge pages if the system allows that. Page faults would otherwise take a
//! fifth of the time, and freed memory would stay with the process.

use super::stop::Stop;
use memmap2::MmapMut;
use rustfft::num_complex::Complex64;

/// Smaller spectra are in ordinary memory, which is reused without page faults.
const MAPPED: usize = 4 << 20;

/// Points in an ordinary page.
const PAGE: usize = 4_096 / size_of::<Complex64>();

/// Points between two calls of `keep_going`.
const STEP: usize = 1 << 14;

/// Complex points, initially zero.
#[derive(Default)]
pub(super) struct Points {
    mapped: Option<MmapMut>,
    /// Used unless `mapped`.
    allocated: Vec<Complex64>,
    /// How many points were used so far.
    used: usize,
}

impl Points {
    /// Room for up to `capacity` points.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let bytes = capacity * size_of::<Complex64>();
        let mapped = (bytes >= MAPPED).then(|| MmapMut::map_anon(bytes).ok());
        let mut points = Self {
            mapped: mapped.flatten(),
            ..Self::default()
        };
        match &points.mapped {
            // It is slower without.
            #[cfg(target_os = "linux")]
            Some(map) => drop(map.advise(memmap2::Advice::HugePage)),
            #[cfg(not(target_os = "linux"))]
            Some(_) => {}
            None => points.allocated.reserve_exact(capacity),
        }
        points
    }

    /// Extends the points in use to `length`, in steps: page faults take time.
    pub(super) fn grow(
        &mut self,
        length: usize,
        keep_going: &dyn Fn() -> bool,
    ) -> Result<(), Stop> {
        while self.used < length {
            Stop::unless(keep_going())?;
            let used = length.min(self.used + STEP);
            match &mut self.mapped {
                Some(map) => {
                    let new = &mut bytemuck::cast_slice_mut(map)[self.used..used];
                    new.iter_mut()
                        .step_by(PAGE)
                        .for_each(|point| *point = Complex64::ZERO);
                }
                None => self.allocated.resize(used, Complex64::ZERO),
            }
            self.used = used;
        }
        Ok(())
    }

    /// The first `length` points, which are in use.
    pub(super) fn first(&mut self, length: usize) -> &mut [Complex64] {
        let all = match &mut self.mapped {
            Some(map) => bytemuck::cast_slice_mut(map),
            None => &mut self.allocated[..],
        };
        &mut all[..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn points_are_zero_and_keep_their_values_as_they_grow() {
        for capacity in [3 * STEP, MAPPED / 16 + 7] {
            let mut points = Points::with_capacity(capacity);
            assert_eq!(points.mapped.is_some(), capacity > 3 * STEP);
            points.grow(100, &|| true).unwrap();
            points.first(100).fill(Complex64::ONE);
            points.grow(capacity, &|| true).unwrap();
            let (ones, zeros) = points.first(capacity).split_at(100);
            assert!(ones.iter().all(|point| *point == Complex64::ONE));
            assert!(zeros.iter().all(|point| *point == Complex64::ZERO));
        }
    }

    #[test]
    fn growing_is_interrupted() {
        for capacity in [3 * STEP, MAPPED / 16] {
            let asked = Cell::new(0);
            let result = Points::with_capacity(capacity).grow(capacity, &|| {
                asked.set(asked.get() + 1);
                asked.get() < 3
            });
            assert_eq!((result, asked.get()), (Err(Stop::Cancelled), 3));
        }
    }
}
