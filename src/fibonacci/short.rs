//! Products of numbers short enough for one plan of the library.
//!
//! Right-angle convolution: M limbs x(j) become M complex points x(j) w^j with w = exp(i pi / 2M). In the
//! product of two such sequences, taken cyclically, what wraps around is multiplied by w^M = i. So the real parts
//! of its points, without the weights w^j, are the coefficients 0 to M - 1 of the product and the imaginary parts
//! are those from M on: all 2M of them, with complex transforms of length M.
//!
//! There are forward plans only: the inverse transform is the conjugate of the forward one of the conjugate.

use super::bound::Base;
use super::decimal::{Decimal, Stop};
use super::doubling::Combination;
use super::length::Length;
use super::limbs::{self, BLOCK, Block, Factors, LANES, Settler};
use super::workshop::Plan;
use rustfft::num_complex::Complex64;

/// `limbs` with their weights, and the sum of their squares.
fn load(limbs: &[i32], weights: &[Complex64], points: &mut Vec<Complex64>) -> f64 {
    points.clear();
    points.extend(
        limbs
            .iter()
            .zip(weights)
            .map(|(limb, weight)| weight * f64::from(*limb)),
    );
    points.resize(weights.len(), Complex64::ZERO);
    limbs::squares(limbs)
}

/// Two combinations of a^2 and ab.
pub(super) fn combine(
    decimal: &mut Decimal,
    points: usize,
    a: &[i32],
    b: &[i32],
    wanted: [Combination; 2],
) -> Result<[Vec<i32>; 2], Stop> {
    let Decimal {
        base,
        watch,
        workshop,
        keep_going,
        ..
    } = decimal;
    let (Plan { fft, weights, .. }, [first, second], scratch) = workshop.short(points);
    let square = load(a, weights, first);
    let other = load(b, weights, second);
    watch.product(Length::Short(points), square, other)?;
    for spectrum in [&mut *first, &mut *second] {
        Stop::unless(keep_going())?;
        fft.process_with_scratch(spectrum, scratch);
    }
    let scale = scale(points);
    for (a, b) in first.iter_mut().zip(second.iter_mut()) {
        let scaled = *a * scale;
        (*a, *b) = ((scaled * *a).conj(), (scaled * *b).conj());
    }
    for spectrum in [&mut *first, &mut *second] {
        Stop::unless(keep_going())?;
        fft.process_with_scratch(spectrum, scratch);
    }
    let mut settler = Settler::new(*base);
    let mut carries = [0.0; LANES];
    carries[0] = f64::from(wanted[0].constant);
    carries[4] = f64::from(wanted[1].constant);
    let factors = Factors::new(wanted);
    let mut results = [vec![0; 2 * points], vec![0; 2 * points]];
    let mut block: Block = [[0; BLOCK]; LANES];
    let half = points / 2;
    for begin in (0..half).step_by(BLOCK) {
        let count = BLOCK.min(half - begin);
        let places = [begin, begin + half];
        let views = places.map(|from| {
            let range = from..from + count;
            (
                &first[range.clone()],
                &second[range.clone()],
                &weights[range],
            )
        });
        settler.combinations(count, &factors, &mut carries, &mut block, |i| {
            let [(square, product), (square_2, product_2)] =
                views.map(|(square, product, weights)| {
                    (square[i] * weights[i], product[i] * weights[i])
                });
            (
                [square.re, -square.im, square_2.re, -square_2.im],
                [product.re, -product.im, product_2.re, -product_2.im],
            )
        });
        for (result, block) in results.iter_mut().zip(block.chunks(4)) {
            store(result, block, &places, points, count);
        }
    }
    watch.distances(&settler.distances)?;
    for (result, carries) in results.iter_mut().zip(carries.chunks(4)) {
        finish(result, carries, *base);
    }
    Ok(results)
}

/// xy + `constant`.
pub(super) fn multiply(
    decimal: &mut Decimal,
    points: usize,
    x: &[i32],
    y: &[i32],
    constant: i32,
) -> Result<Vec<i32>, Stop> {
    let Decimal {
        base,
        watch,
        workshop,
        keep_going,
        ..
    } = decimal;
    let (Plan { fft, weights, .. }, [first, second], scratch) = workshop.short(points);
    let square = load(x, weights, first);
    let other = load(y, weights, second);
    watch.product(Length::Short(points), square, other)?;
    for spectrum in [&mut *first, &mut *second] {
        Stop::unless(keep_going())?;
        fft.process_with_scratch(spectrum, scratch);
    }
    let scale = scale(points);
    for (x, y) in first.iter_mut().zip(second.iter()) {
        *x = (*x * scale * *y).conj();
    }
    Stop::unless(keep_going())?;
    fft.process_with_scratch(first, scratch);
    let mut settler = Settler::new(*base);
    let mut carries = [0.0; LANES];
    carries[0] = f64::from(constant);
    let mut result = vec![0; 2 * points];
    let mut block: Block = [[0; BLOCK]; LANES];
    let quarter = points / 4;
    for begin in (0..quarter).step_by(BLOCK) {
        let count = BLOCK.min(quarter - begin);
        let places = [0, 1, 2, 3].map(|lane| begin + lane * quarter);
        let views = places.map(|from| (&first[from..from + count], &weights[from..from + count]));
        settler.products(count, &mut carries, &mut block, |i| {
            let [a, b, c, d] = views.map(|(product, weights)| product[i] * weights[i]);
            [a.re, -a.im, b.re, -b.im, c.re, -c.im, d.re, -d.im]
        });
        store(&mut result, &block, &places, points, count);
    }
    watch.distances(&settler.distances)?;
    finish(&mut result, &carries, *base);
    Ok(result)
}

fn scale(points: usize) -> f64 {
    (points as f64).recip()
}

/// Lanes are pairs of the lower and the upper half of the result.
fn store(
    result: &mut [i32],
    block: &[[i32; BLOCK]],
    places: &[usize],
    points: usize,
    count: usize,
) {
    for (pair, place) in block.chunks(2).zip(places) {
        result[*place..][..count].copy_from_slice(&pair[0][..count]);
        result[points + place..][..count].copy_from_slice(&pair[1][..count]);
    }
}

/// Each lane's last carry goes to where the next one began.
fn finish(result: &mut Vec<i32>, carries: &[f64], base: Base) {
    let step = result.len() / carries.len();
    let points = result.len() / 2;
    for (lane, pair) in carries.chunks(2).enumerate() {
        limbs::ripple(result, (lane + 1) * step, pair[0], base);
        limbs::ripple(result, points + (lane + 1) * step, pair[1], base);
    }
    limbs::trim(result);
}
