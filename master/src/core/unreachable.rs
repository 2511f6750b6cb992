//! An agent goes: silent for too long, unregistered, or replaced.
use std::sync::Arc;

use mesos_types::AgentId;
use mesos_wire::v1::{TaskState, task_status::Reason};

use super::{
    Core, Effect,
    event::events,
    status::{for_awareness, time_info},
};
use crate::{
    counters::Removal,
    registry::Change as RegistryChange,
    state::{Change, TaskKey, UnreachableAgent},
};

/// Why an agent is removed.
enum Loss<'a> {
    /// Silent since then; it may come back with its tasks.
    Unreachable(i64),
    /// It will not come back under this id.
    Removed(&'a str, Removal),
}

impl Core {
    /// The registry holds that the agent is unreachable.
    pub(super) fn unreachable(&mut self, id: &AgentId, since_nanos: i64) {
        let recovered = self.state.recovered_agents.remove(id).is_some();
        self.counters.unreachable_done(recovered);
        self.state
            .unreachable_agents
            .insert(id.clone(), UnreachableAgent { since_nanos });
        self.remove_agent(id, &Loss::Unreachable(since_nanos));
    }

    /// The agent leaves for good.
    pub(super) fn unregister(&mut self, id: &AgentId) {
        self.write_registry(RegistryChange::Remove(id.clone()));
        self.remove_agent(
            id,
            &Loss::Removed("the agent unregistered", Removal::Unregistered),
        );
    }

    /// Another agent has taken its address: this one is no more.
    pub(super) fn replace_agent(&mut self, id: &AgentId) {
        self.write_registry(RegistryChange::Remove(id.clone()));
        self.remove_agent(
            id,
            &Loss::Removed(
                "a new agent registered at the same address",
                Removal::Replaced,
            ),
        );
    }

    fn remove_agent(&mut self, id: &AgentId, loss: &Loss<'_>) {
        let Some(agent) = self.state.agents.get(id).cloned() else {
            return;
        };
        for key in self.tasks_on(id) {
            self.lose_task(&key, &agent.info.hostname, loss);
        }
        for executor in agent.executors.values() {
            self.remove_executor(executor);
        }
        self.withdraw_offers_on(id);
        if let Some(session) = agent.session {
            self.sessions.remove(&session);
            self.effects.push(Effect::CloseSession { session });
        }
        self.counters.agent_removed(match loss {
            Loss::Unreachable(_) => Removal::Unhealthy,
            Loss::Removed(_, removal) => *removal,
        });
        self.allocation.remove_agent(id);
        self.state.agents.remove(id);
        self.addresses.remove(&(agent.ip.clone(), agent.port()));
        self.unwatch(id);
        let connected: Vec<_> = self
            .state
            .frameworks
            .values()
            .filter(|framework| framework.connected())
            .map(|framework| framework.id.clone())
            .collect();
        for framework in connected {
            self.send(&framework, events::failure(id.into(), None, None));
        }
        self.changed(Change::AgentRemoved(id.clone()));
    }

    fn lose_task(&mut self, key: &TaskKey, hostname: &str, loss: &Loss<'_>) {
        let Some(framework) = self.state.frameworks.get(&key.framework).cloned() else {
            return;
        };
        let Some(task) = framework.tasks.get(&key.task) else {
            return;
        };
        if task.is_terminal() {
            return self.complete_task(key);
        }
        match loss {
            Loss::Unreachable(since_nanos) => {
                let state = for_awareness(&framework, TaskState::TaskUnreachable);
                let mut status = self.status_without(
                    task,
                    state,
                    Reason::AgentRemoved,
                    "health check timed out",
                );
                status.unreachable_time = Some(time_info(*since_nanos));
                self.own_update(key, status);
                let Some(task) = self.detach_task(key) else {
                    return;
                };
                let most = self.config.max_unreachable_tasks_per_framework;
                if let Some(framework) = self.framework_mut(&key.framework) {
                    framework.unreachable_tasks.insert(key.task.clone(), task);
                    while framework.unreachable_tasks.len() > most {
                        let oldest = framework
                            .unreachable_tasks
                            .values()
                            .min_by(|a, b| lost_at(a).total_cmp(&lost_at(b)))
                            .map(|task| task.id.clone());
                        let Some(oldest) = oldest else { break };
                        framework.unreachable_tasks.remove(&oldest);
                    }
                }
            }
            Loss::Removed(why, _) => {
                let message = format!("Agent {hostname} removed: {why}");
                let status =
                    self.status_without(task, TaskState::TaskLost, Reason::AgentRemoved, message);
                self.own_update(key, status);
                self.complete_task(key);
            }
        }
    }

    /// Agents of the registry that did not come back after this master's start.
    pub(super) fn reregister_timeout(&mut self) {
        let late: Vec<AgentId> = self.state.recovered_agents.keys().cloned().collect();
        for id in late {
            tracing::warn!(agent_id = %id, "an agent did not come back after this master's start; it is marked unreachable");
            self.mark_unreachable(&id);
        }
    }

    /// Forgets unreachable agents that are too old or too many, the oldest first.
    pub(super) fn prune(&mut self) {
        self.timers.set(
            self.now.monotonic,
            self.config.registry_gc_interval,
            super::timers::Timer::Prune,
        );
        let age = i64::try_from(self.config.registry_max_agent_age.as_nanos()).unwrap_or(i64::MAX);
        let oldest_kept = self.now.nanos().saturating_sub(age);
        let mut by_age: Vec<(i64, AgentId)> = self
            .state
            .unreachable_agents
            .iter()
            .filter(|(id, _)| !self.transitions.is_busy(id))
            .map(|(id, agent)| (agent.since_nanos, id.clone()))
            .collect();
        by_age.sort();
        let excess = by_age
            .len()
            .saturating_sub(self.config.registry_max_agent_count);
        let forgotten: Vec<AgentId> = by_age
            .into_iter()
            .enumerate()
            .filter(|(index, (since, _))| *index < excess || *since < oldest_kept)
            .map(|(_, (_, id))| id)
            .collect();
        if forgotten.is_empty() {
            return;
        }
        for id in &forgotten {
            self.state.unreachable_agents.remove(id);
        }
        self.write_registry(RegistryChange::Forget(forgotten));
    }
}

fn lost_at(task: &Arc<crate::state::Task>) -> f64 {
    task.statuses
        .last()
        .and_then(|status| status.timestamp)
        .unwrap_or(0.0)
}
