//! What products of both sizes (`short`, `long`) share: the state of a computation, and the steps around the transforms.

use super::bound::{Base, Watch};
use super::cache::Cache;
use super::limbs::{self, BLOCK, LANES};
use super::points::Points;
use rustfft::num_complex::Complex64;

/// One computation of F(n), with balanced limbs, the lowest first.
pub(super) struct Computation<'a> {
    pub(super) base: Base,
    pub(super) watch: Watch,
    pub(super) cache: &'a mut Cache,
    pub(super) keep_going: &'a dyn Fn() -> bool,
    /// Spectra of long numbers, with capacity for the largest.
    pub(super) spectra: [Points; 2],
}

/// Replaces the spectra of a and b with the conjugates of those of a^2 and ab, divided by the length of the transform.
#[inline(always)]
pub(super) fn square_and_product(a: &mut [Complex64], b: &mut [Complex64], points: usize) {
    let scale = (points as f64).recip();
    for (a, b) in a.iter_mut().zip(b) {
        let scaled = *a * scale;
        (*a, *b) = ((scaled * *a).conj(), (scaled * *b).conj());
    }
}

/// Replaces the spectrum of x with the conjugate of that of xy, divided by the length of the transform.
#[inline(always)]
pub(super) fn product(x: &mut [Complex64], y: &[Complex64], points: usize) {
    let scale = (points as f64).recip();
    for (x, y) in x.iter_mut().zip(y) {
        *x = (*x * scale * *y).conj();
    }
}

/// The lanes of two points of a square and of a product.
#[inline(always)]
pub(super) fn half_lanes(
    [(square, product), (square_2, product_2)]: [(Complex64, Complex64); 2],
) -> ([f64; LANES / 2], [f64; LANES / 2]) {
    (
        [square.re, -square.im, square_2.re, -square_2.im],
        [product.re, -product.im, product_2.re, -product_2.im],
    )
}

/// The lanes of four points of a product.
#[inline(always)]
pub(super) fn lanes([a, b, c, d]: [Complex64; LANES / 2]) -> [f64; LANES] {
    [a.re, -a.im, b.re, -b.im, c.re, -c.im, d.re, -d.im]
}

/// Copies `count` limbs of each lane into `result`. Lanes come in pairs: the first of a pair belongs to the lower half
/// of the result, the second to the same place of the upper half.
#[inline(always)]
pub(super) fn store(
    result: &mut [i32],
    block: &[[i32; BLOCK]],
    places: impl Iterator<Item = usize>,
    count: usize,
) {
    let (low, high) = result.split_at_mut(result.len() / 2);
    for (pair, place) in block.chunks(2).zip(places) {
        low[place..][..count].copy_from_slice(&pair[0][..count]);
        high[place..][..count].copy_from_slice(&pair[1][..count]);
    }
}

/// Adds the last carries of each pair of lanes where the next pair begins; a pair has `step` limbs in each half.
pub(super) fn finish<'a>(
    result: &mut Vec<i32>,
    carries: impl Iterator<Item = &'a [f64]>,
    step: usize,
    base: Base,
) {
    let half = result.len() / 2;
    for (index, pair) in carries.enumerate() {
        let place = (index + 1) * step;
        limbs::ripple(result, place, pair[0], base);
        limbs::ripple(result, half + place, pair[1], base);
    }
    limbs::trim(result);
}
