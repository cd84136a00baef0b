//! From the coefficients of a product to limbs, and from limbs to text.
//!
//! Limbs d in base B are balanced, |d| <= B/2: compared with 0 <= d < B, this halves the norms, and so the error. Only the last
//! result has limbs from 0 to B - 1, which are its digits.

use super::bound::Base;
use super::check::{self, Check};
use super::doubling::Combination;
use super::memory::Memory;
use super::text;

/// The limbs of a number, the lowest first.
pub(super) type Limbs = Memory<i32>;

/// Carries that are propagated in parallel: each depends on its own lane only.
pub(super) const LANES: usize = 8;

/// Limbs of each lane in a block.
pub(super) const BLOCK: usize = 16;

/// A value of each lane for each place of a block.
pub(super) type Block = [[f64; LANES]; BLOCK];

/// 1.5 * 2^52: adding and subtracting it rounds anything below 2^51 to the nearest integer; after the addition, the low
/// bits are that integer.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// Digits that are written and checked at once: whole pairs of limbs of any base, and whole groups of the check.
const SLICE: usize = 240 << 7;

/// The nearest integer to `x`; raises `distance` to the distance from it.
#[inline(always)]
fn nearest(x: f64, distance: &mut f64) -> f64 {
    let integer = (x + MAGIC) - MAGIC;
    let gap = (x - integer).abs();
    *distance = if gap > *distance { gap } else { *distance };
    integer
}

/// The range of limbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From -B/2 to B/2.
    Balanced,
    /// From 0 to B - 1.
    Digits,
}

/// Turns coefficients into limbs. Lanes are independent of each other, and vectors of the processor hold several.
#[derive(Debug, Clone)]
pub(super) struct Settler {
    base: f64,
    inverse: f64,
    /// By how much the range is above that of balanced limbs, up to a quarter.
    offset: f64,
    /// The largest distances of coefficients from integers.
    pub(super) distances: [f64; LANES],
}

impl Settler {
    /// In the range `Digits`, a limb is d = v - qB for the integer q nearest to (v - B/2 + 1/4) / B. That is at least 1/(4B) away
    /// from where q changes, and its error is at most 4 * 2^-53 v / B, which is below 1/(16B) since v < 2^47 (see
    /// [`super::bound::Watch`]).
    pub(super) fn new(base: Base, range: Range) -> Self {
        Self {
            base: base.value,
            inverse: base.value.recip(),
            offset: match range {
                Range::Balanced => 0.0,
                Range::Digits => base.value / 2.0 - 0.25,
            },
            distances: [0.0; LANES],
        }
    }

    /// Replaces the first `count` values of each lane with limbs, whose integers are the low bits.
    #[inline(always)]
    fn settle(&self, count: usize, carries: &mut [f64; LANES], block: &mut Block) {
        // MAGIC plus the offset, up to a quarter that the rounding removes.
        let top = MAGIC + (self.offset + 0.25).floor();
        let mut carry = *carries;
        for values in &mut block[..count.min(BLOCK)] {
            for lane in 0..LANES {
                let value = values[lane] + carry[lane];
                carry[lane] = (value * self.inverse + MAGIC) - MAGIC;
                values[lane] = (value - carry[lane] * self.base) + top;
            }
        }
        *carries = carry;
    }

    /// Computes `count` limbs of each lane from the coefficients of a product.
    #[inline(always)]
    pub(super) fn products(&mut self, count: usize, carries: &mut [f64; LANES], block: &mut Block) {
        let mut distances = self.distances;
        for values in &mut block[..count.min(BLOCK)] {
            for (value, distance) in values.iter_mut().zip(&mut distances) {
                *value = nearest(*value, distance) - self.offset;
            }
        }
        self.distances = distances;
        self.settle(count, carries, block);
    }

    /// The same for two combinations of squares and products: `block` has squares in the first half of the lanes and
    /// products in the second, and then a combination in each half.
    #[inline(always)]
    pub(super) fn combinations(
        &mut self,
        count: usize,
        factors: &Factors,
        carries: &mut [f64; LANES],
        block: &mut Block,
    ) {
        let mut distances = self.distances;
        for values in &mut block[..count.min(BLOCK)] {
            let (squares, products) = values.split_at_mut(LANES / 2);
            let (near, far) = distances.split_at_mut(LANES / 2);
            for lane in 0..LANES / 2 {
                let square = nearest(squares[lane], &mut near[lane]);
                let product = nearest(products[lane], &mut far[lane]);
                squares[lane] = factors.0[0] * square + factors.0[1] * product;
                products[lane] = factors.1[0] * square + factors.1[1] * product;
            }
        }
        self.distances = distances;
        self.settle(count, carries, block);
    }
}

/// The factors of squares and products in two combinations.
pub(super) struct Factors([f64; 2], [f64; 2]);

impl Factors {
    pub(super) fn new(wanted: [Combination; 2]) -> Self {
        let [first, second] = wanted.map(|wanted| [wanted.square, wanted.product].map(f64::from));
        Self(first, second)
    }
}

/// Adds `carry` to the limb at `place` and propagates further carries. In the range `Digits`, the number has no further limbs.
pub(super) fn ripple(limbs: &mut Limbs, mut place: usize, carry: f64, base: Base, range: Range) {
    let (mut carry, base) = (carry as i64, base.value as i64);
    let most = match range {
        Range::Balanced => base / 2,
        Range::Digits => base - 1,
    };
    while carry != 0 {
        if place == limbs.len() {
            if range == Range::Digits {
                return;
            }
            limbs.push(0);
        }
        let Some(limb) = limbs.get_mut(place) else {
            return; // at the end of the memory, so the carry was wrong
        };
        let value = i64::from(*limb) + carry;
        carry = (value + base - 1 - most).div_euclid(base);
        *limb = (value - carry * base) as i32;
        place += 1;
    }
}

/// The sum of the limbs' squares.
pub(super) fn squares(limbs: &[i32]) -> f64 {
    let (whole, rest) = limbs.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for limbs in whole {
        for (sum, limb) in sums.iter_mut().zip(limbs) {
            *sum += f64::from(*limb) * f64::from(*limb);
        }
    }
    let rest = rest.iter().map(|limb| f64::from(*limb).powi(2));
    sums.into_iter().chain(rest).sum()
}

/// Removes the leading zeros, which are at the end.
pub(super) fn trim(limbs: &mut Limbs) {
    let used = limbs.iter().rposition(|limb| *limb != 0);
    limbs.truncate(used.map_or(0, |top| top + 1));
}

/// The balanced limbs of a number in decimal digits.
pub(super) fn from_text(digits: &str, base: Base) -> Limbs {
    let limbs: Vec<i32> = digits
        .as_bytes()
        .rchunks(base.digits as usize)
        .map(|limb| {
            limb.iter()
                .fold(0, |value, digit| value * 10 + i32::from(digit & 15))
        })
        .collect();
    let mut limbs = Limbs::from(limbs);
    for place in 0..limbs.len() {
        let value = std::mem::take(&mut limbs[place]);
        ripple(&mut limbs, place, f64::from(value), base, Range::Balanced);
    }
    limbs
}

/// The decimal digits of a number with limbs in the range `Digits`, which has `digits` digits, or one less; `None` once
/// `keep_going` returns false. Also adds them to `check`, while they are in the processor's cache.
///
/// For any other number, the digits are wrong.
pub(super) fn to_text(
    limbs: &[i32],
    digits: usize,
    base: Base,
    check: &mut Check,
    keep_going: &dyn Fn() -> bool,
) -> Option<Vec<u8>> {
    match base.digits {
        5 => to_text_by::<10>(limbs, digits, check, keep_going),
        4 => to_text_by::<8>(limbs, digits, check, keep_going),
        3 => to_text_by::<6>(limbs, digits, check, keep_going),
        _ => to_text_by::<4>(limbs, digits, check, keep_going),
    }
}

/// The same, given the digits in two limbs.
fn to_text_by<const WIDTH: usize>(
    limbs: &[i32],
    digits: usize,
    check: &mut Check,
    keep_going: &dyn Fn() -> bool,
) -> Option<Vec<u8>> {
    const { assert!(SLICE.is_multiple_of(WIDTH) && SLICE.is_multiple_of(check::GROUP)) };
    let mut bytes = Vec::new();
    bytes.reserve_exact(digits);
    while bytes.len() < digits {
        if !keep_going() {
            return None;
        }
        let begin = bytes.len();
        // Whole slices after the first one.
        let end = digits - (digits - begin - 1) / SLICE * SLICE;
        bytes.resize(end, b'0');
        let slice = &mut bytes[begin..];
        let from = (digits - end) / WIDTH * 2;
        let limbs = limbs.get(from..).unwrap_or_default();
        let (top, whole) = slice.split_at_mut((end - begin) % WIDTH);
        let places = whole.as_rchunks_mut::<WIDTH>().1;
        for (place, [low, high]) in places.iter_mut().rev().zip(limbs.as_chunks::<2>().0) {
            *place = text::two_limbs(*high, *low);
        }
        if !top.is_empty() {
            let place = (end - begin) / WIDTH * 2;
            let [low, high] =
                [place, place + 1].map(|place| limbs.get(place).copied().unwrap_or(0));
            let last = text::two_limbs::<WIDTH>(high, low);
            top.copy_from_slice(&last[WIDTH - top.len()..]);
        }
        check.add(slice);
    }
    if bytes.first() == Some(&b'0') && digits > 1 {
        bytes.remove(0);
    }
    Some(bytes)
}
