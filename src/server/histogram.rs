//! A histogram of times in microseconds, exact to two significant digits. Pure; recording never allocates.

/// The buckets per power of two. Each is at most 1/128 as wide as its values are large.
const PER_POWER: usize = 128;

/// The buckets of values of up to 32 bits: the first 256 values have one each, 24 powers of two follow.
const BUCKETS: usize = (24 + 2) * PER_POWER;

/// How many values are in each bucket, 13 kB.
#[derive(Debug, Clone)]
pub(super) struct Histogram(Box<[u32; BUCKETS]>);

impl Histogram {
    pub(super) fn new() -> Self {
        Self(Box::new([0; BUCKETS]))
    }

    /// Counts a value; one beyond 32 bits counts as the largest.
    pub(super) fn record(&mut self, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if let Some(count) = self.0.get_mut(bucket(value)) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts the values of another one as well.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0.iter()) {
            *count = count.saturating_add(*more);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The smallest value that at least this percentage of the values do not exceed; `None` if there are no values.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let wanted = (total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        reached.map(largest)
    }
}

/// The bucket of a value: its eight highest bits, and how many bits follow them.
fn bucket(value: u32) -> usize {
    let rest = (u32::BITS - value.leading_zeros()).saturating_sub(8);
    rest as usize * PER_POWER + (value >> rest) as usize
}

/// The largest value of a bucket.
fn largest(bucket: usize) -> u64 {
    let rest = (bucket / PER_POWER).saturating_sub(1);
    let top = bucket - rest * PER_POWER;
    ((top as u64 + 1) << rest) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, proptest};

    #[test]
    fn buckets_are_contiguous_and_cover_all_values() {
        let mut next = 0;
        for index in 0..BUCKETS {
            let first = u32::try_from(next).unwrap();
            let last = u32::try_from(largest(index)).unwrap();
            assert_eq!((bucket(first), bucket(last)), (index, index));
            next = u64::from(last) + 1;
        }
        assert_eq!(next, 1 << 32);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_value_is_exact_to_two_digits(value in any::<u32>(), shift in 0_u32..32) {
            let value: u32 = value >> shift;
            let mut histogram = Histogram::new();
            histogram.record(value.into());
            let read = histogram.percentile(50).unwrap();
            assert!(read >= value.into());
            assert!((read - u64::from(value)) * 100 <= value.into());
        }
    }

    #[test]
    fn percentiles_are_those_of_all_values() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(50), None);
        let mut other = histogram.clone();
        for value in 1..=100 {
            let half = if value % 2 == 0 {
                &mut histogram
            } else {
                &mut other
            };
            half.record(value);
        }
        histogram.add(&other);
        for percent in [1, 50, 99, 100] {
            assert_eq!(histogram.percentile(percent), Some(percent));
        }
        histogram.record(u64::MAX);
        assert_eq!(histogram.percentile(100), Some(u32::MAX.into()));
        histogram.clear();
        assert_eq!(histogram.percentile(100), None);
    }
}
