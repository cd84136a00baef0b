//! Numbers of up to a few thousand digits: schoolbook multiplication, column by column, in base 10^16.
//!
//! A power of ten needs no conversion, and nothing is faster at this size. Exact: everything is an integer, and up to
//! [`LAST`] no sum of a column overflows.

use super::doubling::{self, Arithmetic, Combination};
use super::small;
use super::text;
use std::convert::Infallible;

/// The largest n for which this is used: above it, transforms are faster.
///
/// Its factors have 79 limbs. A column is the sum of at most 79 products below 10^32, and a combination is at most ten
/// times that: below 8 * 10^34.
pub(super) const LAST: u64 = 12_000;

/// Digits in a limb.
const DIGITS: usize = 16;
const BASE: u64 = 10_u64.pow(16);

/// The largest k for which F(k) is one limb. Such a number and the one before are the first pair.
const FIRST_PAIR: u64 = 78;

/// The decimal digits of F(n) for n from 4 to [`LAST`].
pub(super) fn digits(n: u64) -> String {
    let limbs =
        doubling::last_two(&mut Schoolbook, pair(n, 2), n).unwrap_or_else(|never| match never {});
    to_text(&limbs)
}

/// The decimal digits of F(k) and F(k - 1) for k = `n >> bits`, which is from 1 to [`LAST`].
pub(super) fn pair_digits(n: u64, bits: u32) -> [String; 2] {
    pair(n, bits).map(|limbs| to_text(&limbs))
}

fn pair(n: u64, bits: u32) -> [Vec<u64>; 2] {
    let from = doubling::bits_above(n, FIRST_PAIR).max(bits);
    let k = n >> from;
    let first = [vec![small::number(k)], vec![small::number(k - 1)]];
    doubling::pair(&mut Schoolbook, first, n, from, bits).unwrap_or_else(|never| match never {})
}

fn to_text(limbs: &[u64]) -> String {
    let mut bytes = vec![b'0'; limbs.len() * DIGITS];
    let places = bytes.as_chunks_mut::<DIGITS>().0;
    for (place, limb) in places.iter_mut().rev().zip(limbs) {
        *place = text::sixteen(*limb);
    }
    text::trimmed(bytes)
}

/// Numbers as limbs, the lowest first.
struct Schoolbook;

impl Arithmetic for Schoolbook {
    type Number = Vec<u64>;
    type Stop = Infallible;

    fn combine(
        &mut self,
        a: Vec<u64>,
        mut b: Vec<u64>,
        wanted: [Combination; 2],
    ) -> Result<[Vec<u64>; 2], Infallible> {
        b.resize(a.len(), 0);
        let length = 2 * a.len();
        let [mut first, mut second] = [
            Vec::with_capacity(length + 1),
            Vec::with_capacity(length + 1),
        ];
        let mut carries = wanted.map(|wanted| i64::from(wanted.constant));
        for column in 0..length {
            let (square, product) = (square_column(&a, column), product_column(&a, &b, column));
            for ((limbs, carry), wanted) in [&mut first, &mut second]
                .into_iter()
                .zip(&mut carries)
                .zip(wanted)
            {
                let sum = i128::from(wanted.square) * square + i128::from(wanted.product) * product;
                limbs.push(settle(sum, carry));
            }
        }
        for (limbs, carry) in [&mut first, &mut second].into_iter().zip(carries) {
            limbs.push(carry.unsigned_abs()); // never negative at the top, and below ten
            trim(limbs);
        }
        Ok([first, second])
    }

    fn multiply(
        &mut self,
        mut x: Vec<u64>,
        mut y: Vec<u64>,
        constant: i32,
    ) -> Result<Vec<u64>, Infallible> {
        let length = x.len().max(y.len());
        x.resize(length, 0);
        y.resize(length, 0);
        let mut carry = i64::from(constant);
        let mut limbs: Vec<u64> = (0..2 * length)
            .map(|column| settle(product_column(&x, &y, column), &mut carry))
            .collect();
        trim(&mut limbs);
        Ok(limbs)
    }
}

fn trim(limbs: &mut Vec<u64>) {
    while limbs.len() > 1 && limbs.last() == Some(&0) {
        limbs.pop();
    }
}

/// The sum of all products of limbs of a and b whose places add up to `column`; a and b have the same length.
fn product_column(a: &[u64], b: &[u64], column: usize) -> i128 {
    let from = (column + 1).saturating_sub(b.len());
    let to = a.len().min(column + 1);
    if from >= to {
        return 0;
    }
    let sum: u128 = a[from..to]
        .iter()
        .zip(b[column + 1 - to..=column - from].iter().rev())
        .map(|(x, y)| u128::from(*x) * u128::from(*y))
        .sum();
    sum.cast_signed()
}

/// The same with b = a: each product of two different limbs occurs twice.
fn square_column(a: &[u64], column: usize) -> i128 {
    let from = (column + 1).saturating_sub(a.len());
    let half = column.div_ceil(2);
    if from > half {
        return 0;
    }
    let twice: u128 = a[from..half]
        .iter()
        .zip(a[column + 1 - half..=column - from].iter().rev())
        .map(|(x, y)| u128::from(*x) * u128::from(*y))
        .sum();
    let middle = if column.is_multiple_of(2) {
        u128::from(a[half]).pow(2)
    } else {
        0
    };
    (2 * twice + middle).cast_signed()
}

/// Adds `carry` to `sum`; returns the lowest limb and sets `carry` to the rest.
///
/// |sum| is below 8 * 10^34 (see [`LAST`]), so with the offset it is positive and below 2^118, and `top` is a word. The
/// estimate of the quotient is too small by less than 1 for the bits that `top` and the reciprocal lack, and by less than
/// 2^54 / 10^16 = 1.8 for the bits below `top`.
fn settle(sum: i128, carry: &mut i64) -> u64 {
    const OFFSET: i64 = 1 << 62;
    const RECIPROCAL: u64 = ((1_u128 << (64 + 54)) / BASE as u128 - (1 << 64)) as u64;
    let value = (sum + i128::from(*carry) + i128::from(OFFSET) * i128::from(BASE)).cast_unsigned();
    let (low, top) = (value as u64, (value >> 54) as u64);
    let estimate = ((u128::from(top) * u128::from(RECIPROCAL)) >> 64) as u64;
    let mut quotient = top.wrapping_add(estimate);
    let mut rest = low.wrapping_sub(quotient.wrapping_mul(BASE));
    while rest >= BASE {
        rest -= BASE;
        quotient += 1;
    }
    *carry = quotient.wrapping_sub(OFFSET.cast_unsigned()).cast_signed();
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest columns: all nines, in the most limbs that are ever multiplied.
    #[test]
    fn columns_do_not_overflow() {
        let limbs = usize::try_from(super::super::cost::cost(LAST).digits)
            .unwrap()
            .div_ceil(2 * DIGITS);
        let nines = vec![BASE - 1; limbs];
        let one = |square, product| Combination {
            square,
            product,
            constant: 0,
        };
        for wanted in [one(5, 5), one(4, 3), one(3, 1), one(2, -1)] {
            let [sum, _] = Schoolbook
                .combine(nines.clone(), nines.clone(), [wanted; 2])
                .unwrap();
            let factor = u64::from((wanted.square + wanted.product).unsigned_abs());
            let product = Schoolbook
                .multiply(nines.clone(), nines.clone(), 0)
                .unwrap();
            let mut carry = 0;
            let mut expected: Vec<u64> = product
                .iter()
                .map(|limb| settle(i128::from(*limb) * i128::from(factor), &mut carry))
                .collect();
            expected.push(carry.unsigned_abs());
            trim(&mut expected);
            assert_eq!(sum, expected);
            // (B^k - 1)^2 = B^2k - 2 B^k + 1
            assert_eq!(product[0], 1);
            assert!(product[1..limbs].iter().all(|limb| *limb == 0));
            assert_eq!(product[limbs], BASE - 2);
            assert!(product[limbs + 1..].iter().all(|limb| *limb == BASE - 1));
        }
    }
}
