//! What the registry should be after a change, told apart from how it is stored.
use mesos_master::registry::{Change, Registry};
use mesos_types::AgentId;

pub fn apply(registry: &mut Registry, change: &Change) {
    match change.clone() {
        Change::Admit(id, info) => {
            registry.unreachable.remove(&id);
            registry.agents.insert(id, *info);
        }
        Change::Unreachable(id, since) => {
            registry.agents.remove(&id);
            registry.unreachable.insert(id, since);
        }
        Change::Remove(id) => forget(registry, &id),
        Change::Forget(ids) => {
            for id in ids {
                registry.unreachable.remove(&id);
                registry.drains.remove(&id);
                registry.deactivated.remove(&id);
            }
        }
        Change::Gone(id, at) => {
            forget(registry, &id);
            registry.gone.insert(id, at);
        }
        Change::ForgetGone(ids) => registry.gone.retain(|id, _| !ids.contains(id)),
        Change::Drain(id, drain, deactivated) => {
            match drain {
                Some(drain) => registry.drains.insert(id.clone(), drain),
                None => registry.drains.remove(&id),
            };
            if deactivated {
                registry.deactivated.insert(id);
            } else {
                registry.deactivated.remove(&id);
            }
        }
        Change::Quotas(quotas) => {
            for (role, quota) in quotas {
                match quota {
                    Some(quota) => registry.quotas.insert(role, quota),
                    None => registry.quotas.remove(&role),
                };
            }
        }
        Change::Weights(weights) => registry.weights.get_or_insert_default().extend(weights),
        Change::Maintenance {
            schedule,
            machines,
            removed,
        } => {
            registry.schedule = schedule;
            registry.machines = machines;
            for id in removed {
                forget(registry, &id);
            }
        }
        Change::Leader(info) => registry.master = Some(*info),
    }
}

fn forget(registry: &mut Registry, id: &AgentId) {
    registry.agents.remove(id);
    registry.unreachable.remove(id);
    registry.drains.remove(id);
    registry.deactivated.remove(id);
}
