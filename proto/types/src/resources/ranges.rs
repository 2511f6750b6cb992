//! Sets of whole numbers, such as ports, as sorted ranges that neither overlap nor touch.

use std::{fmt, str::FromStr};

/// The numbers from `begin` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first.
    pub begin: u64,
    /// The last; not below `begin`.
    pub end: u64,
}

/// A set of whole numbers. All operations are total.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Ranges(Vec<Range>);

/// Text that is no set of ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no set of ranges; allowed: [BEGIN-END,BEGIN-END,...] with BEGIN not above END")]
pub struct RangesError(pub String);

impl Ranges {
    /// The union of ranges in any order; one with `begin` above `end` is empty.
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut ranges: Vec<Range> = ranges.into_iter().filter(|r| r.begin <= r.end).collect();
        ranges.sort_unstable();
        let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.begin <= last.end.saturating_add(1) => {
                    last.end = last.end.max(range.end);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// The numbers from `begin` to `end`.
    pub fn single(begin: u64, end: u64) -> Self {
        Self::new([Range { begin, end }])
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is no number in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers are in it, at most `u64::MAX`.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |n: u64, r| {
            n.saturating_add((r.end - r.begin).saturating_add(1))
        })
    }

    /// Whether this number is in it.
    pub fn contains_value(&self, value: u64) -> bool {
        let after = self.0.partition_point(|r| r.begin <= value);
        after > 0 && self.0[after - 1].end >= value
    }

    /// Whether all of `other` is in it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|range| {
            let after = self.0.partition_point(|r| r.begin <= range.begin);
            after > 0 && self.0[after - 1].end >= range.end
        })
    }

    /// Whether a number is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            if a.begin <= b.end && b.begin <= a.end {
                return true;
            }
            if a.end < b.end {
                mine.next();
            } else {
                theirs.next();
            }
        }
        false
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&other.0).copied())
    }

    /// What is in this one but not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len() + other.0.len());
        let mut holes = other.0.iter().peekable();
        for range in &self.0 {
            let mut begin = Some(range.begin);
            while let Some(from) = begin {
                while holes.peek().is_some_and(|hole| hole.end < from) {
                    holes.next();
                }
                let Some(hole) = holes.peek().filter(|hole| hole.begin <= range.end) else {
                    left.push(Range {
                        begin: from,
                        end: range.end,
                    });
                    break;
                };
                if hole.begin > from {
                    left.push(Range {
                        begin: from,
                        end: hole.begin - 1,
                    });
                }
                begin = hole.end.checked_add(1).filter(|next| *next <= range.end);
            }
        }
        Self(left)
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.difference(&self.difference(other))
    }
}

impl fmt::Display for Ranges {
    /// As Mesos writes it in `/state`: `[31000-31004, 31006-32000]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, range) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write!(f, "{}-{}", range.begin, range.end)?;
        }
        f.write_str("]")
    }
}

impl FromStr for Ranges {
    type Err = RangesError;

    fn from_str(text: &str) -> Result<Self, RangesError> {
        let wrong = || RangesError(text.to_owned());
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let inner = compact
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .ok_or_else(wrong)?;
        if inner.is_empty() {
            return Ok(Self::default());
        }
        let mut ranges = Vec::new();
        for part in inner.split(',') {
            let (begin, end) = part.split_once('-').ok_or_else(wrong)?;
            let number = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                digits
                    .then(|| text.parse().ok())
                    .flatten()
                    .ok_or_else(wrong)
            };
            let range = Range {
                begin: number(begin)?,
                end: number(end)?,
            };
            if range.begin > range.end {
                return Err(wrong());
            }
            ranges.push(range);
        }
        Ok(Self::new(ranges))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Ranges> {
        prop::collection::vec((0u64..60, 0u64..8), 0..8).prop_map(|parts| {
            Ranges::new(parts.into_iter().map(|(begin, n)| Range {
                begin,
                end: begin + n,
            }))
        })
    }

    fn set(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.iter().flat_map(|r| r.begin..=r.end).collect()
    }

    proptest! {
        #[test]
        fn they_behave_as_sets(a in ranges(), b in ranges(), x in 0u64..70) {
            let (sa, sb) = (set(&a), set(&b));
            prop_assert_eq!(set(&a.union(&b)), &sa | &sb);
            prop_assert_eq!(set(&a.difference(&b)), &sa - &sb);
            prop_assert_eq!(set(&a.intersection(&b)), &sa & &sb);
            prop_assert_eq!(a.contains(&b), sa.is_superset(&sb));
            prop_assert_eq!(a.overlaps(&b), !sa.is_disjoint(&sb));
            prop_assert_eq!(a.contains_value(x), sa.contains(&x));
            prop_assert_eq!(a.count(), sa.len() as u64);
            prop_assert_eq!(a == b, sa == sb);
        }

        #[test]
        fn text_reads_back(a in ranges()) {
            prop_assert_eq!(a.to_string().parse::<Ranges>().unwrap(), a);
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_no_trap() {
        let all = Ranges::single(0, u64::MAX);
        assert_eq!(all.count(), u64::MAX);
        let hole = Ranges::single(5, u64::MAX);
        assert_eq!(all.difference(&hole), Ranges::single(0, 4));
        assert!(all.difference(&all).is_empty());
    }

    #[test]
    fn only_pairs_in_brackets_are_ranges() {
        for bad in [
            "",
            "[",
            "31000-32000",
            "[1]",
            "[2-1]",
            "[1-2",
            "[a-b]",
            "[1-2,]",
            "[-1-2]",
        ] {
            assert!(bad.parse::<Ranges>().is_err(), "{bad}");
        }
        assert_eq!(
            "[10-20, 1-5,6-7]".parse::<Ranges>().unwrap().to_string(),
            "[1-7, 10-20]"
        );
    }
}
