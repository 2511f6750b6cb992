//! What the core remembers of a run besides what readers see.

use std::{collections::BTreeMap, time::Duration};

use mesos_containerizer_api::ContainerConfig;
use mesos_types::{ExecutorId, FrameworkId, Ranges, TaskId};
use mesos_wire::v1::{KillPolicy, TaskState, task_status::Reason};

use super::ConnectionId;

/// One run of an executor.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) framework: FrameworkId,
    pub(super) executor: ExecutorId,
    /// Stages of the launch that are done; see [`super::pipeline::PIPELINE`].
    pub(super) done: usize,
    /// What the containerizer gets.
    pub(super) config: Option<ContainerConfig>,
    /// Ports of the host held by this run.
    pub(super) ports: Ranges,
    /// The containerizer said that it runs.
    pub(super) up: bool,
    /// Its end is being waited for.
    pub(super) waiting: bool,
    /// Its end has been asked for.
    pub(super) destroying: bool,
    /// Why the agent ends it, for tasks that have not ended by themselves.
    pub(super) pending: Option<Verdict>,
    /// A kill of the command task in it.
    pub(super) kill: Option<Kill>,
    /// Kills that the executor could not be told of yet.
    pub(super) untold_kills: BTreeMap<TaskId, Option<KillPolicy>>,
    /// Where events for the executor go.
    pub(super) connection: Option<ConnectionId>,
    /// The executor subscribed at least once.
    pub(super) subscribed: bool,
    /// At least one task was delivered to it.
    pub(super) delivered: bool,
    /// A resize is under way; `true`: another one must follow.
    pub(super) resizing: Option<bool>,
    /// It was launched by an earlier process of this agent.
    pub(super) recovered: bool,
    /// The early TASK_STARTING has been made.
    pub(super) starting_sent: bool,
}

impl Run {
    pub(super) fn new(framework: FrameworkId, executor: ExecutorId) -> Self {
        Self {
            framework,
            executor,
            done: 0,
            config: None,
            ports: Ranges::default(),
            up: false,
            waiting: false,
            destroying: false,
            pending: None,
            kill: None,
            untold_kills: BTreeMap::new(),
            connection: None,
            subscribed: false,
            delivered: false,
            resizing: None,
            recovered: false,
            starting_sent: false,
        }
    }
}

/// How tasks end that the agent ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) state: TaskState,
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// A kill under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kill {
    /// When it was first asked for.
    pub(super) asked: Duration,
    /// Seconds since the epoch of the same moment.
    pub(super) asked_wall: f64,
    /// Shortest grace asked for.
    pub(super) grace: Duration,
    /// The task overran its `max_completion_time`.
    pub(super) overran: bool,
    /// The signal has been sent by this process of the agent.
    pub(super) signalled: bool,
}
