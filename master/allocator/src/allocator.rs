//! The allocator's state, and who comes and goes.

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use mesos_types::{AgentId, FrameworkId, Resources};

use crate::{
    AllocatorError, Options, Quota, Weight,
    agent::Agent,
    amounts::Amounts,
    bits::Bits,
    filters::Subscriber,
    framework::Framework,
    maintenance::Maintenance,
    roles::Roles,
    sweep::Sweep,
    table::{AgentKey, FrameworkKey, Table},
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
    pub(crate) whitelist: Option<BTreeSet<String>>,
    pub(crate) epoch: u64,
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
