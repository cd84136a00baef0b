//! The cost of F(n): digits, time, memory.

use super::bound::Base;
use super::length::Length;
use super::{memory, schoolbook, small};
use std::time::Duration;

/// The approximate cost of computing the n-th Fibonacci number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Number of decimal digits of the result, exact or one too many.
    pub digits: u64,
    /// Approximate time on one core of an ordinary machine.
    pub time: Duration,
    /// Upper bound of the peak memory in bytes, including the result.
    pub memory: u64,
}

/// n and measured nanoseconds of the first computation of a thread. Between the entries, the time is linear in n.
const MEASURED: [(u64, u64); 20] = [
    (0, 50),
    (93, 100),
    (1_000, 550),
    (3_000, 1_300),
    (12_000, 6_700),
    (12_001, 7_700),
    (100_000, 58_000),
    (240_000, 131_000),
    (400_000, 365_000),
    (1_000_000, 970_000),
    (2_000_000, 2_200_000),
    (3_000_000, 3_800_000),
    (5_000_000, 6_200_000),
    (7_000_000, 9_200_000),
    (10_000_000, 11_000_000),
    (14_000_000, 18_000_000),
    (19_000_000, 38_000_000),
    (30_000_000, 54_000_000),
    (100_000_000, 225_000_000),
    (1_000_000_000, 3_700_000_000),
];

/// Bytes that the process keeps in plans, and in buffers for one computation.
const CACHED: u64 = 4 << 20;

/// The cost of F(n), for any `n`, from integer arithmetic alone.
///
/// The time is within a third of measurements from n = 1,000 to 100,000,000 (`scripts/bench-fibonacci --costs`).
pub fn cost(n: u64) -> Cost {
    let digits = decimal_digits(n);
    Cost {
        digits,
        time: Duration::from_nanos(nanoseconds(n)),
        memory: most_memory(n, digits),
    }
}

fn nanoseconds(n: u64) -> u64 {
    let above = MEASURED.partition_point(|(measured, _)| *measured <= n);
    let [(from, least), (to, most)] = match MEASURED.get(above) {
        Some(next) => [MEASURED[above - 1], *next],
        // Extrapolate the last segment.
        None => [MEASURED[MEASURED.len() - 2], MEASURED[MEASURED.len() - 1]],
    };
    let more = u128::from(n - from) * u128::from(most - least) / u128::from(to - from);
    u64::try_from(u128::from(least) + more).unwrap_or(u64::MAX)
}

/// Two spectra and the limbs of one factor; a spectrum and the result, and the result and its text, are less.
fn most_memory(n: u64, digits: u64) -> u64 {
    if n <= small::LAST {
        return digits;
    }
    if n <= schoolbook::LAST {
        return 4 * digits;
    }
    let most = match Base::for_digits(digits) {
        Some(base) => match Length::covering(base.factor_limbs(digits)) {
            Length::Short(points) => 16 * points as u64,
            long @ Length::Long { .. } => {
                let points = long.points() as u64;
                2 * memory::mapped(16 * points) + memory::mapped(8 * points)
            }
        },
        None => digits.saturating_mul(16),
    };
    most.saturating_add(digits).saturating_add(CACHED)
}

/// The number of decimal digits of F(n), exact or one too many. It is exact for every n that can be computed.
///
/// F(n) is phi^n / sqrt(5), rounded. So it has floor(n log10(phi) - log10(sqrt(5))) + 1 digits, here
/// with 64 fractional bits, the first constant rounded up and the second down.
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

    #[test]
    fn the_number_of_digits_is_exact() {
        let known = |n| super::super::digits(n, &|| true).unwrap().text.len() as u64;
        for n in (0..5_000).chain([9_999, 10_000, 99_999, 100_000, 250_000]) {
            assert_eq!(cost(n).digits, known(n), "digits of F({n})");
        }
        assert_eq!(cost(1_000_000).digits, 208_988);
        assert_eq!(cost(80_000_000).digits, 16_719_011);
    }

    #[test]
    fn costs_grow_with_n_and_never_overflow() {
        let mut last = cost(0);
        for shift in 0..64 {
            let next = cost(1 << shift);
            assert!(
                next.digits >= last.digits && next.time >= last.time && next.memory >= last.memory,
                "2^{shift}: {last:?}, {next:?}"
            );
            last = next;
        }
        let most = cost(u64::MAX);
        assert!(most.digits > 3_855_141_514_259_838_900 && most.digits < u64::MAX / 4);
        assert_eq!(most.time, Duration::from_nanos(u64::MAX));
        assert!(cost(93).time < Duration::from_micros(1));
        let million = cost(1_000_000).time;
        assert!(million > Duration::from_micros(500) && million < Duration::from_millis(3));
        assert!(
            cost(100_000_000).memory < 185_000_000,
            "{:?}",
            cost(100_000_000)
        );
    }
}
