//! One agent's resources: who holds what, and what is left.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use mesos_types::{AgentId, FrameworkCapabilities, Resource, Resources, Scalar};

use crate::{
    AgentSpec,
    amounts::Amounts,
    charge::{Charge, by_reservation},
    filters::{Filters, Subscriber},
    options::AgentCapabilities,
};

/// An agent's books. All resources here are without allocation; the key of `used` says whose
/// they are.
///
/// Unless the agent is overcommitted (it has come to have less than is held), what is available
/// and what is held add up to the total; shared volumes are available at any time.
#[derive(Debug)]
pub(crate) struct Agent {
    pub id: AgentId,
    pub active: bool,
    pub hostname: String,
    pub region: Option<String>,
    pub capabilities: AgentCapabilities,
    /// What the roles know to be free here.
    pub known_free: Amounts,
    pub filters: Filters,
    /// Waits for its turn in the next run.
    pub queued: bool,
    /// When its first filter ends, as the allocator's timers know it.
    pub timer: Option<Duration>,
    total: Resources,
    available: Resources,
    used: HashMap<Subscriber, Resources>,
    overcommitted: bool,
    kind: Kind,
}

/// What of an agent's resources not everybody may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// Something is reserved, revocable or shared.
    special: bool,
    gpus: bool,
}

impl Agent {
    pub fn new(id: AgentId, spec: &AgentSpec) -> Self {
        let total = spec.total.unallocated();
        Self {
            id,
            active: spec.active,
            hostname: spec.hostname.clone(),
            region: spec.region.clone(),
            capabilities: spec.capabilities,
            known_free: Amounts::default(),
            filters: Filters::default(),
            queued: false,
            timer: None,
            kind: Kind::of(&total),
            available: total.clone(),
            total,
            used: HashMap::new(),
            overcommitted: false,
        }
    }

    pub fn total(&self) -> &Resources {
        &self.total
    }

    pub fn available(&self) -> &Resources {
        &self.available
    }

    pub fn used(&self) -> &HashMap<Subscriber, Resources> {
        &self.used
    }

    pub fn has_gpus(&self) -> bool {
        self.kind.gpus
    }

    /// The agent has something else now.
    pub fn set_total(&mut self, total: Resources) {
        self.kind = Kind::of(&total);
        self.total = total;
        self.balance();
    }

    /// What anybody may have: available, not reserved and not revocable.
    pub fn free(&self) -> Amounts {
        if self.kind.special {
            let free = |r: &Resource| r.meta.reservations.is_empty() && !r.meta.revocable;
            Amounts::of(&self.available, free)
        } else {
            Amounts::all(&self.available)
        }
    }

    /// What is reserved, by role.
    pub fn reservations(&self) -> Vec<(Arc<str>, Amounts)> {
        if self.kind.special {
            by_reservation(&self.total)
        } else {
            Vec::new()
        }
    }

    /// Books resources that are available. Answers by how much that adds to the holder's amounts.
    pub fn take(&mut self, who: Subscriber, resources: &Resources) -> Charge {
        if self.kind.special {
            self.available -= &resources.filter(|r| !r.meta.shared);
        } else {
            self.available -= resources;
        }
        self.hold(who, resources)
    }

    /// Books resources that are in use whether they were available or not.
    pub fn charge(&mut self, who: Subscriber, resources: &Resources) -> Charge {
        let more = self.hold(who, resources);
        self.balance();
        more
    }

    fn hold(&mut self, who: Subscriber, resources: &Resources) -> Charge {
        let special = self.kind.special || Kind::of(resources).special;
        let held = self.used.entry(who).or_default();
        if !special {
            *held += resources;
            return Charge::of(resources, false);
        }
        let before = Charge::of(held, true);
        *held += resources;
        Charge::of(held, true).minus(&before)
    }

    /// Whether all of `resources` is held.
    pub fn holds(&self, who: Subscriber, resources: &Resources) -> bool {
        self.used
            .get(&who)
            .is_some_and(|held| held.contains(resources))
    }

    /// Takes back resources that are held. Answers the change of the holder's amounts.
    pub fn give_back(&mut self, who: Subscriber, resources: &Resources) -> Charge {
        let Some(held) = self.used.get_mut(&who) else {
            return Charge::default();
        };
        let special = self.kind.special || Kind::of(resources).special;
        let before = Charge::of(held, special);
        *held -= resources;
        let change = Charge::of(held, special).minus(&before);
        if held.is_empty() {
            self.used.remove(&who);
        }
        if self.overcommitted {
            self.balance();
        } else if self.kind.special {
            self.available += &resources.filter(|r| !r.meta.shared);
        } else {
            self.available += resources;
        }
        change
    }

    /// An operation has made `to` out of `from`, which is held.
    /// Answers the change of the holder's amounts.
    pub fn convert(&mut self, who: Subscriber, from: &Resources, to: &Resources) -> Charge {
        let held = self.used.entry(who).or_default();
        let before = Charge::of(held, true);
        *held -= from;
        *held += to;
        let change = Charge::of(held, true).minus(&before);
        if held.is_empty() {
            self.used.remove(&who);
        }
        self.convert_total(from, to);
        change
    }

    /// An operation has made `to` out of `from`.
    pub fn convert_total(&mut self, from: &Resources, to: &Resources) {
        let mut total = std::mem::take(&mut self.total);
        total -= from;
        total += to;
        self.set_total(total);
    }

    /// Whether all of `resources` is available, and nobody uses what is shared of it.
    pub fn is_available(&self, resources: &Resources) -> bool {
        let shared = resources.filter(|r| r.meta.shared);
        let mut used = self.used.values().flat_map(Resources::distinct);
        self.available.contains(resources) && !used.any(|r| shared.distinct().any(|s| s == r))
    }

    /// Works out anew what is available.
    fn balance(&mut self) {
        let mut held = Resources::new();
        for resources in self.used.values() {
            held += &resources.filter(|r| !r.meta.shared);
        }
        self.overcommitted = !self.total.contains(&held);
        self.available = &self.total - &held;
    }

    /// What of the available resources a framework of this role may get.
    pub fn available_to(&self, role: &str) -> Cow<'_, Resources> {
        if self.kind.special {
            Cow::Owned(self.available.allocatable_to(role))
        } else {
            Cow::Borrowed(&self.available)
        }
    }

    /// Without what a framework with these capabilities would not understand, and without shared
    /// volumes where `shared` is false.
    pub fn understood<'a>(
        &self,
        offerable: &'a Resources,
        capabilities: FrameworkCapabilities,
        shared: bool,
    ) -> Cow<'a, Resources> {
        if !self.kind.special {
            return Cow::Borrowed(offerable);
        }
        let understood = |r: &Resource| {
            let meta = &r.meta;
            (!meta.shared || (shared && capabilities.shared_resources))
                && (!meta.revocable || capabilities.revocable_resources)
                && (meta.reservations.len() < 2 || capabilities.reservation_refinement)
        };
        Cow::Owned(offerable.filter(understood))
    }
}

impl Kind {
    fn of(resources: &Resources) -> Self {
        let special =
            |r: &Resource| r.meta.shared || r.meta.revocable || !r.meta.reservations.is_empty();
        Self {
            special: resources.distinct().any(special),
            gpus: resources.gpus().is_some_and(|gpus| gpus > Scalar::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::parse_resources;

    use super::*;
    use crate::table::{FrameworkKey, Key, RoleKey};

    fn parse(text: &str) -> Resources {
        parse_resources(text, "*").unwrap()
    }

    #[test]
    fn an_agent_that_shrinks_below_what_is_held_has_nothing_until_enough_is_given_back() {
        let who = (FrameworkKey::new(0), RoleKey::new(0));
        let mut agent = Agent::new("a".into(), &AgentSpec::new(parse("cpus:4;mem:100")));
        let _ = agent.take(who, &parse("cpus:3"));
        assert_eq!(agent.available(), &parse("cpus:1;mem:100"));
        agent.set_total(parse("cpus:2;mem:100"));
        assert!(agent.overcommitted);
        assert_eq!(agent.available(), &parse("mem:100"));
        let _ = agent.give_back(who, &parse("cpus:2"));
        assert!(!agent.overcommitted);
        assert_eq!(agent.available(), &parse("cpus:1;mem:100"));
        let less = agent.give_back(who, &parse("cpus:1"));
        assert_eq!(less, Charge::of(&parse("cpus:1"), false).negative());
        assert_eq!(agent.available(), agent.total());
        assert!(agent.used().is_empty());
    }

    #[test]
    fn roles_get_what_is_reserved_for_them_or_above_them() {
        let spec = AgentSpec::new(parse("cpus:1;cpus(eng):2;cpus(ops):4"));
        let agent = Agent::new("a".into(), &spec);
        let cpus = |role: &str| agent.available_to(role).cpus().unwrap().as_f64();
        assert_eq!(cpus("eng"), 3.0);
        assert_eq!(cpus("eng/prod"), 3.0);
        assert_eq!(cpus("engine"), 1.0);
        assert_eq!(cpus("*"), 1.0);
    }
}
