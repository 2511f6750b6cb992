//! Totals since the agent's start, for the metrics of the same names.

use mesos_wire::v1::TaskState;

/// Counts events; gauges such as `slave/tasks_running` follow from the state itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the metric `slave/<name>`")]
pub struct Counters {
    pub tasks_failed: u64,
    pub tasks_finished: u64,
    pub tasks_gone: u64,
    pub tasks_killed: u64,
    pub tasks_lost: u64,
    pub tasks_error: u64,
    pub tasks_dropped: u64,
    pub executors_terminated: u64,
    pub executors_preempted: u64,
    pub valid_status_updates: u64,
    pub invalid_status_updates: u64,
    pub valid_framework_messages: u64,
    pub invalid_framework_messages: u64,
    pub container_launch_errors: u64,
    pub recovery_errors: u64,
    /// (Re-)registrations with a master, for diagnosis.
    pub registrations: u64,
}

impl Counters {
    /// Counts a task's end; other states count nothing.
    pub fn ended(&mut self, state: TaskState) {
        match state {
            TaskState::TaskFailed => self.tasks_failed += 1,
            TaskState::TaskFinished => self.tasks_finished += 1,
            TaskState::TaskGone | TaskState::TaskGoneByOperator => self.tasks_gone += 1,
            TaskState::TaskKilled => self.tasks_killed += 1,
            TaskState::TaskLost => self.tasks_lost += 1,
            TaskState::TaskError => self.tasks_error += 1,
            TaskState::TaskDropped => self.tasks_dropped += 1,
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => {}
        }
    }
}
