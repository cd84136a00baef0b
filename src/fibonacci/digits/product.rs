//! What products of both sizes (`short`, `long`) share: the state of a computation, and the steps around the transforms.

use super::bound::{Base, Watch};
use super::cache::Cache;
use super::limbs::{self, Block, LANES, Limbs, Range};
use super::memory::Memory;
use rustfft::num_complex::Complex64;

/// One computation of F(n), with balanced limbs, the lowest first.
pub(super) struct Computation<'a> {
    pub(super) base: Base,
    pub(super) watch: Watch,
    pub(super) cache: &'a mut Cache,
    pub(super) keep_going: &'a dyn Fn() -> bool,
    /// Spectra of long numbers, with capacity for the largest.
    pub(super) spectra: [Memory<Complex64>; 2],
}

/// Replaces the spectra of a and b with those of a^2 and ab, exchanged and divided by the length of the transform.
///
/// Exchanging real and imaginary parts before and after a transform inverts its direction.
#[inline(always)]
pub(super) fn square_and_product(a: &mut [Complex64], b: &mut [Complex64], points: usize) {
    let scale = (points as f64).recip();
    for (a, b) in a.iter_mut().zip(b) {
        let scaled = *a * scale;
        (*a, *b) = (exchanged(scaled * *a), exchanged(scaled * *b));
    }
}

/// Replaces the spectrum of x with that of xy, exchanged and divided by the length of the transform.
#[inline(always)]
pub(super) fn product(x: &mut [Complex64], y: &[Complex64], points: usize) {
    let scale = (points as f64).recip();
    for (x, y) in x.iter_mut().zip(y) {
        *x = exchanged(*x * scale * *y);
    }
}

fn exchanged(point: Complex64) -> Complex64 {
    Complex64::new(point.im, point.re)
}

/// Puts a point into two lanes.
#[inline(always)]
pub(super) fn put(values: &mut [f64; LANES], lane: usize, point: Complex64) {
    values[lane] = point.re;
    values[lane + 1] = point.im;
}

/// Copies `count` limbs of each lane into `result`. Lanes come in pairs, one for each of `places`: the first of a pair belongs to the
/// upper half of the result, the second to the same place of the lower half.
#[inline(always)]
pub(super) fn store(
    result: &mut [i32],
    block: &Block,
    first: usize,
    places: impl Iterator<Item = usize>,
    count: usize,
) {
    let (low, high) = result.split_at_mut(result.len() / 2);
    for (index, place) in places.enumerate() {
        let lane = first + 2 * index;
        let places = high[place..][..count]
            .iter_mut()
            .zip(&mut low[place..][..count]);
        for ((high, low), values) in places.zip(block) {
            *high = values[lane].to_bits() as i32;
            *low = values[lane + 1].to_bits() as i32;
        }
    }
}

/// Adds the last carries of each pair of lanes where the next pair begins; a pair has `step` limbs in each half.
pub(super) fn finish<'a>(
    result: &mut Limbs,
    carries: impl Iterator<Item = &'a [f64]>,
    step: usize,
    base: Base,
    range: Range,
) {
    let half = result.len() / 2;
    for (index, pair) in carries.enumerate() {
        let place = (index + 1) * step;
        limbs::ripple(result, half + place, pair[0], base, range);
        limbs::ripple(result, place, pair[1], base, range);
    }
    limbs::trim(result);
}
