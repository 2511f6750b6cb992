//! The size of the cluster, and what part of it an allocation is.

use std::collections::BTreeSet;

use crate::amounts::Amounts;

/// All scalar resources of all agents: what shares are shares of.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    total: Amounts,
    excluded: BTreeSet<String>,
    any_excluded: bool,
    /// Changes with every change of the total, so that sorters know when they are stale.
    version: u64,
}

impl Cluster {
    /// Without agents; resources of the names in `excluded` never make a share.
    pub fn new(excluded: BTreeSet<String>) -> Self {
        Self {
            any_excluded: !excluded.is_empty(),
            excluded,
            ..Self::default()
        }
    }

    pub fn total(&self) -> &Amounts {
        &self.total
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn replace(&mut self, old: &Amounts, new: &Amounts) {
        if old != new {
            self.total.subtract(old);
            self.total.add(new);
            self.version += 1;
        }
    }

    /// The dominant share of `allocated`, in 2^-64 of the cluster.
    /// Whole numbers, so that the order of equal shares does not hang on rounding.
    pub fn share(&self, allocated: &Amounts) -> u128 {
        // The largest fraction; compared crosswise, because divisions are dear.
        let (mut most, mut of) = (0u128, 1u128);
        for (name, amount) in allocated.iter() {
            let total = self.total.get(name);
            if amount <= 0 || total <= 0 || (self.any_excluded && self.excluded.contains(name)) {
                continue;
            }
            let (amount, total) = (
                u128::from(amount.unsigned_abs()),
                u128::from(total.unsigned_abs()),
            );
            if amount * of > most * total {
                (most, of) = (amount, total);
            }
        }
        (most << 64) / of
    }
}

/// How much more of the cluster than its siblings a role may have: 2 is twice as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(u32);

impl Weight {
    /// 1, the default.
    pub const ONE: Self = Self(1000);

    /// From 0.001 to 4,294,967, at a precision of 0.001; `None` for anything else.
    pub fn from_f64(weight: f64) -> Option<Self> {
        let thousandths = (weight * 1000.0).round();
        let fits = (1.0..=f64::from(u32::MAX)).contains(&thousandths);
        fits.then_some(Self(thousandths as u32))
    }

    /// As a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// What so large a share weighs.
    pub fn divide(self, share: u128) -> u128 {
        if self == Self::ONE {
            return share;
        }
        share.saturating_mul(1000) / u128::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::parse_resources;

    use super::*;

    fn amounts(text: &str) -> Amounts {
        Amounts::all(&parse_resources(text, "*").unwrap())
    }

    #[test]
    fn the_largest_share_counts_and_the_weight_divides_it() {
        let mut cluster = Cluster::new(BTreeSet::new());
        cluster.replace(&Amounts::default(), &amounts("cpus:10;mem:1000"));
        let share = |text| cluster.share(&amounts(text));
        assert_eq!(share("cpus:5"), 1 << 63);
        assert_eq!(share("cpus:5;mem:100"), share("cpus:1;mem:500"));
        let two = Weight::from_f64(2.0).unwrap();
        assert_eq!(two.divide(share("cpus:8")), share("cpus:4"));
        assert_eq!(Weight::from_f64(0.0), None);
        assert_eq!(Weight::from_f64(f64::NAN), None);
    }

    #[test]
    fn what_is_excluded_or_unknown_is_no_share() {
        let mut cluster = Cluster::new(BTreeSet::from(["mem".to_owned()]));
        cluster.replace(&Amounts::default(), &amounts("cpus:10;mem:1000"));
        assert_eq!(cluster.share(&amounts("mem:500")), 0);
        assert_eq!(cluster.share(&amounts("gpus:1")), 0);
    }
}
