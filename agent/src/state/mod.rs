//! What the agent knows, as one immutable value that readers get without making the writer wait.
//!
//! The core owns the newest [`AgentState`] and publishes a copy after each batch of events. A copy is
//! cheap: maps share their structure, and everything beneath is behind an `Arc`.

mod counters;
mod executor;
mod framework;
mod operation;
mod task;

use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::{OrdMap, Vector};
use mesos_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Resources, TaskId};
use mesos_wire::v1;
use tokio::sync::watch;
use uuid::Uuid;

pub use counters::Counters;
pub use executor::{Executor, ExecutorKind, ExecutorPhase};
pub use framework::{Framework, FrameworkPhase};
pub use operation::Operation;
pub use task::{Task, TaskPlace};

/// Completed frameworks that are remembered. Source: `MAX_COMPLETED_FRAMEWORKS` of Mesos's agent.
pub const MAX_COMPLETED_FRAMEWORKS: usize = 50;
/// Completed tasks that are remembered per executor. Source: `MAX_COMPLETED_TASKS_PER_EXECUTOR`.
pub const MAX_COMPLETED_TASKS: usize = 200;

/// Where the agent stands with its master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Reading checkpoints and taking containers back; the APIs answer 503.
    Recovering,
    /// Recovered, but no master has accepted us yet.
    Disconnected,
    /// This master has (re-)registered us; tasks may be launched.
    Registered,
    /// Shutting executors down; nothing leads out of here.
    Terminating,
}

/// The master wants this agent empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// On which terms.
    pub config: v1::DrainConfig,
    /// Seconds since the epoch at which it began.
    pub since: f64,
}

/// Everything that readers may show: `/state`, `/containers`, metrics, the v1 operator calls.
#[derive(Debug, Clone)]
pub struct AgentState {
    /// Where the agent stands with its master.
    pub phase: Phase,
    /// What it registered with; `id` is set once a master gave one.
    pub agent: Arc<v1::AgentInfo>,
    /// The id in `agent`.
    pub id: Option<AgentId>,
    /// Everything it has: what the flags say, with reservations and volumes in it.
    pub resources: Resources,
    /// Operations whose end is not acknowledged.
    pub operations: OrdMap<Uuid, Arc<Operation>>,
    /// Set while the agent is drained, and after that until the master goes on with it.
    pub drain: Option<Arc<Drain>>,
    /// The master of the present or last session.
    pub master: Option<Arc<v1::MasterInfo>>,
    /// Frameworks with something on this agent.
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// The last [`MAX_COMPLETED_FRAMEWORKS`] that left, oldest first.
    pub completed_frameworks: Vector<Arc<Framework>>,
    /// Seconds since the epoch at which this process started.
    pub started: f64,
    /// Seconds since the epoch of the last (re-)registration.
    pub registered: Option<f64>,
    /// How long recovery took, in seconds; `None` before its end.
    pub recovery_secs: Option<f64>,
    /// Totals since the start.
    pub counters: Counters,
}

impl AgentState {
    /// A state without tasks.
    pub fn new(agent: v1::AgentInfo, resources: Resources, started: f64) -> Self {
        Self {
            phase: Phase::Recovering,
            id: agent.id.as_ref().map(AgentId::from),
            agent: Arc::new(agent),
            resources,
            operations: OrdMap::new(),
            drain: None,
            master: None,
            frameworks: OrdMap::new(),
            completed_frameworks: Vector::new(),
            started,
            registered: None,
            recovery_secs: None,
            counters: Counters::default(),
        }
    }

    /// An executor that is not completed.
    pub fn executor(
        &self,
        framework: &FrameworkId,
        executor: &ExecutorId,
    ) -> Option<&Arc<Executor>> {
        self.frameworks.get(framework)?.executors.get(executor)
    }

    /// A task that is not completed, with its executor.
    pub fn task(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
    ) -> Option<(&Arc<Executor>, &Arc<Task>)> {
        self.frameworks
            .get(framework)?
            .executors
            .values()
            .find_map(|executor| Some((executor, executor.tasks.get(task)?)))
    }

    /// The executor whose container has this id, among those that are not completed.
    pub fn container(&self, id: &ContainerId) -> Option<(&Arc<Framework>, &Arc<Executor>)> {
        self.frameworks.values().find_map(|framework| {
            let executor = framework.executors.values().find(|e| e.container == *id)?;
            Some((framework, executor))
        })
    }

    /// Executors that are not completed, with their frameworks.
    pub fn executors(&self) -> impl Iterator<Item = (&Arc<Framework>, &Arc<Executor>)> {
        self.frameworks
            .values()
            .flat_map(|framework| framework.executors.values().map(move |e| (framework, e)))
    }

    /// Resources in use: those of executors that have not terminated, with their tasks.
    pub fn allocated(&self) -> Resources {
        let mut sum = Resources::new();
        for (_, executor) in self.executors() {
            if executor.phase != ExecutorPhase::Terminated {
                sum += &executor.allocated();
            }
        }
        sum
    }
}

/// The newest published state. Clones share it; loading never waits.
#[derive(Debug, Clone)]
pub struct Snapshots {
    newest: Arc<ArcSwap<AgentState>>,
    published: watch::Sender<()>,
}

impl Snapshots {
    /// Starts with `state`.
    pub fn new(state: AgentState) -> Self {
        Self {
            newest: Arc::new(ArcSwap::from_pointee(state)),
            published: watch::Sender::new(()),
        }
    }

    /// The newest state; it does not change any more.
    pub fn load(&self) -> Arc<AgentState> {
        self.newest.load_full()
    }

    /// Tells when a newer state was published; several at once are told once.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }

    /// Replaces the state. Only the task that owns the core does this.
    pub(crate) fn publish(&self, state: AgentState) {
        self.newest.store(Arc::new(state));
        self.published.send_replace(());
    }
}
