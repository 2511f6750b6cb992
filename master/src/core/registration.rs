//! An agent comes: for the first time, with a new session, after this master's start, or after silence.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use imbl::{OrdMap, OrdSet};
use mesos_control::v1::{
    Hello, KnownTask, Refused, ShutdownFramework, Snapshot as AgentSnapshot, UpdateFramework,
    Welcome, master_message::Body,
};
use mesos_types::{AgentId, FrameworkId, Resources, TaskId};
use mesos_wire::v1::{self, task_status::Reason};

use super::{AgentHello, Core, Effect, event::events};
use crate::{
    registry::Change as RegistryChange,
    state::{Agent, Change, Executor, Standing, Task, TaskKey},
    validation::agent::{Candidate, validate},
};

/// What waits for the registry, and who waits for that.
#[derive(Debug)]
pub(super) struct Transitions {
    /// Agents that can never come back, and since when.
    gone: BTreeMap<AgentId, i64>,
    /// Tokens given out.
    tokens: u64,
    pending: HashMap<u64, Pending>,
    /// Agents with something pending.
    busy: HashSet<AgentId>,
    /// The newest hello of an agent that is busy.
    waiting: HashMap<AgentId, AgentHello>,
}

/// What happens once the registry holds a change.
#[derive(Debug)]
enum Pending {
    Admit {
        id: AgentId,
        hello: Box<AgentHello>,
        candidate: Box<Candidate>,
        was: Was,
        closed: bool,
    },
    Unreachable {
        id: AgentId,
        since_nanos: i64,
    },
}

/// What the agent was when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Was {
    /// Never seen.
    New,
    /// Registered with this master; its session broke or is replaced.
    Registered,
    /// In the registry, not back since this master started.
    Recovered,
    /// Marked unreachable.
    Unreachable,
    /// Of another master's time, and no longer in the registry.
    Unknown,
}

impl Transitions {
    pub(super) fn new(gone: BTreeMap<AgentId, i64>) -> Self {
        Self {
            gone,
            tokens: 0,
            pending: HashMap::new(),
            busy: HashSet::new(),
            waiting: HashMap::new(),
        }
    }

    /// Whether the agent was removed for good.
    pub(super) fn is_gone(&self, id: &AgentId) -> bool {
        self.gone.contains_key(id)
    }

    /// Whether the agent is being let in right now.
    pub(super) fn admits(&self, id: &AgentId) -> bool {
        self.busy.contains(id)
            && self
                .pending
                .values()
                .any(|pending| matches!(pending, Pending::Admit { id: own, .. } if own == id))
    }

    pub(super) fn is_busy(&self, id: &AgentId) -> bool {
        self.busy.contains(id)
    }

    fn begin(&mut self, id: &AgentId, pending: Pending) -> u64 {
        self.tokens += 1;
        self.busy.insert(id.clone());
        self.pending.insert(self.tokens, pending);
        self.tokens
    }

    /// A session has ended: what waits in it is void, what is under way goes on without it.
    pub(super) fn drop_session(&mut self, session: u64) {
        self.waiting.retain(|_, hello| hello.session != session);
        for pending in self.pending.values_mut() {
            if let Pending::Admit { hello, closed, .. } = pending
                && hello.session == session
            {
                *closed = true;
            }
        }
    }
}

impl Core {
    pub(super) fn hello(&mut self, hello: AgentHello) {
        let candidate = match validate(&hello) {
            Ok(candidate) => candidate,
            Err(invalid) => {
                tracing::warn!(peer = %hello.peer, %invalid, "refused an agent");
                return self.refuse(hello.session, invalid.0, false);
            }
        };
        let Some(id) = candidate.info.id.as_ref().map(AgentId::from) else {
            return self.register(hello, candidate);
        };
        if self.transitions.is_gone(&id) {
            let text =
                format!("Agent {id} was removed for good; it cannot come back under this id");
            return self.refuse(hello.session, text, true);
        }
        if self.transitions.is_busy(&id) {
            if let Some(older) = self.transitions.waiting.insert(id, hello) {
                self.effects.push(Effect::CloseSession {
                    session: older.session,
                });
            }
            return;
        }
        self.reregister(id, hello, candidate);
    }

    fn refuse(&mut self, session: u64, message: String, shutdown: bool) {
        self.effects.push(Effect::Message {
            session,
            body: Box::new(Body::Refused(Refused { message, shutdown })),
        });
        self.effects.push(Effect::CloseSession { session });
    }

    fn register(&mut self, hello: AgentHello, mut candidate: Candidate) {
        let address = (ip(&hello), candidate.info.port());
        if let Some(known) = self
            .addresses
            .get(&address)
            .and_then(|id| self.state.agents.get(id))
        {
            let id = known.id.clone();
            if known.process_epoch == hello.hello.process_epoch && !self.transitions.is_busy(&id) {
                // It was admitted, and its session broke before it heard its id.
                candidate.info.id = Some((&id).into());
                return self.take_in(id, hello, candidate, Was::Registered);
            }
        }
        let id = AgentId::from(format!("{}-S{}", self.master_id(), self.next.agent));
        self.next.agent += 1;
        candidate.info.id = Some((&id).into());
        self.admit_to_registry(id, hello, candidate, Was::New);
    }

    fn reregister(&mut self, id: AgentId, hello: AgentHello, candidate: Candidate) {
        let state = &self.state;
        let (was, same) = if let Some(known) = state.agents.get(&id) {
            (Was::Registered, *known.info == candidate.info)
        } else if let Some(known) = state.recovered_agents.get(&id) {
            (Was::Recovered, *known.info == candidate.info)
        } else if state.unreachable_agents.contains_key(&id) {
            (Was::Unreachable, false)
        } else {
            (Was::Unknown, false)
        };
        if same {
            self.take_in(id, hello, candidate, was);
        } else {
            self.admit_to_registry(id, hello, candidate, was);
        }
    }

    fn admit_to_registry(
        &mut self,
        id: AgentId,
        hello: AgentHello,
        candidate: Candidate,
        was: Was,
    ) {
        let change = RegistryChange::Admit(id.clone(), Box::new(candidate.info.clone()));
        let pending = Pending::Admit {
            id: id.clone(),
            hello: Box::new(hello),
            candidate: Box::new(candidate),
            was,
            closed: false,
        };
        let token = self.transitions.begin(&id, pending);
        self.effects.push(Effect::Registry { token, change });
    }

    /// Begins to mark an agent unreachable, unless something else is under way with it.
    pub(super) fn mark_unreachable(&mut self, id: &AgentId) {
        if self.transitions.is_busy(id) {
            // It is at the door: whatever comes of that, it is watched again then.
            return;
        }
        let since_nanos = self.now.nanos();
        let token = self.transitions.begin(
            id,
            Pending::Unreachable {
                id: id.clone(),
                since_nanos,
            },
        );
        let change = RegistryChange::Unreachable(id.clone(), since_nanos);
        self.effects.push(Effect::Registry { token, change });
    }

    /// A change of the registry that nothing waits for.
    pub(super) fn write_registry(&mut self, change: RegistryChange) {
        self.transitions.tokens += 1;
        let token = self.transitions.tokens;
        self.effects.push(Effect::Registry { token, change });
    }

    pub(super) fn registered(&mut self, token: u64) {
        let Some(pending) = self.transitions.pending.remove(&token) else {
            return;
        };
        let id = match pending {
            Pending::Admit {
                id,
                hello,
                candidate,
                was,
                closed,
            } => {
                self.transitions.busy.remove(&id);
                let session = hello.session;
                self.take_in(id.clone(), *hello, *candidate, was);
                if closed {
                    self.session_closed(session);
                }
                id
            }
            Pending::Unreachable { id, since_nanos } => {
                self.transitions.busy.remove(&id);
                self.unreachable(&id, since_nanos);
                id
            }
        };
        if let Some(hello) = self.transitions.waiting.remove(&id) {
            self.hello(hello);
        }
    }

    /// Lets an agent in and welcomes it.
    fn take_in(&mut self, id: AgentId, hello: AgentHello, candidate: Candidate, was: Was) {
        let session = hello.session;
        let snapshot = hello.snapshot.clone().unwrap_or_default();
        let address = (ip(&hello), candidate.info.port());
        if let Some(other) = self
            .addresses
            .get(&address)
            .filter(|other| **other != id)
            .cloned()
        {
            self.replace_agent(&other);
        }
        if was == Was::Registered {
            self.end_old_session(&id, session);
        }
        let known = self.put_agent(&id, &hello, &candidate, &address);
        self.addresses.insert(address, id.clone());
        self.sessions.insert(session, id.clone());
        self.state.recovered_agents.remove(&id);
        self.state.unreachable_agents.remove(&id);
        let after = self.take_frameworks(&snapshot);
        self.take_executors(&id, &snapshot, known);
        let back = self.take_tasks(&id, snapshot, was, known);
        let known_tasks = self.missing_tasks(&id, &hello);
        tracing::info!(agent_id = %id, ?was, unknown_to_it = known_tasks.len(), "an agent registered");
        let welcome = Welcome {
            agent_id: Some((&id).into()),
            protocol: candidate.protocol,
            features: Vec::new(),
            master: Some(self.master_info()),
            ping_timeout_seconds: self.config.agent_ping_timeout.as_secs_f64()
                * f64::from(self.config.max_agent_ping_timeouts),
            known_tasks,
            reregistered: was != Was::New,
        };
        self.tell(&id, Body::Welcome(welcome));
        for body in after {
            self.tell(&id, body);
        }
        self.send_kills(&id);
        self.watch(&id, true);
        let Some(agent) = self.state.agents.get(&id).cloned() else {
            return;
        };
        if known {
            self.allocation.return_agent(&agent);
        } else {
            self.allocation.add_agent(&agent);
            self.changed(Change::AgentAdded(agent));
        }
        for key in back {
            self.announce_return(&key, was);
        }
    }

    fn end_old_session(&mut self, id: &AgentId, session: u64) {
        let old = self.state.agents.get(id).and_then(|agent| agent.session);
        if let Some(old) = old.filter(|old| *old != session) {
            self.sessions.remove(&old);
            self.effects.push(Effect::CloseSession { session: old });
        }
        // What it has may have changed.
        self.withdraw_offers_on(id);
    }

    /// Puts the record of the agent in place; `true` when there was one.
    fn put_agent(
        &mut self,
        id: &AgentId,
        hello: &AgentHello,
        candidate: &Candidate,
        address: &(String, i32),
    ) -> bool {
        let now = self.now.seconds();
        let Hello {
            version,
            capabilities,
            process_epoch,
            resource_version_uuid,
            ..
        } = &hello.hello;
        let old = self.state.agents.get(id).cloned();
        if let Some(old) = &old {
            self.addresses.remove(&(old.ip.clone(), old.port()));
        }
        let fresh = Agent {
            id: id.clone(),
            info: Arc::new(candidate.info.clone()),
            ip: address.0.clone(),
            version: version.clone(),
            capabilities: Arc::new(capabilities.clone()),
            process_epoch: process_epoch.clone(),
            resource_version: resource_version_uuid.clone(),
            registered_time: now,
            reregistered_time: None,
            session: Some(hello.session),
            total: candidate.total.clone(),
            used: OrdMap::new(),
            offered: Resources::default(),
            tasks: OrdSet::new(),
            executors: OrdMap::new(),
            offers: OrdSet::new(),
        };
        let known = old.is_some();
        let agent = match old {
            None => fresh,
            Some(old) => Agent {
                registered_time: old.registered_time,
                reregistered_time: Some(now),
                used: old.used.clone(),
                tasks: old.tasks.clone(),
                executors: old.executors.clone(),
                ..fresh
            },
        };
        self.state.agents.insert(id.clone(), Arc::new(agent));
        known
    }

    /// Adds frameworks that only the agent knows; tells the agent what it has wrong.
    fn take_frameworks(&mut self, snapshot: &AgentSnapshot) -> Vec<Body> {
        let mut after = Vec::new();
        for info in &snapshot.frameworks {
            let Some(wire_id) = &info.id else { continue };
            let id = FrameworkId::from(wire_id);
            if let Some(known) = self.state.frameworks.get(&id) {
                if *known.info != *info {
                    let framework = Some((*known.info).clone());
                    after.push(Body::UpdateFramework(UpdateFramework { framework }));
                }
            } else if self
                .state
                .completed_frameworks
                .iter()
                .any(|framework| framework.id == id)
            {
                let framework_id = Some(wire_id.clone());
                after.push(Body::ShutdownFramework(ShutdownFramework { framework_id }));
            } else {
                tracing::info!(framework_id = %id, "recovered a framework from an agent");
                self.add_framework(&id, info.clone(), Standing::Recovered, Vec::new(), None);
            }
        }
        after
    }

    /// Makes the agent's executors those it holds.
    fn take_executors(&mut self, id: &AgentId, snapshot: &AgentSnapshot, known: bool) {
        let held: HashSet<(FrameworkId, mesos_types::ExecutorId)> = snapshot
            .executors
            .iter()
            .filter_map(|info| {
                Some((
                    info.framework_id.as_ref()?.into(),
                    (&info.executor_id).into(),
                ))
            })
            .collect();
        let Some(agent) = self.state.agents.get(id).cloned() else {
            return;
        };
        for (key, executor) in &agent.executors {
            if !held.contains(key) {
                self.remove_executor(executor);
            }
        }
        for info in &snapshot.executors {
            let Some(framework_id) = info.framework_id.as_ref().map(FrameworkId::from) else {
                continue;
            };
            let key = (framework_id.clone(), (&info.executor_id).into());
            if agent.executors.contains_key(&key)
                || !self.state.frameworks.contains_key(&framework_id)
            {
                continue;
            }
            let resources = self.read_resources(&framework_id, &info.resources);
            if known {
                self.allocation.charge(&framework_id, id, &resources);
            }
            self.add_executor(Executor {
                id: key.1,
                resources,
                info: Arc::new(info.clone()),
                agent_id: id.clone(),
                framework_id,
            });
        }
    }

    /// Adds the agent's tasks that are not known; returns the names of those that run.
    fn take_tasks(
        &mut self,
        id: &AgentId,
        snapshot: AgentSnapshot,
        was: Was,
        known: bool,
    ) -> Vec<TaskKey> {
        let mut back = Vec::new();
        for spec in snapshot.tasks {
            let framework_id = FrameworkId::from(&spec.framework_id);
            let task_id = TaskId::from(&spec.task_id);
            let Some(framework) = self.framework_mut(&framework_id) else {
                continue;
            };
            let unreachable = framework.unreachable_tasks.remove(&task_id);
            if framework.tasks.contains_key(&task_id) {
                continue;
            }
            let resources = self.read_resources(&framework_id, &spec.resources);
            let mut task = Task::new(spec, resources);
            if task.is_terminal() && was == Was::Registered {
                // Its end was acknowledged here, and the acknowledgement did not reach the agent.
                continue;
            }
            task.kill = unreachable.and_then(|unreachable| unreachable.kill);
            if known && task.holds_resources() {
                self.allocation.charge(&framework_id, id, &task.resources);
            }
            if !task.is_terminal() {
                back.push(task.key());
            }
            self.add_task(task);
        }
        // Ends that only the master still remembers were acknowledged.
        if was == Was::Unreachable || was == Was::Unknown {
            self.forget_unreachable_on(id);
        }
        back
    }

    /// Tasks that were on the agent when it became unreachable and that it no longer has.
    fn forget_unreachable_on(&mut self, id: &AgentId) {
        let lost: Vec<(FrameworkId, TaskId)> = self
            .state
            .frameworks
            .values()
            .flat_map(|framework| {
                framework
                    .unreachable_tasks
                    .values()
                    .filter(|task| task.agent_id == *id)
                    .map(|task| (task.framework_id.clone(), task.id.clone()))
            })
            .collect();
        for (framework, task) in lost {
            if let Some(framework) = self.framework_mut(&framework) {
                framework.unreachable_tasks.remove(&task);
            }
        }
    }

    /// Tasks of the agent in our books that it does not hold: it answers for them.
    fn missing_tasks(&mut self, id: &AgentId, hello: &AgentHello) -> Vec<KnownTask> {
        let held: HashSet<(&str, &str)> = hello
            .snapshot
            .iter()
            .flat_map(|snapshot| &snapshot.tasks)
            .map(|task| (task.framework_id.as_str(), task.task_id.as_str()))
            .collect();
        let mut missing = Vec::new();
        for key in self.tasks_on(id) {
            if held.contains(&(key.framework.as_str(), key.task.as_str())) {
                continue;
            }
            let Some(framework) = self.state.frameworks.get(&key.framework) else {
                continue;
            };
            let partition_aware = framework.capabilities.partition_aware;
            let Some(task) = framework.tasks.get(&key.task) else {
                continue;
            };
            if task.is_terminal() {
                self.complete_task(&key);
            } else {
                missing.push(KnownTask {
                    framework_id: Some((&key.framework).into()),
                    task_id: Some((&key.task).into()),
                    partition_aware,
                });
            }
        }
        missing
    }

    fn send_kills(&mut self, id: &AgentId) {
        for key in self.tasks_on(id) {
            let Some(task) = self.task(&key.framework, &key.task) else {
                continue;
            };
            if let Some(policy) = task.kill {
                self.send_kill(&key.framework, &key.task, id, policy);
            }
        }
    }

    /// A task that was unreachable or unknown runs after all: its framework hears of it.
    fn announce_return(&mut self, key: &TaskKey, was: Was) {
        let message = match was {
            // Sic.
            Was::Unreachable => "Unreachable agent re-reregistered",
            Was::Unknown => "Unknown agent reregistered",
            Was::New | Was::Registered | Was::Recovered => return,
        };
        let Some(task) = self.task(&key.framework, &key.task) else {
            return;
        };
        let status = self.status_of(task, task.state, Reason::AgentReregistered, message);
        self.send(&key.framework, events::update(status));
    }

    /// Resources as an agent or an old record has them: allocated to the framework's only role when they
    /// do not say. What does not read counts as nothing.
    fn read_resources(&self, framework: &FrameworkId, wire: &[v1::Resource]) -> Resources {
        let resources = Resources::from_wire(wire).unwrap_or_else(|error| {
            tracing::warn!(framework_id = %framework, %error, "an agent holds resources that do not read");
            Resources::default()
        });
        let role = self
            .state
            .frameworks
            .get(framework)
            .and_then(|framework| framework.roles.iter().next());
        resources.map(|resource| {
            if resource.meta.allocation_role.is_some() {
                return resource.clone();
            }
            let role = role.map_or("*", String::as_str);
            resource.with_meta(|meta| meta.allocation_role = Some(role.into()))
        })
    }
}

/// Address of the agent's HTTP API: what it says, else where it speaks from.
fn ip(hello: &AgentHello) -> String {
    if hello.hello.ip.is_empty() {
        hello.peer.clone()
    } else {
        hello.hello.ip.clone()
    }
}
