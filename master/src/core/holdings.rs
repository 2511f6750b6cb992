//! What an agent holds when it comes back: frameworks, executors and tasks become those of our books.
use std::{collections::HashSet, sync::Arc};

use mesos_control::v1::{
    KnownTask, ShutdownFramework, Snapshot as AgentSnapshot, UpdateFramework, master_message::Body,
};
use mesos_types::{AgentId, FrameworkId, Resources, TaskId};
use mesos_wire::v1::{self, task_status::Reason};

use super::{AgentHello, Core, event::events, transitions::Was};
use crate::state::{Executor, Standing, Task, TaskKey};

impl Core {
    /// Adds frameworks that only the agent knows; tells the agent what it has wrong.
    pub(super) fn take_frameworks(&mut self, snapshot: &AgentSnapshot) -> Vec<Body> {
        let mut after = Vec::new();
        for info in &snapshot.frameworks {
            let Some(wire_id) = &info.id else { continue };
            let id = FrameworkId::from(wire_id);
            if let Some(known) = self.state.frameworks.get(&id) {
                if *known.info != *info {
                    let framework = Some((*known.info).clone());
                    after.push(Body::UpdateFramework(UpdateFramework { framework }));
                }
            } else if self
                .state
                .completed_frameworks
                .iter()
                .any(|framework| framework.id == id)
            {
                let framework_id = Some(wire_id.clone());
                after.push(Body::ShutdownFramework(ShutdownFramework { framework_id }));
            } else {
                tracing::info!(framework_id = %id, "recovered a framework from an agent");
                self.add_framework(&id, info.clone(), Standing::Recovered, Vec::new(), None);
            }
        }
        after
    }

    /// Makes the agent's executors those it holds.
    pub(super) fn take_executors(&mut self, id: &AgentId, snapshot: &AgentSnapshot, known: bool) {
        let held: HashSet<(FrameworkId, mesos_types::ExecutorId)> = snapshot
            .executors
            .iter()
            .filter_map(|info| {
                Some((
                    info.framework_id.as_ref()?.into(),
                    (&info.executor_id).into(),
                ))
            })
            .collect();
        let Some(agent) = self.state.agents.get(id).cloned() else {
            return;
        };
        for (key, executor) in &agent.executors {
            if !held.contains(key) {
                self.remove_executor(executor);
            }
        }
        for info in &snapshot.executors {
            let Some(framework_id) = info.framework_id.as_ref().map(FrameworkId::from) else {
                continue;
            };
            let key = (framework_id.clone(), (&info.executor_id).into());
            if agent.executors.contains_key(&key)
                || !self.state.frameworks.contains_key(&framework_id)
            {
                continue;
            }
            let resources = self.read_resources(&framework_id, &info.resources);
            if known {
                self.allocation.charge(&framework_id, id, &resources);
            }
            self.add_executor(Executor {
                id: key.1,
                resources,
                info: Arc::new(info.clone()),
                agent_id: id.clone(),
                framework_id,
            });
        }
    }

    /// Adds the agent's tasks that are not known; returns the names of those that run.
    pub(super) fn take_tasks(
        &mut self,
        id: &AgentId,
        snapshot: AgentSnapshot,
        was: Was,
        known: bool,
    ) -> Vec<TaskKey> {
        let mut back = Vec::new();
        for spec in snapshot.tasks {
            let framework_id = FrameworkId::from(&spec.framework_id);
            let task_id = TaskId::from(&spec.task_id);
            let Some(framework) = self.framework_mut(&framework_id) else {
                continue;
            };
            let unreachable = framework.unreachable_tasks.remove(&task_id);
            if framework.tasks.contains_key(&task_id) {
                continue;
            }
            let resources = self.read_resources(&framework_id, &spec.resources);
            let mut task = Task::new(spec, resources);
            if task.is_terminal() && was == Was::Registered {
                // Its end was acknowledged here, and the acknowledgement did not reach the agent.
                continue;
            }
            task.kill = unreachable.and_then(|unreachable| unreachable.kill);
            if known && task.holds_resources() {
                self.allocation.charge(&framework_id, id, &task.resources);
            }
            if !task.is_terminal() {
                back.push(task.key());
            }
            self.add_task(task);
        }
        // Ends that only the master still remembers were acknowledged.
        if was == Was::Unreachable || was == Was::Unknown {
            self.forget_unreachable_on(id);
        }
        back
    }

    /// Tasks that were on the agent when it became unreachable and that it no longer has.
    fn forget_unreachable_on(&mut self, id: &AgentId) {
        let lost: Vec<(FrameworkId, TaskId)> = self
            .state
            .frameworks
            .values()
            .flat_map(|framework| {
                framework
                    .unreachable_tasks
                    .values()
                    .filter(|task| task.agent_id == *id)
                    .map(|task| (task.framework_id.clone(), task.id.clone()))
            })
            .collect();
        for (framework, task) in lost {
            if let Some(framework) = self.framework_mut(&framework) {
                framework.unreachable_tasks.remove(&task);
            }
        }
    }

    /// Tasks of the agent in our books that it does not hold: it answers for them.
    pub(super) fn missing_tasks(&mut self, id: &AgentId, hello: &AgentHello) -> Vec<KnownTask> {
        let held: HashSet<(&str, &str)> = hello
            .snapshot
            .iter()
            .flat_map(|snapshot| &snapshot.tasks)
            .map(|task| (task.framework_id.as_str(), task.task_id.as_str()))
            .collect();
        let mut missing = Vec::new();
        for key in self.tasks_on(id) {
            if held.contains(&(key.framework.as_str(), key.task.as_str())) {
                continue;
            }
            let Some(framework) = self.state.frameworks.get(&key.framework) else {
                continue;
            };
            let partition_aware = framework.capabilities.partition_aware;
            let Some(task) = framework.tasks.get(&key.task) else {
                continue;
            };
            if task.is_terminal() {
                self.complete_task(&key);
            } else {
                missing.push(KnownTask {
                    framework_id: Some((&key.framework).into()),
                    task_id: Some((&key.task).into()),
                    partition_aware,
                });
            }
        }
        missing
    }

    pub(super) fn send_kills(&mut self, id: &AgentId) {
        for key in self.tasks_on(id) {
            let Some(task) = self.task(&key.framework, &key.task) else {
                continue;
            };
            if let Some(policy) = task.kill {
                self.send_kill(&key.framework, &key.task, id, policy);
            }
        }
    }

    /// A task that was unreachable or unknown runs after all: its framework hears of it.
    pub(super) fn announce_return(&mut self, key: &TaskKey, was: Was) {
        let message = match was {
            // Sic.
            Was::Unreachable => "Unreachable agent re-reregistered",
            Was::Unknown => "Unknown agent reregistered",
            Was::New | Was::Registered | Was::Recovered => return,
        };
        let Some(task) = self.task(&key.framework, &key.task) else {
            return;
        };
        let status = self.status_of(task, task.state, Reason::AgentReregistered, message);
        self.send(&key.framework, events::update(status));
    }

    /// Resources as an agent or an old record has them: allocated to the framework's only role when they
    /// do not say. What does not read counts as nothing.
    fn read_resources(&self, framework: &FrameworkId, wire: &[v1::Resource]) -> Resources {
        let resources = Resources::from_wire(wire).unwrap_or_else(|error| {
            tracing::warn!(framework_id = %framework, %error, "an agent holds resources that do not read");
            Resources::default()
        });
        let role = self
            .state
            .frameworks
            .get(framework)
            .and_then(|framework| framework.roles.iter().next());
        resources.map(|resource| {
            if resource.meta.allocation_role.is_some() {
                return resource.clone();
            }
            let role = role.map_or("*", String::as_str);
            resource.with_meta(|meta| meta.allocation_role = Some(role.into()))
        })
    }
}
