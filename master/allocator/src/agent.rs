//! One agent's resources: who holds what, and what is left.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use mesos_types::{AgentId, FrameworkCapabilities, Resource, Resources, Scalar};

use crate::{
    AgentSpec,
    amounts::Amounts,
    charge::{Charge, by_reservation},
    filters::{Filters, Subscriber},
    options::AgentCapabilities,
};

static NOTHING: LazyLock<Arc<Resources>> = LazyLock::new(Arc::default);

/// Whom an agent is to be offered to in its next turn.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Interest {
    /// Nobody: nothing has happened to it.
    #[default]
    Nobody,
    /// Those, because they want now what they did not want before.
    Of(Vec<Subscriber>),
    /// Anybody: what is available on it has changed.
    Anybody,
}

/// An agent's books. All resources here are without allocation; the key of `used` says whose
/// they are.
///
/// Unless the agent is overcommitted (it has come to have less than is held), what is available
/// and what is held add up to the total; shared volumes are available at any time. Mostly all of
/// an agent is held by one framework, or available: then it is the same allocation in memory.
#[derive(Debug)]
pub(crate) struct Agent {
    pub id: AgentId,
    pub active: bool,
    pub hostname: String,
    pub region: Option<String>,
    pub capabilities: AgentCapabilities,
    pub filters: Filters,
    /// Waits for its turn if that is not nobody.
    pub interest: Interest,
    /// When its first filter ends, as the allocator's timers know it.
    pub timer: Option<Duration>,
    /// What the roles know to be free here.
    pub known_free: Amounts,
    total: Arc<Resources>,
    total_amounts: Amounts,
    available: Arc<Resources>,
    available_amounts: Amounts,
    /// In the order of holders.
    used: Vec<(Subscriber, Arc<Resources>)>,
    overcommitted: bool,
    kind: Kind,
}

/// What of an agent's resources not everybody may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// Something is reserved, revocable or shared.
    special: bool,
    revocable: bool,
    gpus: bool,
}

impl Agent {
    pub fn new(id: AgentId, spec: &AgentSpec) -> Self {
        let total = Arc::new(spec.total.unallocated());
        let amounts = Amounts::all(&total);
        Self {
            id,
            active: spec.active,
            hostname: spec.hostname.clone(),
            region: spec.region.clone(),
            capabilities: spec.capabilities,
            filters: Filters::default(),
            interest: Interest::Nobody,
            timer: None,
            known_free: Amounts::default(),
            kind: Kind::of(&total),
            available: total.clone(),
            available_amounts: amounts.clone(),
            total,
            total_amounts: amounts,
            used: Vec::new(),
            overcommitted: false,
        }
    }

    pub fn total(&self) -> &Resources {
        &self.total
    }

    pub fn total_amounts(&self) -> &Amounts {
        &self.total_amounts
    }

    pub fn available(&self) -> &Resources {
        &self.available
    }

    pub fn available_amounts(&self) -> &Amounts {
        &self.available_amounts
    }

    pub fn used(&self) -> &[(Subscriber, Arc<Resources>)] {
        &self.used
    }

    pub fn is_holder(&self, who: Subscriber) -> bool {
        self.find(who).is_ok()
    }

    pub fn has_gpus(&self) -> bool {
        self.kind.gpus
    }

    pub fn has_revocable(&self) -> bool {
        self.kind.revocable
    }

    /// Whether something on it is reserved, revocable or shared.
    pub fn is_special(&self) -> bool {
        self.kind.special
    }

    fn find(&self, who: Subscriber) -> Result<usize, usize> {
        self.used.binary_search_by_key(&who, |(who, _)| *who)
    }

    /// The agent has something else now.
    pub fn set_total(&mut self, total: Resources) {
        self.kind = Kind::of(&total);
        self.total_amounts = Amounts::all(&total);
        self.total = Arc::new(total);
        self.balance();
    }

    /// What anybody may have: available, not reserved and not revocable.
    pub fn free(&self) -> Amounts {
        if self.kind.special {
            let free = |r: &Resource| r.meta.reservations.is_empty() && !r.meta.revocable;
            Amounts::of(&self.available, free)
        } else {
            self.available_amounts.clone()
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
    pub fn take(&mut self, who: Subscriber, resources: &Arc<Resources>) -> Charge {
        if self.kind.special {
            let exclusive = resources.filter(|r| !r.meta.shared);
            *Arc::make_mut(&mut self.available) -= &exclusive;
            self.available_amounts = Amounts::all(&self.available);
            return self.hold(who, resources);
        }
        let all = if Arc::ptr_eq(resources, &self.available) {
            self.available = NOTHING.clone();
            std::mem::take(&mut self.available_amounts)
        } else {
            let all = Amounts::all(resources);
            *Arc::make_mut(&mut self.available) -= resources;
            self.available_amounts.subtract(&all);
            all
        };
        match self.find(who) {
            Ok(at) => *Arc::make_mut(&mut self.used[at].1) += resources,
            Err(at) => self.used.insert(at, (who, resources.clone())),
        }
        Charge::plain(all)
    }

    /// Books resources that are in use whether they were available or not.
    pub fn charge(&mut self, who: Subscriber, resources: &Resources) -> Charge {
        let more = self.hold(who, resources);
        self.balance();
        more
    }

    fn hold(&mut self, who: Subscriber, resources: &Resources) -> Charge {
        let at = self.find(who).unwrap_or_else(|at| {
            self.used.insert(at, (who, NOTHING.clone()));
            at
        });
        let held = &mut self.used[at].1;
        let before = Charge::of(held);
        *Arc::make_mut(held) += resources;
        Charge::of(held).minus(&before)
    }

    /// Whether all of `resources` is held.
    pub fn holds(&self, who: Subscriber, resources: &Resources) -> bool {
        self.find(who)
            .is_ok_and(|at| self.used[at].1.contains(resources))
    }

    /// Whether `resources`, except for their allocation, are plainly all that is held, in the same
    /// order. For other answers than yes, look closely.
    pub fn holds_just(&self, who: Subscriber, resources: &Resources) -> bool {
        let plain = |r: &Resource| {
            let meta = &r.meta;
            let reserved = !meta.reservations.is_empty() || meta.disk.is_some();
            !(reserved || meta.shared || meta.revocable || meta.provider.is_some())
        };
        self.find(who).is_ok_and(|at| {
            let mut held = self.used[at].1.distinct();
            let same = |r: &Resource| {
                held.next().is_some_and(|held| {
                    plain(r) && plain(held) && held.name == r.name && held.value == r.value
                })
            };
            resources.distinct().all(same) && held.next().is_none()
        })
    }

    /// Takes back all that somebody holds. Answers what that is, and the change of its amounts.
    pub fn give_back_all(&mut self, who: Subscriber) -> (Arc<Resources>, Charge) {
        let Ok(at) = self.find(who) else {
            return (NOTHING.clone(), Charge::default());
        };
        let (_, held) = self.used.remove(at);
        let charge = if Arc::ptr_eq(&held, &self.total) && !self.kind.special {
            Charge::plain(self.total_amounts.clone())
        } else {
            Charge::of(&held)
        };
        self.regain(&held);
        (held, charge.negative())
    }

    /// Takes back resources that are held. Answers the change of the holder's amounts.
    pub fn give_back(&mut self, who: Subscriber, resources: &Resources) -> Charge {
        let Ok(at) = self.find(who) else {
            return Charge::default();
        };
        let held = &mut self.used[at].1;
        let before = Charge::of(held);
        *Arc::make_mut(held) -= resources;
        let change = Charge::of(held).minus(&before);
        if held.is_empty() {
            self.used.remove(at);
        }
        self.regain(resources);
        change
    }

    /// These are available again.
    fn regain(&mut self, resources: &Resources) {
        if self.overcommitted {
            self.balance();
            return;
        }
        if self.used.is_empty() {
            self.available = self.total.clone();
            self.available_amounts = self.total_amounts.clone();
            return;
        }
        let available = Arc::make_mut(&mut self.available);
        if self.kind.special {
            *available += &resources.filter(|r| !r.meta.shared);
        } else {
            *available += resources;
        }
        self.available_amounts = Amounts::all(&self.available);
    }

    /// An operation has made `to` out of `from`, which is held.
    /// Answers the change of the holder's amounts.
    pub fn convert(&mut self, who: Subscriber, from: &Resources, to: &Resources) -> Charge {
        let Ok(at) = self.find(who) else {
            return Charge::default();
        };
        let held = &mut self.used[at].1;
        let before = Charge::of(held);
        let changed = Arc::make_mut(held);
        *changed -= from;
        *changed += to;
        let change = Charge::of(held).minus(&before);
        if held.is_empty() {
            self.used.remove(at);
        }
        self.convert_total(from, to);
        change
    }

    /// An operation has made `to` out of `from`.
    pub fn convert_total(&mut self, from: &Resources, to: &Resources) {
        let mut total = Resources::clone(&self.total);
        total -= from;
        total += to;
        self.set_total(total);
    }

    /// Whether all of `resources` is available, and nobody uses what is shared of it.
    pub fn is_available(&self, resources: &Resources) -> bool {
        let shared = resources.filter(|r| r.meta.shared);
        let mut used = self.used.iter().flat_map(|(_, held)| held.distinct());
        self.available.contains(resources) && !used.any(|r| shared.distinct().any(|s| s == r))
    }

    /// Works out anew what is available.
    fn balance(&mut self) {
        let mut held = Resources::new();
        for (_, resources) in &self.used {
            held += &resources.filter(|r| !r.meta.shared);
        }
        self.overcommitted = !self.total.contains(&held);
        self.available = if held.is_empty() {
            self.total.clone()
        } else {
            Arc::new(&*self.total - &held)
        };
        self.available_amounts = Amounts::all(&self.available);
    }

    /// What of the available resources a framework of this role may get.
    pub fn available_to(&self, role: &str) -> Arc<Resources> {
        if self.kind.special {
            Arc::new(self.available.allocatable_to(role))
        } else {
            self.available.clone()
        }
    }

    /// Without what a framework with these capabilities would not understand, and without shared
    /// volumes where `shared` is false.
    pub fn understood(
        &self,
        offerable: &Arc<Resources>,
        capabilities: FrameworkCapabilities,
        shared: bool,
    ) -> Arc<Resources> {
        if !self.kind.special {
            return offerable.clone();
        }
        let understood = |r: &Resource| {
            let meta = &r.meta;
            (!meta.shared || (shared && capabilities.shared_resources))
                && (!meta.revocable || capabilities.revocable_resources)
                && (meta.reservations.len() < 2 || capabilities.reservation_refinement)
        };
        Arc::new(offerable.filter(understood))
    }
}

impl Kind {
    fn of(resources: &Resources) -> Self {
        let mut kind = Self {
            special: false,
            revocable: false,
            gpus: resources.gpus().is_some_and(|gpus| gpus > Scalar::ZERO),
        };
        for resource in resources.distinct() {
            let meta = &resource.meta;
            kind.revocable |= meta.revocable;
            kind.special |= meta.shared || meta.revocable || !meta.reservations.is_empty();
        }
        kind
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

    fn agent(text: &str) -> Agent {
        Agent::new("a".into(), &AgentSpec::new(parse(text)))
    }

    fn who() -> Subscriber {
        (FrameworkKey::new(0), RoleKey::new(0))
    }

    #[test]
    fn an_agent_that_shrinks_below_what_is_held_has_nothing_until_enough_is_given_back() {
        let mut agent = agent("cpus:4;mem:100");
        let _ = agent.take(who(), &Arc::new(parse("cpus:3")));
        assert_eq!(agent.available(), &parse("cpus:1;mem:100"));
        agent.set_total(parse("cpus:2;mem:100"));
        assert!(agent.overcommitted);
        assert_eq!(agent.available(), &parse("mem:100"));
        let _ = agent.give_back(who(), &parse("cpus:2"));
        assert!(!agent.overcommitted);
        assert_eq!(agent.available(), &parse("cpus:1;mem:100"));
        assert_eq!(agent.available_amounts().get("cpus"), 1000);
        let less = agent.give_back(who(), &parse("cpus:1"));
        assert_eq!(less, Charge::of(&parse("cpus:1")).negative());
        assert_eq!(agent.available(), agent.total());
        assert!(agent.used().is_empty());
    }

    #[test]
    fn an_agent_that_is_taken_and_given_back_whole_is_not_copied() {
        let mut agent = agent("cpus:4;mem:100;ports:[1-9]");
        let all = agent.available_to("x");
        let more = agent.take(who(), &all);
        assert!(agent.available().is_empty() && agent.available_amounts().is_zero());
        assert!(agent.holds_just(who(), &all.allocated_to("x")));
        assert!(!agent.holds_just(who(), &parse("cpus:4;mem:100")));
        assert!(!agent.holds_just(who(), &parse("cpus:4;mem:100;ports:[1-8]")));
        let (back, less) = agent.give_back_all(who());
        assert!(Arc::ptr_eq(&back, &agent.total) && Arc::ptr_eq(&back, &agent.available));
        assert_eq!(less, more.negative());
        assert_eq!(agent.available_amounts(), agent.total_amounts());
    }

    #[test]
    fn roles_get_what_is_reserved_for_them_or_above_them() {
        let agent = agent("cpus:1;cpus(eng):2;cpus(ops):4");
        let cpus = |role: &str| agent.available_to(role).cpus().unwrap().as_f64();
        assert_eq!(cpus("eng"), 3.0);
        assert_eq!(cpus("eng/prod"), 3.0);
        assert_eq!(cpus("engine"), 1.0);
        assert_eq!(cpus("*"), 1.0);
        assert_eq!(agent.free().get("cpus"), 1000);
    }
}
