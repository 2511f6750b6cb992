//! The agent's decisions: an event goes in, the state changes, effects come out. No I/O, no clock.
//!
//! [`Core`] owns the [`AgentState`]; one task drives it ([`crate::driver`]). Where to read on:
//! - a task from RunTask to TASK_RUNNING: [`launch`], then the stages in [`pipeline`];
//! - status updates and their acknowledgements: [`updates`];
//! - how a container's end becomes a task's: [`ending`];
//! - kills and shutdowns: [`kill`]; executors of frameworks: [`executors`];
//! - sessions with the master: [`registration`]; restarts: [`recovery`];
//! - reservations and volumes: [`operations`]; drains: [`drain`].

mod container;
mod drain;
mod effect;
mod ending;
mod environment;
mod event;
mod executors;
mod generate;
mod kill;
mod launch;
mod operations;
mod persist;
mod pipeline;
mod recovery;
mod registration;
mod run;
mod timers;
mod updates;
mod validate;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use mesos_http::{AllowAll, Authorizer};
use mesos_types::{ContainerId, ExecutorId, FrameworkId, TaskId};
use mesos_wire::v1::{self, TaskState};
use uuid::Uuid;

use crate::{
    checkpoint::{Change, Fence},
    config::AgentConfig,
    state::{AgentState, Executor, Framework, Phase, Task},
};

pub use effect::{Effect, Exit, Refusal, ResizeRequest, SandboxPaths, SandboxRequest};
pub use event::{Event, SandboxFailure};
pub(crate) use pipeline::chain;
pub use registration::CAPABILITIES;
use registration::Session;
use run::Run;
use timers::{Timer, Timers};
use updates::Stream;

/// Counts connections to the master, from 1.
pub type SessionId = u64;
/// Names an executor's event stream within this process.
pub type ConnectionId = u64;
/// Names a call that waits for its answer within this process.
pub type RequestId = u64;

/// The time at which an event is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    /// Monotonic, since any fixed moment of this process; timers run on it.
    pub mono: Duration,
    /// Seconds since the epoch; only for what others read.
    pub wall: f64,
}

/// The agent's state and the rules by which it changes.
pub struct Core {
    config: Arc<AgentConfig>,
    authorizer: Arc<dyn Authorizer>,
    state: AgentState,
    now: Now,
    /// The present boot of the host.
    boot_id: String,
    /// Random, new at each start of the process.
    process_epoch: String,
    session: Option<Session>,
    /// The newest leader that was obeyed.
    fence: Fence,
    /// Executors whose end the master has not taken over, with the message's sequence if it was sent.
    exited: Vec<(Option<u64>, mesos_control::v1::ExecutorExited)>,
    streams: BTreeMap<(FrameworkId, TaskId), Stream>,
    runs: HashMap<ContainerId, Run>,
    /// The executor of each task that is not completed.
    index: HashMap<(FrameworkId, TaskId), ExecutorId>,
    connections: HashMap<ConnectionId, ContainerId>,
    timers: Timers,
    /// Checkpoints cannot be written; new tasks are refused.
    stalled: bool,
    leaving: bool,
    /// Operations that have come so far.
    operations_seen: u64,
    /// Pause before an operation's end is told again.
    operation_pauses: HashMap<Uuid, Duration>,
    /// Operations whose directories an earlier process had dealt with.
    carried_out: BTreeSet<Uuid>,
    /// The last operations that were acknowledged.
    settled: VecDeque<Uuid>,
    /// The master of this session has asked for the drain.
    drain_confirmed: bool,
    first: Option<Effect>,
    changes: Vec<Change>,
    /// Those that must survive power loss.
    resource_changes: Vec<Change>,
    effects: Vec<Effect>,
}

impl Core {
    /// A core without tasks, before recovery.
    pub fn new(config: Arc<AgentConfig>, agent: v1::AgentInfo, boot_id: String, now: Now) -> Self {
        let state = AgentState::new(agent, config.resources.clone(), now.wall);
        Self {
            config,
            authorizer: Arc::new(AllowAll),
            state,
            now,
            boot_id,
            process_epoch: uuid::Uuid::new_v4().to_string(),
            session: None,
            fence: Fence::default(),
            exited: Vec::new(),
            streams: BTreeMap::new(),
            runs: HashMap::new(),
            index: HashMap::new(),
            connections: HashMap::new(),
            timers: Timers::default(),
            stalled: false,
            leaving: false,
            operations_seen: 0,
            operation_pauses: HashMap::new(),
            carried_out: BTreeSet::new(),
            settled: VecDeque::new(),
            drain_confirmed: false,
            first: None,
            changes: Vec::new(),
            resource_changes: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Who decides what may run. Default: everything may.
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// The state as it is now.
    pub fn state(&self) -> &AgentState {
        &self.state
    }

    /// When [`Event::Tick`] is wanted, on the monotonic clock; `None`: never.
    pub fn next_timer(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Takes one event. The effects are to be carried out in order.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.now = now;
        match event {
            Event::Recovered { took } => self.recovered(took),
            Event::SessionWanted(session) => self.open_session(session),
            Event::Master(session, message) => self.master_said(session, *message),
            Event::SessionLost(session) => self.session_lost(session),
            Event::SandboxMade(container, result) => self.sandbox_made(&container, result),
            Event::Launched(container, result) => self.launched(&container, result),
            Event::Ended(container, result) => self.ended(&container, result),
            Event::Resized(container, result) => self.resized(&container, result),
            Event::Probed(container, status) => self.probed(&container, status),
            Event::VolumesDone(operation, result) => self.volumes_done(operation, result),
            Event::Executor {
                request,
                connection,
                call,
            } => self.executor_called(request, connection, *call),
            Event::ExecutorGone(connection) => self.executor_gone(connection),
            Event::CheckpointsStalled(stalled) => self.stalled = stalled,
            Event::Leave => self.leave(),
            Event::Tick => {}
        }
        while let Some(timer) = self.timers.pop(now.mono) {
            self.timer_due(timer);
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<Effect> {
        let mut out = Vec::with_capacity(self.effects.len() + 2);
        out.extend(self.first.take());
        if !self.changes.is_empty() {
            out.push(Effect::Persist(std::mem::take(&mut self.changes)));
        }
        if !self.resource_changes.is_empty() {
            let changes = std::mem::take(&mut self.resource_changes);
            out.push(Effect::PersistResources(changes));
        }
        out.append(&mut self.effects);
        out
    }

    fn timer_due(&mut self, timer: Timer) {
        match timer {
            Timer::Retry(framework, task) => self.retry(&framework, &task),
            Timer::Operation(operation) => self.forward_operation(operation),
            Timer::Grace(container) => self.grace_over(&container),
            Timer::Completion(container) => self.overran(&container),
            Timer::Registration(container) => self.registration_overdue(&container),
            Timer::Wait(container) => self.effects.push(Effect::Wait(container)),
            Timer::Silence => self.master_silent(),
            Timer::Acknowledge => self.acknowledge(),
            Timer::Heartbeat => self.heartbeat(),
            Timer::Leave => self.effects.push(Effect::Exit(Exit::Done)),
        }
    }

    fn after(&self, delay: Duration) -> Duration {
        self.now.mono.saturating_add(delay)
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.state.frameworks.get_mut(id).map(Arc::make_mut)
    }

    fn executor_mut(&mut self, framework: &FrameworkId, id: &ExecutorId) -> Option<&mut Executor> {
        let framework = self.framework_mut(framework)?;
        framework.executors.get_mut(id).map(Arc::make_mut)
    }

    fn task_mut(&mut self, framework: &FrameworkId, id: &TaskId) -> Option<&mut Task> {
        let executor = self.index.get(&(framework.clone(), id.clone()))?.clone();
        let executor = self.executor_mut(framework, &executor)?;
        executor.tasks.get_mut(id).map(Arc::make_mut)
    }

    /// The executor of a run, as readers see it.
    fn executor_of(&self, container: &ContainerId) -> Option<&Arc<Executor>> {
        let run = self.runs.get(container)?;
        self.state
            .executor(&run.framework, &run.executor)
            .filter(|executor| executor.container == *container)
    }

    fn executor_of_mut(&mut self, container: &ContainerId) -> Option<&mut Executor> {
        let run = self.runs.get(container)?;
        let (framework, executor) = (run.framework.clone(), run.executor.clone());
        self.executor_mut(&framework, &executor)
            .filter(|executor| executor.container == *container)
    }

    /// `state` for frameworks that know it, TASK_LOST for those from before partition awareness.
    fn or_lost(&self, framework: &FrameworkId, state: TaskState) -> TaskState {
        match self.state.frameworks.get(framework) {
            Some(framework) if !framework.capabilities.partition_aware => TaskState::TaskLost,
            _ => state,
        }
    }

    fn is_terminating(&self) -> bool {
        self.state.phase == Phase::Terminating
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("state", &self.state)
            .field("runs", &self.runs)
            .finish_non_exhaustive()
    }
}
