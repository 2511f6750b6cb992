//! One framework as the allocator sees it: its roles and what it may be offered.

use std::{collections::HashMap, sync::Arc};

use mesos_types::{FrameworkCapabilities, Quantities};

use crate::table::RoleKey;

/// A framework, perhaps known only from what it holds.
#[derive(Debug)]
pub(crate) struct Framework {
    pub name: Arc<str>,
    /// Was added by the master, rather than found in the use of an agent.
    pub added: bool,
    /// Connected: wants offers at all.
    pub active: bool,
    pub capabilities: FrameworkCapabilities,
    pub subscriptions: HashMap<RoleKey, Subscription>,
    /// On how many agents it holds something in a role, subscribed or not.
    pub holdings: HashMap<RoleKey, usize>,
}

/// A framework in one of its roles.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub suppressed: bool,
    /// Changes when all its refusals become void.
    pub epoch: u64,
    /// In place of the cluster's smallest offers.
    pub min_allocatable: Option<Vec<Quantities>>,
}

impl Framework {
    /// One that has not been added yet.
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.into(),
            added: false,
            active: false,
            capabilities: FrameworkCapabilities::default(),
            subscriptions: HashMap::new(),
            holdings: HashMap::new(),
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
