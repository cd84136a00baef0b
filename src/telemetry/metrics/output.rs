//! Writes the series of a metric through the encoder of prometheus-client. Holds no state.

use super::table::Family;
use crate::server::metrics::{BOUNDS_US, TimeBuckets};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, LabelSetEncoder,
    MetricEncoder, NoLabelSet,
};
use std::fmt;
use std::time::Duration;

/// Where the metrics of one scrape are written to.
pub(super) struct Output<'a>(pub(super) DescriptorEncoder<'a>);

impl Output<'_> {
    /// A counter with one series for each of these label values.
    pub(super) fn counter<V: EncodeCounterValue, const N: usize>(
        &mut self,
        family: &Family,
        series: &[([&str; N], V)],
    ) -> fmt::Result {
        self.family(family, series, |mut encoder, value| {
            encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
        })
    }

    /// A gauge, likewise.
    pub(super) fn gauge<V: EncodeGaugeValue, const N: usize>(
        &mut self,
        family: &Family,
        series: &[([&str; N], V)],
    ) -> fmt::Result {
        self.family(family, series, |mut encoder, value| {
            encoder.encode_gauge(value)
        })
    }

    /// A histogram, likewise, with these of the bounds that were counted by. Each series has all of its times.
    pub(super) fn histogram<const N: usize>(
        &mut self,
        family: &Family,
        bounds_us: &[u64],
        series: &[([&str; N], Vec<&TimeBuckets>)],
    ) -> fmt::Result {
        self.family(family, series, |mut encoder, all| {
            let mut counts = [0; BOUNDS_US.len() + 1];
            for times in all {
                (counts.iter_mut().zip(times.counts())).for_each(|(count, more)| *count += more);
            }
            let (buckets, count) = merged(bounds_us, counts);
            let sum: Duration = all.iter().map(|times| times.sum()).sum();
            encoder.encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
        })
    }

    /// Information: the value is always 1, and the labels tell.
    pub(super) fn info(&mut self, family: &Family, values: &[&str]) -> fmt::Result {
        let mut encoder = self.descriptor(family)?;
        encoder.encode_info(&Labels {
            names: family.labels,
            values,
        })
    }

    fn family<V, const N: usize>(
        &mut self,
        family: &Family,
        series: &[([&str; N], V)],
        write: impl Fn(MetricEncoder<'_>, &V) -> fmt::Result,
    ) -> fmt::Result {
        let mut encoder = self.descriptor(family)?;
        for (values, value) in series {
            let labels = Labels {
                names: family.labels,
                values,
            };
            write(encoder.encode_family(&labels)?, value)?;
        }
        Ok(())
    }

    fn descriptor<'s>(&'s mut self, family: &Family) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0
            .encode_descriptor(family.base(), family.help, None, family.kind)
    }
}

/// The buckets with these bounds, in seconds, and the number of all times. `counts` are by [`BOUNDS_US`], which has all of
/// `bounds_us`.
fn merged(bounds_us: &[u64], counts: [u64; BOUNDS_US.len() + 1]) -> (Vec<(f64, u64)>, u64) {
    let mut buckets = Vec::with_capacity(bounds_us.len() + 1);
    let mut below = 0;
    let mut all = 0;
    for (bound, count) in BOUNDS_US.iter().zip(counts) {
        below += count;
        all += count;
        if bounds_us.contains(bound) {
            #[allow(clippy::cast_precision_loss, reason = "bounds are small")]
            buckets.push((*bound as f64 / 1e6, below));
            below = 0;
        }
    }
    let [.., above] = counts;
    buckets.push((f64::INFINITY, below + above));
    (buckets, all + above)
}

/// The labels of one series.
struct Labels<'a> {
    names: &'static [&'static str],
    values: &'a [&'a str],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        use prometheus_client::encoding::EncodeLabel as _;
        for (name, value) in self.names.iter().zip(self.values) {
            (*name, *value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_buckets_have_the_counts_of_those_below() {
        let counts = std::array::from_fn(|index| 1 << index);
        let (all, count) = merged(&BOUNDS_US, counts);
        assert_eq!(all.len(), BOUNDS_US.len() + 1);
        assert_eq!(
            (all[0], all[17].1, count),
            ((0.0001, 1), 1 << 17, (1 << 18) - 1)
        );
        let (few, count) = merged(&[250, 30_000_000], counts);
        assert_eq!(count, (1 << 18) - 1);
        assert_eq!(few[0], (0.00025, 0b11));
        assert_eq!(few[1], (30.0, ((1 << 17) - 1) - 0b11));
        assert_eq!(few[2], (f64::INFINITY, 1 << 17));
    }
}
