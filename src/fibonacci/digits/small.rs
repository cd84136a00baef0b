//! Fibonacci numbers that fit in a machine word.

/// The largest n whose Fibonacci number fits in 64 bits.
pub(super) const LAST: u64 = 93;

/// F(0) to F([`LAST`]).
const NUMBERS: [u64; LAST as usize + 1] = {
    let mut numbers = [1; LAST as usize + 1];
    numbers[0] = 0;
    let mut n = 2;
    while n < numbers.len() {
        numbers[n] = numbers[n - 1] + numbers[n - 2];
        n += 1;
    }
    numbers
};

/// F(n) for n up to [`LAST`].
pub(super) fn number(n: u64) -> u64 {
    NUMBERS[n as usize]
}
