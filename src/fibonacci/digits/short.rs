//! Products of numbers short enough for a single plan of the library.
//!
//! Right-angle convolution: M limbs x(j) become M complex points x(j) w^j with w = exp(i pi / 2M). In the cyclic
//! product of two such sequences, what wraps around is multiplied by w^M = i. So, after division by the weights w^j,
//! the real parts are the coefficients 0 to M - 1 of the product, and the imaginary parts are the coefficients from M
//! on: all 2M of them, with complex transforms of length M.
//!
//! Only forward plans are used: with real and imaginary parts exchanged before and after, a transform is the inverse one. The exchanged
//! coefficients are multiplied by w^j instead of w^-j, and their imaginary parts are the lower half of the product.

use super::bound::Watch;
use super::cache::Plan;
use super::doubling::Combination;
use super::length::Length;
use super::limbs::{self, BLOCK, Block, Factors, LANES, Limbs, Range, Settler};
use super::product::{Computation, finish, product, put, square_and_product, store};
use super::stop::Stop;
use rustfft::num_complex::Complex64;
use std::sync::Arc;

/// The spectra of two factors, with what is needed to transform them.
struct Spectra<'a> {
    plan: Arc<Plan>,
    points: [&'a mut [Complex64]; 2],
    scratch: &'a mut [Complex64],
    watch: &'a mut Watch,
    keep_going: &'a dyn Fn() -> bool,
}

impl<'a> Spectra<'a> {
    /// Transforms both factors.
    fn new(
        computation: &'a mut Computation,
        length: usize,
        factors: [&[i32]; 2],
    ) -> Result<Self, Stop> {
        let short = computation.cache.short(length);
        let mut spectra = Self {
            plan: short.plan,
            points: short.points,
            scratch: short.scratch,
            watch: &mut computation.watch,
            keep_going: computation.keep_going,
        };
        for (limbs, points) in factors.iter().zip(&mut spectra.points) {
            load(limbs, &spectra.plan.weights, points);
        }
        let [square, other_square] = factors.map(limbs::squares);
        spectra
            .watch
            .product(Length::Short(length), square, other_square)?;
        spectra.transform(2)?;
        Ok(spectra)
    }

    /// Transforms the first `count` of the two.
    fn transform(&mut self, count: usize) -> Result<(), Stop> {
        for points in self.points.iter_mut().take(count) {
            Stop::unless((self.keep_going)())?;
            self.plan.fft.process_with_scratch(points, self.scratch);
        }
        Ok(())
    }
}

/// Multiplies `limbs` by their weights.
fn load(limbs: &[i32], weights: &[Complex64], points: &mut [Complex64]) {
    let (used, rest) = points.split_at_mut(limbs.len());
    for ((point, weight), limb) in used.iter_mut().zip(weights).zip(limbs) {
        *point = weight * f64::from(*limb);
    }
    rest.fill(Complex64::ZERO);
}

/// Two combinations of a^2 and ab.
pub(super) fn combine(
    computation: &mut Computation,
    points: usize,
    factors: [&[i32]; 2],
    wanted: [Combination; 2],
) -> Result<[Limbs; 2], Stop> {
    let base = computation.base;
    let mut results = [2 * points; 2].map(|length| Limbs::from(computation.cache.limbs(length)));
    let mut spectra = Spectra::new(computation, points, factors)?;
    let [first, second] = &mut spectra.points;
    square_and_product(first, second, points);
    spectra.transform(2)?;
    let [first, second] = &spectra.points;
    let weights = &spectra.plan.weights;
    let mut settler = Settler::new(base, Range::Balanced);
    let mut carries = [0.0; LANES];
    carries[1] = f64::from(wanted[0].constant);
    carries[LANES / 2 + 1] = f64::from(wanted[1].constant);
    let factors = Factors::new(wanted);
    let mut block: Block = [[0.0; LANES]; BLOCK];
    let half = points / 2;
    for begin in (0..half).step_by(BLOCK) {
        let count = BLOCK.min(half - begin);
        let places = [begin, begin + half];
        for (index, from) in places.into_iter().enumerate() {
            let range = from..from + count;
            let points = first[range.clone()].iter().zip(&second[range.clone()]);
            for ((point, other), (weight, values)) in
                points.zip(weights[range].iter().zip(&mut block))
            {
                put(values, 2 * index, point * weight);
                put(values, LANES / 2 + 2 * index, other * weight);
            }
        }
        settler.combinations(count, &factors, &mut carries, &mut block);
        for (result, lane) in results.iter_mut().zip([0, LANES / 2]) {
            store(result, &block, lane, places.into_iter(), count);
        }
    }
    spectra.watch.distances(&settler.distances)?;
    for (result, carries) in results.iter_mut().zip(carries.chunks(LANES / 2)) {
        finish(result, carries.chunks(2), half, base, Range::Balanced);
    }
    Ok(results)
}

/// xy + `constant`, with limbs in the range `Digits`.
pub(super) fn multiply(
    computation: &mut Computation,
    points: usize,
    factors: [&[i32]; 2],
    constant: i32,
) -> Result<Limbs, Stop> {
    let base = computation.base;
    let mut result = Limbs::from(computation.cache.limbs(2 * points));
    let mut spectra = Spectra::new(computation, points, factors)?;
    let [first, second] = &mut spectra.points;
    product(first, second, points);
    spectra.transform(1)?;
    let first = &spectra.points[0];
    let weights = &spectra.plan.weights;
    let mut settler = Settler::new(base, Range::Digits);
    let mut carries = [0.0; LANES];
    carries[1] = f64::from(constant);
    let mut block: Block = [[0.0; LANES]; BLOCK];
    let quarter = points / 4;
    for begin in (0..quarter).step_by(BLOCK) {
        let count = BLOCK.min(quarter - begin);
        let places = [0, 1, 2, 3].map(|lane| begin + lane * quarter);
        for (index, from) in places.into_iter().enumerate() {
            let range = from..from + count;
            let points = first[range.clone()].iter().zip(&weights[range]);
            for ((point, weight), values) in points.zip(&mut block) {
                put(values, 2 * index, point * weight);
            }
        }
        settler.products(count, &mut carries, &mut block);
        store(&mut result, &block, 0, places.into_iter(), count);
    }
    spectra.watch.distances(&settler.distances)?;
    finish(&mut result, carries.chunks(2), quarter, base, Range::Digits);
    Ok(result)
}
