//! Statuses that the master makes itself: no uuid, so nobody acknowledges them.
use mesos_wire::v1::{
    self, TaskState, TaskStatus, TimeInfo,
    task_status::{Reason, Source},
};

use super::Core;
use crate::state::{Framework, Task};

/// What a framework without PARTITION_AWARE gets instead of the finer states.
pub(super) fn for_awareness(framework: &Framework, aware: TaskState) -> TaskState {
    if framework.capabilities.partition_aware {
        aware
    } else {
        TaskState::TaskLost
    }
}

impl Core {
    /// A status about a task that the master may not know.
    pub(super) fn status(
        &self,
        task_id: v1::TaskId,
        agent_id: Option<v1::AgentId>,
        state: TaskState,
        reason: Reason,
        message: impl Into<String>,
    ) -> TaskStatus {
        TaskStatus {
            task_id,
            state: state.into(),
            message: Some(message.into()),
            source: Some(Source::Master.into()),
            reason: Some(reason.into()),
            agent_id,
            timestamp: Some(self.now.seconds()),
            ..TaskStatus::default()
        }
    }

    /// A status about the end or loss of a known task: with its executor, but nothing of its container.
    pub(super) fn status_without(
        &self,
        task: &Task,
        state: TaskState,
        reason: Reason,
        message: impl Into<String>,
    ) -> TaskStatus {
        TaskStatus {
            executor_id: task.executor_id.as_ref().map(Into::into),
            ..self.status(
                task.spec.task_id.clone(),
                Some(task.spec.agent_id.clone()),
                state,
                reason,
                message,
            )
        }
    }

    /// A status about a task that is known: with its executor, health, checks and container.
    pub(super) fn status_of(
        &self,
        task: &Task,
        state: TaskState,
        reason: Reason,
        message: impl Into<String>,
    ) -> TaskStatus {
        let last = task.statuses.last();
        TaskStatus {
            healthy: last.and_then(|status| status.healthy),
            check_status: last.and_then(|status| status.check_status),
            container_status: last.and_then(|status| status.container_status.clone()),
            ..self.status_without(task, state, reason, message)
        }
    }
}

pub(super) fn time_info(nanoseconds: i64) -> TimeInfo {
    TimeInfo { nanoseconds }
}
