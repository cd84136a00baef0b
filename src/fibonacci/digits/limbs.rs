//! From the coefficients of a product to balanced limbs, and from limbs to text.
//!
//! A limb d in base B has |d| <= B/2. Compared with 0 <= d < B, this halves the norms, and so the error.

use super::bound::Base;
use super::doubling::Combination;
use super::text;

/// Carries that are propagated in parallel: each depends on its own lane only.
pub(super) const LANES: usize = 8;

/// Limbs of each lane in a block.
pub(super) const BLOCK: usize = 16;

/// A block of limbs for each lane.
pub(super) type Block = [[i32; BLOCK]; LANES];

/// 1.5 * 2^52: adding and subtracting it rounds anything below 2^51 to the nearest integer; after the addition, the low
/// bits are that integer.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// Limbs between two calls of `keep_going`.
const SLICE: usize = 1 << 16;

/// The nearest integer to `x`; raises `distance` to the distance from it.
#[inline(always)]
fn nearest(x: f64, distance: &mut f64) -> f64 {
    let integer = (x + MAGIC) - MAGIC;
    let gap = (x - integer).abs();
    *distance = if gap > *distance { gap } else { *distance };
    integer
}

#[derive(Debug, Clone)]
pub(super) struct Settler {
    base: f64,
    inverse: f64,
    /// The largest distances of coefficients from integers.
    pub(super) distances: [f64; LANES / 2],
}

impl Settler {
    pub(super) fn new(base: Base) -> Self {
        Self {
            base: base.value,
            inverse: base.value.recip(),
            distances: [0.0; LANES / 2],
        }
    }

    /// Turns one value of each lane into a limb; depends on the previous carry of its lane only.
    #[inline(always)]
    fn settle(&self, values: [f64; LANES], carries: &mut [f64; LANES]) -> [i32; LANES] {
        let mut limbs = [0; LANES];
        for lane in 0..LANES {
            let value = values[lane] + carries[lane];
            let carry = (value * self.inverse + MAGIC) - MAGIC;
            let limb = value - carry * self.base;
            carries[lane] = carry;
            // The low bits are the integer.
            limbs[lane] = (limb + MAGIC).to_bits() as i32;
        }
        limbs
    }

    /// Computes `count` limbs of each lane from the coefficients of a product.
    #[inline(always)]
    pub(super) fn products(
        &mut self,
        count: usize,
        carries: &mut [f64; LANES],
        block: &mut Block,
        load: impl Fn(usize) -> [f64; LANES],
    ) {
        let mut distances = self.distances;
        for i in 0..count.min(BLOCK) {
            let products = load(i);
            let mut values = [0.0; LANES];
            for lane in 0..LANES {
                values[lane] = nearest(products[lane], &mut distances[lane % (LANES / 2)]);
            }
            let limbs = self.settle(values, carries);
            for lane in 0..LANES {
                block[lane][i] = limbs[lane];
            }
        }
        self.distances = distances;
    }

    /// The same for two combinations of squares and products, one in each half of the lanes.
    #[inline(always)]
    pub(super) fn combinations(
        &mut self,
        count: usize,
        factors: &Factors,
        carries: &mut [f64; LANES],
        block: &mut Block,
        load: impl Fn(usize) -> ([f64; LANES / 2], [f64; LANES / 2]),
    ) {
        let mut distances = self.distances;
        for i in 0..count.min(BLOCK) {
            let (squares, products) = load(i);
            let mut values = [0.0; LANES];
            for lane in 0..LANES / 2 {
                let square = nearest(squares[lane], &mut distances[lane]);
                let product = nearest(products[lane], &mut distances[lane]);
                values[lane] = factors.0[0] * square + factors.0[1] * product;
                values[lane + LANES / 2] = factors.1[0] * square + factors.1[1] * product;
            }
            let limbs = self.settle(values, carries);
            for lane in 0..LANES {
                block[lane][i] = limbs[lane];
            }
        }
        self.distances = distances;
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

/// Adds `carry` to the limb at `place` and propagates further carries.
pub(super) fn ripple(limbs: &mut Vec<i32>, mut place: usize, carry: f64, base: Base) {
    let (mut carry, base) = (carry as i64, base.value as i64);
    while carry != 0 {
        if place == limbs.len() {
            limbs.push(0);
        }
        let value = i64::from(limbs[place]) + carry;
        carry = (value + base / 2).div_euclid(base);
        let limb = (value - carry * base) as i32;
        limbs[place] = limb;
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
pub(super) fn trim(limbs: &mut Vec<i32>) {
    let used = limbs.iter().rposition(|limb| *limb != 0);
    limbs.truncate(used.map_or(0, |top| top + 1));
}

/// The balanced limbs of a number in decimal digits.
pub(super) fn from_text(digits: &str, base: Base) -> Vec<i32> {
    let mut limbs: Vec<i32> = digits
        .as_bytes()
        .rchunks(base.digits as usize)
        .map(|limb| {
            limb.iter()
                .fold(0, |value, digit| value * 10 + i32::from(digit & 15))
        })
        .collect();
    for place in 0..limbs.len() {
        let value = std::mem::take(&mut limbs[place]);
        ripple(&mut limbs, place, f64::from(value), base);
    }
    limbs
}

/// The decimal digits of a positive number that has `digits` digits, or one less; `None` once `keep_going` returns false.
///
/// For any other number, the digits are wrong.
pub(super) fn to_text(
    limbs: &[i32],
    digits: usize,
    base: Base,
    keep_going: &dyn Fn() -> bool,
) -> Option<Vec<u8>> {
    match base.digits {
        5 => to_text_by::<5>(limbs, digits, keep_going),
        4 => to_text_by::<4>(limbs, digits, keep_going),
        3 => to_text_by::<3>(limbs, digits, keep_going),
        _ => to_text_by::<2>(limbs, digits, keep_going),
    }
}

fn to_text_by<const WIDTH: usize>(
    limbs: &[i32],
    digits: usize,
    keep_going: &dyn Fn() -> bool,
) -> Option<Vec<u8>> {
    let base = 10_i32.pow(const { WIDTH as u32 });
    let mut borrow = 0;
    let mut settle = |limb: i32| {
        let value = limb - borrow;
        borrow = i32::from(value < 0);
        (value + base * borrow).unsigned_abs()
    };
    let mut bytes = Vec::new();
    bytes.reserve_exact(digits);
    while bytes.len() < digits {
        if !keep_going() {
            return None;
        }
        bytes.resize(digits.min(bytes.len() + SLICE * WIDTH), b'0');
    }
    let (top, whole) = bytes.split_at_mut(digits % WIDTH);
    let places = whole.rchunks_mut(SLICE * WIDTH).zip(limbs.chunks(SLICE));
    for (places, slice) in places {
        if !keep_going() {
            return None;
        }
        for (place, limb) in places
            .as_rchunks_mut::<WIDTH>()
            .1
            .iter_mut()
            .rev()
            .zip(slice)
        {
            text::write_fixed(place, settle(*limb));
        }
    }
    if let Some(limb) = limbs.get(digits / WIDTH) {
        text::write(top, u64::from(settle(*limb)));
    }
    if bytes.first() == Some(&b'0') && digits > 1 {
        bytes.remove(0);
    }
    Some(bytes)
}
