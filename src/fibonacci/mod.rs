//! The function: n to the exact decimal digits of the n-th Fibonacci number, and what n costs.
//!
//! Pure: no I/O and no clock; what is kept between calls are tables. A long computation can be stopped at any time.
//!
//! # What is done
//!
//! | n | how | exact because |
//! |---|---|---|
//! | to 93 | additions in a word (`small`) | integers |
//! | to 12,000 | doubling with multiplication column by column in base 10^16 (`schoolbook`) | integers, no sum overflows |
//! | beyond | doubling with floating-point transforms in base 10^5, 10^4, 10^3 or 10^2 (`decimal`) | the error bound, and a check |
//! | in doubt | doubling and conversion by a library (`exact`) | integers |
//!
//! Numbers are in a power of ten from the first step on, since converting from binary takes three times as long as
//! computing. A step is two products, four transforms; the last one is a single product (`doubling`). Products are right-angle
//! convolutions (`short`), from 8,192 limbs on in three passes over memory (`long`). All transforms themselves are rustfft's. The result's
//! limbs are its digits (`limbs`, `text`).
//!
//! # Why it is right
//!
//! 1. A coefficient of a product is an integer. The computed one is wrong by less than the bound that `bound` derives from the
//!    length and the operands' norms. The base is the largest for which that is below 1/2, so rounding gives the
//!    integer: 10^5 to about n = 250,000, 10^4 to 20 million, 10^3 to a thousand million.
//! 2. The bound is computed again in each step, from that step's operands, and no coefficient may be farther than 1/4 from
//!    an integer. Seen are distances a hundred times smaller.
//! 3. The text is compared with F(n) modulo 2^61 - 1, computed in machine words (`check`). That guards against what no proof covers:
//!    a broken processor, memory, compiler or library. One error in 2 * 10^18 would pass.
//!
//! If any of these fails, the number is computed again by exact integers, and the caller is told ([`Digits::doubt`]).

// Arithmetic: limbs, words and indices, whose ranges are stated where they are not plain; short names are those of the
// formulas; and the innermost loops must be one piece of code each.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::many_single_char_names,
    clippy::inline_always,
    clippy::needless_range_loop
)]

mod bound;
mod check;
mod cost;
mod decimal;
mod doubling;
mod exact;
mod length;
mod limbs;
mod long;
mod roots;
mod schoolbook;
mod short;
mod small;
mod text;
mod workshop;

pub use cost::{Cost, cost};
pub use decimal::Doubt;
pub use exact::digits as exact_digits;

/// A Fibonacci number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits {
    /// In decimal.
    pub text: String,
    /// Why the fast way's result was not taken. It never should be.
    pub doubt: Option<Doubt>,
}

/// The decimal digits of the `n`-th Fibonacci number, or `None` once `keep_going` has said no.
///
/// It is asked at least once a millisecond up to n = 10^7, and every 10 ms at 10^8, on an ordinary machine; up to n = 12,000,
/// which takes a few microseconds, not at all. Bound `n` by its [`cost()`] first.
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
        Err(decimal::Stop::Asked) => None,
        Err(decimal::Stop::Doubt(doubt)) => Some(Digits {
            text: exact::digits(n, keep_going)?,
            doubt: Some(doubt),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(n: u64) -> String {
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
            assert_eq!(all(n), value, "F({n})");
        }
    }

    /// Addition in decimal, with nothing in common with the code above; on both sides of the last change of method.
    #[test]
    fn agrees_with_plain_addition() {
        const BASE: u64 = 10_u64.pow(18);
        let (mut a, mut b) = (vec![0_u64], vec![1_u64]);
        for n in 0..=12_050 {
            if n < 3_000 || n % 7 == 0 || n > 11_950 {
                let (top, rest) = a.split_last().unwrap();
                let mut text = top.to_string();
                text.extend(rest.iter().rev().map(|limb| format!("{limb:018}")));
                assert!(all(n) == text, "F({n})");
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
    fn small_numbers_do_not_ask() {
        assert_eq!(digits(93, &|| false).unwrap().text, "12200160415121876738");
        assert_eq!(digits(20_000, &|| false), None);
    }
}
