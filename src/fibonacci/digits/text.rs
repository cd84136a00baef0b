//! Limbs in a power of ten as text.

/// The digits of 0 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// Fills `place` with the digits of `value`, padded with zeros; digits that do not fit are dropped.
#[inline]
pub(super) fn write(place: &mut [u8], mut value: u64) {
    let mut pairs = place.rchunks_exact_mut(2);
    for pair in &mut pairs {
        pair.copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if let [first] = pairs.into_remainder() {
        *first = PAIRS[(value % 10) as usize][1];
    }
}

/// The same for a place whose width is known at compile time.
#[inline]
pub(super) fn write_fixed<const WIDTH: usize>(place: &mut [u8; WIDTH], mut value: u32) {
    let (first, pairs) = place.as_rchunks_mut::<2>();
    for pair in pairs.iter_mut().rev() {
        *pair = PAIRS[(value % 100) as usize];
        value /= 100;
    }
    if let [first] = first {
        let digit = value as u8;
        *first = b'0' + digit;
    }
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
        for (width, value, text) in [
            (1, 7, "7"),
            (2, 7, "07"),
            (3, 123, "123"),
            (5, 42, "00042"),
            (16, 9_999_999_999_999_999, "9999999999999999"),
            (16, 1, "0000000000000001"),
        ] {
            let mut place = vec![0; width];
            write(&mut place, value);
            assert_eq!(String::from_utf8(place).unwrap(), text);
        }
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
