//! The function: n to the exact decimal digits of the n-th Fibonacci number, and what n costs.
//!
//! Pure: no I/O, no clock, no state. Exact for every `n`; a long computation can be stopped, also
//! while it turns the number into decimal digits, which is most of the work.
//!
//! # How
//!
//! Up to [`LAST_IN_U64`] plain addition. Beyond, fast doubling over the bits of `n` with two
//! squarings a bit, then divide and conquer on powers of ten down to pieces of [`PIECE`] digits that
//! the library converts. 10^k is split into 5^k, by which we divide, and 2^k, which is a shift: that
//! alone makes the conversion 15 to 20 % faster than the library's own.
//!
//! # Why dashu-int
//!
//! Best time in microseconds from n to the decimal string, the same plain program (three
//! multiplications a bit, the library's own conversion) on each crate; one core of a shared machine,
//! Rust 1.95, November 2026. Build: the crate alone, release profile, one job.
//!
//! | n | dashu-int 0.4.3 | num-bigint 0.4.8 | malachite-nz 0.14.0 | rug 1.18 on GMP 6.2.1 |
//! |---|---|---|---|---|
//! | 93 | 0.21 | 0.46 | 0.21 | 0.75 |
//! | 10^4 | 24.7 | 28.7 | 18.7 | 15.7 |
//! | 10^5 | 894 | 1,073 | 583 | 432 |
//! | 10^6 | 33,500 | 34,700 | 11,900 | 13,200 |
//! | licence | MIT or Apache-2.0 | MIT or Apache-2.0 | LGPL-3.0 | LGPL-3.0 (GMP too) |
//! | build | 9 s | 5 s | 83 s | minutes of C; wants m4 and make |
//!
//! malachite and rug are up to three times faster at 10^6, but the LGPL does not go with a
//! statically linked program under MIT or Apache-2.0. dashu-int is the fastest of the others; with
//! the two improvements above this module takes 22, 650 and 24,000 microseconds at 10^4, 10^5 and
//! 10^6 (`cargo bench --bench fibonacci`).

use dashu_int::UBig;
use dashu_int::ops::DivRem;
use std::time::Duration;

/// The largest n whose Fibonacci number fits in 64 bits.
const LAST_IN_U64: u64 = 93;

/// Number of decimal digits below which the library converts in one go (some ten microseconds).
const PIECE: u64 = 2_000;

/// What computing the n-th Fibonacci number costs, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Number of decimal digits of the result, exact or one too many.
    pub digits: u64,
    /// Rough time on one core of an ordinary machine.
    pub time: Duration,
}

/// The cost of `n`, from integer arithmetic alone. Any `n` will do, however absurd.
///
/// The time follows n^1.5, which fits the measured times from n = 3,000 to 50,000,000 within a third.
pub fn cost(n: u64) -> Cost {
    const BASE_NS: u64 = 100;
    let ns = u128::from(n) * u128::from(n.isqrt()) / 42;
    let ns = u64::try_from(ns).unwrap_or(u64::MAX);
    Cost {
        digits: decimal_digits(n),
        time: Duration::from_nanos(ns.saturating_add(BASE_NS)),
    }
}

/// The decimal digits of the `n`-th Fibonacci number, or `None` once `keep_going` has said no.
///
/// `keep_going` is asked between steps, each of which is short against the whole: the longest is one
/// division of the result by a number of half its length, about 7 ms at n = 10^6 and 0.25 s at 10^7.
/// Up to n = 93 it is not asked at all. Memory is a few times the size of the result, so bound `n`
/// by its [`cost`] first.
pub fn digits(n: u64, keep_going: &dyn Fn() -> bool) -> Option<String> {
    if n <= LAST_IN_U64 {
        return Some(small(n).to_string());
    }
    let number = doubling(n, keep_going)?;
    to_decimal(number, decimal_digits(n), keep_going)
}

/// F(n) for n up to [`LAST_IN_U64`].
fn small(n: u64) -> u64 {
    // The last sum, F(94), is computed and thrown away; it alone wraps.
    let (number, _) = (0..n).fold((0_u64, 1_u64), |(a, b), _| (b, a.wrapping_add(b)));
    number
}

/// F(n) by fast doubling: k grows to n bit by bit, with F(k) and F(k - 1) at hand.
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

/// A power of ten, 10^`exponent`, as the power of five that remains beside 2^`exponent`.
struct Power {
    exponent: usize,
    of_five: UBig,
}

/// `number` in decimal; it has at most `digits` digits.
fn to_decimal(number: UBig, digits: u64, keep_going: &dyn Fn() -> bool) -> Option<String> {
    let digits = usize::try_from(digits).ok()?; // a number that is in memory has fewer
    let piece = usize::try_from(PIECE).ok()?;
    let halvings = digits.div_ceil(piece).next_power_of_two().ilog2();
    // Powers that double, the largest of them half of all digits: each division is a balanced one.
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

/// Appends `number`, which is below the square of the last of `powers`, with zeros in front up to
/// `width` digits unless it begins the text. Calls itself once for each halving.
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

/// The number of decimal digits of F(n), exact or one too many (it is exact far beyond any n that
/// can be computed).
///
/// F(n) is phi^n / sqrt(5), rounded. So it has floor(n log10(phi) - log10(sqrt(5))) + 1 digits, here
/// with 64 binary digits behind the point, the first constant rounded up and the second down.
fn decimal_digits(n: u64) -> u64 {
    const LOG10_PHI: u128 = 3_855_141_514_259_838_964;
    const LOG10_SQRT_5: u128 = 6_446_860_392_593_097_241;
    let log10 = (u128::from(n) * LOG10_PHI).saturating_sub(LOG10_SQRT_5);
    // Shifted down it is below n / 4, so it fits.
    u64::try_from(log10 >> 64).unwrap_or(u64::MAX) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn all(n: u64) -> String {
        digits(n, &|| true).unwrap()
    }

    #[test]
    fn known_values() {
        let table = [
            (0, "0"),
            (1, "1"),
            (2, "1"),
            (3, "2"),
            (10, "55"),
            (30, "832040"),
            (92, "7540113804746346429"),
            (93, "12200160415121876738"),
            (94, "19740274219868223167"),
            (100, "354224848179261915075"),
            (
                300,
                "222232244629420445529739893461909967206666939096499764990979600",
            ),
            (
                1000,
                "4346655768693745643568852767504062580256466051737178040248172908953655541794905189\
                 0403879840079255169295922593080322634775209689623239873322471161642996440906533187\
                 938298969649928516003704476137795166849228875",
            ),
        ];
        for (n, value) in table {
            assert_eq!(all(n), value, "F({n})");
        }
    }

    /// Schoolbook addition in decimal: nothing in common with the code above.
    #[test]
    fn agrees_with_plain_addition() {
        let (mut a, mut b) = (vec![0_u8], vec![1_u8]);
        for n in 0..=2_000 {
            let text: String = a
                .iter()
                .rev()
                .map(|digit| char::from(b'0' + digit))
                .collect();
            assert_eq!(all(n), text, "F({n})");
            let mut sum = Vec::with_capacity(b.len() + 1);
            let mut carry = 0;
            for (i, digit) in b.iter().enumerate() {
                let digit = digit + a.get(i).copied().unwrap_or(0) + carry;
                sum.push(digit % 10);
                carry = digit / 10;
            }
            if carry > 0 {
                sum.push(carry);
            }
            (a, b) = (b, sum);
        }
    }

    /// F(n) mod `modulus` in machine words, by addition.
    fn remainder(n: u64, modulus: u64) -> u64 {
        (0..n).fold((0, 1), |(a, b), _| (b, (a + b) % modulus)).0
    }

    /// Each modulus sees every digit of the text, and the lengths around the sizes at which the
    /// conversion takes one more halving are among them.
    #[test]
    fn large_values_are_right_modulo_primes() {
        for n in [
            9_560, 9_570, 9_571, 9_575, 9_580, 19_140, 19_150, 38_280, 65_535, 65_536, 99_999,
            123_457, 300_000,
        ] {
            let text = all(n);
            for modulus in [999_999_937, 1_000_000_007, 4_294_967_291] {
                let value = text.bytes().fold(0, |value, digit| {
                    (value * 10 + u64::from(digit - b'0')) % modulus
                });
                assert_eq!(value, remainder(n, modulus), "F({n}) mod {modulus}");
            }
        }
    }

    #[test]
    fn doubling_the_index_holds() {
        let number = |n| all(n).parse::<UBig>().unwrap();
        for n in [47, 94, 1_000, 4_785, 20_000] {
            // F(2n) = F(n) (2 F(n + 1) - F(n))
            let identity = number(n) * (number(n + 1) * UBig::from(2_u8) - number(n));
            assert_eq!(number(2 * n), identity, "F({})", 2 * n);
        }
    }

    /// Pieces with zeros in front, and a number shorter than announced by more than a piece.
    #[test]
    fn conversion_keeps_inner_zeros_and_drops_leading_ones() {
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
    fn cost_foretells_the_number_of_digits() {
        for n in (0..5_000).chain([9_999, 10_000, 99_999, 100_000, 250_000]) {
            assert_eq!(cost(n).digits, all(n).len() as u64, "digits of F({n})");
        }
        assert_eq!(cost(1_000_000).digits, 208_988);
        assert_eq!(cost(80_000_000).digits, 16_719_011);
    }

    #[test]
    fn cost_grows_and_never_overflows() {
        let mut last = cost(0);
        for shift in 0..64 {
            let next = cost(1 << shift);
            assert!(
                next.digits >= last.digits && next.time >= last.time,
                "2^{shift}"
            );
            last = next;
        }
        let most = cost(u64::MAX);
        assert!(most.digits > 3_855_141_514_259_838_900 && most.digits < u64::MAX / 4);
        assert_eq!(most.time, Duration::from_nanos(u64::MAX));
        assert!(cost(93).time < Duration::from_micros(1));
        let million = cost(1_000_000).time;
        assert!(million > Duration::from_millis(10) && million < Duration::from_millis(50));
    }

    /// Stops at whichever step it is told to, in the doubling as in the conversion.
    #[test]
    fn can_be_stopped_at_every_step() {
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
            assert_eq!(asked.get(), stop + 1, "it stops at the first no");
        }
        assert_eq!(digits(94, &|| false), None);
        assert_eq!(
            digits(93, &|| false).as_deref(),
            Some("12200160415121876738")
        );
    }
}
