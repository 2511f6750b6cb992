//! How old a directory may become, by how full the disk is.

use std::time::Duration;

/// The greatest age a directory may reach: `gc_delay * max(0, 1 - headroom - usage)`.
///
/// `headroom` and `usage` are shares of the disk from 0 to 1; what is not a number counts as a
/// full disk's opposite: nothing is removed early. Source: `Slave::_checkDiskUsage` of Apache Mesos.
pub fn max_allowed_age(gc_delay: Duration, headroom: f64, usage: f64) -> Duration {
    let share = 1.0 - headroom - usage;
    if share.is_nan() {
        return gc_delay;
    }
    gc_delay.mul_f64(share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    #[test]
    fn half_a_disk_allows_four_tenths_of_the_delay() {
        let age = max_allowed_age(WEEK, 0.1, 0.5);
        assert!(age.abs_diff(WEEK.mul_f64(0.4)) < Duration::from_millis(1));
    }

    #[test]
    fn a_disk_without_headroom_allows_no_age() {
        for usage in [0.9, 0.95, 1.0, 7.0] {
            assert_eq!(max_allowed_age(WEEK, 0.1, usage), Duration::ZERO);
        }
        assert_eq!(max_allowed_age(WEEK, 0.0, 0.0), WEEK);
        assert_eq!(max_allowed_age(WEEK, 0.1, f64::NAN), WEEK);
    }
}
