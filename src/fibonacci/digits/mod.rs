//! Fibonacci numbers: the exact decimal digits of F(n), and what computing them costs.
//!
//! Pure: no I/O and no clock. The process keeps tables and small buffers between calls (`cache`). A long
//! computation can be cancelled at any time.
//!
//! # Methods
//!
//! | n | method | exact because |
//! |---|---|---|
//! | to 93 | a table (`small`) | integers |
//! | to 12,000 | doubling, with schoolbook multiplication in base 10^16 (`schoolbook`) | integers, no sum overflows |
//! | larger | doubling, with floating-point transforms in base 10^5, 10^4, 10^3 or 10^2 (`decimal`) | the error bound, and a check |
//! | in doubt | doubling and conversion by a library (`exact`) | integers |
//!
//! Numbers are in a power of ten from the first step on, since converting from binary takes three times as long as
//! computing. A step (`doubling`) is two products, or four transforms; the last step is a single product. Products are
//! right-angle convolutions (`short`); from 8,192 limbs on, they take three passes over memory (`long`). rustfft does the
//! transforms. The limbs of the result are its digits (`limbs`, `text`). Large spectra and limbs are in huge pages (`memory`):
//! page faults would take a fifth of the time.
//!
//! # Why the digits are right
//!
//! 1. A coefficient of a product is an integer. The error of the computed one is less than the bound that `bound` derives
//!    from the length and the norms of the operands. The base is the largest for which the bound is below 1/2, so rounding
//!    gives the integer: 10^5 to about n = 250,000, 10^4 to 20 million, 10^3 to a thousand million.
//! 2. The bound is computed again in each step from the actual operands, and a coefficient farther than 1/4 from an
//!    integer fails the computation. Observed distances are a hundred times smaller.
//! 3. The digits are compared with F(n) modulo 2^61 - 1, computed in machine words (`check`). That guards against what no
//!    proof covers: a faulty processor, memory, compiler or library. One error in 2 * 10^18 would pass.
//!
//! Tests inject errors: one unit in one limb, lost carries, and wrong roots of unity. A root that is off by one unit in the
//! last place is within the bound, and changes no digit. With larger errors up to 1, the digits are right, or the result is
//! discarded. The roots themselves are compared with exact arithmetic, which detects a root that is off by two units, and
//! tables whose roots are off by one.
//!
//! If 2 or 3 fails, the number is computed again with exact integers, and the result says so ([`Digits::doubt`]).

// Arithmetic on limbs, words and indices, whose ranges are stated unless they are obvious; short names are those of the
// formulas; innermost loops must be inlined.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::many_single_char_names,
    clippy::inline_always,
    clippy::needless_range_loop
)]

mod bound;
mod cache;
mod check;
mod cost;
mod decimal;
mod doubling;
mod exact;
mod length;
mod limbs;
mod long;
mod memory;
mod product;
mod roots;
mod schoolbook;
mod short;
mod small;
mod stop;
mod text;

pub use cost::{Cost, cost};
pub use exact::digits as exact_digits;
pub use stop::Doubt;

use stop::Stop;

/// A Fibonacci number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits {
    /// Its decimal digits.
    pub text: String,
    /// Why the result of the fast method was discarded; `None` unless something is broken.
    pub doubt: Option<Doubt>,
}

/// The decimal digits of the `n`-th Fibonacci number, or `None` once `keep_going` returns false.
///
/// On an ordinary machine, `keep_going` is called at least once per millisecond up to n = 10^7, and every 5 ms at 10^8. Up to
/// n = 12,000, which takes a few microseconds, it is not called. Limit `n` by its [`cost()`] first.
pub fn digits(n: u64, keep_going: &dyn Fn() -> bool) -> Option<Digits> {
    let certain = |text| Digits { text, doubt: None };
    if n <= small::LAST {
        return Some(certain(small::number(n).to_string()));
    }
    if n <= schoolbook::LAST {
        return Some(certain(schoolbook::digits(n)));
    }
    match decimal::digits(n, cost(n).digits, keep_going) {
        Ok(text) => Some(certain(text)),
        Err(Stop::Cancelled) => None,
        Err(Stop::Doubt(doubt)) => Some(Digits {
            text: exact::digits(n, keep_going)?,
            doubt: Some(doubt),
        }),
    }
}

/// The next large number that this thread computes is wrong, until the check finds that.
#[cfg(test)]
pub(super) fn inject_error() {
    decimal::tests::inject_unit();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: u64) -> String {
        let digits = digits(n, &|| true).unwrap();
        assert_eq!(digits.doubt, None, "F({n})");
        digits.text
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
            assert_eq!(text(n), value, "F({n})");
        }
    }

    /// Compares with addition in decimal, which shares nothing with the code above, on both sides of the last change of method.
    #[test]
    fn digits_are_those_of_plain_addition() {
        const BASE: u64 = 10_u64.pow(18);
        let (mut a, mut b) = (vec![0_u64], vec![1_u64]);
        for n in 0..=12_050 {
            if n < 3_000 || n % 7 == 0 || n > 11_950 {
                let (top, rest) = a.split_last().unwrap();
                let mut sum = top.to_string();
                sum.extend(rest.iter().rev().map(|limb| format!("{limb:018}")));
                assert!(text(n) == sum, "F({n})");
            }
            let mut carry = 0;
            for (i, limb) in b.iter().enumerate() {
                // a becomes the sum in place.
                if i == a.len() {
                    a.push(0);
                }
                let sum = limb + a[i] + carry;
                carry = u64::from(sum >= BASE);
                a[i] = sum - carry * BASE;
            }
            if carry > 0 {
                a.push(1);
            }
            std::mem::swap(&mut a, &mut b);
        }
    }

    #[test]
    fn small_numbers_are_not_cancelled() {
        assert_eq!(digits(93, &|| false).unwrap().text, "12200160415121876738");
        assert_eq!(digits(20_000, &|| false), None);
    }
}
