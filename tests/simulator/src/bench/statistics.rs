//! Medians and percentiles of durations, in milliseconds.
use std::time::Duration;

/// Milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The value below which that part of the values lies; 0 of none.
pub fn percentile(values: &mut [Duration], part: f64) -> f64 {
    values.sort();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list in memory"
    )]
    let index = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(index).copied().map_or(0.0, millis)
}

/// Per second.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
