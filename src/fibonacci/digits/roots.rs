//! Roots of unity, correct to within rounding.

use rustfft::num_complex::Complex64;
use std::f64::consts::TAU;

/// 2 pi - `TAU`.
const TAU_REST: f64 = 2.449_293_598_294_706_4e-16;

/// exp(2 pi i `index` / `order`).
///
/// The angle is reduced to an eighth of the circle in integers and kept to twice the precision, so that the error of each
/// part is its own rounding and that of the library: together less than 1.5 * 2^-53.
pub(super) fn root(index: u64, order: u64) -> Complex64 {
    // Eighths of the circle, and the rest of the angle in units of 1 / (8 order).
    let eighths = u128::from(index % order) * 8;
    let (eighth, rest) = (eighths / u128::from(order), eighths % u128::from(order));
    // both below 2^53 for any order in use
    let (rest, whole) = (rest as u64 as f64, order as f64);
    let mirrored = eighth % 2 == 1;
    let part = if mirrored { whole - rest } else { rest };
    let (sin, cos) = sin_cos(part, 8.0 * whole);
    let (cos, sin) = if mirrored { (sin, cos) } else { (cos, sin) };
    match eighth / 2 {
        0 => Complex64::new(cos, sin),
        1 => Complex64::new(-sin, cos),
        2 => Complex64::new(-cos, -sin),
        _ => Complex64::new(sin, -cos),
    }
}

/// Sine and cosine of 2 pi part / whole, for up to an eighth of the circle.
fn sin_cos(part: f64, whole: f64) -> (f64, f64) {
    let ratio = part / whole;
    let ratio_rest = exact_difference(part, ratio, whole) / whole;
    let angle = TAU * ratio;
    // angle + rest is the angle to twice the precision.
    let rest = TAU_REST * ratio + TAU * ratio_rest - exact_difference(angle, TAU, ratio);
    let (sin, cos) = angle.sin_cos();
    (sin + rest * cos, cos - rest * sin)
}

/// a - xy without the rounding of xy (Dekker's product), if it is small compared with both.
fn exact_difference(a: f64, x: f64, y: f64) -> f64 {
    const SPLIT: f64 = 134_217_729.0; // 2^27 + 1
    let halves = |x: f64| {
        let high = x * SPLIT - (x * SPLIT - x);
        (high, x - high)
    };
    let ((x_high, x_low), (y_high, y_low)) = (halves(x), halves(y));
    ((a - x_high * y_high) - x_high * y_low - x_low * y_high) - x_low * y_low
}

/// All roots of one order, each the product of two: a table of about twice the square root of the order.
#[derive(Debug)]
pub(super) struct Ladder {
    fine: Vec<Complex64>,
    coarse: Vec<Complex64>,
    bits: u32,
}

impl Ladder {
    /// Of exp(2 pi i j / `order`) for j below `count`.
    pub(super) fn new(order: u64, count: u64) -> Self {
        let bits = count.max(1).ilog2().div_ceil(2);
        Self {
            fine: (0..1 << bits).map(|j| root(j, order)).collect(),
            coarse: (0..=count >> bits)
                .map(|j| root(j << bits, order))
                .collect(),
            bits,
        }
    }

    #[inline]
    pub(super) fn get(&self, j: u64) -> Complex64 {
        let fine = self.fine[(j & ((1 << self.bits) - 1)) as usize];
        fine * self.coarse[(j >> self.bits) as usize]
    }

    /// The first `count`, in order.
    pub(super) fn table(&self, count: usize) -> Vec<Complex64> {
        let mut table = Vec::with_capacity(count);
        for coarse in &self.coarse {
            let left = count - table.len();
            table.extend(self.fine.iter().take(left).map(|fine| fine * coarse));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::super::length::tests::short_lengths;
    use super::*;
    use dashu_int::IBig;

    /// Fractional bits of exact numbers.
    const BITS: usize = 160;
    const UNIT: f64 = f64::EPSILON / 2.0;

    /// The arc tangent of 1 / x.
    fn arc_tangent(x: u32) -> IBig {
        let mut power = (IBig::ONE << BITS) / x;
        let mut sum = IBig::ZERO;
        for k in (1..).step_by(2) {
            if power.is_zero() {
                break;
            }
            let term = &power / k;
            sum = if k % 4 == 1 { sum + term } else { sum - term };
            power /= x * x;
        }
        sum
    }

    /// Cosine and sine of 2 pi `index` / `order`, by their series.
    fn exact(index: u64, order: u64, tau: &IBig) -> [IBig; 2] {
        let angle = tau * index / order;
        let mut term = IBig::ONE << BITS;
        let mut parts = [IBig::ZERO, IBig::ZERO];
        for k in 1_usize.. {
            let part = &mut parts[(k + 1) % 2];
            *part = if k % 4 < 3 && k % 4 > 0 {
                &*part + &term
            } else {
                &*part - &term
            };
            term = ((term * &angle) >> BITS) / k;
            if term.is_zero() {
                break;
            }
        }
        parts
    }

    /// The distance of a number from an exact one, in units of 2^-53.
    fn distance(value: f64, exact: &IBig) -> f64 {
        // An f64 is an integer in units of 2^-160 unless it is too small to matter.
        let scaled = value * 2_f64.powi(100);
        let value = IBig::from(scaled as i128) << (BITS - 100);
        let difference = (value - exact) >> (BITS - 100);
        let difference = i128::try_from(difference).unwrap();
        let units = difference as f64 / 2_f64.powi(100) / UNIT;
        units.abs()
    }

    fn tau() -> IBig {
        (IBig::from(16) * arc_tangent(5) - IBig::from(4) * arc_tangent(239)) * 2
    }

    /// Each part is within two roundings, its own and that of the library. A root that is off by two units in the last place is
    /// detected, and so is a table whose roots are off by one.
    #[test]
    fn roots_are_correct_to_within_rounding() {
        let tau = tau();
        let (mut errors, mut planted_errors) = (Vec::new(), Vec::new());
        for order in [
            8,
            12,
            64,
            360,
            4 * 8_192,
            4 * 45 * 128,
            1 << 24,
            4 * 27 * 45 * 2_048,
        ] {
            for step in 0..97 {
                let index = step * order / 97 + step % 3;
                let root = root(index, order);
                for (part, exact) in [root.re, root.im]
                    .into_iter()
                    .zip(exact(index, order, &tau))
                {
                    let ulp = (part.abs().next_up() - part.abs()).max(2_f64.powi(-80)) / UNIT;
                    let off = distance(part, &exact);
                    assert!(off <= 1.06 * ulp, "{index} / {order}: {part} off by {off}");
                    let wrong = [part.next_up().next_up(), part.next_down().next_down()];
                    errors.push(off / ulp);
                    // One unit away, upwards or downwards.
                    let [up, down] = [part.next_up(), part.next_down()];
                    let planted = if step % 2 == 0 { up } else { down };
                    planted_errors.push(distance(planted, &exact) / ulp);
                    if part.abs() > 2_f64.powi(-30) {
                        let seen = wrong
                            .into_iter()
                            .any(|part| distance(part, &exact) > 1.06 * ulp);
                        assert!(seen, "{index} / {order}");
                    }
                }
            }
        }
        // A rounded number is a quarter of a unit away on average, and one that is off by a unit is one unit away.
        let mean = |errors: Vec<f64>| errors.iter().sum::<f64>() / errors.len() as f64;
        let [mean, planted] = [errors, planted_errors].map(mean);
        assert!(mean < 0.3 && planted > 0.9, "{mean}, {planted}");
    }

    #[test]
    fn products_of_roots_are_within_their_bound() {
        for order in [64, 4 * 8_192, 4 * 27 * 45 * 2_048] {
            let ladder = Ladder::new(order, order);
            for index in (0..order).step_by(usize::try_from(order / 61).unwrap()) {
                let off = (ladder.get(index) - root(index, order)).norm() / UNIT;
                assert!(off <= 6.0, "{index} / {order}: off by {off}");
            }
            let table = ladder.table(64);
            assert!((0..64).all(|j| table[j] == ladder.get(j as u64)));
        }
    }

    /// rustfft's formula for its roots, for all roots it can need.
    #[test]
    fn roots_of_the_library_are_within_the_bound() {
        let mut worst: f64 = 0.0;
        for length in short_lengths() {
            for index in 0..length {
                let angle = (-2.0 * std::f64::consts::PI / length as f64) * index as f64;
                let theirs = Complex64::new(angle.cos(), angle.sin());
                let ours = root(index as u64, length as u64).conj();
                worst = worst.max((theirs - ours).norm() / UNIT);
            }
        }
        assert!(worst + 1.0 < super::super::bound::ROOT_ERROR, "{worst}");
    }
}
