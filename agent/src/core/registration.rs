//! Sessions with the master: hello, snapshot, welcome, fencing, and what is kept until it is taken over.

use std::{sync::Arc, time::Duration};

use mesos_control::v1::{
    AgentMessage, CompletedFramework, ExecutorExited, Hello, MasterMessage, Nothing, Pong, Refused,
    Snapshot, SnapshotChunk, Unregister, VersionRange, Welcome, agent_message::Body,
    master_message,
};
use mesos_types::{AgentId, Format, FrameworkId, TaskId};
use mesos_wire::v1::{
    TaskState, agent_info::Capability, agent_info::capability, task_status::Reason,
};

use prost::Message as _;

use super::{Core, Effect, Exit, SessionId, Timer, updates::NewStatus};
use crate::state::{ExecutorPhase, FrameworkPhase, Phase};

/// What this agent can do, by Mesos's names. Those of Mesos 1.11 that are not built are left out.
pub const CAPABILITIES: [capability::Type; 7] = [
    capability::Type::MultiRole,
    capability::Type::HierarchicalRole,
    capability::Type::ReservationRefinement,
    capability::Type::ResizeVolume,
    capability::Type::AgentOperationFeedback,
    capability::Type::AgentDraining,
    capability::Type::TaskResourceLimits,
];
/// How long the master may be silent before it has said what it wants. Source: Mesos, 15 s × 5.
const DEFAULT_SILENCE: Duration = Duration::from_secs(75);
/// How long taking-over may stay untold when there is nothing else to say.
const ACKNOWLEDGE_DELAY: Duration = Duration::from_millis(100);
/// How long a leaving agent waits for the master to take that over.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// One connection to a master.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// The master has accepted us on it.
    pub(super) welcomed: bool,
    master: String,
    silence: Duration,
    /// Highest sequence sent.
    sent: u64,
    /// Highest sequence of the master taken over, and told to it.
    taken: u64,
    told: u64,
}

impl Core {
    /// Puts a message on its way to the master, if there is one.
    pub(super) fn send(&mut self, body: Body) -> Option<u64> {
        let session = self.session.as_mut()?;
        session.sent += 1;
        session.told = session.taken;
        let (id, sequence) = (session.id, session.sent);
        let message = AgentMessage {
            sequence,
            acknowledged: session.taken,
            body: Some(body),
        };
        self.timers.cancel(&Timer::Acknowledge);
        self.effect(Effect::Send(id, Box::new(message)));
        Some(sequence)
    }

    pub(super) fn open_session(&mut self, id: SessionId) {
        if self.state.phase == Phase::Recovering {
            // The driver asks only after recovery; without a hello the connection ends by itself.
            self.effect(Effect::CloseSession(id));
            return;
        }
        self.session = Some(Session {
            id,
            welcomed: false,
            master: String::new(),
            silence: DEFAULT_SILENCE,
            sent: 0,
            taken: 0,
            told: 0,
        });
        let silence = self.after(DEFAULT_SILENCE);
        self.timers.set(Timer::Silence, silence);
        let snapshot = self.state.id.is_some().then(|| self.snapshot());
        let hello = Hello {
            protocol: Some(VersionRange {
                lowest: mesos_control::PROTOCOL_LOWEST,
                highest: mesos_control::PROTOCOL_HIGHEST,
            }),
            features: Vec::new(),
            agent_id: self.state.id.as_ref().map(Into::into),
            process_epoch: self.process_epoch.clone(),
            session_epoch: id,
            agent: Some((*self.state.agent).clone()),
            version: mesos_http::version::COMPATIBLE.to_owned(),
            ip: self.config.ip.to_string(),
            capabilities: CAPABILITIES
                .iter()
                .map(|kind| Capability {
                    r#type: Some((*kind).into()),
                })
                .collect(),
            // Resources change only with a restart, which is a new hello.
            resource_version_uuid: uuid::Uuid::new_v4().into_bytes().to_vec(),
            snapshot_follows: snapshot.is_some(),
            previous_master_id: self
                .state
                .master
                .as_ref()
                .map(|master| master.id.clone())
                .unwrap_or_default(),
        };
        let mut bodies = vec![Body::Hello(hello)];
        if let Some(snapshot) = snapshot {
            bodies.extend(chunks(&snapshot));
        }
        let messages: Vec<AgentMessage> = (1..)
            .zip(bodies)
            .map(|(sequence, body)| AgentMessage {
                sequence,
                acknowledged: 0,
                body: Some(body),
            })
            .collect();
        if let Some(session) = &mut self.session {
            session.sent = messages.len() as u64;
        }
        self.effect(Effect::OpenSession(id, messages));
    }

    /// Everything a master needs to know of us.
    pub(super) fn snapshot(&self) -> Snapshot {
        let agent = self.state.id.as_ref().map(Into::into);
        let operations = self.state.operations.values();
        let mut snapshot = Snapshot {
            operations: operations
                .filter_map(|operation| operation.to_wire(agent.as_ref()))
                .collect(),
            checkpointed_resources: self.checkpointed().to_wire(Format::PostRefinement),
            ..Snapshot::default()
        };
        for framework in self.state.frameworks.values() {
            if framework.phase == FrameworkPhase::Terminating {
                continue;
            }
            snapshot.frameworks.push((*framework.info).clone());
            for executor in framework.executors.values() {
                if !executor.kind.is_generated() && executor.phase != ExecutorPhase::Terminated {
                    snapshot.executors.push((*executor.info).clone());
                }
                let tasks = executor.tasks.values();
                snapshot
                    .tasks
                    .extend(tasks.map(|task| task.to_wire(&framework.id)));
            }
            let done: Vec<_> = framework
                .completed_executors
                .iter()
                .flat_map(|executor| executor.completed_tasks.iter())
                .map(|task| task.to_wire(&framework.id))
                .collect();
            if !done.is_empty() {
                snapshot.completed_frameworks.push(CompletedFramework {
                    framework: Some((*framework.info).clone()),
                    tasks: done,
                });
            }
        }
        for framework in &self.state.completed_frameworks {
            let tasks = framework
                .completed_executors
                .iter()
                .flat_map(|executor| executor.completed_tasks.iter())
                .map(|task| task.to_wire(&framework.id))
                .collect();
            snapshot.completed_frameworks.push(CompletedFramework {
                framework: Some((*framework.info).clone()),
                tasks,
            });
        }
        snapshot
    }

    pub(super) fn session_lost(&mut self, id: SessionId) {
        if self.session.as_ref().is_none_or(|session| session.id != id) {
            return;
        }
        let was_welcomed = self.session.take().is_some_and(|session| session.welcomed);
        self.timers.cancel(&Timer::Silence);
        self.timers.cancel(&Timer::Acknowledge);
        for (sequence, _) in &mut self.exited {
            *sequence = None;
        }
        self.pause_updates();
        self.pause_operations();
        if self.state.phase == Phase::Registered {
            self.state.phase = Phase::Disconnected;
        }
        if was_welcomed {
            tracing::warn!("the master is gone; trying to reach one");
        }
    }

    pub(super) fn master_silent(&mut self) {
        if let Some(session) = &self.session {
            let id = session.id;
            tracing::warn!(silence = ?session.silence, "the master has been silent for too long");
            self.effect(Effect::CloseSession(id));
            self.session_lost(id);
        }
    }

    pub(super) fn acknowledge(&mut self) {
        if self
            .session
            .as_ref()
            .is_some_and(|s| s.welcomed && s.told < s.taken)
        {
            self.send(Body::Nothing(Nothing {}));
        }
    }

    pub(super) fn master_said(&mut self, id: SessionId, message: MasterMessage) {
        let fence = self.fence;
        let Some(session) = self.session.as_mut().filter(|session| session.id == id) else {
            return;
        };
        let is_stale = fence.refuses(message.realm, message.election);
        let is_other = session.welcomed && session.master != message.master_id;
        if is_stale || is_other {
            tracing::warn!(
                master = %message.master_id,
                election = message.election,
                seen = fence.election,
                "refused a message of a master that does not lead any more"
            );
            self.effect(Effect::CloseSession(id));
            self.session_lost(id);
            return;
        }
        if message.sequence != 0 && message.sequence <= session.taken {
            return;
        }
        session.taken = session.taken.max(message.sequence);
        let silence = session.silence;
        let acknowledged = message.acknowledged;
        let at = self.after(silence);
        self.timers.set(Timer::Silence, at);
        self.exited
            .retain(|(sequence, _)| sequence.is_none_or(|sequence| sequence > acknowledged));
        if self.fence.raise(message.realm, message.election) && self.state.id.is_some() {
            self.persist_election();
        }
        let Some(body) = message.body else {
            return;
        };
        let welcomed = self
            .session
            .as_ref()
            .is_some_and(|session| session.welcomed);
        match body {
            master_message::Body::Welcome(welcome) => self.welcomed(message.master_id, welcome),
            master_message::Body::Refused(refused) => self.refused(id, refused),
            master_message::Body::Shutdown(shutdown) => {
                self.removed(&shutdown.message);
            }
            master_message::Body::Nothing(_) => {}
            body if welcomed => self.master_wants(body),
            _ => {
                tracing::warn!("the master spoke before it welcomed this agent; trying again");
                self.effect(Effect::CloseSession(id));
                self.session_lost(id);
                return;
            }
        }
        // Unless something else tells it sooner.
        if self.session.as_ref().is_some_and(|s| s.told < s.taken)
            && self.timers.at(&Timer::Acknowledge).is_none()
        {
            let at = self.after(ACKNOWLEDGE_DELAY);
            self.timers.set(Timer::Acknowledge, at);
        }
    }

    fn master_wants(&mut self, body: master_message::Body) {
        use master_message::Body as Wish;
        if matches!(
            body,
            Wish::RunTask(_) | Wish::ApplyOperation(_) | Wish::Ping(_)
        ) {
            // It would have asked for it before.
            self.end_unconfirmed_drain();
        }
        match body {
            Wish::RunTask(run) => match (run.framework, run.task) {
                (Some(framework), Some(task)) => self.run_task(framework, task),
                _ => tracing::warn!("the master sent a task without framework or description"),
            },
            Wish::KillTask(kill) => {
                if let (Some(framework), Some(task)) = (kill.framework_id, kill.task_id) {
                    self.kill_task(
                        &FrameworkId::from(&framework),
                        &TaskId::from(&task),
                        kill.kill_policy.as_ref(),
                    );
                }
            }
            Wish::AcknowledgeUpdate(ack) => {
                if let (Some(framework), Some(task)) = (ack.framework_id, ack.task_id) {
                    self.acknowledged(
                        &FrameworkId::from(&framework),
                        &TaskId::from(&task),
                        &ack.uuid,
                    );
                }
            }
            Wish::ShutdownExecutor(shutdown) => {
                if let (Some(framework), Some(executor)) =
                    (shutdown.framework_id, shutdown.executor_id)
                {
                    self.shutdown_executor(&framework.into(), &executor.into());
                }
            }
            Wish::ShutdownFramework(shutdown) => {
                if let Some(framework) = shutdown.framework_id {
                    self.shutdown_framework(&framework.into());
                }
            }
            Wish::UpdateFramework(update) => {
                if let Some(info) = update.framework {
                    self.update_framework(info);
                }
            }
            Wish::FrameworkMessage(message) => {
                if let (Some(framework), Some(executor)) =
                    (message.framework_id, message.executor_id)
                {
                    self.framework_message(&framework.into(), &executor.into(), message.data);
                }
            }
            Wish::Ping(_) => {
                self.send(Body::Pong(Pong {}));
            }
            Wish::ApplyOperation(apply) => self.apply_operation(apply),
            Wish::AcknowledgeOperation(ack) => self.operation_acknowledged(&ack),
            Wish::DrainAgent(drain) => match drain.config {
                Some(config) => self.drain_tasks(config),
                None => self.end_drain(),
            },
            Wish::Nothing(_) | Wish::Welcome(_) | Wish::Refused(_) | Wish::Shutdown(_) => {}
        }
    }

    fn welcomed(&mut self, master_id: String, welcome: Welcome) {
        let Some(given) = welcome.agent_id.as_ref().map(AgentId::from) else {
            tracing::warn!("the master welcomed this agent without an id");
            return;
        };
        match &self.state.id {
            Some(own) if *own != given => {
                let text = format!(
                    "the master calls this agent {given}, but it is {own}; remove the link {}/meta/slaves/latest to start as a new agent",
                    self.config.work_dir.display()
                );
                self.effect(Effect::Exit(Exit::Failed(text)));
                return;
            }
            Some(_) => {}
            None => {
                let mut info = (*self.state.agent).clone();
                info.id = Some((&given).into());
                self.first = Some(Effect::Adopt(Box::new(info.clone())));
                self.state.agent = Arc::new(info);
                self.state.id = Some(given.clone());
                self.persist_identity();
            }
        }
        let silence = Duration::try_from_secs_f64(welcome.ping_timeout_seconds)
            .ok()
            .filter(|silence| !silence.is_zero())
            .unwrap_or(DEFAULT_SILENCE);
        if let Some(session) = &mut self.session {
            session.welcomed = true;
            session.master = master_id;
            session.silence = silence;
        }
        let at = self.after(silence);
        self.timers.set(Timer::Silence, at);
        if self.state.phase != Phase::Terminating {
            self.state.phase = Phase::Registered;
        }
        self.state.master = welcome.master.map(Arc::new).or(self.state.master.take());
        self.state.registered = Some(self.now.wall);
        self.state.counters.registrations += 1;
        tracing::info!(agent = %given, reregistered = welcome.reregistered, "registered with the master");
        if self.leaving {
            self.send(Body::Unregister(Unregister {}));
        }
        self.drain_confirmed = false;
        self.resend_updates();
        self.resend_operations();
        for operation in welcome.known_operations {
            self.reconcile_operation(operation);
        }
        for at in 0..self.exited.len() {
            let message = self.exited[at].1.clone();
            self.exited[at].0 = self.send(Body::ExecutorExited(message));
        }
        for known in welcome.known_tasks {
            let (Some(framework), Some(task)) = (known.framework_id, known.task_id) else {
                continue;
            };
            self.reconcile(framework.into(), task.into(), known.partition_aware);
        }
    }

    /// The master holds a task on this agent; if the agent does not, it says so.
    fn reconcile(&mut self, framework: FrameworkId, task: TaskId, partition_aware: bool) {
        let key = (framework.clone(), task.clone());
        if self.index.contains_key(&key) || self.streams.contains_key(&key) {
            return;
        }
        let state = if partition_aware {
            TaskState::TaskDropped
        } else {
            TaskState::TaskLost
        };
        let new = NewStatus::agent(
            state,
            Reason::Reconciliation,
            "Reconciliation: task unknown to the agent",
        );
        let status = self.status(None, &task, new);
        self.update(&framework, None, status);
    }

    fn refused(&mut self, session: SessionId, refused: Refused) {
        if refused.shutdown {
            self.removed(&refused.message);
            return;
        }
        tracing::warn!(message = %refused.message, "the master refused this agent; trying again");
        self.effect(Effect::CloseSession(session));
        self.session_lost(session);
    }

    /// The master wants nothing of us any more.
    fn removed(&mut self, message: &str) {
        tracing::error!(
            message,
            "the master removed this agent; ending its tasks and itself"
        );
        self.effect(Effect::Renounce);
        self.terminate();
    }

    /// The operator wants us to leave the cluster.
    pub(super) fn leave(&mut self) {
        if self.leaving {
            return;
        }
        tracing::info!("leaving the cluster: unregistering, ending tasks");
        self.leaving = true;
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.welcomed)
        {
            self.send(Body::Unregister(Unregister {}));
        }
        self.effect(Effect::Renounce);
        self.terminate();
    }

    fn terminate(&mut self) {
        self.state.phase = Phase::Terminating;
        let frameworks: Vec<FrameworkId> = self.state.frameworks.keys().cloned().collect();
        for framework in frameworks {
            self.shutdown_framework(&framework);
        }
        self.exit_when_empty();
    }

    /// Ends the process once nothing is left to end. What was sent gets a moment to leave.
    pub(super) fn exit_when_empty(&mut self) {
        if self.is_terminating() && self.state.frameworks.is_empty() {
            let at = self.after(if self.session.is_some() {
                LEAVE_PATIENCE
            } else {
                Duration::ZERO
            });
            self.timers.set(Timer::Leave, at);
        }
    }

    /// An executor of a framework has ended; told again until the master has taken it over.
    pub(super) fn executor_exited(&mut self, message: ExecutorExited) {
        let welcomed = self
            .session
            .as_ref()
            .is_some_and(|session| session.welcomed);
        let sequence = if welcomed {
            self.send(Body::ExecutorExited(message.clone()))
        } else {
            None
        };
        self.exited.push((sequence, message));
    }
}

/// A snapshot in pieces; at least one, so that the last is marked.
fn chunks(snapshot: &Snapshot) -> Vec<Body> {
    let bytes = snapshot.encode_to_vec();
    let mut pieces: Vec<&[u8]> = bytes.chunks(mesos_control::SNAPSHOT_CHUNK_BYTES).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    pieces
        .into_iter()
        .enumerate()
        .map(|(at, piece)| {
            Body::Snapshot(SnapshotChunk {
                data: piece.to_vec(),
                last: at == last,
            })
        })
        .collect()
}
