//! The error bound of a product by floating-point transforms, and the base that follows from it.
//!
//! # The bound
//!
//! Let e = 2^-53. A transform of length M is a product of sparse matrices: butterflies and diagonal matrices of roots
//! of unity. Every entry of the whole matrix has modulus 1.
//!
//! - A complex sum or difference is rounded with a relative error of at most e, a complex product with sqrt(5) e
//!   (Brent, Percival, Zimmermann, Math. Comp. 76 (2007) 1469; less with FMA), and a root that the library computes
//!   has an error of at most [`ROOT_ERROR`] e. So a factor 2 of the length contributes
//!   [`LEVEL`] = 1 + sqrt(5) + [`ROOT_ERROR`]. The error of a butterfly of 3 points is less than 10 e in each of its entries,
//!   that of 5 points less than 25 e; with the diagonal matrix, less than two and three such levels.
//! - Forward: each factor is unitary up to its scale. So errors add up relative to the Euclidean norm:
//!   the errors of the spectra X and Y of x and y are at most f ||X|| and f ||Y||, where f is the sum of the above.
//! - The error of the pointwise product XY is at most (2f + 5e) ||X|| ||Y|| in the sum of moduli (Cauchy-Schwarz), and
//!   ||X|| ||Y|| = M ||x|| ||y||.
//! - Backward: a coefficient is 1/M times a sum of all points of XY, each times a path of roots. A path's
//!   relative error is at most f, and an error of XY is not amplified. So the error of a coefficient
//!   is at most (3f + 5e) ||x|| ||y||.
//!
//! Percival (Math. Comp. 72 (2003) 387) proves the same for radix 2, with the same norms. The weights before and after, the
//! scale, and the factors between columns and rows add [`WEIGHTS`] e.
//!
//! The result is right if that is below 1/2, since coefficients are integers. The norms are those of each step's
//! operands. Limbs are balanced, so the norms are about those of random numbers: B^2 / 12 for a limb.
//!
//! Actual errors are a thousand times smaller, since they have signs. [`Watch`] observes them.

use super::length::Length;
use super::stop::Doubt;

/// 2^-53, the relative error of a rounding.
const ROUNDING: f64 = f64::EPSILON / 2.0;

/// Error of the roots in the library's plans, in units of 2^-53. It computes them as sines and cosines of (-2 pi / length)
/// index: three roundings, so at most 2.35 * 2 pi + 0.71 = 15.5 units. Tests check all of them up to the longest plan.
pub(super) const ROOT_ERROR: f64 = 15.5;

/// What a factor 2 of the length adds to the error of a transform: a sum, a product, and its root.
pub(super) const LEVEL: f64 = 1.0 + 2.24 + ROOT_ERROR;

/// All other errors: roots that are products of up to four others, and multiplications by them.
const WEIGHTS: f64 = 64.0;

/// Terms of second order, and the rounding of the norms themselves.
const SLACK: f64 = 1.01;

/// Digits in a limb, from the most to the fewest.
pub(super) const WIDTHS: [u32; 4] = [5, 4, 3, 2];

/// A power of ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Base {
    /// Digits in a limb.
    pub(super) digits: u32,
    pub(super) value: f64,
}

impl Base {
    pub(super) fn of(digits: u32) -> Self {
        Self {
            digits,
            value: f64::from(10_u32.pow(digits)),
        }
    }

    /// The largest base in which a number of `digits` digits can be computed, by the bound with a margin of a tenth.
    pub(super) fn for_digits(digits: u64) -> Option<Self> {
        WIDTHS.into_iter().map(Self::of).find(|base| {
            let limbs = base.factor_limbs(digits);
            let norm = limbs as f64 * base.value * base.value / 12.0;
            error(Length::covering(limbs), norm) < 0.45
        })
    }

    /// Limbs in each of the last two factors of a number of `digits` digits.
    pub(super) fn factor_limbs(self, digits: u64) -> usize {
        let limbs = digits.div_ceil(2 * u64::from(self.digits)) + 1;
        usize::try_from(limbs).unwrap_or(usize::MAX / 64)
    }
}

/// The error bound of a coefficient; `norms` is the product of the factors' Euclidean norms.
fn error(length: Length, norms: f64) -> f64 {
    (3.0 * LEVEL * levels(length) + WEIGHTS) * SLACK * ROUNDING * norms
}

/// The number of radix-2 levels with the same error bound as a transform of this length.
pub(super) fn levels(length: Length) -> f64 {
    let mut rest = length.points();
    let mut levels = 0_u32;
    for (factor, weight) in [(2, 1), (3, 2), (5, 3)] {
        while rest > 1 && rest.is_multiple_of(factor) {
            rest /= factor;
            levels += weight;
        }
    }
    f64::from(levels)
}

/// What was observed in one computation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Watch {
    /// The largest of all bounds.
    pub(super) bound: f64,
    /// The largest distance of a coefficient from the nearest integer.
    pub(super) distance: f64,
}

impl Watch {
    /// Checks the bound for a product of two factors, given the squares of their norms.
    pub(super) fn product(
        &mut self,
        length: Length,
        square: f64,
        other_square: f64,
    ) -> Result<(), Doubt> {
        let norms = square.sqrt() * other_square.max(square).sqrt();
        self.bound = self.bound.max(error(length, norms));
        // Ten times a coefficient plus its carry must also be exact, and in the range of `limbs::nearest`.
        let exact = norms * 10.0 < f64::from(1 << 30) * f64::from(1 << 20);
        if exact && self.bound < 0.5 {
            Ok(())
        } else {
            Err(Doubt::Bound)
        }
    }

    /// Checks how far from integers the coefficients were.
    pub(super) fn distances(&mut self, distances: &[f64]) -> Result<(), Doubt> {
        self.distance = distances.iter().copied().fold(self.distance, f64::max);
        if self.distance < 0.25 {
            Ok(())
        } else {
            Err(Doubt::Distance)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::Cache;
    use super::super::length::tests::short_lengths;
    use super::super::roots::root;
    use super::*;
    use rustfft::num_complex::Complex64;

    /// The transform of a unit vector at place 1 is the table of roots, each with the error of one path.
    #[test]
    fn transforms_of_the_library_are_within_the_bound() {
        Cache::with(|cache| {
            for length in short_lengths() {
                let short = cache.short(length);
                let [points, _] = short.points;
                points.fill(Complex64::ZERO);
                points[1] = Complex64::ONE;
                short.plan.fft.process_with_scratch(points, short.scratch);
                let allowed = LEVEL * levels(Length::Short(length)) * ROUNDING;
                for (k, point) in points.iter().enumerate() {
                    let off = (point - root(k as u64, length as u64).conj()).norm();
                    assert!(
                        off < allowed,
                        "{length}, point {k}: off by {off:e}, allowed {allowed:e}"
                    );
                }
            }
        });
    }

    #[test]
    fn a_larger_n_gets_a_smaller_base() {
        let digits_of = |n| super::super::cost::cost(n).digits;
        let base = |n| Base::for_digits(digits_of(n)).map(|base| base.digits);
        let mut last = (94, base(94));
        assert_eq!(last.1, Some(5));
        let mut changes = Vec::new();
        for step in 0..600 {
            let n = (94.0 * 1.05_f64.powi(step)) as u64;
            let next = base(n);
            if next != last.1 {
                changes.push((last.0, last.1));
            }
            last = (n, next);
        }
        let widths: Vec<_> = changes.iter().map(|(_, width)| *width).collect();
        assert_eq!(widths, [Some(5), Some(4), Some(3), Some(2)], "{changes:?}");
        // Every n that can be configured has a base.
        assert!(base(2_500_000_000).is_some());
    }

    #[test]
    fn bounds_and_distances_are_checked() {
        let length = Length::covering(8_000);
        let mut watch = Watch::default();
        assert_eq!(watch.product(length, 1e12, 1e12), Ok(()));
        assert!(watch.bound > 0.0 && watch.bound < 0.5);
        assert_eq!(watch.product(length, 1e15, 1e10), Err(Doubt::Bound));
        let mut watch = Watch::default();
        assert_eq!(watch.distances(&[0.1, 0.24, 0.0]), Ok(()));
        assert_eq!(watch.distances(&[0.0, 0.26]), Err(Doubt::Distance));
    }
}
