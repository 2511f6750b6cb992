//! The size of the cluster, and what part of it an allocation is.

use std::collections::BTreeSet;

use mesos_types::{Quantities, Scalar};

/// All scalar resources of all agents: what shares are shares of.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    total: Quantities,
    excluded: BTreeSet<String>,
    /// Changes with every change of the total, so that sorters know when they are stale.
    version: u64,
}

impl Cluster {
    /// Without agents; resources of the names in `excluded` never make a share.
    pub fn new(excluded: BTreeSet<String>) -> Self {
        Self {
            excluded,
            ..Self::default()
        }
    }

    pub fn total(&self) -> &Quantities {
        &self.total
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn replace(&mut self, old: &Quantities, new: &Quantities) {
        if old != new {
            self.total.subtract_all(old);
            self.total.add_all(new);
            self.version += 1;
        }
    }

    /// The dominant share of `allocated`, divided by the weight, in 2^-64 of the cluster.
    /// Whole numbers, so that the order of equal shares does not hang on rounding.
    pub fn share(&self, allocated: &Quantities, weight: Weight) -> u128 {
        let shares = allocated
            .iter()
            .filter(|(name, _)| !self.excluded.contains(*name));
        let shares = shares.filter_map(|(name, amount)| {
            let total = positive(self.total.get(name)).filter(|total| *total > 0)?;
            Some((positive(amount)? << 64) / total)
        });
        weight.divide(shares.max().unwrap_or(0))
    }
}

fn positive(amount: Scalar) -> Option<u128> {
    u128::try_from(amount.thousandths()).ok()
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

    fn divide(self, share: u128) -> u128 {
        share.saturating_mul(1000) / u128::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(cpus: i64, mem: i64) -> Quantities {
        let scalar = |n: i64| Scalar::from_thousandths(n * 1000);
        Quantities::from_iter([("cpus", scalar(cpus)), ("mem", scalar(mem))])
    }

    #[test]
    fn the_largest_share_counts_and_the_weight_divides_it() {
        let mut cluster = Cluster::new(BTreeSet::new());
        cluster.replace(&Quantities::default(), &amounts(10, 1000));
        let share = |cpus, mem, weight| cluster.share(&amounts(cpus, mem), weight);
        assert_eq!(share(5, 0, Weight::ONE), 1 << 63);
        assert_eq!(share(5, 100, Weight::ONE), share(1, 500, Weight::ONE));
        assert_eq!(
            share(8, 0, Weight::from_f64(2.0).unwrap()),
            share(4, 0, Weight::ONE)
        );
        assert_eq!(Weight::from_f64(0.0), None);
        assert_eq!(Weight::from_f64(f64::NAN), None);
    }

    #[test]
    fn what_is_excluded_or_unknown_is_no_share() {
        let mut cluster = Cluster::new(BTreeSet::from(["mem".to_owned()]));
        cluster.replace(&Quantities::default(), &amounts(10, 1000));
        assert_eq!(cluster.share(&amounts(0, 500), Weight::ONE), 0);
        let gpus = Quantities::from_iter([("gpus", Scalar::from_thousandths(1000))]);
        assert_eq!(cluster.share(&gpus, Weight::ONE), 0);
    }
}
