//! Agents come, change and go.

use std::{collections::BTreeSet, sync::Arc};

use mesos_types::{AgentId, FrameworkId, Resources};

use crate::{
    AgentSpec, Allocator, AllocatorError,
    agent::{Agent, Interest},
    allocator::by_role,
    amounts::Amounts,
    charge::Charge,
    table::{AgentKey, Key},
};

impl Allocator {
    /// Adds an agent. `used` is what frameworks hold on it, with allocation roles; they need not
    /// have been added yet. One that is not active is not offered.
    ///
    /// # Errors
    /// If the agent is known, or something used is allocated to no role.
    pub fn add_agent(
        &mut self,
        id: &AgentId,
        spec: &AgentSpec,
        used: &[(FrameworkId, Resources)],
    ) -> Result<(), AllocatorError> {
        if self.agents.key(id.as_str()).is_some() {
            return Err(AllocatorError::KnownAgent(id.clone()));
        }
        let used: Vec<_> = used
            .iter()
            .map(|(framework, resources)| Ok((framework, by_role(framework, resources)?)))
            .collect::<Result<_, AllocatorError>>()?;
        let agent = Agent::new(id.clone(), spec);
        self.roles
            .resize_cluster(&Amounts::default(), agent.total_amounts());
        self.revocable_agents += usize::from(agent.has_revocable());
        for (role, amounts) in agent.reservations() {
            self.roles.reserve(&role, &amounts);
        }
        let key = self.agents.insert(id.clone(), agent);
        self.recount(key);
        for (framework, parts) in used {
            self.charge_parts(framework, key, &parts);
        }
        self.enqueue(key);
        Ok(())
    }

    /// A framework turns out to hold more on an agent than it was offered, such as tasks that only
    /// the agent knew. Of what is then more than the agent has, nothing is offered until enough is
    /// given back.
    ///
    /// # Errors
    /// If the agent is unknown, or something is allocated to no role.
    pub fn charge(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
    ) -> Result<(), AllocatorError> {
        let key = self.known_agent(agent)?;
        let parts = by_role(framework, resources)?;
        self.charge_parts(framework, key, &parts);
        Ok(())
    }

    /// The agent has these resources now, revocable ones included. If they are not what it had,
    /// refusals on it end.
    ///
    /// # Errors
    /// If the agent is unknown.
    pub fn update_agent(&mut self, id: &AgentId, total: &Resources) -> Result<(), AllocatorError> {
        let key = self.known_agent(id)?;
        let total = total.unallocated();
        let differs = |agent: &Agent| *agent.total() != total;
        if !self.agents.get(key).is_some_and(differs) {
            return Ok(());
        }
        self.change_agent(key, |agent| {
            agent.set_total(total);
            agent.filters.clear();
        });
        self.enqueue(key);
        Ok(())
    }

    /// The agent says this about itself now. Refusals on it end, as its attributes may differ.
    /// What is held on it stays so.
    ///
    /// # Errors
    /// If the agent is unknown.
    pub fn update_agent_spec(
        &mut self,
        id: &AgentId,
        spec: &AgentSpec,
    ) -> Result<(), AllocatorError> {
        let key = self.known_agent(id)?;
        self.change_agent(key, |agent| {
            agent.set_total(spec.total.unallocated());
            agent.filters.clear();
            agent.active = spec.active;
            agent.hostname.clone_from(&spec.hostname);
            agent.region.clone_from(&spec.region);
            agent.capabilities = spec.capabilities;
        });
        self.enqueue(key);
        Ok(())
    }

    /// An operator's operation has made `to` out of `from`, which nobody holds: a reservation, a
    /// volume. Both are without allocation.
    ///
    /// # Errors
    /// If the agent is unknown, or not all of `from` is free on it; nothing is changed then.
    pub fn update_available(
        &mut self,
        id: &AgentId,
        from: &Resources,
        to: &Resources,
    ) -> Result<(), AllocatorError> {
        let key = self.known_agent(id)?;
        let (from, to) = (from.unallocated(), to.unallocated());
        if !self.agents.get(key).is_some_and(|a| a.is_available(&from)) {
            return Err(AllocatorError::NotFree {
                agent: id.clone(),
                resources: from.to_string(),
            });
        }
        self.change_agent(key, |agent| agent.convert_total(&from, &to));
        self.enqueue(key);
        Ok(())
    }

    /// Changes an agent's total, with everything that hangs on it.
    pub(crate) fn change_agent<T>(
        &mut self,
        key: AgentKey,
        change: impl FnOnce(&mut Agent) -> T,
    ) -> Option<T> {
        let agent = self.agents.get_mut(key)?;
        let (before, reserved) = (agent.total_amounts().clone(), agent.reservations());
        self.revocable_agents -= usize::from(agent.has_revocable());
        let changed = change(agent);
        self.revocable_agents += usize::from(agent.has_revocable());
        let reserves = agent.reservations();
        self.roles.resize_cluster(&before, agent.total_amounts());
        if reserved != reserves {
            for (role, amounts) in reserves {
                self.roles.reserve(&role, &amounts);
            }
            for (role, amounts) in reserved {
                self.roles
                    .reserve(&role, &Amounts::default().minus(&amounts));
            }
        }
        self.recount(key);
        Some(changed)
    }

    /// Tells the roles what is free on an agent, after any change of that.
    pub(crate) fn recount(&mut self, key: AgentKey) {
        let Some(agent) = self.agents.get_mut(key) else {
            return;
        };
        let offered = is_offered(self.whitelist.as_ref(), agent);
        let free = if offered {
            agent.free()
        } else {
            Amounts::default()
        };
        let something = offered && !agent.available().is_empty();
        self.rows_with_something.set(key.index(), something);
        self.roles.change_free(&agent.known_free, &free);
        agent.known_free = free;
    }

    /// Whether the agent is offered to anybody.
    pub(crate) fn is_offered(&self, agent: &Agent) -> bool {
        is_offered(self.whitelist.as_ref(), agent)
    }

    /// Forgets an agent and everything held on it.
    ///
    /// # Errors
    /// If the agent is unknown.
    pub fn remove_agent(&mut self, id: &AgentId) -> Result<(), AllocatorError> {
        let unknown = || AllocatorError::UnknownAgent(id.clone());
        let (key, agent) = self.agents.remove(id.as_str()).ok_or_else(unknown)?;
        if let Some(at) = agent.timer {
            self.timers.remove(&(at, key));
        }
        self.rows_with_something.set(key.index(), false);
        self.revocable_agents -= usize::from(agent.has_revocable());
        self.maintenance.forget_agent(key);
        for (who, resources) in agent.used() {
            let less = Charge::of(resources).negative();
            self.roles.charge(who.1, who.0, &less, false);
            self.end_holding(*who);
        }
        self.roles
            .change_free(&agent.known_free, &Amounts::default());
        self.roles
            .resize_cluster(agent.total_amounts(), &Amounts::default());
        for (role, amounts) in agent.reservations() {
            self.roles
                .reserve(&role, &Amounts::default().minus(&amounts));
        }
        Ok(())
    }

    /// The agent is offered again.
    ///
    /// # Errors
    /// If the agent is unknown.
    pub fn activate_agent(&mut self, id: &AgentId) -> Result<(), AllocatorError> {
        let key = self.known_agent(id)?;
        if let Some(agent) = self.agents.get_mut(key) {
            agent.active = true;
        }
        self.recount(key);
        self.enqueue(key);
        Ok(())
    }

    /// The agent is not offered. What is held on it stays so.
    ///
    /// # Errors
    /// If the agent is unknown.
    pub fn deactivate_agent(&mut self, id: &AgentId) -> Result<(), AllocatorError> {
        let key = self.known_agent(id)?;
        if let Some(agent) = self.agents.get_mut(key) {
            agent.active = false;
        }
        self.recount(key);
        Ok(())
    }

    /// `--whitelist`: only agents with these hostnames are offered; `None`: all are. An empty list
    /// means no offers.
    pub fn set_whitelist(&mut self, hostnames: Option<BTreeSet<String>>) {
        if self.whitelist == hostnames {
            return;
        }
        self.whitelist = hostnames;
        let keys: Vec<AgentKey> = self.agents.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.recount(key);
            self.enqueue(key);
        }
    }

    pub(crate) fn known_agent(&self, id: &AgentId) -> Result<AgentKey, AllocatorError> {
        let key = self.agents.key(id.as_str());
        key.ok_or_else(|| AllocatorError::UnknownAgent(id.clone()))
    }

    fn charge_parts(
        &mut self,
        framework: &FrameworkId,
        agent: AgentKey,
        parts: &[(Arc<str>, Resources)],
    ) {
        if parts.is_empty() {
            return;
        }
        let key = self.framework_key(framework);
        for (role, resources) in parts {
            let role = self.roles.add_client(role, key, framework.as_str().into());
            let who = (key, role);
            let Some(agent) = self.agents.get_mut(agent) else {
                return;
            };
            let first = !agent.is_holder(who);
            let more = agent.charge(who, resources);
            self.roles.charge(role, key, &more, true);
            if first {
                self.begin_holding(who);
            }
        }
        self.maintenance.touch(agent);
        self.recount(agent);
    }

    /// The next run looks at this agent.
    pub(crate) fn enqueue(&mut self, key: AgentKey) {
        let Some(agent) = self.agents.get_mut(key) else {
            return;
        };
        if agent.interest == Interest::Nobody {
            self.queue.push_back(key);
        }
        agent.interest = Interest::Anybody;
    }
}

fn is_offered(whitelist: Option<&BTreeSet<String>>, agent: &Agent) -> bool {
    agent.active && whitelist.is_none_or(|list| list.contains(&agent.hostname))
}
