//! Sums over the state that gauges show, made once for each version of it.
use std::sync::{Arc, Mutex, PoisonError};

use mesos_types::{Resources, Scalar};
use mesos_wire::v1::TaskState;

use crate::{
    Handle,
    state::{Snapshot, Standing},
};

/// The resources that have gauges.
pub(crate) const SCALARS: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

/// How much there is and how much is used, in the order of [`SCALARS`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) total: [f64; SCALARS.len()],
    pub(crate) used: [f64; SCALARS.len()],
}

impl Usage {
    fn add(&mut self, total: &Resources, used: &Resources) {
        for (index, name) in SCALARS.iter().enumerate() {
            self.total[index] += total.scalar(name).map_or(0.0, Scalar::as_f64);
            self.used[index] += used.scalar(name).map_or(0.0, Scalar::as_f64);
        }
    }

    /// The part that is used, 0 of nothing.
    pub(crate) fn part(&self, index: usize) -> f64 {
        if self.total[index] > 0.0 {
            self.used[index] / self.total[index]
        } else {
            0.0
        }
    }
}

/// The sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) agents: usize,
    pub(crate) agents_connected: usize,
    pub(crate) agents_active: usize,
    pub(crate) agents_unreachable: usize,
    pub(crate) frameworks_connected: usize,
    pub(crate) frameworks_disconnected: usize,
    pub(crate) frameworks_active: usize,
    pub(crate) frameworks_inactive: usize,
    pub(crate) outstanding_offers: usize,
    pub(crate) tasks_staging: usize,
    pub(crate) tasks_starting: usize,
    pub(crate) tasks_running: usize,
    pub(crate) tasks_killing: usize,
    pub(crate) tasks_unreachable: usize,
    pub(crate) usage: Usage,
    /// In offers or used, in the order of [`SCALARS`].
    pub(crate) held: [f64; SCALARS.len()],
}

impl Summary {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut sums = Self {
            agents: snapshot.agents.len(),
            agents_unreachable: snapshot.unreachable_agents.len(),
            outstanding_offers: snapshot.offers.len(),
            ..Self::default()
        };
        for agent in snapshot.agents.values() {
            sums.agents_connected += usize::from(agent.connected());
            sums.agents_active += usize::from(agent.active());
            let used = agent.used_total();
            sums.usage.add(&agent.total, &used);
            for (index, name) in SCALARS.iter().enumerate() {
                for held in [&used, &agent.offered] {
                    sums.held[index] += held.scalar(name).map_or(0.0, Scalar::as_f64);
                }
            }
        }
        for framework in snapshot.frameworks.values() {
            match framework.standing {
                Standing::Subscribed(_) => {
                    sums.frameworks_connected += 1;
                    sums.frameworks_active += 1;
                }
                Standing::Recovered | Standing::Disconnected | Standing::Completed => {
                    sums.frameworks_disconnected += 1;
                    sums.frameworks_inactive += 1;
                }
            }
            for task in framework.tasks.values() {
                sums.count(task.state);
            }
            for task in framework.unreachable_tasks.values() {
                sums.count(task.state);
            }
        }
        sums
    }

    fn count(&mut self, state: TaskState) {
        match state {
            TaskState::TaskStaging => self.tasks_staging += 1,
            TaskState::TaskStarting => self.tasks_starting += 1,
            TaskState::TaskRunning => self.tasks_running += 1,
            TaskState::TaskKilling => self.tasks_killing += 1,
            TaskState::TaskUnreachable => self.tasks_unreachable += 1,
            TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
            | TaskState::TaskUnknown => {}
        }
    }
}

/// Sums, and the version of the state they are of.
type Made = (u64, Arc<Summary>);

/// The sums of the newest state.
#[derive(Clone)]
pub(crate) struct Newest {
    master: Handle,
    made: Arc<Mutex<Option<Made>>>,
}

impl Newest {
    pub(crate) fn new(master: Handle) -> Self {
        Self {
            master,
            made: Arc::default(),
        }
    }

    pub(crate) fn get(&self) -> Arc<Summary> {
        let snapshot = self.master.snapshot();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((version, sums)) if *version == snapshot.version => sums.clone(),
            _ => {
                let sums = Arc::new(Summary::of(&snapshot));
                *made = Some((snapshot.version, sums.clone()));
                sums
            }
        }
    }
}
