//! Who is offered what, and what becomes of it.

use std::{borrow::Cow, sync::Arc, time::Duration};

use mesos_types::{AgentId, FrameworkId, Resource, Resources, Scalar, Value};

use crate::{
    Allocator, AllocatorError,
    agent::Agent,
    allocator::by_role,
    filters::Subscriber,
    framework::Framework,
    options::is_worth_offering,
    quota::{Allowance, Cut},
    table::{AgentKey, RoleKey},
};

/// Resources that a framework shall be offered. They count as held by it from now on, until
/// [`Allocator::recover`].
#[derive(Debug, Clone, PartialEq)]
pub struct OfferProposal {
    /// Who shall be offered them.
    pub framework: FrameworkId,
    /// In which of its roles.
    pub role: Arc<str>,
    /// Whose they are.
    pub agent: AgentId,
    /// Which, allocated to `role`.
    pub resources: Resources,
}

impl Allocator {
    /// Offers what is free on the agents that something has happened to since the last run.
    pub fn allocate(&mut self, now: Duration) -> Vec<OfferProposal> {
        self.allocate_some(now, usize::MAX)
    }

    /// The same for at most so many agents, so that a caller with a large cluster can do other
    /// things in between. As long as some are left, [`Allocator::next_wakeup`] says "at once".
    pub fn allocate_some(&mut self, now: Duration, most_agents: usize) -> Vec<OfferProposal> {
        self.tick(now);
        let mut proposals = Vec::new();
        if self.is_held(now) {
            return proposals;
        }
        self.hold = None;
        self.roles.refresh();
        if self.roles.take_relaxed() {
            self.queue_all();
        }
        self.runs += u64::from(!self.queue.is_empty());
        for _ in 0..most_agents {
            let Some(key) = self.queue.pop_front() else {
                break;
            };
            // A removed agent leaves its key in the queue, perhaps for another one to come by.
            if let Some(agent) = self.agents.get_mut(key)
                && std::mem::take(&mut agent.queued)
            {
                self.offer_agent(key, now, &mut proposals);
            }
        }
        proposals
    }

    /// Ends filters whose time is over; their agents are looked at in the next run.
    /// [`Allocator::allocate`] does so too.
    pub fn tick(&mut self, now: Duration) {
        while let Some((at, key)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, key));
            let Some(agent) = self.agents.get_mut(key) else {
                continue;
            };
            agent.timer = agent.filters.expire(now);
            if let Some(next) = agent.timer {
                self.timers.insert((next, key));
            }
            self.enqueue(key);
        }
    }

    /// When [`Allocator::allocate`] has something to do if nothing else happens: zero for at
    /// once, `None` for not at all.
    pub fn next_wakeup(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let agents = if self.queue.is_empty() && !self.roles.is_relaxed() {
            timer
        } else {
            Some(Duration::ZERO)
        };
        let agents = match self.hold {
            Some(hold) if self.roles.has_quotas() && self.agents.len() < hold.agents => {
                Some(hold.until)
            }
            _ => agents,
        };
        [agents, self.maintenance.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes back resources of an offer, task or executor, with the allocation roles they have.
    ///
    /// - `refusal: None`: they have become free (a task has ended, an offer was rescinded), and go
    ///   to anyone at once.
    /// - `refusal: Some(duration)`: the framework does not want them. They go to others at once;
    ///   to the framework, as they are or less of them, not before `duration` is over, a filter
    ///   of at least the allocation interval. [`Duration::ZERO`] is no filter: then only the
    ///   allocation interval must be over, or something else become free on the agent.
    ///
    /// # Errors
    /// If agent or framework are unknown, or the framework does not hold the resources; nothing
    /// is taken back then. That the agent is unknown is normal after its removal.
    pub fn recover(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        refusal: Option<Duration>,
        now: Duration,
    ) -> Result<(), AllocatorError> {
        let agent_key = self.known_agent(agent)?;
        let parts = self.held_parts(framework, agent, agent_key, resources)?;
        for (who, part) in parts {
            let Some(agent) = self.agents.get_mut(agent_key) else {
                break;
            };
            let less = agent.give_back(who, &part);
            self.roles.charge(who.1, who.0, &less, false);
            let holds_more = agent.used().contains_key(&who);
            let subscription = self.frameworks.get(who.0).filter(|f| f.active);
            let epoch = subscription.and_then(|f| Some(f.subscriptions.get(&who.1)?.epoch));
            match (refusal, epoch) {
                (None, _) => agent.filters.end_throttles(),
                (Some(duration), Some(epoch)) => {
                    let until = now.saturating_add(duration.max(self.options.allocation_interval));
                    agent
                        .filters
                        .refuse(who, epoch, part, until, duration.is_zero());
                    if agent.timer.is_none_or(|at| until < at) {
                        if let Some(at) = agent.timer {
                            self.timers.remove(&(at, agent_key));
                        }
                        agent.timer = Some(until);
                        self.timers.insert((until, agent_key));
                    }
                }
                // Who gets no offers refuses nothing.
                (Some(_), None) => {}
            }
            if !holds_more {
                self.end_holding(who);
            }
        }
        self.recount(agent_key);
        self.enqueue(agent_key);
        Ok(())
    }

    /// An operation has made `to` out of `from`, which the framework holds: a reservation, a
    /// volume. Launching tasks is none: what they use stays held by the framework.
    ///
    /// # Errors
    /// If agent or framework are unknown, or the framework does not hold `from`.
    pub fn update_allocation(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        from: &Resources,
        to: &Resources,
    ) -> Result<(), AllocatorError> {
        let agent_key = self.known_agent(agent)?;
        let parts = self.held_parts(framework, agent, agent_key, from)?;
        let made = by_role(framework, to)?;
        let matching = |role: &str| made.iter().find(|(r, _)| **r == *role).map(|(_, r)| r);
        let roles = parts.iter().map(|((_, role), _)| self.roles.path(*role));
        let paths: Vec<Arc<str>> = roles.collect();
        if let Some((role, resources)) = made.iter().find(|(role, _)| !paths.contains(role)) {
            return Err(AllocatorError::NotHeld {
                framework: framework.clone(),
                role: role.to_string(),
                agent: agent.clone(),
                resources: resources.to_string(),
            });
        }
        for ((who, from), path) in parts.iter().zip(&paths) {
            let nothing = Resources::new();
            let to = matching(path).unwrap_or(&nothing);
            let change = self.change_agent(agent_key, |agent| agent.convert(*who, from, to));
            self.roles
                .charge(who.1, who.0, &change.unwrap_or_default(), false);
            let holds_more = self
                .agents
                .get(agent_key)
                .is_some_and(|a| a.used().contains_key(who));
            if !holds_more {
                self.end_holding(*who);
            }
        }
        Ok(())
    }

    /// Splits resources by role, after a check that the framework holds them all.
    fn held_parts(
        &self,
        framework: &FrameworkId,
        agent: &AgentId,
        agent_key: AgentKey,
        resources: &Resources,
    ) -> Result<Vec<(Subscriber, Resources)>, AllocatorError> {
        let unknown = || AllocatorError::UnknownFramework(framework.clone());
        let key = self
            .frameworks
            .key(framework.as_str())
            .ok_or_else(unknown)?;
        let parts = by_role(framework, resources)?
            .into_iter()
            .map(|(role, part)| {
                let who = self.roles.key(&role).map(|role| (key, role));
                let books = self.agents.get(agent_key);
                let held = |who: &Subscriber| books.is_some_and(|agent| agent.holds(*who, &part));
                match who.filter(held) {
                    Some(who) => Ok((who, part)),
                    None => Err(AllocatorError::NotHeld {
                        framework: framework.clone(),
                        role: role.to_string(),
                        agent: agent.clone(),
                        resources: part.to_string(),
                    }),
                }
            });
        parts.collect()
    }

    /// Offers an agent's free resources until nobody wants the rest.
    fn offer_agent(&mut self, key: AgentKey, now: Duration, proposals: &mut Vec<OfferProposal>) {
        let mut served = Served::default();
        while let Some((who, resources)) = self.next_offer(key, &served, now) {
            let Some(agent) = self.agents.get_mut(key) else {
                return;
            };
            let Some(framework) = self.frameworks.get(who.0) else {
                return;
            };
            let role = self.roles.path(who.1);
            proposals.push(OfferProposal {
                framework: framework.name.as_ref().into(),
                resources: resources.allocated_to(&role),
                role,
                agent: agent.id.clone(),
            });
            served.shared |= resources.distinct().any(|r| r.meta.shared);
            served.subscribers.push(who);
            let first = !agent.used().contains_key(&who);
            let more = agent.take(who, &resources);
            self.roles.charge(who.1, who.0, &more, true);
            if first {
                self.begin_holding(who);
                self.maintenance.touch(key);
            }
            self.recount(key);
        }
    }

    /// Whose turn it is to be offered what this agent has left, and what of it: somebody in a role
    /// with a guarantee that is not met, else anybody.
    fn next_offer(
        &self,
        key: AgentKey,
        served: &Served,
        now: Duration,
    ) -> Option<(Subscriber, Resources)> {
        let agent = self.agents.get(key).filter(|a| self.is_offered(a))?;
        let usual = &self.options.min_allocatable;
        let amounts = agent.available().quantities();
        if agent.available().is_empty()
            || (self.own_minimums == 0 && !is_worth_offering(&amounts, usual))
        {
            return None;
        }
        let mut roles = self.roles.in_order();
        if self.roles.anybody_is_owed(&agent.known_free) {
            let mut owed = self.roles.in_order();
            let found = owed.find_map(|role| {
                let owed = self.roles.is_owed(role, &agent.known_free);
                owed.then(|| self.offer_in_role(agent, role, served, now))?
            });
            if found.is_some() {
                return found;
            }
        }
        roles.find_map(|role| self.offer_in_role(agent, role, served, now))
    }

    /// The same among the frameworks of one role.
    fn offer_in_role(
        &self,
        agent: &Agent,
        role: RoleKey,
        served: &Served,
        now: Duration,
    ) -> Option<(Subscriber, Resources)> {
        let path = self.roles.path(role);
        if path.contains('/') && !agent.capabilities.hierarchical_role {
            return None;
        }
        let offerable = agent.available_to(&path);
        if offerable.is_empty() {
            return None;
        }
        let restricted = !self.roles.is_unrestricted(role);
        for framework_key in self.roles.frameworks_in_order(role) {
            let who = (framework_key, role);
            let Some(framework) = self.frameworks.get(framework_key) else {
                continue;
            };
            let Some(subscription) = framework.subscriptions.get(&role) else {
                continue;
            };
            if served.subscribers.contains(&who) || !self.may_use(framework, agent) {
                continue;
            }
            let mut offer = agent.understood(&offerable, framework.capabilities, !served.shared);
            let usual = &self.options.min_allocatable;
            let minimums = subscription.min_allocatable.as_ref().unwrap_or(usual);
            let worth = |offer: &Resources| {
                !offer.is_empty() && is_worth_offering(&offer.quantities(), minimums)
            };
            if !worth(&offer) {
                continue;
            }
            if restricted {
                offer = Cow::Owned(self.within_quota(role, &offer));
                if !worth(&offer) {
                    continue;
                }
            }
            if !agent.filters.refuses(who, subscription.epoch, &offer, now) {
                return Some((who, offer.into_owned()));
            }
        }
        None
    }

    /// Whether the framework may be offered anything of the agent.
    fn may_use(&self, framework: &Framework, agent: &Agent) -> bool {
        let can = framework.capabilities;
        let gpus_barred = self.options.filter_gpu_resources && agent.has_gpus();
        let far = agent.region.is_some() && agent.region != self.options.region;
        (can.gpu_resources || !gpus_barred)
            && (can.region_aware || !far)
            && (agent.capabilities.multi_role || !can.multi_role)
    }

    /// What of `offer` the role may get without breaking a limit of its own or above it, and
    /// without taking what is kept free for guarantees of others.
    fn within_quota(&self, role: RoleKey, offer: &Resources) -> Resources {
        let mut allowances: Vec<(&str, Allowance<'_>)> = Vec::with_capacity(4);
        let mut allowed = Resources::new();
        let mut cuts = Cut::default();
        for resource in offer.distinct() {
            let Value::Scalar(amount) = &resource.value else {
                allowed.add(resource.clone());
                continue;
            };
            let reservation = resource.reservation_role();
            let span = self.roles.span(role, reservation);
            if resource.meta.revocable || span == 0 {
                allowed.add(resource.clone());
                continue;
            }
            let name = &*resource.name;
            let known = allowances.iter().position(|(known, _)| *known == name);
            let at = known.unwrap_or_else(|| {
                allowances.push((name, self.roles.allowance(role, name)));
                allowances.len() - 1
            });
            let (granted, cut) = allowances[at].1.grant(
                amount.thousandths(),
                span,
                reservation.is_none(),
                resource.is_indivisible() || resource.meta.shared,
            );
            cuts.limit |= cut.limit;
            cuts.headroom |= cut.headroom;
            allowed.add(Resource {
                value: Value::Scalar(Scalar::from_thousandths(granted)),
                ..resource.clone()
            });
        }
        if cuts.limit {
            self.roles.note_limit(role);
        }
        if cuts.headroom {
            self.roles.note_headroom();
        }
        allowed
    }
}

/// What one run has offered of one agent.
#[derive(Debug, Default)]
struct Served {
    subscribers: Vec<Subscriber>,
    /// Shared volumes are offered once per run.
    shared: bool,
}
