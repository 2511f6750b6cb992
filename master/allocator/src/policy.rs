//! Whose turn it is: what can be put in place of dominant shares.

use std::fmt::Debug;

use crate::Weight;

/// Why a client is ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It wants offers, and did not before.
    Entered,
    /// It has just been offered something.
    Served,
    /// What it holds, its weight or the cluster have changed.
    Changed,
}

/// How a client stands among its siblings: the roles below one role, or the frameworks of one.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Its dominant share of the cluster, in 2^-64; its weight is not in it.
    pub share: u128,
    /// How much it counts.
    pub weight: Weight,
    /// What [`Policy::rank`] answered for it last; 0 at first.
    pub rank: u128,
    /// The lowest rank of its siblings that want offers; 0 if nobody does.
    pub front: u128,
}

/// Orders clients. Roles and frameworks within a role have a policy each.
pub trait Policy: Debug + Send + Sync {
    /// The place of a client among its siblings; the lowest is next. Clients with the same rank
    /// come in the order of how often they were served, then of their names.
    ///
    /// `chance` gives random numbers above 0, at most 1. The answer must not depend on anything
    /// but the arguments.
    fn rank(&self, client: &Standing, occasion: Occasion, chance: &mut dyn FnMut() -> f64) -> u128;
}

/// Dominant-resource fairness: the smallest dominant share, divided by the weight, is next.
#[derive(Debug, Clone, Copy, Default)]
pub struct DominantShare;

impl Policy for DominantShare {
    fn rank(&self, client: &Standing, _: Occasion, _: &mut dyn FnMut() -> f64) -> u128 {
        client.weight.divide(client.share)
    }
}

/// Each is next with a probability in proportion to its weight, whatever it holds.
///
/// Clients are points that come at random, each at a rate of its weight: the first to come is
/// next, and then comes again after another random time. Because such times have no memory, who
/// was served before does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Policy for Random {
    fn rank(&self, client: &Standing, occasion: Occasion, chance: &mut dyn FnMut() -> f64) -> u128 {
        let from = match occasion {
            Occasion::Changed => return client.rank,
            Occasion::Entered => client.front,
            Occasion::Served => client.rank.max(client.front),
        };
        let wait = -chance().clamp(f64::MIN_POSITIVE, 1.0).ln() / client.weight.as_f64();
        // At most 745 / 0.001, so the product has 52 bits.
        from.saturating_add((wait * f64::from(u32::MAX)) as u128)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_client_waits_by_its_weight_from_the_front() {
        let standing = |weight| Standing {
            share: 0,
            weight: Weight::from_f64(weight).unwrap(),
            rank: 5,
            front: 1000,
        };
        let rank = |weight, occasion, chance: f64| {
            Random.rank(&standing(weight), occasion, &mut || chance)
        };
        assert_eq!(rank(1.0, Occasion::Changed, 0.5), 5);
        assert_eq!(rank(1.0, Occasion::Entered, 1.0), 1000);
        let (light, heavy) = (
            rank(1.0, Occasion::Served, 0.5) - 1000,
            rank(2.0, Occasion::Served, 0.5) - 1000,
        );
        assert!(light.abs_diff(2 * heavy) <= 1, "{light} {heavy}");
        assert!(rank(0.001, Occasion::Served, 0.0) > 1000);
    }
}
