//! KILL and SHUTDOWN: what a framework wants ended.
use mesos_control::v1::{KillTask, ShutdownExecutor, master_message::Body};
use mesos_types::{AgentId, FrameworkId, TaskId};
use mesos_wire::v1::{KillPolicy, scheduler::call};

use super::Core;

impl Core {
    /// Kills a task; the same as asking for an unknown one's state.
    pub(super) fn kill(&mut self, id: &FrameworkId, kill: call::Kill) {
        let task_id = TaskId::from(&kill.task_id);
        let Some(task) = self.task_mut(id, &task_id) else {
            tracing::info!(framework_id = %id, %task_id, "a kill of an unknown task: its state is reconciled");
            let asked = call::reconcile::Task {
                task_id: kill.task_id,
                agent_id: kill.agent_id,
            };
            return self.reconcile(id, &[asked]);
        };
        if kill
            .agent_id
            .as_ref()
            .is_some_and(|given| given.as_str() != task.agent_id.as_str())
        {
            tracing::warn!(framework_id = %id, %task_id, agent_id = %task.agent_id, "dropped a kill: it names another agent");
            return;
        }
        if task.is_terminal() {
            return;
        }
        // Kept until the agent answers with a state: a broken session must not lose it.
        task.kill = Some(kill.kill_policy);
        let agent_id = task.agent_id.clone();
        self.send_kill(id, &task_id, &agent_id, kill.kill_policy);
    }

    pub(super) fn send_kill(
        &mut self,
        id: &FrameworkId,
        task_id: &TaskId,
        agent_id: &AgentId,
        kill_policy: Option<KillPolicy>,
    ) {
        let body = KillTask {
            framework_id: Some(id.into()),
            task_id: Some(task_id.into()),
            kill_policy,
        };
        if !self.tell(agent_id, Body::KillTask(body)) {
            tracing::info!(framework_id = %id, %task_id, %agent_id, "a kill waits until its agent is back");
        }
    }

    pub(super) fn shutdown_executor(&mut self, id: &FrameworkId, shutdown: call::Shutdown) {
        let agent_id = AgentId::from(&shutdown.agent_id);
        let executor_id = shutdown.executor_id.value.clone();
        let body = ShutdownExecutor {
            framework_id: Some(id.into()),
            executor_id: Some(shutdown.executor_id),
        };
        if !self.tell(&agent_id, Body::ShutdownExecutor(body)) {
            tracing::warn!(framework_id = %id, %agent_id, executor_id, "dropped a shutdown: its agent is not connected");
        }
    }
}
