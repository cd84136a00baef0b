//! The check of a result: its digits modulo the prime 2^61 - 1 against F(n) modulo the prime, by fast doubling in
//! machine words.
//!
//! The two computations share only n. A wrong text passes only if its error is a multiple of the prime: one in
//! 2 * 10^18 random errors.

const PRIME: u64 = (1 << 61) - 1;

/// Digits per group: a group is below 10^16, which is less than the prime.
pub(super) const GROUP: usize = 16;

/// 10^16, 10^32, 10^48 and 10^64 modulo the prime.
const POWERS: [u64; 4] = {
    let mut powers = [10_u64.pow(16); 4];
    let mut i = 1;
    while i < 4 {
        powers[i] = (powers[i - 1] as u128 * powers[0] as u128 % PRIME as u128) as u64;
        i += 1;
    }
    powers
};

/// The digits of a result so far, which come in pieces: the first first.
#[derive(Debug, Default)]
pub(super) struct Check {
    value: u64,
    wrong: bool,
}

impl Check {
    /// The next digits, in ASCII: a multiple of [`GROUP`], except for the first ones.
    pub(super) fn add(&mut self, digits: &[u8]) {
        let (first, groups) = digits.split_at(digits.len() % GROUP);
        // Without a branch for each digit, so that vectors of the processor hold many.
        self.wrong |= !digits
            .iter()
            .fold(true, |all, digit| all & digit.is_ascii_digit());
        let mut value = first.iter().fold(self.value, |value, digit| {
            reduce(u128::from(value) * 10 + u128::from(digit & 15))
        });
        let (fours, rest) = groups.as_chunks::<GROUP>().0.as_chunks::<4>();
        for groups in fours {
            // One reduction, which is slow, for four groups.
            let sum = groups
                .iter()
                .zip([POWERS[2], POWERS[1], POWERS[0], 1])
                .map(|(group, power)| u128::from(sixteen(group)) * u128::from(power))
                .sum::<u128>();
            value = reduce(u128::from(value) * u128::from(POWERS[3]) + sum);
        }
        for group in rest {
            value = reduce(u128::from(value) * u128::from(POWERS[0]) + u128::from(sixteen(group)));
        }
        self.value = value;
    }

    /// Whether these are the digits of F(n).
    pub(super) fn passes(&self, n: u64) -> bool {
        !self.wrong && self.value % PRIME == remainder(n)
    }
}

/// The value of 16 ASCII digits.
#[inline]
fn sixteen(group: &[u8; GROUP]) -> u64 {
    let word = u128::from_le_bytes(*group);
    let (high, low) = (word as u64, (word >> 64) as u64);
    eight(high) * 100_000_000 + eight(low)
}

/// The value of 8 ASCII digits, the first in the lowest byte: combines pairs, then fours, then all.
#[inline]
fn eight(word: u64) -> u64 {
    let word = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (word * 10 + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// A number with the same remainder, below 2^62: `value` is below 2^124.
fn reduce(value: u128) -> u64 {
    let folded = (value as u64 & PRIME) + (value >> 61) as u64;
    (folded & PRIME) + (folded >> 61)
}

/// F(n) modulo the prime.
fn remainder(n: u64) -> u64 {
    let times = |x: u64, y: u64| reduce(u128::from(x) * u128::from(y)) % PRIME;
    let (mut a, mut b) = (0, 1); // F(k) and F(k + 1)
    for bit in (0..64).rev() {
        // F(2k) = F(k) (2 F(k + 1) - F(k)), F(2k + 1) = F(k)^2 + F(k + 1)^2
        let even = times(a, (2 * b + PRIME - a) % PRIME);
        let odd = (times(a, a) + times(b, b)) % PRIME;
        (a, b) = if n >> bit & 1 == 0 {
            (even, odd)
        } else {
            (odd, (even + odd) % PRIME)
        };
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_plain_addition() {
        let (mut a, mut b) = (0, 1);
        for n in 0..3_000 {
            assert_eq!(remainder(n), a, "n = {n}");
            (a, b) = (b, (a + b) % PRIME);
        }
        // The sequence modulo p repeats after p - 1 steps if 5 is a square modulo p, as it is here.
        assert_eq!(remainder(PRIME - 1), 0);
        assert_eq!(remainder(PRIME), 1);
    }

    #[test]
    fn every_wrong_digit_is_detected() {
        let n = 250;
        let text = super::super::schoolbook::digits(n).into_bytes();
        let passes = |pieces: &[&[u8]]| {
            let mut check = Check::default();
            for piece in pieces {
                check.add(piece);
            }
            check.passes(n)
        };
        assert!(passes(&[&text]));
        let (first, rest) = text.split_at(text.len() % GROUP);
        assert!(passes(&[first, &rest[..16], &rest[16..]]));
        assert!(!passes(&[&rest[..16], first, &rest[16..]]));
        for place in 0..text.len() {
            for digit in 0..=u8::MAX {
                let mut wrong = text.clone();
                wrong[place] = digit;
                assert_eq!(passes(&[&wrong]), wrong == text, "{place}");
            }
        }
        assert!(!passes(&[&text[1..]]));
        assert!(!passes(&[]));
    }

    #[test]
    fn groups_of_digits_are_parsed() {
        assert_eq!(sixteen(b"1234567890123456"), 1_234_567_890_123_456);
        assert_eq!(sixteen(b"9999999999999999"), 9_999_999_999_999_999);
        assert_eq!(sixteen(b"0000000000000001"), 1);
    }
}
