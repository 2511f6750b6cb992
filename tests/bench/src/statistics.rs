//! Medians and percentiles of durations, printed in milliseconds.

use std::time::Duration;

/// Durations of repeated runs.
#[derive(Debug, Default, Clone)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The value below which this share (0 to 1) of the samples lies.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    /// The middle one.
    pub fn median(&self) -> Duration {
        self.percentile(0.5)
    }

    /// One line: median, 99th percentile, and how many there are.
    pub fn print(&self, what: &str) {
        println!(
            "{what:<58} median {:>9.3} ms   p99 {:>9.3} ms   n {}",
            millis(self.median()),
            millis(self.percentile(0.99)),
            self.0.len()
        );
    }
}

/// In milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
