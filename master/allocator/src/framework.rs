//! One framework as the allocator sees it: its roles and what it may be offered.

use mesos_types::{FrameworkCapabilities, FrameworkId};
use rustc_hash::FxHashMap;

use crate::{amounts::Amounts, table::RoleKey};

/// A framework, perhaps known only from what it holds.
#[derive(Debug)]
pub(crate) struct Framework {
    pub id: FrameworkId,
    /// Was added by the master, rather than found in the use of an agent.
    pub added: bool,
    /// Connected: wants offers at all.
    pub active: bool,
    pub capabilities: FrameworkCapabilities,
    pub subscriptions: FxHashMap<RoleKey, Subscription>,
    /// On how many agents it holds something in a role, subscribed or not.
    pub holdings: FxHashMap<RoleKey, usize>,
}

/// A framework in one of its roles.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub suppressed: bool,
    /// Changes when all its refusals become void.
    pub epoch: u64,
    /// In place of the cluster's smallest offers.
    pub min_allocatable: Option<Vec<Amounts>>,
}

impl Framework {
    /// One that has not been added yet.
    pub fn unknown(id: &FrameworkId) -> Self {
        Self {
            id: id.clone(),
            added: false,
            active: false,
            capabilities: FrameworkCapabilities::default(),
            subscriptions: FxHashMap::default(),
            holdings: FxHashMap::default(),
        }
    }

    /// Whether it takes its turn in the role.
    pub fn wants_offers(&self, role: RoleKey) -> bool {
        self.active && self.subscriptions.get(&role).is_some_and(|s| !s.suppressed)
    }

    /// Whether it has anything to do with the role.
    pub fn belongs_to(&self, role: RoleKey) -> bool {
        self.subscriptions.contains_key(&role) || self.holdings.contains_key(&role)
    }

    /// How many of its roles have smallest offers of their own.
    pub fn own_minimums(&self) -> usize {
        self.subscriptions
            .values()
            .filter(|s| s.min_allocatable.is_some())
            .count()
    }
}
