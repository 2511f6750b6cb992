//! How long requests took, in buckets; counting is one atomic addition each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper bounds of the buckets, in seconds; one without a bound follows.
const BOUNDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A histogram of durations. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latency(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Latency {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let index = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.0.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The upper bound of each bucket in seconds, and how many durations are in it; the last has no bound.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = BOUNDS.iter().map(|bound| Some(*bound)).chain([None]);
        bounds.zip(
            self.0
                .buckets
                .iter()
                .map(|count| count.load(Ordering::Relaxed)),
        )
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_one_bucket() {
        let latency = Latency::default();
        for millis in [0, 1, 2, 9_999, 60_000] {
            latency.record(Duration::from_millis(millis));
        }
        let counts: Vec<u64> = latency.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(latency.sum(), Duration::from_millis(70_002));
    }
}
