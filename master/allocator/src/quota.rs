//! What a role is promised, and what it may have at most.

use std::collections::BTreeMap;

use mesos_types::{Quantities, Scalar};

use crate::amounts::Amounts;

/// The quota of a role. It counts what the role and all roles below it are offered or use, except
/// revocable resources, and what is reserved for them, used or not.
///
/// Limits bind along the whole chain of roles above: what `eng/web` gets counts for `eng` too.
/// Guarantees of sub-roles are part of the guarantee above them; that they fit is up to the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quota {
    /// Kept free for the role as long as it does not have that much. What is not named: nothing.
    pub guarantees: Quantities,
    /// The role gets no more than that. What is not named: no limit.
    pub limits: BTreeMap<String, Scalar>,
}

impl Quota {
    /// Whether it says nothing, and is as good as none.
    pub fn is_empty(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

/// A quota at work.
#[derive(Debug)]
pub(crate) struct InForce {
    pub quota: Quota,
    guarantees: Amounts,
    /// Of the limited names only; zero is a limit too.
    limits: Vec<(Box<str>, i64)>,
    /// Since somebody below got less than there was: the most that was consumed, and that had to
    /// be kept free below.
    peak: Option<(Amounts, Amounts)>,
}

impl InForce {
    pub fn new(quota: Quota) -> Self {
        let limits = quota.limits.iter();
        Self {
            guarantees: Amounts::from(&quota.guarantees),
            limits: limits
                .map(|(name, limit)| (name.as_str().into(), limit.thousandths()))
                .collect(),
            quota,
            peak: None,
        }
    }

    /// Somebody below got less than there was: from now on it is watched whether that gets better.
    pub fn watch(&mut self, consumed: &Amounts, below: &Amounts) {
        self.peak = Some(match &self.peak {
            None => (consumed.clone(), below.clone()),
            Some((most, most_below)) => (most.larger(consumed), most_below.larger(below)),
        });
    }

    /// Something has changed. Answers whether somebody may get more than when it was kept from it.
    pub fn note(&mut self, consumed: &Amounts, below: &Amounts) -> bool {
        if self.peak.is_none() {
            return false;
        }
        self.watch(consumed, below);
        self.is_relieved(consumed, below)
    }

    pub fn is_relieved(&self, consumed: &Amounts, below: &Amounts) -> bool {
        let peak = self.peak.as_ref();
        peak.is_some_and(|(most, most_below)| {
            !(consumed.contains(most) && below.contains(most_below))
        })
    }

    pub fn is_watched(&self) -> bool {
        self.peak.is_some()
    }

    pub fn unwatch(&mut self) {
        self.peak = None;
    }

    pub fn guarantees(&self) -> &Amounts {
        &self.guarantees
    }

    fn limit(&self, name: &str) -> Option<i64> {
        let found = self.limits.iter().find(|(limited, _)| **limited == *name);
        found.map(|(_, limit)| *limit)
    }

    /// What must be kept free for a role that consumes so much, and for those below it, which
    /// need `below`: no more than the role may get at all.
    pub fn needed(&self, consumed: &Amounts, below: &Amounts) -> Amounts {
        let own = self.guarantees.clone().minus(consumed).at_least_zero();
        let mut needed = own.larger(below);
        for (name, limit) in &self.limits {
            let most = limit.saturating_sub(consumed.get(name)).max(0);
            let over = needed.get(name).saturating_sub(most);
            if over > 0 {
                needed.change(&(&**name).into(), -over);
            }
        }
        needed
    }

    /// The same for one name only.
    fn needed_of(&self, name: &str, consumed: i64, below: i64) -> i64 {
        let own = self.guarantees.get(name).saturating_sub(consumed).max(0);
        let most = self.limit(name).unwrap_or(i64::MAX);
        own.max(below).min(most.saturating_sub(consumed).max(0))
    }
}

/// One role of a chain, in one resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link<'a> {
    pub quota: Option<&'a InForce>,
    /// What counts against the quota.
    pub consumed: i64,
    /// What the roles directly below must have kept free for them, and how much of that is for
    /// the one in this chain.
    pub below: i64,
    pub child: i64,
}

/// Why a role gets less than there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// A limit of the role or of one above it.
    pub limit: bool,
    /// What is free is kept for others.
    pub headroom: bool,
}

/// How much more of one resource a role may get, as it and those above it stand.
#[derive(Debug)]
pub(crate) struct Allowance<'a> {
    name: &'a str,
    /// From the role upwards.
    chain: Vec<Link<'a>>,
    /// Free in the cluster beyond what guarantees need; less than nothing if they need more.
    surplus: i64,
}

impl<'a> Allowance<'a> {
    pub fn new(name: &'a str, chain: Vec<Link<'a>>, surplus: i64) -> Self {
        Self {
            name,
            chain,
            surplus,
        }
    }

    /// What of `wanted` the role may get. The lowest `span` roles of the chain are charged for
    /// it; `free` says whether it comes out of what is free for anybody. What it gets counts from
    /// then on. `whole`: all or nothing.
    pub fn grant(&mut self, wanted: i64, span: usize, free: bool, whole: bool) -> (i64, Cut) {
        let cut = self.objection(wanted, span, free);
        if cut == Cut::default() {
            self.charge(wanted, span, free);
            return (wanted, cut);
        }
        // At a limit, mostly nothing is left.
        if whole || self.objection(1, span, free) != Cut::default() {
            return (0, cut);
        }
        // What is too much stays too much with more: both sides of each rule grow with it.
        let (mut allowed, mut refused) = (1, wanted);
        while refused - allowed > 1 {
            let middle = allowed + (refused - allowed) / 2;
            if self.objection(middle, span, free) == Cut::default() {
                allowed = middle;
            } else {
                refused = middle;
            }
        }
        self.charge(allowed, span, free);
        (allowed, cut)
    }

    /// Walks up with `more` charged. Calls `visit` with each role, what it then consumes, and what
    /// the roles below it then need. Answers what the topmost role then needs.
    fn walk(
        &self,
        more: i64,
        span: usize,
        mut visit: impl FnMut(usize, &Link<'_>, i64, i64),
    ) -> i64 {
        let mut needed = 0;
        for (depth, link) in self.chain.iter().enumerate() {
            let charged = if depth < span { more } else { 0 };
            let consumed = link.consumed.saturating_add(charged);
            let below = link.below - link.child + needed;
            visit(depth, link, consumed, below);
            needed = link
                .quota
                .map_or(below, |quota| quota.needed_of(self.name, consumed, below));
        }
        needed
    }

    fn objection(&self, more: i64, span: usize, free: bool) -> Cut {
        let mut cut = Cut::default();
        let needed = self.walk(more, span, |depth, link, consumed, below| {
            let limit = link.quota.and_then(|quota| quota.limit(self.name));
            let Some(limit) = limit.filter(|_| depth < span && more > 0) else {
                return;
            };
            // Below the limit there must be room for the guarantees of sub-roles; where there is
            // too little already, it must not become less.
            let before = link.consumed.saturating_add(link.below);
            let after = consumed.saturating_add(below);
            cut.limit |= consumed > limit || after > limit.max(before);
        });
        let covered = self.walk(0, span, |_, _, _, _| {}) - needed;
        cut.headroom = free && more - covered > self.surplus.max(0);
        cut
    }

    fn charge(&mut self, more: i64, span: usize, free: bool) {
        let mut states = Vec::with_capacity(self.chain.len());
        let before = self.walk(0, span, |_, _, _, _| {});
        let after = self.walk(more, span, |_, _, consumed, below| {
            states.push((consumed, below))
        });
        let mut child = 0;
        for (link, (consumed, below)) in self.chain.iter_mut().zip(states) {
            *link = Link {
                consumed,
                below,
                child,
                ..*link
            };
            child = link
                .quota
                .map_or(below, |quota| quota.needed_of(self.name, consumed, below));
        }
        let taken = if free { more } else { 0 };
        self.surplus = self.surplus - taken + (before - after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(guarantee: i64, limit: Option<i64>) -> InForce {
        let cpus = Scalar::from_thousandths;
        InForce::new(Quota {
            guarantees: Quantities::from_iter([("cpus", cpus(guarantee))]),
            limits: limit
                .map(|l| ("cpus".to_owned(), cpus(l)))
                .into_iter()
                .collect(),
        })
    }

    fn link(quota: Option<&InForce>, consumed: i64, below: i64, child: i64) -> Link<'_> {
        Link {
            quota,
            consumed,
            below,
            child,
        }
    }

    fn granted(chain: Vec<Link<'_>>, surplus: i64, wanted: i64) -> i64 {
        let span = chain.len();
        let mut allowance = Allowance::new("cpus", chain, surplus);
        let (first, _) = allowance.grant(wanted, span, true, false);
        // What is granted at once is granted in two parts, too.
        assert_eq!(allowance.grant(wanted, span, true, false).0, 0);
        first
    }

    #[test]
    fn a_limit_anywhere_above_binds() {
        let (low, high) = (quota(0, Some(7)), quota(0, Some(5)));
        assert_eq!(granted(vec![link(Some(&low), 3, 0, 0)], 100, 50), 4);
        let chain = vec![link(Some(&low), 3, 0, 0), link(Some(&high), 3, 0, 0)];
        assert_eq!(granted(chain, 100, 50), 2);
        let chain = vec![link(None, 3, 0, 0), link(Some(&high), 9, 0, 0)];
        assert_eq!(granted(chain, 100, 50), 0);
    }

    #[test]
    fn a_guarantee_is_met_out_of_what_is_kept_for_it_and_the_rest_out_of_the_surplus() {
        let promised = quota(10, None);
        assert_eq!(granted(vec![link(Some(&promised), 4, 0, 0)], -3, 50), 6);
        assert_eq!(granted(vec![link(Some(&promised), 4, 0, 0)], 2, 50), 8);
        assert_eq!(granted(vec![link(None, 0, 0, 0)], -3, 50), 0);
        assert_eq!(granted(vec![link(None, 0, 0, 0)], 2, 50), 2);
    }

    #[test]
    fn a_role_does_not_take_what_its_sibling_was_promised_below_their_parents_limit() {
        // The parent may have 10; 6 of them are promised to a child that has nothing.
        let parent = quota(0, Some(10));
        let chain = |child| vec![link(None, 0, 0, 0), link(Some(&parent), 0, 6, child)];
        assert_eq!(granted(chain(0), 100, 50), 4);
        let promised = quota(6, None);
        let chain = vec![link(Some(&promised), 0, 0, 0), link(Some(&parent), 0, 6, 6)];
        assert_eq!(granted(chain, 100, 50), 10);
    }

    #[test]
    fn what_is_reserved_above_is_charged_below_only() {
        let (low, high) = (quota(0, Some(7)), quota(0, Some(5)));
        let chain = vec![link(Some(&low), 3, 0, 0), link(Some(&high), 5, 0, 0)];
        let mut allowance = Allowance::new("cpus", chain, -5);
        assert_eq!(allowance.grant(50, 1, false, true).0, 0);
        let (granted, cut) = allowance.grant(50, 1, false, false);
        assert_eq!((granted, cut.limit, cut.headroom), (4, true, false));
    }

    #[test]
    fn no_more_is_kept_free_than_the_limit_allows() {
        let amounts = |n| {
            Amounts::from(&Quantities::from_iter([(
                "cpus",
                Scalar::from_thousandths(n),
            )]))
        };
        let capped = quota(10, Some(12));
        assert_eq!(capped.needed(&amounts(4), &amounts(7)), amounts(7));
        assert_eq!(capped.needed(&amounts(4), &amounts(2)), amounts(6));
        assert_eq!(capped.needed(&amounts(9), &amounts(7)), amounts(3));
        assert_eq!(capped.needed(&amounts(90), &amounts(7)), amounts(0));
    }
}
