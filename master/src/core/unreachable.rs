//! An agent goes: silent for too long, unregistered, or replaced.
use std::sync::Arc;

use mesos_types::AgentId;
use mesos_wire::v1::{TaskState, TaskStatus, task_status::Reason};

use super::{
    Core, Effect,
    event::events,
    records::remember,
    status::{for_awareness, time_info},
};
use crate::{
    counters::Removal,
    registry::Change as RegistryChange,
    state::{Change, Framework, Task, TaskKey, UnreachableAgent},
};

/// Why an agent is removed.
enum Loss<'a> {
    /// Silent since then; it may come back with its tasks.
    Unreachable(i64),
    /// It will not come back under this id.
    Removed(&'a str, Removal),
    /// An operator says so.
    Gone,
}

impl Core {
    /// The registry holds that the agent is unreachable.
    pub(super) fn unreachable(&mut self, id: &AgentId, since_nanos: i64) {
        let deactivation = self.deactivation(id);
        let recovered = self.state.recovered_agents.remove(id).is_some();
        self.counters.unreachable_done(recovered);
        let unreachable = UnreachableAgent {
            since_nanos,
            deactivation,
        };
        self.state
            .unreachable_agents
            .insert(id.clone(), unreachable);
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

    /// An operator knows that the agent will never come back, wherever it is.
    pub(super) fn remove_gone_agent(&mut self, id: &AgentId) {
        for key in self.unreachable_on(id) {
            self.lose_unreachable_task(&key);
        }
        self.forget_unreachable_operations(id);
        self.remove_agent(id, &Loss::Gone);
    }

    /// The agent's machine was taken down.
    pub(super) fn remove_down_agent(&mut self, id: &AgentId) {
        self.remove_agent(
            id,
            &Loss::Removed("Operator initiated 'Machine DOWN'", Removal::Down),
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
        self.lose_operations(id, matches!(loss, Loss::Unreachable(_)));
        self.withdraw_offers_on(id);
        self.withdraw_inverse_offers_on(id);
        self.forget_drain(id);
        if let Some(session) = agent.session {
            self.sessions.remove(&session);
            self.effects.push(Effect::CloseSession { session });
        }
        self.counters.agent_removed(match loss {
            Loss::Unreachable(_) => Removal::Unhealthy,
            Loss::Removed(_, removal) => *removal,
            Loss::Gone => Removal::Gone,
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
            Loss::Gone => {
                let status = self.gone_status(&framework, task);
                self.own_update(key, status);
                self.complete_task(key);
            }
        }
    }

    fn gone_status(&self, framework: &Framework, task: &Task) -> TaskStatus {
        let reason = if framework.capabilities.partition_aware {
            Reason::AgentRemovedByOperator
        } else {
            Reason::AgentRemoved
        };
        let state = for_awareness(framework, TaskState::TaskGoneByOperator);
        self.status_without(task, state, reason, "Agent has been marked gone")
    }

    fn unreachable_on(&self, id: &AgentId) -> Vec<TaskKey> {
        let frameworks = self.state.frameworks.values();
        let tasks = frameworks.flat_map(|framework| framework.unreachable_tasks.values());
        tasks
            .filter(|task| task.agent_id == *id)
            .map(|task| task.key())
            .collect()
    }

    /// The agent of an unreachable task will never come back.
    fn lose_unreachable_task(&mut self, key: &TaskKey) {
        let Some(framework) = self.state.frameworks.get(&key.framework).cloned() else {
            return;
        };
        let Some(task) = framework.unreachable_tasks.get(&key.task) else {
            return;
        };
        if task.is_terminal() {
            // A framework that does not tell lost from unreachable has heard of its end.
            let most = self.config.max_completed_tasks_per_framework;
            let task = task.clone();
            if let Some(framework) = self.framework_mut(&key.framework) {
                framework.unreachable_tasks.remove(&key.task);
                remember(framework, task, most);
            }
            return;
        }
        let status = self.gone_status(&framework, task);
        let state = TaskState::try_from(status.state).unwrap_or(TaskState::TaskLost);
        let mut ended = Task::clone(task);
        ended.state = state;
        ended.kill = None;
        ended.record(&status);
        let ended = Arc::new(ended);
        let most = self.config.max_completed_tasks_per_framework;
        if let Some(framework) = self.framework_mut(&key.framework) {
            framework.unreachable_tasks.remove(&key.task);
            remember(framework, ended.clone(), most);
        }
        self.counters.ended(&key.framework, state, &status);
        self.changed(Change::TaskUpdated {
            framework_id: key.framework.clone(),
            status: Arc::new(status.clone()),
            state,
            task: ended,
        });
        self.send(&key.framework, events::update(status));
    }

    /// Forgets unreachable agents, and those that are gone, that are too old or too many, the oldest first.
    pub(super) fn prune(&mut self) {
        self.timers.set(
            self.now.monotonic,
            self.config.registry_gc_interval,
            super::timers::Timer::Prune,
        );
        let unreachable: Vec<(i64, AgentId)> = self
            .state
            .unreachable_agents
            .iter()
            .filter(|(id, _)| !self.transitions.is_busy(id))
            .map(|(id, agent)| (agent.since_nanos, id.clone()))
            .collect();
        let forgotten = self.oldest(unreachable);
        if !forgotten.is_empty() {
            for id in &forgotten {
                self.forget_unreachable_operations(id);
                self.state.unreachable_agents.remove(id);
            }
            self.write_registry(RegistryChange::Forget(forgotten));
        }
        let gone = self.state.gone_agents.iter();
        let gone = gone.map(|(id, at)| (*at, id.clone())).collect();
        let forgotten = self.oldest(gone);
        if !forgotten.is_empty() {
            for id in &forgotten {
                self.state.gone_agents.remove(id);
            }
            self.write_registry(RegistryChange::ForgetGone(forgotten));
        }
    }

    /// Those of a list that are too many or too old to be remembered.
    fn oldest(&self, mut by_age: Vec<(i64, AgentId)>) -> Vec<AgentId> {
        let age = i64::try_from(self.config.registry_max_agent_age.as_nanos()).unwrap_or(i64::MAX);
        let oldest_kept = self.now.nanos().saturating_sub(age);
        by_age.sort();
        let excess = by_age
            .len()
            .saturating_sub(self.config.registry_max_agent_count);
        by_age
            .into_iter()
            .enumerate()
            .filter(|(index, (since, _))| *index < excess || *since < oldest_kept)
            .map(|(_, (_, id))| id)
            .collect()
    }
}

fn lost_at(task: &Arc<crate::state::Task>) -> f64 {
    task.statuses
        .last()
        .and_then(|status| status.timestamp)
        .unwrap_or(0.0)
}
