//! Durations and byte counts, as flags write them.

use std::{fmt, time::Duration};

/// Text that is no duration or no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error(
        "`{0}` is no duration; allowed: a number and one of ns, us, ms, secs, mins, hrs, days, weeks, such as 90secs or 1.5hrs"
    )]
    Duration(String),
    /// Too long a duration.
    #[error("`{0}` is too long; allowed: up to 292 years")]
    DurationTooLong(String),
    /// Not a number of bytes.
    #[error(
        "`{0}` is no number of bytes; allowed: a whole number and one of B, KB, MB, GB, TB, such as 10MB"
    )]
    Bytes(String),
    /// Too many bytes.
    #[error("`{0}` is too large; allowed: less than 2^64 bytes")]
    BytesTooLarge(String),
}

/// Units of durations, smallest first, in nanoseconds. Source: `stout/duration.hpp`.
const DURATIONS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60_000_000_000),
    ("hrs", 3_600_000_000_000),
    ("days", 86_400_000_000_000),
    ("weeks", 604_800_000_000_000),
];

/// Units of bytes, smallest first. Source: `stout/bytes.hpp`.
const BYTES: [(&str, u64); 5] = [
    ("B", 1),
    ("KB", 1 << 10),
    ("MB", 1 << 20),
    ("GB", 1 << 30),
    ("TB", 1 << 40),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// So many MiB, at most what fits.
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_bytes(self.0))
    }
}

/// Reads a duration such as `90secs` or `1.5hrs`.
///
/// # Errors
/// Anything else, also units that are not in the plural, signs and blanks.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::Duration(text.to_owned());
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let nanos = DURATIONS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?
        .1;
    if number.is_empty() || number.starts_with('.') || number.ends_with('.') {
        return Err(wrong());
    }
    let total = if number.contains('.') {
        let number: f64 = number.parse().map_err(|_| wrong())?;
        number * nanos as f64
    } else {
        let number: u64 = number
            .parse()
            .map_err(|_| UnitError::DurationTooLong(text.to_owned()))?;
        return match number.checked_mul(nanos).filter(|n| *n <= i64::MAX as u64) {
            Some(nanos) => Ok(Duration::from_nanos(nanos)),
            None => Err(UnitError::DurationTooLong(text.to_owned())),
        };
    };
    if total > i64::MAX as f64 {
        return Err(UnitError::DurationTooLong(text.to_owned()));
    }
    Ok(Duration::from_nanos(total as u64))
}

/// Writes a duration in the largest unit it reaches, or the next smaller one if it is whole there:
/// `1mins`, `10days`, `1.5hrs`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return "0ns".to_owned();
    }
    let largest = DURATIONS
        .iter()
        .rposition(|(_, unit)| nanos >= *unit)
        .unwrap_or(0);
    let (name, unit) = DURATIONS[largest];
    if nanos % unit == 0 {
        return format!("{}{name}", nanos / unit);
    }
    let below = largest.checked_sub(1).map(|i| DURATIONS[i]);
    if let Some((name, unit)) = below.filter(|(_, unit)| nanos.is_multiple_of(*unit)) {
        return format!("{}{name}", nanos / unit);
    }
    format!("{}{name}", nanos as f64 / unit as f64)
}

/// Reads a number of bytes such as `10MB`; units are powers of 1024 in any case.
///
/// # Errors
/// Anything else, also fractions.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError::Bytes(text.to_owned());
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let unit = BYTES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(wrong)?
        .1;
    if number.is_empty() {
        return Err(wrong());
    }
    let large = || UnitError::BytesTooLarge(text.to_owned());
    number
        .parse::<u64>()
        .map_err(|_| large())?
        .checked_mul(unit)
        .ok_or_else(large)
}

/// Writes a number of bytes in the largest unit in which it is whole: `2GB`, `1025B`.
pub fn format_bytes(bytes: u64) -> String {
    let unit = BYTES
        .iter()
        .rev()
        .find(|(_, unit)| bytes.is_multiple_of(*unit) && bytes >= *unit);
    let (name, unit) = unit.copied().unwrap_or(BYTES[0]);
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_and_write_as_in_mesos() {
        for (text, nanos, shown) in [
            ("5secs", 5_000_000_000, "5secs"),
            ("1.5hrs", 5_400_000_000_000, "90mins"),
            ("10days", 864_000_000_000_000, "10days"),
            ("60secs", 60_000_000_000, "1mins"),
            ("500ms", 500_000_000, "500ms"),
            ("0ns", 0, "0ns"),
            ("2weeks", 1_209_600_000_000_000, "2weeks"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_nanos(), nanos, "{text}");
            assert_eq!(format_duration(duration), shown);
        }
        for bad in [
            "",
            "5",
            "5s",
            "1min",
            "-1secs",
            "1 secs",
            "secs",
            ".5secs",
            "1..5secs",
            "1.secs",
            "99999999999999weeks",
            "300000weeks",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_read_and_write_as_in_mesos() {
        for (text, bytes, shown) in [
            ("10MB", 10 << 20, "10MB"),
            ("1024kb", 1 << 20, "1MB"),
            ("1025B", 1025, "1025B"),
            ("0B", 0, "0B"),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes);
            assert_eq!(format_bytes(bytes), shown);
        }
        for bad in ["", "5", "1.5GB", "-1B", "GB", "1 GB", "99999999TB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(n in 0u64..i64::MAX as u64) {
            prop_assert_eq!(parse_bytes(&format_bytes(n)).unwrap(), n);
            let back = parse_duration(&format_duration(Duration::from_nanos(n))).unwrap();
            let error = back.as_nanos().abs_diff(u128::from(n));
            prop_assert!(error as f64 <= n as f64 * 1e-12 + 1.0);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}") {
            let _ = (parse_duration(&text), parse_bytes(&text));
        }
    }
}
