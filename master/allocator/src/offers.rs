//! Who is offered what, and what becomes of it.

use std::{sync::Arc, time::Duration};

use mesos_types::{AgentId, FrameworkId, Resources};

use crate::{
    Allocator, AllocatorError,
    allocator::by_role,
    charge::Charge,
    filters::{Refusal, Subscriber},
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
        if let Some(who) = self.whole_holding(framework, agent_key, resources) {
            if let Some(agent) = self.agents.get_mut(agent_key) {
                let (part, less) = agent.give_back_all(who);
                self.take_back(agent_key, who, part, &less, refusal, now);
            }
        } else {
            for (who, part) in self.held_parts(framework, agent, agent_key, resources)? {
                let Some(agent) = self.agents.get_mut(agent_key) else {
                    break;
                };
                let less = agent.give_back(who, &part);
                self.take_back(agent_key, who, part.into(), &less, refusal, now);
            }
        }
        self.recount(agent_key);
        self.enqueue(agent_key);
        Ok(())
    }

    /// Who holds on the agent just these resources, in one role: the common case, told apart
    /// without any arithmetic.
    fn whole_holding(
        &self,
        framework: &FrameworkId,
        agent: AgentKey,
        resources: &Resources,
    ) -> Option<Subscriber> {
        let mut roles = resources.distinct().map(|r| &r.meta.allocation_role);
        let role = roles.next()?.as_ref()?;
        if !roles.all(|other| other.as_ref() == Some(role)) {
            return None;
        }
        let who = (
            self.frameworks.key(framework.as_str())?,
            self.roles.key(role)?,
        );
        let agent = self.agents.get(agent)?;
        agent.holds_just(who, resources).then_some(who)
    }

    /// `part` has been given back: it does not count for the framework any more, which may have
    /// refused it.
    fn take_back(
        &mut self,
        agent_key: AgentKey,
        who: Subscriber,
        part: Arc<Resources>,
        less: &Charge,
        refusal: Option<Duration>,
        now: Duration,
    ) {
        self.roles.charge(who.1, who.0, less, false);
        let frameworks = &self.frameworks;
        let epoch_of =
            |who: Subscriber| Some(frameworks.get(who.0)?.subscriptions.get(&who.1)?.epoch);
        let Some(agent) = self.agents.get_mut(agent_key) else {
            return;
        };
        let holds_more = agent.is_holder(who);
        let active = frameworks.get(who.0).is_some_and(|f| f.active);
        match (refusal, epoch_of(who).filter(|_| active)) {
            (None, _) => agent.filters.end_throttles(),
            (Some(duration), Some(epoch)) => {
                let until = now.saturating_add(duration.max(self.options.allocation_interval));
                let refusal = Refusal {
                    who,
                    resources: part,
                    until,
                    epoch,
                    throttle: duration.is_zero(),
                };
                agent
                    .filters
                    .refuse(refusal, |who, epoch| epoch_of(who) == Some(epoch));
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
                .is_some_and(|a| a.is_holder(*who));
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
}
