//! A task on this agent, from its acceptance until its last update is acknowledged.

use std::sync::Arc;

use mesos_types::{FrameworkId, Resources, TaskId, is_terminal};
use mesos_wire::v1::{self, TaskState};

/// Statuses that are remembered per task; repeats of a state replace each other.
const MAX_STATUSES: usize = 32;

/// Where a task is between agent and executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskPlace {
    /// Not with the executor yet.
    Queued,
    /// Delivered to the executor, or running as a command.
    Launched,
    /// Its newest state is terminal.
    Ended,
}

/// A task with what became of it.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// As the framework gave it.
    pub info: Arc<v1::TaskInfo>,
    /// Those of `info`.
    pub resources: Resources,
    /// Where it is.
    pub place: TaskPlace,
    /// Its newest state, which may be ahead of what the framework knows.
    pub state: TaskState,
    /// One status per state it went through, oldest first, without `data`.
    pub statuses: Vec<Arc<v1::TaskStatus>>,
    /// The update that waits for its acknowledgement, or the last one: state and uuid.
    pub forwarded: Option<(TaskState, Vec<u8>)>,
    /// Seconds since the epoch at which the agent took it.
    pub accepted: f64,
}

impl Task {
    /// A task that was just taken.
    pub fn new(info: v1::TaskInfo, resources: Resources, accepted: f64) -> Self {
        Self {
            id: TaskId::from(&info.task_id),
            info: Arc::new(info),
            resources,
            place: TaskPlace::Queued,
            state: TaskState::TaskStaging,
            statuses: Vec::new(),
            forwarded: None,
            accepted,
        }
    }

    /// Takes a new status over.
    pub fn apply(&mut self, status: &v1::TaskStatus) {
        self.state = status.state();
        if is_terminal(self.state) {
            self.place = TaskPlace::Ended;
        }
        let shown = Arc::new(v1::TaskStatus {
            data: None,
            ..status.clone()
        });
        match self.statuses.last_mut() {
            Some(last) if last.state == shown.state => *last = shown,
            _ => {
                if self.statuses.len() >= MAX_STATUSES {
                    self.statuses.remove(0);
                }
                self.statuses.push(shown);
            }
        }
    }

    /// The task as registration and endpoints show it. `command` leaves `executor_id` out, as Mesos
    /// does for tasks without an executor of the framework's own.
    pub fn to_wire(&self, framework: &FrameworkId) -> v1::Task {
        let info = &*self.info;
        let container = info.container.clone();
        v1::Task {
            name: info.name.clone(),
            task_id: info.task_id.clone(),
            framework_id: framework.into(),
            executor_id: info.executor.as_ref().map(|e| e.executor_id.clone()),
            agent_id: info.agent_id.clone(),
            state: self.state.into(),
            resources: info.resources.clone(),
            statuses: self.statuses.iter().map(|s| (**s).clone()).collect(),
            status_update_state: self.forwarded.as_ref().map(|(state, _)| (*state).into()),
            status_update_uuid: self.forwarded.as_ref().map(|(_, uuid)| uuid.clone()),
            labels: info.labels.clone(),
            discovery: info.discovery.clone(),
            container,
            health_check: info.health_check.clone(),
            kill_policy: info.kill_policy,
            user: info
                .command
                .as_ref()
                .or_else(|| info.executor.as_ref().and_then(|e| e.command.as_ref()))
                .and_then(|command| command.user.clone()),
            limits: info.limits.clone(),
        }
    }
}
