//! Roles as operators see them: who is in them, what they hold. Shared by `/roles` and GET_ROLES.
use std::collections::{BTreeMap, BTreeSet};

use mesos_types::{FrameworkId, Quantities, Resources, is_subrole};
use mesos_wire::v1::quota::QuotaConfig;

use crate::{config::MasterConfig, legacy::resources::Amounts, reading::Viewer, state::Snapshot};

/// What counts against a quota of the role: what is reserved for it, and what it uses that is not
/// reserved, with the roles below it. Offers do not count: they can be taken back.
pub(crate) fn consumed(snapshot: &Snapshot, name: &str) -> Quantities {
    let mut sum = Quantities::default();
    for agent in snapshot.agents.values() {
        for used in agent.used.values() {
            let unreserved = used.filter(|resource| {
                resource.reservation_role().is_none()
                    && resource
                        .meta
                        .allocation_role
                        .as_deref()
                        .is_some_and(|role| within(role, name))
            });
            sum.add_all(&unreserved.non_revocable().quantities());
        }
        let reserved = agent.total.filter(|resource| {
            resource
                .reservation_role()
                .is_some_and(|role| within(role, name))
        });
        sum.add_all(&reserved.quantities());
    }
    sum
}

/// One role, its descendants included in the amounts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) weight: f64,
    pub(crate) quota: Option<QuotaConfig>,
    /// Frameworks that are subscribed to it or hold resources of it.
    pub(crate) frameworks: BTreeSet<FrameworkId>,
    pub(crate) allocated: Amounts,
    pub(crate) offered: Amounts,
    pub(crate) reserved: Amounts,
    /// What counts against a quota: what is reserved, and what is allocated and not reserved.
    pub(crate) consumed: Amounts,
}

fn within(role: &str, of: &str) -> bool {
    role == of || is_subrole(role, of)
}

/// The role and those above it: `a/b`, `a`.
fn ancestry(role: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(role), |role| {
        role.rsplit_once('/').map(|(above, _)| above)
    })
}

/// Every role that somebody uses and may be seen, with those above it; with `--roles` those of the list.
/// Sorted by name.
pub(crate) fn known(snapshot: &Snapshot, config: &MasterConfig, viewer: &Viewer) -> Vec<Role> {
    named(snapshot, config, |role| viewer.role(role))
}

/// The same, whoever asks.
pub(crate) fn used(snapshot: &Snapshot, config: &MasterConfig) -> Vec<Role> {
    named(snapshot, config, |_| true)
}

fn named(snapshot: &Snapshot, config: &MasterConfig, shown: impl Fn(&str) -> bool) -> Vec<Role> {
    let mut subscribers: BTreeMap<&str, BTreeSet<FrameworkId>> = BTreeMap::new();
    for framework in snapshot.frameworks.values() {
        let held = framework
            .used_on
            .values()
            .chain(framework.offered_on.values());
        let held = held.flat_map(|part| part.allocation_roles());
        for role in framework.roles.iter().map(String::as_str).chain(held) {
            subscribers
                .entry(role)
                .or_default()
                .insert(framework.id.clone());
        }
    }
    let names: BTreeSet<&str> = match &config.roles {
        Some(list) => list.iter().map(String::as_str).collect(),
        None => {
            let reserved = snapshot
                .agents
                .values()
                .flat_map(|agent| agent.total.reservation_roles());
            let settings = &snapshot.settings;
            let set = settings.weights.keys().chain(settings.quotas.keys());
            let set = set.map(String::as_str);
            subscribers
                .keys()
                .copied()
                .chain(reserved)
                .chain(set)
                .flat_map(ancestry)
                .collect()
        }
    };
    let names = names.into_iter().filter(|name| shown(name));
    let of_role = |name: &str| {
        let subscribed = subscribers.get(name).cloned().unwrap_or_default();
        role(snapshot, name, subscribed)
    };
    names.map(of_role).collect()
}

fn role(snapshot: &Snapshot, name: &str, frameworks: BTreeSet<FrameworkId>) -> Role {
    let of_role = |resources: &Resources| {
        resources.filter(|resource| {
            resource
                .meta
                .allocation_role
                .as_deref()
                .is_some_and(|role| within(role, name))
        })
    };
    let mut role = Role {
        name: name.to_owned(),
        weight: snapshot.settings.weight(name),
        quota: snapshot.settings.quotas.get(name).cloned(),
        frameworks,
        allocated: Amounts::default(),
        offered: Amounts::default(),
        reserved: Amounts::default(),
        consumed: Amounts::default(),
    };
    for framework in snapshot.frameworks.values() {
        for used in framework.used_on.values() {
            let used = of_role(used);
            role.allocated.add(&used);
            role.consumed.add(&used.unreserved());
        }
        for offered in framework.offered_on.values() {
            role.offered.add(&of_role(offered));
        }
    }
    for agent in snapshot.agents.values() {
        let reserved = agent.total.filter(|resource| {
            resource
                .reservation_role()
                .is_some_and(|role| within(role, name))
        });
        role.reserved.add(&reserved);
        role.consumed.add(&reserved);
    }
    role
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_are_found() {
        assert_eq!(ancestry("a/b/c").collect::<Vec<_>>(), ["a/b/c", "a/b", "a"]);
        assert_eq!(ancestry("*").collect::<Vec<_>>(), ["*"]);
    }
}
