//! What the allocator can tell about itself, for metrics and operators.

use std::{collections::BTreeMap, sync::Arc};

use mesos_types::{AgentId, FrameworkId, Quantities, Resources};

use crate::{Allocator, Quota, Weight, amounts::Amounts};

/// A share of 1.
const WHOLE: f64 = 18_446_744_073_709_551_616.0;

impl Allocator {
    /// How many agents are known.
    pub fn agent_count(&self) -> usize {
        self.agents.len()
    }

    /// What of an agent nobody holds, without allocation.
    pub fn available(&self, agent: &AgentId) -> Option<&Resources> {
        let key = self.agents.key(agent.as_str())?;
        Some(self.agents.get(key)?.available())
    }

    /// Everything an agent has, without allocation.
    pub fn total(&self, agent: &AgentId) -> Option<&Resources> {
        let key = self.agents.key(agent.as_str())?;
        Some(self.agents.get(key)?.total())
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
                    framework.id.clone(),
                    resources.allocated_to(&self.roles.path(*role)),
                ))
            });
        held.collect()
    }

    /// Scalar amounts that frameworks of a role and its sub-roles hold, offered or in use.
    pub fn held_by_role(&self, role: &str) -> Quantities {
        shown(self.roles.held(role))
    }

    /// Scalar amounts that are reserved for a role and its sub-roles, held or not.
    pub fn reserved(&self, role: &str) -> Quantities {
        shown(self.roles.reserved(role))
    }

    /// What counts against the quota of a role: what it and its sub-roles are offered or use,
    /// except revocable resources, and what is reserved for them and not held.
    pub fn quota_consumed(&self, role: &str) -> Quantities {
        shown(self.roles.consumed(role))
    }

    /// The quota of a role.
    pub fn quota(&self, role: &str) -> Option<&Quota> {
        self.roles.quota(role)
    }

    /// All roles with a quota.
    pub fn quotas(&self) -> impl Iterator<Item = (&str, &Quota)> {
        self.roles.quotas().map(|(role, quota)| (&**role, quota))
    }

    /// The weight of a role.
    pub fn weight(&self, role: &str) -> Weight {
        self.roles.weight(role)
    }

    /// The dominant share of each known role, divided by its weight; 1 is the whole cluster.
    /// Reservations count, held or not.
    pub fn dominant_shares(&mut self) -> Vec<(Arc<str>, f64)> {
        self.roles.refresh();
        let shares = self.roles.shares();
        shares
            .map(|(role, share)| (role.clone(), share as f64 / WHOLE))
            .collect()
    }

    /// Scalar amounts of all agents.
    pub fn cluster_total(&self) -> Quantities {
        Quantities::from(self.roles.cluster().total())
    }

    /// Scalar amounts that frameworks hold on all agents, offered or in use.
    pub fn cluster_held(&self) -> Quantities {
        Quantities::from(self.roles.held_by_all())
    }

    /// By role, how many filters of frameworks in it are active. Looks at every agent.
    pub fn offer_filters(&self) -> BTreeMap<Arc<str>, usize> {
        let mut counts = BTreeMap::new();
        for (_, agent) in self.agents.iter() {
            for (who, epoch) in agent.filters.asked() {
                let subscription = self.subscription(who);
                if subscription.is_some_and(|subscription| subscription.epoch == epoch) {
                    *counts.entry(self.roles.path(who.1)).or_default() += 1;
                }
            }
        }
        counts
    }

    /// How many runs there were: calls of [`Allocator::allocate`] that looked at an agent.
    pub fn runs(&self) -> u64 {
        self.runs
    }
}

fn shown(amounts: Option<&Amounts>) -> Quantities {
    amounts.map(Quantities::from).unwrap_or_default()
}
