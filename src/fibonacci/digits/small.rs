//! Fibonacci numbers that fit in a machine word.

/// The largest n whose Fibonacci number fits in 64 bits.
pub(super) const LAST: u64 = 93;

/// F(n) for n up to [`LAST`].
pub(super) fn number(n: u64) -> u64 {
    // Only the last sum, F(94), can wrap, and it is discarded.
    let (number, _) = (0..n).fold((0_u64, 1_u64), |(a, b), _| (b, a.wrapping_add(b)));
    number
}
