//! Signed scalar amounts by name, small and without allocation for the names everybody uses.

use std::sync::Arc;

use mesos_types::{Quantities, Resource, Resources, Scalar, Value};

/// Names that nearly all agents have; others are found by search.
const USUAL: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

/// Thousandths by name. May be negative: what is more held than there is, is owed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    usual: [i64; USUAL.len()],
    /// In the order of their names, none of them zero.
    other: Vec<(Arc<str>, i64)>,
}

fn usual(name: &str) -> Option<usize> {
    USUAL.iter().position(|usual| *usual == name)
}

impl Amounts {
    /// How much of all entries that satisfy `keep`.
    pub fn of(resources: &Resources, keep: impl Fn(&Resource) -> bool) -> Self {
        let mut all = Self::default();
        for resource in resources.distinct() {
            if let Value::Scalar(amount) = &resource.value
                && keep(resource)
            {
                all.change(&resource.name, amount.thousandths());
            }
        }
        all
    }

    /// How much of everything.
    pub fn all(resources: &Resources) -> Self {
        Self::of(resources, |_| true)
    }

    pub fn get(&self, name: &str) -> i64 {
        usual(name).map_or_else(
            || {
                let found = self.other.iter().find(|(other, _)| **other == *name);
                found.map_or(0, |(_, amount)| *amount)
            },
            |index| self.usual[index],
        )
    }

    /// Adds `more`, which may be negative.
    pub fn change(&mut self, name: &Arc<str>, more: i64) {
        if let Some(index) = usual(name) {
            self.usual[index] = self.usual[index].saturating_add(more);
            return;
        }
        match self.other.binary_search_by(|(other, _)| other.cmp(name)) {
            Ok(at) => {
                self.other[at].1 = self.other[at].1.saturating_add(more);
                if self.other[at].1 == 0 {
                    self.other.remove(at);
                }
            }
            Err(_) if more == 0 => {}
            Err(at) => self.other.insert(at, (name.clone(), more)),
        }
    }

    pub fn add(&mut self, more: &Self) {
        for (mine, more) in self.usual.iter_mut().zip(more.usual) {
            *mine = mine.saturating_add(more);
        }
        for (name, more) in &more.other {
            self.change(name, *more);
        }
    }

    pub fn subtract(&mut self, less: &Self) {
        for (mine, less) in self.usual.iter_mut().zip(less.usual) {
            *mine = mine.saturating_sub(less);
        }
        for (name, less) in &less.other {
            self.change(name, less.saturating_neg());
        }
    }

    /// What `self` is more than `other`, also where that is less than nothing.
    pub fn minus(mut self, other: &Self) -> Self {
        self.subtract(other);
        self
    }

    pub fn is_zero(&self) -> bool {
        self.usual == [0; USUAL.len()] && self.other.is_empty()
    }

    /// Each name by which there is something, or less than nothing.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        let usual = USUAL.iter().copied().zip(self.usual);
        let other = self.other.iter().map(|(name, amount)| (&**name, *amount));
        usual.chain(other).filter(|(_, amount)| *amount != 0)
    }

    /// The larger of both, name by name.
    pub fn larger(&self, other: &Self) -> Self {
        self.merge(other, i64::max)
    }

    /// The smaller of both, name by name.
    pub fn smaller(&self, other: &Self) -> Self {
        self.merge(other, i64::min)
    }

    /// Nothing where there is less than nothing.
    pub fn at_least_zero(self) -> Self {
        if self.iter().all(|(_, amount)| amount > 0) {
            return self;
        }
        self.larger(&Self::default())
    }

    fn merge(&self, other: &Self, pick: impl Fn(i64, i64) -> i64) -> Self {
        let mut merged = Self::default();
        for (index, amount) in merged.usual.iter_mut().enumerate() {
            *amount = pick(self.usual[index], other.usual[index]);
        }
        for (name, amount) in &self.other {
            merged.change(name, pick(*amount, other.get(name)));
        }
        for (name, amount) in &other.other {
            if self.get(name) == 0 {
                merged.change(name, pick(0, *amount));
            }
        }
        merged
    }

    /// Whether there is at least as much of everything as in `other`.
    pub fn contains(&self, other: &Self) -> bool {
        let usual = self.usual.iter().zip(other.usual).all(|(a, b)| *a >= b);
        let mut rest = other.other.iter();
        usual && rest.all(|(name, amount)| self.get(name) >= *amount)
    }
}

impl From<&Quantities> for Amounts {
    fn from(quantities: &Quantities) -> Self {
        let mut all = Self::default();
        for (name, amount) in quantities.iter() {
            all.change(&name.into(), amount.thousandths());
        }
        all
    }
}

impl From<&Amounts> for Quantities {
    fn from(amounts: &Amounts) -> Self {
        amounts
            .iter()
            .map(|(name, amount)| (name, Scalar::from_thousandths(amount)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::parse_resources;
    use proptest::prelude::*;

    use super::*;

    fn amounts(text: &str) -> Amounts {
        Amounts::all(&parse_resources(text, "*").unwrap())
    }

    #[test]
    fn amounts_may_fall_below_nothing_and_come_back() {
        let mut left = amounts("cpus:1;foo:2").minus(&amounts("cpus:3;bar:1"));
        assert_eq!(
            (left.get("cpus"), left.get("foo"), left.get("bar")),
            (-2000, 2000, -1000)
        );
        assert!(!left.contains(&Amounts::default()));
        assert_eq!(left.clone().at_least_zero(), amounts("foo:2"));
        left.add(&amounts("cpus:2;bar:1"));
        assert_eq!(left, amounts("foo:2"));
        assert_eq!(Quantities::from(&left).get("foo").as_f64(), 2.0);
    }

    #[test]
    fn the_larger_and_the_smaller_are_chosen_by_name() {
        let (a, b) = (amounts("cpus:1;foo:2"), amounts("cpus:2;bar:1"));
        assert_eq!(a.larger(&b), amounts("cpus:2;foo:2;bar:1"));
        assert_eq!(a.smaller(&b), amounts("cpus:1"));
    }

    fn any() -> impl Strategy<Value = Amounts> {
        let names = ["cpus", "mem", "a", "b", "c"];
        prop::collection::vec((0..names.len(), -5i64..6), 0..8).prop_map(move |changes| {
            let mut all = Amounts::default();
            for (name, more) in changes {
                all.change(&names[name].into(), more);
            }
            all
        })
    }

    proptest! {
        #[test]
        fn sums_and_differences_undo_each_other(a in any(), b in any()) {
            let mut sum = a.clone();
            sum.add(&b);
            prop_assert_eq!(sum.minus(&b), a.clone());
            let larger = a.larger(&b);
            prop_assert!(larger.contains(&a) && larger.contains(&b));
            prop_assert!(larger.iter().all(|(name, n)| n == a.get(name) || n == b.get(name)));
        }
    }
}
