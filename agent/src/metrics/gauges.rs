//! What is counted in a state: made once per state, whoever asks.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use mesos_types::Resources;
use mesos_wire::v1::TaskState;

use crate::state::{AgentState, Executor, ExecutorPhase, TaskPlace};

/// A resource, without what is revocable.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) total: f64,
    pub(super) used: f64,
}

impl Amount {
    fn of(name: &str, total: &Resources, used: &Resources) -> Self {
        let amount = |of: &Resources| of.scalar(name).map_or(0.0, |amount| amount.as_f64());
        Self {
            total: amount(total),
            used: amount(used),
        }
    }

    /// From 0 to 1; 0 where there is none.
    pub(super) fn share(self) -> f64 {
        if self.total > 0.0 {
            self.used / self.total
        } else {
            0.0
        }
    }
}

/// Numbers that follow from a state alone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Gauges {
    pub(super) registered: f64,
    pub(super) frameworks: f64,
    pub(super) tasks_staging: f64,
    pub(super) tasks_starting: f64,
    pub(super) tasks_running: f64,
    pub(super) tasks_killing: f64,
    pub(super) executors_registering: f64,
    pub(super) executors_running: f64,
    pub(super) executors_terminating: f64,
    pub(super) cpus: Amount,
    pub(super) gpus: Amount,
    pub(super) mem: Amount,
    pub(super) disk: Amount,
}

impl Gauges {
    pub(super) fn of(state: &AgentState) -> Self {
        let total = state.resources.non_revocable();
        let used = state.allocated().non_revocable();
        let mut gauges = Self {
            registered: f64::from(u8::from(state.phase.is_registered())),
            cpus: Amount::of("cpus", &total, &used),
            gpus: Amount::of("gpus", &total, &used),
            mem: Amount::of("mem", &total, &used),
            disk: Amount::of("disk", &total, &used),
            ..Self::default()
        };
        for framework in state.frameworks.values() {
            gauges.frameworks += 1.0;
            for executor in framework.executors.values() {
                gauges.count(executor);
            }
        }
        gauges
    }

    fn count(&mut self, executor: &Executor) {
        match executor.phase {
            ExecutorPhase::Registering => self.executors_registering += 1.0,
            ExecutorPhase::Running => self.executors_running += 1.0,
            ExecutorPhase::Terminating => self.executors_terminating += 1.0,
            ExecutorPhase::Terminated => {}
        }
        for task in executor.tasks.values() {
            match (task.place, task.state) {
                (TaskPlace::Queued, _) | (TaskPlace::Launched, TaskState::TaskStaging) => {
                    self.tasks_staging += 1.0;
                }
                (TaskPlace::Launched, TaskState::TaskStarting) => self.tasks_starting += 1.0,
                (TaskPlace::Launched, TaskState::TaskRunning) => self.tasks_running += 1.0,
                (TaskPlace::Launched, TaskState::TaskKilling) => self.tasks_killing += 1.0,
                (TaskPlace::Launched | TaskPlace::Ended, _) => {}
            }
        }
    }
}

/// The gauges of the state that was asked about last, so that one answer counts the state once.
#[derive(Default)]
pub(super) struct Memo(Mutex<(Weak<AgentState>, Gauges)>);

impl Memo {
    pub(super) fn of(&self, state: &Arc<AgentState>) -> Gauges {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A `Weak` keeps its address from being used again, so the same address is the same state.
        if kept.0.as_ptr() != Arc::as_ptr(state) {
            *kept = (Arc::downgrade(state), Gauges::of(state));
        }
        kept.1
    }
}
