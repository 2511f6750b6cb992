//! Who is offered what, and what becomes of it.

use std::{sync::Arc, time::Duration};

use mesos_types::{AgentId, FrameworkId, Quantities, Resources};

use crate::{
    Allocator, AllocatorError, allocator::by_role, filters::Subscriber, options::is_worth_offering,
    table::AgentKey,
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
        self.roles.refresh();
        let mut proposals = Vec::new();
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
        if self.queue.is_empty() {
            self.timers.first().map(|(at, _)| *at)
        } else {
            Some(Duration::ZERO)
        }
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
            self.roles.release(who.1, who.0, &less);
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
            let Some(agent) = self.agents.get_mut(agent_key) else {
                break;
            };
            let nothing = Resources::new();
            let before_total = agent.total().quantities();
            let (before, after) = agent.convert(*who, from, matching(path).unwrap_or(&nothing));
            self.roles
                .resize_cluster(&before_total, &agent.total().quantities());
            self.roles.release(who.1, who.0, &before);
            self.roles.allocate(who.1, who.0, &after);
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
            self.roles.allocate(who.1, who.0, &more);
            if first {
                self.begin_holding(who);
            }
        }
    }

    /// Whose turn it is to be offered what this agent has left, and what of it.
    fn next_offer(
        &self,
        key: AgentKey,
        served: &Served,
        now: Duration,
    ) -> Option<(Subscriber, Resources)> {
        let agent = self.agents.get(key).filter(|agent| agent.active)?;
        let usual = &self.options.min_allocatable;
        let amounts = agent.available().quantities();
        if agent.available().is_empty()
            || (self.own_minimums == 0 && !is_worth_offering(&amounts, usual))
        {
            return None;
        }
        for role in self.roles.in_order() {
            let offerable = agent.available_to(&self.roles.path(role));
            if offerable.is_empty() {
                continue;
            }
            for framework_key in self.roles.frameworks_in_order(role) {
                let who = (framework_key, role);
                let Some(framework) = self.frameworks.get(framework_key) else {
                    continue;
                };
                let Some(subscription) = framework.subscriptions.get(&role) else {
                    continue;
                };
                let capabilities = framework.capabilities;
                let gpus_barred = self.options.filter_gpu_resources && agent.has_gpus();
                if served.subscribers.contains(&who) || (gpus_barred && !capabilities.gpu_resources)
                {
                    continue;
                }
                let offer = agent.understood(&offerable, capabilities, !served.shared);
                let minimums = subscription.min_allocatable.as_ref().unwrap_or(usual);
                if offer.is_empty() || !is_worth_offering(&offer.quantities(), minimums) {
                    continue;
                }
                if !agent.filters.refuses(who, subscription.epoch, &offer, now) {
                    return Some((who, offer.into_owned()));
                }
            }
        }
        None
    }

    /// How many agents are known.
    pub fn agent_count(&self) -> usize {
        self.agents.len()
    }

    /// What of an agent nobody holds, without allocation.
    pub fn available(&self, agent: &AgentId) -> Option<&Resources> {
        Some(
            self.agents
                .get(self.agents.key(agent.as_str())?)?
                .available(),
        )
    }

    /// What frameworks hold on an agent, offered or in use, with allocation roles.
    pub fn held(&self, agent: &AgentId) -> Vec<(FrameworkId, Resources)> {
        let key = self.agents.key(agent.as_str());
        let Some(agent) = key.and_then(|key| self.agents.get(key)) else {
            return Vec::new();
        };
        let held = agent
            .used()
            .iter()
            .filter_map(|((framework, role), resources)| {
                let framework = self.frameworks.get(*framework)?;
                Some((
                    framework.name.as_ref().into(),
                    resources.allocated_to(&self.roles.path(*role)),
                ))
            });
        held.collect()
    }

    /// Scalar amounts that frameworks of a role and its sub-roles hold.
    pub fn held_by_role(&self, role: &str) -> Quantities {
        let key = self.roles.key(role);
        key.and_then(|key| self.roles.allocated(key))
            .cloned()
            .unwrap_or_default()
    }

    /// Scalar amounts of all agents.
    pub fn cluster_total(&self) -> &Quantities {
        self.roles.cluster().total()
    }
}

/// What one run has offered of one agent.
#[derive(Debug, Default)]
struct Served {
    subscribers: Vec<Subscriber>,
    /// Shared volumes are offered once per run.
    shared: bool,
}
