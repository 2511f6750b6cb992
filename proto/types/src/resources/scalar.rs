//! Amounts in thousandths: arithmetic without rounding surprises.

use std::{fmt, ops};

/// An amount of CPUs, MiB, or anything else that is divisible, in thousandths.
///
/// Source: `convertToFixed` in `common/values.cpp` of Apache Mesos: three decimals.
/// Arithmetic stops at the ends of the range instead of wrapping.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(i64);

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many thousandths.
    pub const fn from_thousandths(thousandths: i64) -> Self {
        Self(thousandths)
    }

    /// The nearest number of thousandths; `None` for what is not finite or does not fit.
    pub fn from_f64(value: f64) -> Option<Self> {
        let thousandths = (value * 1000.0).round();
        // 2^62 leaves room for sums of a few; nothing real comes near.
        (thousandths.abs() < 4.6e18).then_some(Self(thousandths as i64))
    }

    /// In thousandths.
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// For the wire.
    pub fn as_f64(self) -> f64 {
        // As `convertToFloating` there: whole part and fraction apart keep the digits.
        (self.0 / 1000) as f64 + (self.0 % 1000) as f64 / 1000.0
    }

    /// Taking a value that is in MiB: in bytes; nothing for a negative one.
    pub fn mib_to_bytes(self) -> u64 {
        let bytes = i128::from(self.0.max(0)) * (1 << 20) / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Whether it is nothing or less.
    pub const fn is_zero_or_less(self) -> bool {
        self.0 <= 0
    }

    /// The difference, but not less than nothing.
    pub fn minus_at_least_zero(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

impl ops::Add for Scalar {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl ops::AddAssign for Scalar {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl ops::Sub for Scalar {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl ops::SubAssign for Scalar {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_f64(), f)
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenth_and_two_tenths_are_three_tenths() {
        let s = |v| Scalar::from_f64(v).unwrap();
        assert_eq!(s(0.1) + s(0.2), s(0.3));
        assert_eq!(s(1.5123), s(1.512));
        assert_eq!(s(0.1).as_f64(), 0.1);
        assert_eq!(Scalar::from_f64(f64::NAN), None);
        assert_eq!(Scalar::from_f64(f64::INFINITY), None);
        assert_eq!(s(32.5).mib_to_bytes(), (32 << 20) + (1 << 19));
    }

    proptest! {
        #[test]
        fn the_wire_keeps_every_thousandth(n in -1_000_000_000_000i64..1_000_000_000_000) {
            let scalar = Scalar::from_thousandths(n);
            prop_assert_eq!(Scalar::from_f64(scalar.as_f64()), Some(scalar));
        }

        #[test]
        fn arithmetic_is_total(a: i64, b: i64) {
            let (a, b) = (Scalar::from_thousandths(a), Scalar::from_thousandths(b));
            let _ = (a + b, a - b, a.minus_at_least_zero(b), a.mib_to_bytes(), a.as_f64());
        }
    }
}
