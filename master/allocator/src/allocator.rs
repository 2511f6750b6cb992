//! The allocator's state, and who comes and goes.

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use mesos_types::{AgentId, FrameworkId, Resources};

use crate::{
    AgentSpec, AllocatorError, FrameworkSpec, Options, Quota, Weight,
    agent::{Agent, Interest},
    amounts::Amounts,
    bits::Bits,
    charge::Charge,
    filters::Subscriber,
    framework::{Framework, Subscription},
    maintenance::Maintenance,
    roles::Roles,
    sweep::Sweep,
    table::{AgentKey, FrameworkKey, Key, RoleKey, Table},
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
    /// The smallest offers otherwise.
    pub(crate) least: Vec<Amounts>,
    /// Agents that are offered and have something available, by row.
    pub(crate) rows_with_something: Bits,
    /// Who is to be shown all of those.
    pub(crate) sweep: Sweep,
    /// Who got nothing of an agent because of a quota, in this turn.
    pub(crate) exhausted: RefCell<Vec<Subscriber>>,
    /// How many agents have something revocable.
    pub(crate) revocable_agents: usize,
    pub(crate) maintenance: Maintenance,
    /// Nothing is offered until then, or until so many agents are there, if any role has a quota.
    pub(crate) hold: Option<Hold>,
    pub(crate) runs: u64,
    /// Hostnames of the only agents that are offered.
    whitelist: Option<BTreeSet<String>>,
    epoch: u64,
}

/// Why nothing is offered yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub agents: usize,
    pub until: Duration,
}

impl Allocator {
    /// Without agents and frameworks.
    pub fn new(options: Options) -> Self {
        Self {
            roles: Roles::new(&options),
            agents: Table::default(),
            frameworks: Table::default(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            own_minimums: 0,
            least: options.min_allocatable.iter().map(Amounts::from).collect(),
            rows_with_something: Bits::default(),
            sweep: Sweep::default(),
            exhausted: RefCell::default(),
            revocable_agents: 0,
            maintenance: Maintenance::default(),
            hold: None,
            runs: 0,
            whitelist: None,
            epoch: 0,
            options,
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
        self.maintenance.ask_again(key, true);
        self.show_all(key, |_| true);
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
        self.show_all(key, |_| true);
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
            let mine = agent.used().iter().map(|(who, _)| *who);
            let mine: Vec<Subscriber> = mine.filter(|who| who.0 == key).collect();
            for who in mine {
                let (_, less) = agent.give_back_all(who);
                self.roles.charge(who.1, key, &less, false);
                agent.filters.end_throttles();
                freed.push(agent_key);
            }
        }
        for agent in freed {
            self.recount(agent);
            self.enqueue(agent);
        }
        self.maintenance.forget_framework(key);
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
        self.maintenance.ask_again(key, true);
        self.show_all(key, |_| true);
        Ok(())
    }

    /// The framework gets no offers, and its filters end. What it holds it keeps. Inverse offers
    /// that it has not answered count as taken back.
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
        self.maintenance.ask_again(key, true);
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
    /// Inverse offers too, whatever was answered before.
    ///
    /// # Errors
    /// If the framework is unknown, or not subscribed to one of them.
    pub fn revive(&mut self, id: &FrameworkId, roles: &[String]) -> Result<(), AllocatorError> {
        let (key, roles) = self.subscribed(id, roles)?;
        self.set_suppressed(key, &roles, false);
        self.end_refusals(key, |role| roles.contains(&role));
        self.maintenance.ask_again(key, false);
        self.show_all(key, |role| roles.contains(&role));
        Ok(())
    }

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

    /// Gives a role another quota, at once; an empty one is none. Its name must be valid, and the
    /// quota be checked: guarantees within limits, those of sub-roles within that of their parent.
    /// A role that has more than its new limit keeps it, and gets nothing more.
    pub fn set_quota(&mut self, role: &str, quota: Quota) {
        self.roles.set_quota(role, Some(quota));
    }

    /// From now on these roles have these weights; others keep theirs. Offers stay as they are.
    pub fn set_weights(&mut self, weights: &[(String, Weight)]) {
        self.roles.set_weights(weights);
    }

    /// After a failover: if any role has a quota, nothing is offered before so large a part of
    /// the expected agents has been added, or before `until`. So nobody gets what a guarantee
    /// needs only because the agents of that role are not back yet.
    ///
    /// Source of 80 % and 10 minutes: `AGENT_RECOVERY_FACTOR`, `ALLOCATION_HOLD_OFF_RECOVERY_TIMEOUT`
    /// in `allocator/mesos/hierarchical.cpp` of Apache Mesos 1.11.
    pub fn hold(&mut self, expected_agents: usize, fraction: f64, until: Duration) {
        // More agents than fit a double exactly do not fit the memory.
        let agents = (expected_agents as f64 * fraction).floor() as usize;
        self.hold = Some(Hold { agents, until });
    }

    /// Whether nothing is offered because of [`Allocator::hold`].
    pub fn is_held(&self, now: Duration) -> bool {
        self.hold.is_some_and(|hold| {
            self.roles.has_quotas() && self.agents.len() < hold.agents && now < hold.until
        })
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
        known.unwrap_or_else(|| self.frameworks.insert(id.clone(), Framework::unknown(id)))
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
            let role = self
                .roles
                .add_client(path, key, framework.id.as_str().into());
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
                min_allocatable: spec
                    .min_allocatable
                    .get(path)
                    .map(|own| own.iter().map(Amounts::from).collect()),
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
            let id = framework.id.clone();
            self.frameworks.remove(id.as_str());
        }
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

    /// The next run shows the framework all agents, for those of its roles.
    fn show_all(&mut self, key: FrameworkKey, of: impl Fn(RoleKey) -> bool) {
        let Some(framework) = self.frameworks.get(key) else {
            return;
        };
        let roles: Vec<RoleKey> = framework.subscriptions.keys().copied().collect();
        for role in roles {
            if of(role) {
                self.join_sweep((key, role));
            }
        }
    }

    pub(crate) fn subscription(&self, who: Subscriber) -> Option<&Subscription> {
        self.frameworks.get(who.0)?.subscriptions.get(&who.1)
    }
}

fn is_offered(whitelist: Option<&BTreeSet<String>>, agent: &Agent) -> bool {
    agent.active && whitelist.is_none_or(|list| list.contains(&agent.hostname))
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
