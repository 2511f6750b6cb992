//! The allocator's state, and who comes and goes.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use mesos_types::{AgentId, FrameworkId, Quantities, Resources};

use crate::{
    AllocatorError, FrameworkSpec, Options,
    agent::Agent,
    filters::Subscriber,
    framework::{Framework, Subscription},
    roles::Roles,
    share::Cluster,
    table::{AgentKey, FrameworkKey, RoleKey, Table},
};

/// Divides the resources of agents among frameworks: fairly among roles by dominant share,
/// within a role among its frameworks.
///
/// It knows no clock: `now` is the time since any fixed moment, and must not go back. What
/// changes is only noted; [`Allocator::allocate`] then looks at the agents that a change has
/// touched.
#[derive(Debug)]
pub struct Allocator {
    pub(crate) options: Options,
    pub(crate) agents: Table<AgentId, AgentKey, Agent>,
    pub(crate) frameworks: Table<FrameworkId, FrameworkKey, Framework>,
    pub(crate) roles: Roles,
    /// Agents that the next run looks at, in the order in which something happened to them.
    pub(crate) queue: VecDeque<AgentKey>,
    /// When the first filter of an agent ends; one entry per agent at most.
    pub(crate) timers: BTreeSet<(Duration, AgentKey)>,
    /// How many subscriptions have smallest offers of their own.
    pub(crate) own_minimums: usize,
    epoch: u64,
}

impl Allocator {
    /// Without agents and frameworks.
    pub fn new(options: Options) -> Self {
        let cluster = Cluster::new(options.excluded_from_shares.clone());
        Self {
            roles: Roles::new(cluster, options.weights.clone()),
            options,
            agents: Table::default(),
            frameworks: Table::default(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            own_minimums: 0,
            epoch: 0,
        }
    }

    /// Adds a framework, or replaces what is known about one; its filters end. One that is not
    /// `active` gets no offers; what it is known to hold on agents counts in any case.
    pub fn add_framework(&mut self, id: &FrameworkId, spec: &FrameworkSpec, active: bool) {
        let key = self.framework_key(id);
        if let Some(framework) = self.frameworks.get_mut(key) {
            framework.added = true;
            framework.active = active;
        }
        self.subscribe(key, spec);
        self.end_refusals(key, |_| true);
        self.apply_activity(key);
        self.queue_all();
    }

    /// Replaces what a framework says about itself; filters of roles that it keeps stay.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn update_framework(
        &mut self,
        id: &FrameworkId,
        spec: &FrameworkSpec,
    ) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        self.subscribe(key, spec);
        self.apply_activity(key);
        self.queue_all();
        Ok(())
    }

    /// Forgets a framework. Whatever it still holds is free.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn remove_framework(&mut self, id: &FrameworkId) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        let mut freed = Vec::new();
        for (agent_key, agent) in self.agents.iter_mut() {
            agent.filters.forget_framework(key);
            let held: Vec<_> = agent
                .used()
                .iter()
                .filter(|((who, _), _)| *who == key)
                .collect();
            let held: Vec<_> = held.into_iter().map(|(who, r)| (*who, r.clone())).collect();
            for (who, resources) in held {
                let less = agent.give_back(who, &resources);
                self.roles.release(who.1, key, &less);
                agent.filters.end_throttles();
                freed.push(agent_key);
            }
        }
        for agent in freed {
            self.enqueue(agent);
        }
        let Some((_, framework)) = self.frameworks.remove(id.as_str()) else {
            return Ok(());
        };
        self.own_minimums -= framework.own_minimums();
        let roles: BTreeSet<RoleKey> = framework
            .subscriptions
            .keys()
            .chain(framework.holdings.keys())
            .copied()
            .collect();
        for role in roles {
            self.roles.remove_client(role, key);
        }
        Ok(())
    }

    /// The framework is connected and gets offers again.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn activate_framework(&mut self, id: &FrameworkId) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        if let Some(framework) = self.frameworks.get_mut(key) {
            framework.active = true;
        }
        self.apply_activity(key);
        self.queue_all();
        Ok(())
    }

    /// The framework gets no offers, and its filters end. What it holds it keeps.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        if let Some(framework) = self.frameworks.get_mut(key) {
            framework.active = false;
        }
        self.end_refusals(key, |_| true);
        self.apply_activity(key);
        Ok(())
    }

    /// No more offers for these roles, or for all if `roles` is empty.
    ///
    /// # Errors
    /// If the framework is unknown, or not subscribed to one of them.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &[String]) -> Result<(), AllocatorError> {
        let (key, roles) = self.subscribed(id, roles)?;
        self.set_suppressed(key, &roles, true);
        Ok(())
    }

    /// Offers for these roles, or for all if `roles` is empty, whatever was declined before.
    ///
    /// # Errors
    /// If the framework is unknown, or not subscribed to one of them.
    pub fn revive(&mut self, id: &FrameworkId, roles: &[String]) -> Result<(), AllocatorError> {
        let (key, roles) = self.subscribed(id, roles)?;
        self.set_suppressed(key, &roles, false);
        self.end_refusals(key, |role| roles.contains(&role));
        self.queue_all();
        Ok(())
    }

    /// Adds an agent. `used` is what frameworks hold on it, with allocation roles; they need not
    /// have been added yet. One that is not `active` is not offered.
    ///
    /// # Errors
    /// If the agent is known, or something used is allocated to no role.
    pub fn add_agent(
        &mut self,
        id: &AgentId,
        total: &Resources,
        used: &[(FrameworkId, Resources)],
        active: bool,
    ) -> Result<(), AllocatorError> {
        if self.agents.key(id.as_str()).is_some() {
            return Err(AllocatorError::KnownAgent(id.clone()));
        }
        let used: Vec<_> = used
            .iter()
            .map(|(framework, resources)| Ok((framework, by_role(framework, resources)?)))
            .collect::<Result<_, AllocatorError>>()?;
        let total = total.unallocated();
        self.roles
            .resize_cluster(&Quantities::default(), &total.quantities());
        let agent = self
            .agents
            .insert(id.clone(), Agent::new(id.clone(), total, active));
        for (framework, parts) in used {
            self.charge_parts(framework, agent, &parts);
        }
        self.enqueue(agent);
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

    /// The agent has these resources now. If they are not what it had, refusals on it end.
    ///
    /// # Errors
    /// If the agent is unknown.
    pub fn update_agent(&mut self, id: &AgentId, total: &Resources) -> Result<(), AllocatorError> {
        let key = self.known_agent(id)?;
        let Some(agent) = self.agents.get_mut(key) else {
            return Ok(());
        };
        let (before, total) = (agent.total().quantities(), total.unallocated());
        if *agent.total() == total {
            return Ok(());
        }
        self.roles.resize_cluster(&before, &total.quantities());
        agent.set_total(total);
        agent.filters.clear();
        self.enqueue(key);
        Ok(())
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
        for (who, resources) in agent.used() {
            self.roles.release(who.1, who.0, &resources.quantities());
            self.end_holding(*who);
        }
        self.roles
            .resize_cluster(&agent.total().quantities(), &Quantities::default());
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
        Ok(())
    }

    pub(crate) fn known_agent(&self, id: &AgentId) -> Result<AgentKey, AllocatorError> {
        let key = self.agents.key(id.as_str());
        key.ok_or_else(|| AllocatorError::UnknownAgent(id.clone()))
    }

    /// A framework that was added.
    pub(crate) fn known_framework(&self, id: &FrameworkId) -> Result<FrameworkKey, AllocatorError> {
        let key = self.frameworks.key(id.as_str());
        let added = |key: &FrameworkKey| self.frameworks.get(*key).is_some_and(|f| f.added);
        key.filter(added)
            .ok_or_else(|| AllocatorError::UnknownFramework(id.clone()))
    }

    /// Any framework; one that was never heard of gets a row.
    fn framework_key(&mut self, id: &FrameworkId) -> FrameworkKey {
        let known = self.frameworks.key(id.as_str());
        known.unwrap_or_else(|| {
            self.frameworks
                .insert(id.clone(), Framework::unknown(id.as_str()))
        })
    }

    fn subscribed(
        &self,
        id: &FrameworkId,
        roles: &[String],
    ) -> Result<(FrameworkKey, Vec<RoleKey>), AllocatorError> {
        let key = self.known_framework(id)?;
        let subscriptions = self.frameworks.get(key).map(|f| &f.subscriptions);
        let Some(subscriptions) = subscriptions else {
            return Ok((key, Vec::new()));
        };
        if roles.is_empty() {
            return Ok((key, subscriptions.keys().copied().collect()));
        }
        let find = |role: &String| {
            let found = self
                .roles
                .key(role)
                .filter(|role| subscriptions.contains_key(role));
            found.ok_or_else(|| AllocatorError::NotSubscribed {
                framework: id.clone(),
                role: role.clone(),
            })
        };
        Ok((key, roles.iter().map(find).collect::<Result<_, _>>()?))
    }

    /// Makes the framework's subscriptions those of `spec`.
    fn subscribe(&mut self, key: FrameworkKey, spec: &FrameworkSpec) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        framework.capabilities = spec.capabilities;
        let minimums_before = framework.own_minimums();
        let mut left = std::mem::take(&mut framework.subscriptions);
        for path in &spec.roles {
            let role = self.roles.add_client(path, key, framework.name.clone());
            let epoch = left.remove(&role).map_or_else(
                || {
                    self.epoch += 1;
                    self.epoch
                },
                |old| old.epoch,
            );
            let subscription = Subscription {
                suppressed: spec.suppressed.contains(path),
                epoch,
                min_allocatable: spec.min_allocatable.get(path).cloned(),
            };
            framework.subscriptions.insert(role, subscription);
        }
        self.own_minimums = self.own_minimums - minimums_before + framework.own_minimums();
        for role in left.into_keys() {
            if framework.belongs_to(role) {
                self.roles.set_active(role, key, false);
            } else {
                self.roles.remove_client(role, key);
            }
        }
    }

    /// Makes the order of turns follow what the framework wants.
    fn apply_activity(&mut self, key: FrameworkKey) {
        let Some(framework) = self.frameworks.get(key) else {
            return;
        };
        for role in framework.subscriptions.keys() {
            self.roles
                .set_active(*role, key, framework.wants_offers(*role));
        }
    }

    fn set_suppressed(&mut self, key: FrameworkKey, roles: &[RoleKey], suppressed: bool) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        for role in roles {
            if let Some(subscription) = framework.subscriptions.get_mut(role) {
                subscription.suppressed = suppressed;
            }
        }
        self.apply_activity(key);
    }

    fn end_refusals(&mut self, key: FrameworkKey, of: impl Fn(RoleKey) -> bool) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        for (role, subscription) in &mut framework.subscriptions {
            if of(*role) {
                self.epoch += 1;
                subscription.epoch = self.epoch;
            }
        }
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
            let first = !agent.used().contains_key(&who);
            let more = agent.charge(who, resources);
            self.roles.allocate(role, key, &more);
            if first {
                self.begin_holding(who);
            }
        }
    }

    /// The framework holds something on one more agent.
    pub(crate) fn begin_holding(&mut self, (framework, role): Subscriber) {
        if let Some(framework) = self.frameworks.get_mut(framework) {
            *framework.holdings.entry(role).or_default() += 1;
        }
    }

    /// The framework holds something on one agent less; forgets it in the role if that was all.
    pub(crate) fn end_holding(&mut self, (key, role): Subscriber) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        if let Some(agents) = framework.holdings.get_mut(&role) {
            *agents -= 1;
            if *agents == 0 {
                framework.holdings.remove(&role);
            }
        }
        if !framework.belongs_to(role) {
            self.roles.remove_client(role, key);
        }
        if !framework.added && framework.holdings.is_empty() {
            let name = framework.name.clone();
            self.frameworks.remove(&name);
        }
    }

    /// The next run looks at this agent.
    pub(crate) fn enqueue(&mut self, key: AgentKey) {
        let Some(agent) = self.agents.get_mut(key) else {
            return;
        };
        if !agent.queued {
            agent.queued = true;
            self.queue.push_back(key);
        }
    }

    /// The next run looks at every agent that has anything to offer.
    fn queue_all(&mut self) {
        for (key, agent) in self.agents.iter_mut() {
            if agent.active && !agent.queued && !agent.available().is_empty() {
                agent.queued = true;
                self.queue.push_back(key);
            }
        }
    }
}

/// The resources by the role they are allocated to, without that allocation.
pub(crate) fn by_role(
    framework: &FrameworkId,
    resources: &Resources,
) -> Result<Vec<(Arc<str>, Resources)>, AllocatorError> {
    let mut parts: Vec<(Arc<str>, Resources)> = Vec::with_capacity(1);
    let roles: BTreeSet<&Option<Arc<str>>> = resources
        .distinct()
        .map(|r| &r.meta.allocation_role)
        .collect();
    for role in roles {
        let Some(role) = role else {
            return Err(AllocatorError::NoRole {
                framework: framework.clone(),
                resources: resources.to_string(),
            });
        };
        let part = resources.filter(|r| r.meta.allocation_role.as_ref() == Some(role));
        parts.push((role.clone(), part.unallocated()));
    }
    Ok(parts)
}
