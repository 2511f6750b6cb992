//! What resources that somebody holds count for.

use std::sync::Arc;

use mesos_types::{Resource, Resources, is_subrole};

use crate::amounts::Amounts;

/// Amounts of something held, or by how much they have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Everything. A shared volume counts once, however often it is held.
    pub all: Amounts,
    revocable: Amounts,
    /// What is reserved, by the role it is reserved for.
    reserved: Vec<(Arc<str>, Amounts)>,
}

impl Charge {
    /// Of resources of which nothing is reserved or revocable.
    pub fn plain(all: Amounts) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }

    pub fn of(resources: &Resources) -> Self {
        let all = Amounts::all(resources);
        let plain = |r: &Resource| r.meta.reservations.is_empty() && !r.meta.revocable;
        if resources.distinct().all(plain) {
            return Self::plain(all);
        }
        Self {
            all,
            revocable: Amounts::of(resources, |r| r.meta.revocable),
            reserved: by_reservation(resources),
        }
    }

    /// What was given back.
    pub fn negative(&self) -> Self {
        Self::default().minus(self)
    }

    pub fn minus(mut self, other: &Self) -> Self {
        self.all.subtract(&other.all);
        self.revocable.subtract(&other.revocable);
        for (role, less) in &other.reserved {
            match self.reserved.iter_mut().find(|(mine, _)| mine == role) {
                Some((_, mine)) => mine.subtract(less),
                None => {
                    let mine = Amounts::default().minus(less);
                    self.reserved.push((role.clone(), mine));
                }
            }
        }
        self.reserved.retain(|(_, amounts)| !amounts.is_zero());
        self
    }

    /// What of it makes the share of a role, in whose subtree it is held: all but what is reserved
    /// in that subtree, which counts for the role whether it is held or not.
    pub fn counted(&self, path: &str) -> Amounts {
        let mut counted = self.all.clone();
        for (role, amounts) in &self.reserved {
            if **role == *path || is_subrole(role, path) {
                counted.subtract(amounts);
            }
        }
        counted
    }

    /// What of it counts against the quota of such a role, given what makes its share.
    pub fn consumed(&self, counted: &Amounts) -> Amounts {
        counted.clone().minus(&self.revocable)
    }
}

/// What is reserved, by the role it is reserved for.
pub(crate) fn by_reservation(resources: &Resources) -> Vec<(Arc<str>, Amounts)> {
    let roles = resources.reservation_roles();
    let amounts = |role| Amounts::of(resources, |r| r.reservation_role() == Some(role));
    let reserved = roles.into_iter().map(|role| (role.into(), amounts(role)));
    reserved.filter(|(_, amounts)| !amounts.is_zero()).collect()
}

#[cfg(test)]
mod tests {
    use mesos_types::parse_resources;

    use super::*;

    #[test]
    fn reservations_count_for_the_role_they_are_for_and_those_above_it() {
        let resources = parse_resources("cpus:1;cpus(a):2;cpus(a/b):4", "*").unwrap();
        let charge = Charge::of(&resources);
        let counted = |role| charge.counted(role).get("cpus");
        assert_eq!(counted("a"), 1000);
        assert_eq!(counted("a/b"), 3000);
        assert_eq!(counted("a/b/c"), 7000);
        let nothing = charge.clone().minus(&charge);
        assert_eq!(nothing, Charge::default());
        assert_eq!(charge.negative().negative(), charge);
    }
}
