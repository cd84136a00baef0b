//! Whether a reply is the Fibonacci number that was requested, of any size and at low cost. Pure.
//!
//! Both are compared modulo a prime of 61 bits: a random wrong value passes once in 2^61.

/// 2^61 - 1, a Mersenne prime.
const PRIME: u64 = (1 << 61) - 1;

/// Digits that are added at once: they fit a `u64`.
const CHUNK: usize = 18;

/// Whether `digits` is the `n`-th Fibonacci number.
pub(super) fn is_fibonacci(n: u64, digits: &str) -> bool {
    residue(digits) == Some(fibonacci(n))
}

fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    // 2^61 is 1 modulo the prime: the halves are simply added. Neither cast loses anything.
    #[allow(clippy::cast_possible_truncation)]
    let (low, high) = (product as u64 & PRIME, (product >> 61) as u64);
    plus(low, high)
}

/// Of two numbers up to the prime.
fn plus(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= PRIME { sum - PRIME } else { sum }
}

/// The `n`-th number modulo the prime, by doubling: from F(k) and F(k+1) to F(2k) and F(2k+1).
fn fibonacci(n: u64) -> u64 {
    let (mut this, mut next) = (0, 1);
    for bit in (0..u64::BITS - n.leading_zeros()).rev() {
        let double = times(this, plus(plus(next, next), PRIME - this));
        let after = plus(times(this, this), times(next, next));
        (this, next) = match n >> bit & 1 {
            0 => (double, after),
            _ => (after, plus(double, after)),
        };
    }
    this
}

/// The number in these digits, modulo the prime; `None` if it is not in the form that we write.
fn residue(digits: &str) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let mut residue = 0;
    for chunk in digits.as_bytes().chunks(CHUNK) {
        let (mut value, mut scale) = (0, 1);
        for byte in chunk {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            value = value * 10 + u64::from(digit);
            scale *= 10;
        }
        residue = plus(times(residue, scale % PRIME), value % PRIME);
    }
    Some(residue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_values_pass_and_wrong_ones_do_not() {
        for (n, digits) in [
            (0, "0"),
            (1, "1"),
            (2, "1"),
            (3, "2"),
            (30, "832040"),
            (93, "12200160415121876738"),
            (100, "354224848179261915075"),
        ] {
            assert!(is_fibonacci(n, digits), "{n}");
            assert!(!is_fibonacci(n + 3, digits), "{n}");
            for wrong in [
                format!("{digits}0"),
                format!("0{digits}"),
                format!("-{digits}"),
                format!("+{digits}"),
                format!(" {digits}"),
                format!("1{digits}"),
            ] {
                assert!(!is_fibonacci(n, &wrong), "{n} {wrong}");
            }
        }
        assert!(!is_fibonacci(0, ""));
        // What 64-bit integers make of the 100th.
        assert!(!is_fibonacci(100, "3736710778780434371"));
    }

    #[test]
    fn sizes_up_to_a_thousand_digits_agree_with_plain_addition() {
        let (mut this, mut next) = (vec![0_u8], vec![1_u8]); // decimal digits, the lowest first
        for n in 0..5000 {
            let digits: String = this
                .iter()
                .rev()
                .map(|digit| char::from(digit + b'0'))
                .collect();
            assert!(is_fibonacci(n, &digits), "{n}");
            let mut sum = Vec::with_capacity(next.len() + 1);
            let mut carry = 0;
            for (at, digit) in next.iter().enumerate() {
                let digit = digit + this.get(at).unwrap_or(&0) + carry;
                sum.push(digit % 10);
                carry = digit / 10;
            }
            if carry > 0 {
                sum.push(carry);
            }
            (this, next) = (next, sum);
        }
    }

    #[test]
    fn the_largest_n_has_a_residue() {
        assert!(fibonacci(u64::MAX) < PRIME);
        assert_eq!(plus(PRIME - 1, 1), 0);
        assert_eq!(times(PRIME - 1, PRIME - 1), 1);
    }
}
