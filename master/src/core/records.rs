//! Changing records: copies of what readers may hold, and the sums that go with them.
use std::sync::Arc;

use imbl::OrdMap;
use mesos_control::v1::master_message::Body;
use mesos_types::{AgentId, FrameworkId, Resources, TaskId};
use mesos_wire::v1::scheduler;

use super::{Core, Effect};
use crate::state::{Agent, Change, Executor, Framework, Task, TaskKey};

impl Core {
    /// The framework, to be changed. `None` also for a completed one.
    pub(super) fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.state.frameworks.get_mut(id).map(Arc::make_mut)
    }

    /// The agent, to be changed.
    pub(super) fn agent_mut(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.drains.touch(id);
        self.state.agents.get_mut(id).map(Arc::make_mut)
    }

    /// The task, to be changed. `None` also for one that is unreachable or completed.
    pub(super) fn task_mut(&mut self, framework: &FrameworkId, task: &TaskId) -> Option<&mut Task> {
        let task = Arc::make_mut(self.framework_mut(framework)?.tasks.get_mut(task)?);
        task.shown.clear();
        Some(task)
    }

    pub(super) fn task(&self, framework: &FrameworkId, task: &TaskId) -> Option<&Arc<Task>> {
        self.state.frameworks.get(framework)?.tasks.get(task)
    }

    /// Writes to the framework's stream; nothing when it is not connected.
    pub(super) fn send(&mut self, framework: &FrameworkId, event: scheduler::Event) {
        let stream = self
            .state
            .frameworks
            .get(framework)
            .and_then(|framework| framework.subscription())
            .map(|subscription| subscription.stream);
        if let Some(stream) = stream {
            self.counters.frameworks.event(framework, event.r#type());
            self.effects.push(Effect::Event {
                stream,
                event: Box::new(event),
            });
        }
    }

    /// Sends to an agent; `false` when it is not connected.
    pub(super) fn tell(&mut self, agent: &AgentId, body: Body) -> bool {
        let session = self.state.agents.get(agent).and_then(|agent| agent.session);
        if let Some(session) = session {
            self.effects.push(Effect::Message {
                session,
                body: Box::new(body),
            });
        }
        session.is_some()
    }

    pub(super) fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Tells followers about a framework as it is now.
    pub(super) fn framework_updated(&mut self, id: &FrameworkId) {
        if let Some(framework) = self.state.frameworks.get(id) {
            self.changes
                .push(Change::FrameworkUpdated(framework.clone()));
        }
    }

    /// Charges resources to a framework on an agent.
    pub(super) fn charge(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
    ) {
        if let Some(framework) = self.framework_mut(framework) {
            *framework.used_on.entry(agent.clone()).or_default() += resources;
        }
        if let Some(agent) = self.agent_mut(agent) {
            let used = agent.used.entry(framework.clone()).or_default();
            *used += resources;
        }
    }

    /// Takes the charge back and gives the resources to the allocator.
    pub(super) fn release(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
    ) {
        if resources.is_empty() {
            return;
        }
        if let Some(framework) = self.framework_mut(framework) {
            take_away(&mut framework.used_on, agent, resources);
        }
        if let Some(agent) = self.agent_mut(agent) {
            take_away(&mut agent.used, framework, resources);
        }
        self.free(framework, agent, resources, None);
    }

    /// Adds a task, charged unless it has ended. The caller has checked that its id is free.
    pub(super) fn add_task(&mut self, task: Task) {
        if task.holds_resources() {
            self.charge(&task.framework_id, &task.agent_id, &task.resources);
        }
        if let Some(agent) = self.agent_mut(&task.agent_id) {
            agent.tasks.insert(task.key());
        }
        let task = Arc::new(task);
        if let Some(framework) = self.framework_mut(&task.framework_id) {
            framework.tasks.insert(task.id.clone(), task.clone());
        }
        self.changed(Change::TaskAdded(task));
    }

    /// Takes a task off its agent and off its framework's list. What becomes of it is the caller's
    /// business; its resources must have been released.
    pub(super) fn detach_task(&mut self, key: &TaskKey) -> Option<Arc<Task>> {
        let task = self
            .framework_mut(&key.framework)?
            .tasks
            .remove(&key.task)?;
        if let Some(agent) = self.agent_mut(&task.agent_id) {
            agent.tasks.remove(key);
        }
        Some(task)
    }

    /// Moves a task to the completed ones.
    pub(super) fn complete_task(&mut self, key: &TaskKey) {
        let Some(task) = self.detach_task(key) else {
            return;
        };
        let most = self.config.max_completed_tasks_per_framework;
        if let Some(framework) = self.framework_mut(&key.framework) {
            remember(framework, task, most);
        }
    }

    /// Adds an executor, charged.
    pub(super) fn add_executor(&mut self, executor: Executor) {
        let executor = Arc::new(executor);
        let (framework_id, agent_id) = (executor.framework_id.clone(), executor.agent_id.clone());
        self.charge(&framework_id, &agent_id, &executor.resources);
        if let Some(agent) = self.agent_mut(&agent_id) {
            agent.executors.insert(
                (framework_id.clone(), executor.id.clone()),
                executor.clone(),
            );
        }
        if let Some(framework) = self.framework_mut(&framework_id) {
            framework
                .executors
                .insert((agent_id, executor.id.clone()), executor);
        }
    }

    /// Removes an executor and releases what it held.
    pub(super) fn remove_executor(&mut self, executor: &Executor) {
        let (framework_id, agent_id) = (&executor.framework_id, &executor.agent_id);
        if let Some(agent) = self.agent_mut(agent_id) {
            agent
                .executors
                .remove(&(framework_id.clone(), executor.id.clone()));
        }
        if let Some(framework) = self.framework_mut(framework_id) {
            framework
                .executors
                .remove(&(agent_id.clone(), executor.id.clone()));
        }
        self.release(framework_id, agent_id, &executor.resources);
    }
}

/// Adds to the completed tasks, the oldest beyond `most` are forgotten.
pub(super) fn remember(framework: &mut Framework, task: Arc<Task>, most: usize) {
    framework.completed_tasks.push_back(task);
    while framework.completed_tasks.len() > most {
        framework.completed_tasks.pop_front();
    }
}

/// Takes from a sum of parts; a part that becomes nothing goes.
pub(super) fn take_away<K: Ord + Clone>(
    parts: &mut OrdMap<K, Resources>,
    key: &K,
    resources: &Resources,
) {
    if let Some(part) = parts.get_mut(key) {
        *part -= resources;
        if part.is_empty() {
            parts.remove(key);
        }
    }
}
