//! The lengths of transforms, and the smallest sufficient one.
//!
//! All are products of 2, 3 and 5, which the library always transforms by mixed radices.

/// The odd parts of lengths.
const ODD: [usize; 7] = [1, 3, 5, 9, 15, 27, 45];

/// The longest transform that is one plan of the library.
pub(super) const MAX_PLAN: usize = 8_192;

/// Short lengths are multiples of this.
const SHORT_UNIT: usize = 8;

/// Columns of a long transform that are copied at once: the limbs in a cache line.
pub(super) const COLUMNS: usize = 16;

/// Rows of a long transform whose carries are propagated in parallel.
pub(super) const ROWS: usize = 4;

/// How a product of two numbers is transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// A single plan with this many points.
    Short(usize),
    /// A matrix, transformed by columns and by rows.
    Long { rows: usize, columns: usize },
}

impl Length {
    /// For factors of up to `limbs` limbs.
    pub(super) fn covering(limbs: usize) -> Self {
        if limbs <= MAX_PLAN {
            return Self::Short(smallest(limbs.max(1), SHORT_UNIT));
        }
        let side = limbs.isqrt();
        let mut best = (usize::MAX, true, 0, 0);
        for odd in ODD {
            let mut rows = odd * ROWS;
            while rows < side / 4 {
                rows *= 2;
            }
            while rows <= 2 * side {
                let columns = smallest(limbs.div_ceil(rows), COLUMNS);
                // Of equal ones, that with the fewest rows: a block of columns is then in the cache of a core, as a row is.
                best = best.min((rows * columns, columns > MAX_PLAN, rows, columns));
                rows *= 2;
            }
        }
        let (_, _, rows, columns) = best;
        Self::Long { rows, columns }
    }

    /// Complex points.
    pub(super) fn points(self) -> usize {
        match self {
            Self::Short(points) => points,
            Self::Long { rows, columns } => rows * columns,
        }
    }
}

/// The smallest length that is not below `least` and a multiple of `unit`, which is a power of two.
fn smallest(least: usize, unit: usize) -> usize {
    let all = ODD.map(|odd| odd * unit * least.div_ceil(odd * unit).next_power_of_two());
    all.into_iter().min().unwrap_or(least)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// All lengths of short transforms.
    pub(in super::super) fn short_lengths() -> Vec<usize> {
        let mut lengths: Vec<_> = (1..=MAX_PLAN)
            .map(|limbs| Length::covering(limbs).points())
            .collect();
        lengths.dedup();
        lengths
    }

    #[test]
    fn every_number_of_limbs_has_a_length_that_is_not_much_longer() {
        let long = (MAX_PLAN + 1..40_000).chain((40_000..30_000_000).step_by(9_973));
        for limbs in (0..=MAX_PLAN).chain(long) {
            let length = Length::covering(limbs);
            let points = length.points();
            assert!(points >= limbs, "{limbs}: {length:?}");
            match length {
                Length::Short(_) => {
                    assert!(points <= limbs * 6 / 5 + SHORT_UNIT, "{limbs}: {length:?}");
                }
                Length::Long { rows, columns } => {
                    assert!(points <= limbs * 9 / 8, "{limbs}: {length:?}");
                    assert!(rows % ROWS == 0 && columns % COLUMNS == 0, "{length:?}");
                    assert!(rows <= columns && columns <= 18 * rows, "{length:?}");
                    assert!(columns <= MAX_PLAN, "{length:?}");
                }
            }
            let rest = [2, 3, 5].into_iter().fold(points, |mut rest, factor| {
                while rest.is_multiple_of(factor) {
                    rest /= factor;
                }
                rest
            });
            assert_eq!(rest, 1, "{limbs}: {length:?}");
        }
    }
}
