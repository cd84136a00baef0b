//! Limbs in a power of ten as text.

/// The digits of two numbers below 10^4, the first in the lowest byte; any digits for larger numbers.
#[inline]
fn eight(high: u32, low: u32) -> u64 {
    // Each lane of the word is split into two, first into hundreds, then into tens. The reciprocals are exact below 10^4
    // and 10^2.
    let fours = u64::from(high) | u64::from(low) << 32;
    let hundreds = (fours.wrapping_mul(5_243) >> 19) & 0x0000_007f_0000_007f;
    let pairs = hundreds | fours.wrapping_sub(100 * hundreds) << 16;
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | pairs.wrapping_sub(10 * tens) << 8;
    digits | 0x3030_3030_3030_3030
}

/// The digits of a number below 10^16.
#[inline]
pub(super) fn sixteen(value: u64) -> [u8; 16] {
    let mut text = [0; 16];
    let halves = [value / 100_000_000, value % 100_000_000];
    for (place, half) in text.as_chunks_mut::<8>().0.iter_mut().zip(halves) {
        let half = half as u32;
        *place = eight(half / 10_000, half % 10_000).to_le_bytes();
    }
    text
}

/// The digits of two limbs, which have half of `WIDTH` each: two to five. Limbs that have more give wrong digits.
#[inline]
pub(super) fn two_limbs<const WIDTH: usize>(high: i32, low: i32) -> [u8; WIDTH] {
    let mut place = [b'0'; WIDTH];
    let limbs = [high, low].map(i32::cast_unsigned);
    if WIDTH == 10 {
        let [high, low] = limbs.map(|limb| limb % 10_000);
        let text = eight(high, low).to_le_bytes();
        let fours = text.as_chunks::<4>().0;
        for ((place, fours), limb) in place
            .as_chunks_mut::<5>()
            .0
            .iter_mut()
            .zip(fours)
            .zip(limbs)
        {
            place[0] = b'0'.wrapping_add((limb / 10_000) as u8);
            place[1..].copy_from_slice(fours);
        }
    } else {
        // Moves the digits of both limbs together: above the zeros that precede them.
        let [high, low] = limbs;
        let text = eight(high, low);
        let zeros = 32 - 4 * WIDTH as u32;
        let first = u64::from((text as u32) >> zeros);
        let second = text >> (32 + zeros) << (4 * WIDTH);
        place.copy_from_slice(&(first | second).to_le_bytes()[..WIDTH]);
    }
    place
}

pub(super) fn trimmed(mut digits: Vec<u8>) -> String {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let all_zero = zeros == digits.len();
    digits.drain(..zeros - usize::from(all_zero && zeros > 0));
    // Digits are ASCII, so this cannot fail.
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_padded_with_zeros() {
        for value in 0..10_000_u32 {
            let other = 9_999 - value;
            let text = eight(value, other).to_le_bytes();
            assert_eq!(text[..], *format!("{value:04}{other:04}").as_bytes());
        }
        for value in [0, 1, 42, 9_999_999_999_999_999, 1_234_567_890_123_456] {
            assert_eq!(sixteen(value)[..], *format!("{value:016}").as_bytes());
        }
        assert_eq!(two_limbs(0, 42), *b"0000000042");
        assert_eq!(two_limbs(12_345, 99_999), *b"1234599999");
        assert_eq!(two_limbs(123, 9_999), *b"01239999");
        assert_eq!(two_limbs(7, 999), *b"007999");
        assert_eq!(two_limbs(98, 1), *b"9801");
    }

    #[test]
    fn leading_zeros_are_removed_except_the_last() {
        for (digits, text) in [
            ("", ""),
            ("0", "0"),
            ("000", "0"),
            ("0010", "10"),
            ("7", "7"),
        ] {
            assert_eq!(trimmed(digits.into()), text);
        }
    }
}
