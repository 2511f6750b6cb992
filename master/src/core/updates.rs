//! Status updates from agents to frameworks, and the acknowledgements back.
use std::sync::Arc;

use mesos_control::v1::{AcknowledgeUpdate, StatusUpdate, master_message::Body};
use mesos_types::{AgentId, ExecutorId, FrameworkId, TaskId, is_terminal};
use mesos_wire::v1::{self, TaskState, TaskStatus, scheduler::call, task_status::Reason};

use super::{Core, event::events};
use crate::state::{Change, TaskKey};

impl Core {
    /// An update from an agent: forwarded when the framework is connected, recorded in any case. What is
    /// not forwarded comes again from the agent until it is acknowledged.
    pub(super) fn status_update(&mut self, agent_id: &AgentId, update: StatusUpdate) {
        let (Some(framework), Some(mut status)) = (update.framework_id.as_ref(), update.status)
        else {
            tracing::warn!(%agent_id, "dropped a status update without framework or status");
            return;
        };
        let framework_id = FrameworkId::from(framework);
        let Ok(seen) = TaskState::try_from(status.state) else {
            tracing::warn!(%agent_id, state = status.state, "dropped a status update of an unknown state");
            return;
        };
        let Some(framework) = self.state.frameworks.get(&framework_id) else {
            self.counters.update(false);
            tracing::warn!(%agent_id, %framework_id, task_id = %status.task_id, "dropped a status update of an unknown framework");
            return;
        };
        let latest = update
            .latest_state
            .and_then(|state| TaskState::try_from(state).ok())
            .unwrap_or(seen);
        let connected = framework.connected();
        let key = TaskKey {
            framework: framework_id.clone(),
            task: (&status.task_id).into(),
        };
        let task = self.task(&framework_id, &key.task);
        if task.is_some_and(|task| task.agent_id != *agent_id) {
            self.counters.update(false);
            tracing::warn!(%agent_id, %framework_id, task_id = %status.task_id, "dropped a status update of a task that is on another agent");
            return;
        }
        let known = task.is_some();
        self.counters.update(known && connected);
        status.agent_id.get_or_insert_with(|| agent_id.into());
        if status.timestamp.is_none() {
            status.timestamp = Some(self.now.seconds());
        }
        if known {
            let forwarded = connected.then(|| status.uuid.clone()).flatten();
            self.apply(&key, &status, latest, forwarded.map(|uuid| (seen, uuid)));
        } else {
            tracing::warn!(%agent_id, %framework_id, task_id = %status.task_id, "a status update of an unknown task");
        }
        let needs_acknowledgement = status.uuid.is_some();
        if connected {
            self.send(&framework_id, events::update(status));
        }
        if known && !needs_acknowledgement && is_terminal(latest) {
            self.complete_task(&key);
        }
    }

    /// An update that the master makes itself, to the framework and into the record.
    pub(super) fn own_update(&mut self, key: &TaskKey, status: TaskStatus) {
        let Ok(state) = TaskState::try_from(status.state) else {
            return;
        };
        self.apply(key, &status, state, None);
        self.send(&key.framework, events::update(status));
    }

    /// Records a status. The newest state decides about the resources: they are free at once, whatever
    /// the framework has seen. A task that has ended stays as it is.
    pub(super) fn apply(
        &mut self,
        key: &TaskKey,
        status: &TaskStatus,
        latest: TaskState,
        forwarded: Option<(TaskState, Vec<u8>)>,
    ) {
        let Some(task) = self.task_mut(&key.framework, &key.task) else {
            return;
        };
        let held = task.holds_resources();
        let ended = task.is_terminal();
        let moved = !ended && task.state != latest;
        if moved {
            task.state = latest;
            if matches!(latest, TaskState::TaskKilling) || is_terminal(latest) {
                task.kill = None;
            }
        }
        if forwarded.is_some() {
            task.forwarded = forwarded;
        }
        task.record(status);
        let freed = (held && !task.holds_resources())
            .then(|| (task.agent_id.clone(), task.resources.clone()));
        let first_end = moved && task.is_terminal();
        let checked = matches!(
            status.reason(),
            Reason::TaskCheckStatusUpdated | Reason::TaskHealthCheckStatusUpdated
        ) && status.reason.is_some();
        let state = task.state;
        if first_end {
            self.counters.ended(&key.framework, state, status);
        }
        if let Some((agent, resources)) = freed {
            self.release(&key.framework, &agent, &resources);
        }
        if moved || checked {
            let Some(task) = self.task(&key.framework, &key.task).cloned() else {
                return;
            };
            let mut shown = status.clone();
            shown.data = None;
            self.changed(Change::TaskUpdated {
                framework_id: key.framework.clone(),
                status: Arc::new(shown),
                state,
                task,
            });
        }
    }

    pub(super) fn acknowledge(&mut self, id: &FrameworkId, acknowledge: call::Acknowledge) {
        let task_id = TaskId::from(&acknowledge.task_id);
        let agent_id = AgentId::from(&acknowledge.agent_id);
        let dropped = |why| {
            tracing::warn!(framework_id = %id, %agent_id, %task_id, "dropped an acknowledgement: {why}");
        };
        let Some(agent) = self.state.agents.get(&agent_id) else {
            self.counters.acknowledgement(false);
            return dropped("its agent is not registered");
        };
        if !agent.connected() {
            self.counters.acknowledgement(false);
            return dropped("its agent is disconnected and will send the update again");
        }
        let mut complete = false;
        if let Some(task) = self
            .task(id, &task_id)
            .filter(|task| task.agent_id == agent_id)
        {
            let Some((state, uuid)) = &task.forwarded else {
                self.counters.acknowledgement(false);
                return dropped("this master has not forwarded an update of the task");
            };
            complete = is_terminal(*state) && *uuid == acknowledge.uuid;
        }
        self.counters.acknowledgement(true);
        if complete {
            self.complete_task(&TaskKey {
                framework: id.clone(),
                task: task_id,
            });
        }
        let body = AcknowledgeUpdate {
            framework_id: Some(id.into()),
            task_id: Some(acknowledge.task_id),
            uuid: acknowledge.uuid,
        };
        self.tell(&agent_id, Body::AcknowledgeUpdate(body));
    }

    /// An executor's message to its framework; best effort.
    pub(super) fn executor_message(
        &mut self,
        agent_id: &AgentId,
        message: mesos_control::v1::ExecutorMessage,
    ) {
        let (Some(framework), Some(executor)) = (message.framework_id, message.executor_id) else {
            return;
        };
        let id = FrameworkId::from(&framework);
        let delivered = self
            .state
            .frameworks
            .get(&id)
            .is_some_and(|framework| framework.connected());
        self.counters.executor_message(delivered);
        self.send(
            &id,
            events::message(agent_id.into(), executor, message.data),
        );
    }

    /// An executor has ended: its framework hears of it, its resources are free.
    pub(super) fn executor_exited(
        &mut self,
        agent_id: &AgentId,
        exited: mesos_control::v1::ExecutorExited,
    ) {
        let (Some(framework), Some(executor)) = (exited.framework_id, exited.executor_id) else {
            return;
        };
        let id = FrameworkId::from(&framework);
        if let Some(known) = self.executor_of(&id, agent_id, &ExecutorId::from(&executor)) {
            self.remove_executor(&known);
        }
        let failure = events::failure(
            v1::AgentId::from(agent_id),
            Some(executor),
            Some(exited.status),
        );
        self.send(&id, failure);
    }
}
