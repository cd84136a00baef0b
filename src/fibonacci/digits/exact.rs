//! F(n) with exact integers of any size from a library: the fallback when the fast method is in doubt.
//!
//! Fast doubling over the bits of `n` with two squarings per bit, then divide and conquer on powers of ten down
//! to pieces of [`PIECE`] digits that the library converts. 10^k is split into 5^k, a division, and 2^k, a shift: that
//! makes the conversion 15 to 20 % faster than the library's own.
//!
//! dashu-int is the fastest Rust library with a compatible licence. It takes 2 to 5 times as long as GMP, and 10 to 80
//! times as long as the transforms.

use super::cost::cost;
use dashu_int::UBig;
use dashu_int::ops::DivRem;

/// Decimal digits below which the library converts in one call (tens of microseconds).
const PIECE: u64 = 2_000;

/// The decimal digits of F(n), computed slowly with exact integers; `None` once `keep_going` returns false.
///
/// `keep_going` is called between steps; the longest is one division of the result by a number of half its length, about 7 ms at
/// n = 10^6 and 0.25 s at 10^7. Memory is a few times the size of the result.
pub fn digits(n: u64, keep_going: &dyn Fn() -> bool) -> Option<String> {
    let number = doubling(n, keep_going)?;
    to_decimal(number, cost(n).digits, keep_going)
}

/// F(n) by fast doubling: k grows to n bit by bit, with F(k) and F(k - 1) known.
///
/// F(2k + 1) = 4 F(k)^2 - F(k - 1)^2 + 2 (-1)^k, F(2k - 1) = F(k)^2 + F(k - 1)^2, and F(2k) is the
/// difference of the two.
fn doubling(n: u64, keep_going: &dyn Fn() -> bool) -> Option<UBig> {
    let (mut at_k, mut before_k) = (UBig::ZERO, UBig::ONE); // F(0) and F(-1)
    let mut k_is_odd = false;
    for bit in (0..=n.ilog2()).rev() {
        if !keep_going() {
            return None;
        }
        let (square, square_before) = (at_k.sqr(), before_k.sqr());
        let four_squares = &square << 2_usize;
        let above = if k_is_odd {
            four_squares - UBig::from(2_u8) - &square_before
        } else {
            four_squares + UBig::from(2_u8) - &square_before
        };
        let below = square + square_before;
        let twice = &above - &below;
        k_is_odd = n >> bit & 1 == 1;
        (at_k, before_k) = if k_is_odd {
            (above, twice)
        } else {
            (twice, below)
        };
    }
    Some(at_k)
}

/// A power of ten, 10^`exponent`, as its factor 5^`exponent`.
struct Power {
    exponent: usize,
    of_five: UBig,
}

/// `number` in decimal; it has at most `digits` digits.
fn to_decimal(number: UBig, digits: u64, keep_going: &dyn Fn() -> bool) -> Option<String> {
    let digits = usize::try_from(digits).ok()?; // a number that is in memory has fewer
    let piece = usize::try_from(PIECE).ok()?;
    let halvings = digits.div_ceil(piece).next_power_of_two().ilog2();
    // Exponents double up to half of all digits, so that each division is balanced.
    let mut powers: Vec<Power> = Vec::new();
    for level in 0..halvings {
        if !keep_going() {
            return None;
        }
        let smallest = digits.div_ceil(1 << halvings);
        powers.push(Power {
            exponent: smallest << level,
            of_five: match powers.last() {
                None => UBig::from(5_u8).pow(smallest),
                Some(half) => half.of_five.sqr(),
            },
        });
    }
    let mut text = String::with_capacity(digits);
    push_decimal(number, &powers, 0, &mut text, keep_going)?;
    Some(text)
}

/// Appends `number`, which is below the square of the last of `powers`, padded with zeros to `width` digits unless the
/// text is empty. Recurses once per halving.
fn push_decimal(
    number: UBig,
    powers: &[Power],
    width: usize,
    text: &mut String,
    keep_going: &dyn Fn() -> bool,
) -> Option<()> {
    if !keep_going() {
        return None;
    }
    let Some((power, smaller)) = powers.split_last() else {
        let begins = text.is_empty();
        if !(begins && number.is_zero()) {
            let piece = number.to_string();
            let zeros = if begins { 0 } else { width - piece.len() };
            text.extend(std::iter::repeat_n('0', zeros));
            text.push_str(&piece);
        }
        return Some(());
    };
    let (low_bits, rest) = number.split_bits(power.exponent);
    let (high, remainder) = rest.div_rem(&power.of_five);
    let low = (remainder << power.exponent) + low_bits;
    push_decimal(high, smaller, power.exponent, text, keep_going)?;
    push_decimal(low, smaller, power.exponent, text, keep_going)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn digits_are_those_of_the_other_methods() {
        for n in [
            1, 2, 93, 94, 9_560, 9_570, 9_571, 12_000, 19_140, 38_280, 65_536, 123_457,
        ] {
            let text = digits(n, &|| true).unwrap();
            let other = super::super::digits(n, &|| true).unwrap();
            assert!(other.doubt.is_none() && text == other.text, "F({n})");
        }
    }

    /// Pieces with leading zeros, and a number that is shorter than announced by more than a piece.
    #[test]
    fn conversion_keeps_inner_zeros_and_drops_leading_zeros() {
        for exponent in [3_999_usize, 4_000, 4_001, 7_999, 8_000, 16_000] {
            let number = UBig::from(10_u8).pow(exponent);
            let digits = exponent as u64 + 1;
            let text = format!("1{}", "0".repeat(exponent));
            for announced in [digits, digits + 1, digits + 3 * PIECE] {
                let converted = to_decimal(number.clone(), announced, &|| true).unwrap();
                assert!(converted == text, "10^{exponent} announced as {announced}");
            }
        }
    }

    #[test]
    fn a_computation_can_be_cancelled_at_every_step() {
        let n = 50_000;
        let steps = Cell::new(0);
        digits(n, &|| {
            steps.set(steps.get() + 1);
            true
        });
        let total = steps.get();
        assert!(
            total > 16 + 3 + 8,
            "{total} steps: doubling, powers and pieces"
        );
        for stop in 0..total {
            let asked = Cell::new(0);
            let result = digits(n, &|| {
                asked.set(asked.get() + 1);
                asked.get() <= stop
            });
            assert_eq!(result, None, "stopped after {stop}");
            assert_eq!(asked.get(), stop + 1, "it stops at the first refusal");
        }
    }
}
