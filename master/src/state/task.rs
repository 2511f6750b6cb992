//! A task as the master holds it, from its launch until the framework acknowledged its end.
use std::sync::Arc;

use mesos_types::{AgentId, ExecutorId, FrameworkId, Resources, TaskId};
use mesos_wire::v1::{self, OperationState, TaskState, TaskStatus};

use super::Shown;

/// Statuses kept per task; the oldest go first. Equal states in a row count once, so only a task that
/// swings between states reaches it.
const STATUSES: usize = 100;

/// Names a task in the whole cluster: two frameworks may use the same task id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// The framework.
    pub framework: FrameworkId,
    /// The task's id, unique among the framework's tasks that have not ended.
    pub task: TaskId,
}

/// A task: what was asked for, and how far it is.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its id, unique among the tasks of its framework.
    pub id: TaskId,
    /// Whose it is.
    pub framework_id: FrameworkId,
    /// Where it runs.
    pub agent_id: AgentId,
    /// Its executor; `None` for a command task, whose executor belongs to the agent.
    pub executor_id: Option<ExecutorId>,
    /// Everything that stays as it was launched. `state`, `statuses` and the update fields in here are
    /// not kept up to date; [`Task::to_wire`] fills them in.
    pub spec: Arc<v1::Task>,
    /// The resources of `spec`, with their allocation.
    pub resources: Resources,
    /// Newest state known; may be ahead of what the framework has seen.
    pub state: TaskState,
    /// History, oldest first, without `data`.
    pub statuses: Vec<Arc<TaskStatus>>,
    /// State and uuid of the last update forwarded to the framework; what an acknowledgement must match.
    pub forwarded: Option<(TaskState, Vec<u8>)>,
    /// The framework asked for its end and the agent has not yet answered with KILLING or an end.
    pub kill: Option<Option<v1::KillPolicy>>,
    /// Its JSON as `/state` shows it.
    pub shown: Shown,
}

impl Task {
    /// A task in the state of `spec`, with the history in it.
    pub fn new(mut spec: v1::Task, resources: Resources) -> Self {
        let state = spec.state();
        let forwarded = match (spec.status_update_state, spec.status_update_uuid.take()) {
            (Some(state), Some(uuid)) => TaskState::try_from(state).ok().map(|state| (state, uuid)),
            _ => None,
        };
        spec.status_update_state = None;
        let mut statuses = std::mem::take(&mut spec.statuses);
        let excess = statuses.len().saturating_sub(STATUSES);
        statuses.drain(..excess);
        let statuses = statuses.into_iter().map(Arc::new).collect();
        Self {
            id: (&spec.task_id).into(),
            framework_id: (&spec.framework_id).into(),
            agent_id: (&spec.agent_id).into(),
            executor_id: spec.executor_id.as_ref().map(Into::into),
            spec: Arc::new(spec),
            resources,
            state,
            statuses,
            forwarded,
            kill: None,
            shown: Shown::default(),
        }
    }

    /// The name of this task in the cluster.
    pub fn key(&self) -> TaskKey {
        TaskKey {
            framework: self.framework_id.clone(),
            task: self.id.clone(),
        }
    }

    /// Whether it has ended for good.
    pub fn is_terminal(&self) -> bool {
        mesos_types::is_terminal(self.state)
    }

    /// Whether it holds its resources: not ended, and not on an agent that is unreachable.
    pub fn holds_resources(&self) -> bool {
        !self.is_terminal() && self.state != TaskState::TaskUnreachable
    }

    /// The state that the framework knows.
    pub fn seen_state(&self) -> TaskState {
        self.forwarded
            .as_ref()
            .map_or(self.state, |(state, _)| *state)
    }

    /// Adds a status to the history; one that repeats the last state replaces it.
    pub fn record(&mut self, status: &TaskStatus) {
        let mut status = status.clone();
        status.data = None;
        if self
            .statuses
            .last()
            .is_some_and(|last| last.state == status.state)
        {
            self.statuses.pop();
        } else if self.statuses.len() >= STATUSES {
            self.statuses.remove(0);
        }
        self.statuses.push(Arc::new(status));
    }

    /// The task as it goes over the wire: `state` is the newest one.
    pub fn to_wire(&self) -> v1::Task {
        let mut task = (*self.spec).clone();
        task.set_state(self.state);
        task.statuses = self
            .statuses
            .iter()
            .map(|status| (**status).clone())
            .collect();
        if let Some((state, uuid)) = &self.forwarded {
            task.set_status_update_state(*state);
            task.status_update_uuid = Some(uuid.clone());
        }
        task
    }
}

/// Whether an operation in this state never changes again.
pub fn is_terminal_operation(state: OperationState) -> bool {
    use OperationState::{
        OperationDropped, OperationError, OperationFailed, OperationFinished,
        OperationGoneByOperator, OperationPending, OperationRecovering, OperationUnknown,
        OperationUnreachable, OperationUnsupported,
    };
    match state {
        OperationFinished
        | OperationFailed
        | OperationError
        | OperationDropped
        | OperationGoneByOperator => true,
        OperationUnsupported | OperationPending | OperationUnreachable | OperationRecovering
        | OperationUnknown => false,
    }
}
