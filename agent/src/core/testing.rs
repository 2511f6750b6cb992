//! A core in a box: what it asks for is written down, what it is told is said in short.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use mesos_containerizer_api::{ContainerConfig, LaunchResult, Running, Termination};
use mesos_control::v1::{
    AcknowledgeUpdate, KillTask, KnownTask, MasterMessage, OperationUpdate, RunTask, Welcome,
    agent_message, master_message,
};
use mesos_flags::agent::{ReconfigurationPolicy, Recover};
use mesos_types::{ContainerId, PersistentVolume, parse_resources};
use mesos_wire::v1::{self, TaskState, executor};

use super::{ConnectionId, Core, Effect, Event, Now, Refusal, SessionId};
use crate::{
    checkpoint::{Change, Image, ResourceImage},
    config::AgentConfig,
    volumes::VolumeWork,
};

/// Settings of an agent in a test.
pub(crate) fn config(work_dir: &Path) -> AgentConfig {
    AgentConfig {
        work_dir: work_dir.to_owned(),
        ip: Ipv4Addr::LOCALHOST,
        port: 5051,
        hostname: "localhost".to_owned(),
        master: "127.0.0.1:5050".parse().unwrap(),
        detection: mesos_detector::Settings::default(),
        resources: parse_resources("cpus:4;mem:4096;disk:1000;ports:[31000-32000]", "*").unwrap(),
        detected: Vec::new(),
        attributes: Vec::new(),
        domain: None,
        isolation: vec!["cgroups/cpu".to_owned(), "cgroups/mem".to_owned()],
        cfs: false,
        recover: Recover::Reconnect,
        strict: true,
        reconfiguration_policy: ReconfigurationPolicy::Equal,
        recovery_timeout: Duration::from_secs(900),
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        executor_shutdown_grace_period: Duration::from_secs(5),
        executor_environment_variables: Default::default(),
        default_container_info: None,
        switch_user: true,
        registration_backoff_factor: Duration::from_secs(1),
        gc_delay: Duration::from_secs(604_800),
        gc_disk_headroom: 0.1,
        disk_watch_interval: Duration::from_secs(60),
        max_completed_executors: 150,
    }
}

/// A core in a box with everything around it played by the test: master, containerizer, journal.
pub(crate) struct Rig {
    pub(crate) core: Core,
    pub(crate) now: Now,
    /// What the journal holds; a new core can be made from it at any time.
    pub(crate) journal: BTreeMap<String, Vec<u8>>,
    /// What the journal of reservations, volumes and operations holds.
    pub(crate) resource_journal: BTreeMap<String, Vec<u8>>,
    /// Work on volumes that was asked for.
    pub(crate) work: Vec<VolumeWork>,
    /// Ends of operations sent to the master.
    pub(crate) ends: Vec<OperationUpdate>,
    /// Effects that were not looked at yet, in short.
    pub(crate) seen: Vec<String>,
    /// Updates sent to the master that were not looked at yet.
    pub(crate) updates: Vec<v1::TaskStatus>,
    /// Events sent to executors.
    pub(crate) events: Vec<(ConnectionId, executor::Event)>,
    /// Containers by executor.
    pub(crate) containers: BTreeMap<String, ContainerId>,
    /// What was given to the containerizer.
    pub(crate) configs: Vec<ContainerConfig>,
    session: SessionId,
    sequence: u64,
    config: Arc<AgentConfig>,
}

pub(crate) const AGENT: &str = "m-S0";
pub(crate) const FRAMEWORK: &str = "m-0000";

impl Rig {
    /// A registered agent.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut AgentConfig)) -> Self {
        let mut config = config(Path::new("/w"));
        change(&mut config);
        let config = Arc::new(config);
        let now = Now {
            mono: Duration::from_secs(1_000_000),
            wall: 1_700_000_000.0,
        };
        let core = Core::new(config.clone(), config.agent_info(), "boot".to_owned(), now);
        let mut rig = Self {
            core,
            now,
            journal: BTreeMap::new(),
            resource_journal: BTreeMap::new(),
            work: Vec::new(),
            ends: Vec::new(),
            seen: Vec::new(),
            updates: Vec::new(),
            events: Vec::new(),
            containers: BTreeMap::new(),
            configs: Vec::new(),
            session: 0,
            sequence: 0,
            config,
        };
        rig.event(Event::Recovered { took: 0.0 });
        rig.connect(&[]);
        rig.look();
        rig
    }

    /// Changes the flags for the next start.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut AgentConfig)) {
        change(Arc::make_mut(&mut self.config));
    }

    /// Takes an event, carries the persistent effects out and notes the rest.
    pub(crate) fn event(&mut self, event: Event) {
        for effect in self.core.handle(self.now, event) {
            self.note(effect);
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall += time.as_secs_f64();
        self.event(Event::Tick);
    }

    fn note(&mut self, effect: Effect) {
        let text = match effect {
            Effect::Persist(changes) => {
                apply(&mut self.journal, changes);
                return;
            }
            Effect::Adopt(info) => format!("adopt {}", info.id.unwrap().value),
            Effect::OpenSession(_, messages) => format!("open {}", messages.len()),
            Effect::Send(_, message) => match message.body {
                Some(agent_message::Body::Update(update)) => {
                    let status = update.status.unwrap();
                    let latest = update
                        .latest_state
                        .map(|state| {
                            format!(
                                " latest={}",
                                TaskState::try_from(state).unwrap().as_str_name()
                            )
                        })
                        .unwrap_or_default();
                    let text = format!("update {}{latest}", told(&status));
                    self.updates.push(status);
                    text
                }
                Some(agent_message::Body::ExecutorExited(exited)) => {
                    format!(
                        "exited {} {}",
                        exited.executor_id.unwrap().value,
                        exited.status
                    )
                }
                Some(agent_message::Body::ExecutorMessage(message)) => {
                    format!("message {}", String::from_utf8(message.data).unwrap())
                }
                Some(agent_message::Body::OperationUpdate(update)) => {
                    let status = update.status.clone().unwrap();
                    let message = status.message.clone().map(|m| format!(" \"{m}\""));
                    self.ends.push(update);
                    format!(
                        "operation {}{}",
                        status.state().as_str_name(),
                        message.unwrap_or_default()
                    )
                }
                Some(agent_message::Body::Nothing(_)) => return,
                Some(agent_message::Body::Pong(_)) => "pong".to_owned(),
                Some(agent_message::Body::Unregister(_)) => "unregister".to_owned(),
                other => format!("{other:?}"),
            },
            Effect::CloseSession(_) => "close session".to_owned(),
            Effect::MakeSandbox(request) => {
                let executor = request.paths.executor.to_string();
                self.containers
                    .insert(executor.clone(), request.container.clone());
                format!("sandbox {executor}")
            }
            Effect::Launch(config) => {
                let text = format!("launch {}", config.identity.executor);
                self.configs.push(*config);
                text
            }
            Effect::Wait(id) => format!("wait {}", self.name(&id)),
            Effect::Resize(request) => format!(
                "resize {} cpus={} mem={}",
                self.name(&request.container),
                request.resources.cpus().unwrap_or_default(),
                request.resources.mem().unwrap_or_default()
            ),
            Effect::PersistResources(changes) => {
                apply(&mut self.resource_journal, changes);
                return;
            }
            Effect::Volumes(work) => {
                let names = |all: &[PersistentVolume]| {
                    let names: Vec<&str> = all.iter().map(|v| v.id.as_str()).collect();
                    names.join(",")
                };
                let text = format!("volumes +{} -{}", names(&work.make), names(&work.remove));
                self.work.push(*work);
                text
            }
            Effect::Signal(id, signal) => format!("signal {} {signal}", self.name(&id)),
            Effect::Destroy(id) => format!("destroy {}", self.name(&id)),
            Effect::Forget(id) => format!("forget {}", self.name(&id)),
            Effect::Probe(id) => format!("probe {}", self.name(&id)),
            Effect::Answer(_, Ok(())) => "202".to_owned(),
            Effect::Answer(_, Err(Refusal::Bad(text))) => format!("400 {text}"),
            Effect::Answer(_, Err(Refusal::Forbidden(text))) => format!("403 {text}"),
            Effect::ToExecutor(connection, event) => {
                let text = format!("to {connection} {}", event.r#type().as_str_name());
                self.events.push((connection, *event));
                text
            }
            Effect::CloseExecutor(connection) => format!("close {connection}"),
            Effect::Collect(_) => return,
            Effect::Renounce => "renounce".to_owned(),
            Effect::Exit(exit) => format!("exit {exit:?}"),
        };
        self.seen.push(text);
    }

    fn name(&self, id: &ContainerId) -> String {
        self.containers
            .iter()
            .find(|(_, container)| *container == id)
            .map_or_else(|| "?".to_owned(), |(name, _)| name.clone())
    }

    /// Everything since the last look.
    pub(crate) fn look(&mut self) -> String {
        std::mem::take(&mut self.seen).join("\n")
    }

    /// A new session with a master that knows these tasks.
    pub(crate) fn connect(&mut self, known: &[(&str, bool)]) {
        self.session += 1;
        self.sequence = 0;
        self.event(Event::SessionWanted(self.session));
        self.master(master_message::Body::Welcome(Welcome {
            agent_id: Some(AGENT.into()),
            ping_timeout_seconds: 75.0,
            known_tasks: known
                .iter()
                .map(|(task, partition_aware)| KnownTask {
                    framework_id: Some(FRAMEWORK.into()),
                    task_id: Some((*task).into()),
                    partition_aware: *partition_aware,
                })
                .collect(),
            ..Default::default()
        }));
    }

    /// The master's answer to a session that was opened by hand.
    pub(crate) fn restart_session(&mut self, welcome: Welcome) {
        self.session += 1;
        self.sequence = 0;
        self.master(master_message::Body::Welcome(Welcome {
            agent_id: Some(AGENT.into()),
            ping_timeout_seconds: 75.0,
            ..welcome
        }));
    }

    pub(crate) fn disconnect(&mut self) {
        self.event(Event::SessionLost(self.session));
    }

    pub(crate) fn master(&mut self, body: master_message::Body) {
        self.master_of("master", 0, body);
    }

    pub(crate) fn master_of(&mut self, master: &str, election: u64, body: master_message::Body) {
        self.sequence += 1;
        let message = MasterMessage {
            sequence: self.sequence,
            acknowledged: 0,
            master_id: master.to_owned(),
            election,
            realm: 0,
            body: Some(body),
        };
        self.event(Event::Master(self.session, Box::new(message)));
    }

    pub(crate) fn run(&mut self, task: v1::TaskInfo) {
        self.run_for(framework(), task);
    }

    pub(crate) fn run_for(&mut self, framework: v1::FrameworkInfo, task: v1::TaskInfo) {
        self.master(master_message::Body::RunTask(RunTask {
            framework: Some(framework),
            task: Some(task),
        }));
    }

    pub(crate) fn kill(&mut self, task: &str, grace: Option<u64>) {
        self.master(master_message::Body::KillTask(KillTask {
            framework_id: Some(FRAMEWORK.into()),
            task_id: Some(task.into()),
            kill_policy: grace.map(|secs| v1::KillPolicy {
                grace_period: Some(v1::DurationInfo {
                    nanoseconds: i64::try_from(secs * 1_000_000_000).unwrap(),
                }),
            }),
        }));
    }

    /// Acknowledges the last update sent for a task.
    pub(crate) fn ack(&mut self, task: &str) {
        let uuid = self
            .updates
            .iter()
            .rev()
            .find(|status| status.task_id.value == task)
            .and_then(|status| status.uuid.clone())
            .expect("an update was sent");
        self.master(master_message::Body::AcknowledgeUpdate(AcknowledgeUpdate {
            framework_id: Some(FRAMEWORK.into()),
            task_id: Some(task.into()),
            uuid,
        }));
    }

    pub(crate) fn container(&self, executor: &str) -> ContainerId {
        self.containers[executor].clone()
    }

    pub(crate) fn sandbox_made(&mut self, executor: &str) {
        self.event(Event::SandboxMade(self.container(executor), Ok(())));
    }

    pub(crate) fn launched(&mut self, executor: &str) {
        let running = Running {
            pid: Some(42),
            ..Default::default()
        };
        let event = Event::Launched(
            self.container(executor),
            Ok(LaunchResult::Launched(running)),
        );
        self.event(event);
    }

    /// A wait status, or nothing known.
    pub(crate) fn ended(&mut self, executor: &str, status: Option<i32>) {
        let termination = Termination {
            status,
            ..Default::default()
        };
        let event = Event::Ended(self.container(executor), Ok(Some(termination)));
        self.event(event);
    }

    /// A task that runs, all acknowledged.
    pub(crate) fn running(&mut self, task: v1::TaskInfo) {
        let id = task.task_id.value.clone();
        self.run(task);
        self.sandbox_made(&id);
        self.launched(&id);
        self.ack(&id);
        self.ack(&id);
        self.look();
    }

    pub(crate) fn call(&mut self, connection: Option<ConnectionId>, call: executor::Call) {
        self.event(Event::Executor {
            request: 1,
            connection,
            call: Box::new(call),
        });
    }

    /// `kill -9` and a new start of the agent: only the journal is left. Not connected yet.
    pub(crate) fn crash(&mut self, rebooted: bool) {
        let image = Image::read(&self.journal);
        assert!(image.lost.is_empty(), "{:?}", image.lost);
        let agent = image.agent.clone().and_then(|agent| agent.info).unwrap();
        self.now.mono += Duration::from_secs(1);
        self.now.wall += 1.0;
        self.core = Core::new(self.config.clone(), agent, "boot".to_owned(), self.now)
            .restore(image, rebooted);
        let resources = ResourceImage::read(&self.resource_journal)
            .unwrap()
            .unwrap_or_default();
        let total = self
            .config
            .resources
            .apply_checkpointed(&resources.checkpointed)
            .unwrap();
        let core = std::mem::replace(
            &mut self.core,
            Core::new(
                self.config.clone(),
                self.config.agent_info(),
                String::new(),
                self.now,
            ),
        );
        self.core = core.restore_resources(total, resources);
        self.updates.clear();
        self.look();
        self.event(Event::Recovered { took: 0.0 });
    }

    pub(crate) fn task_state(&self, task: &str) -> Option<TaskState> {
        self.core
            .state()
            .task(&FRAMEWORK.into(), &task.into())
            .map(|(_, task)| task.state)
    }
}

fn apply(journal: &mut BTreeMap<String, Vec<u8>>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Put(key, value) => {
                journal.insert(key, value);
            }
            Change::Delete(key) => {
                journal.remove(&key);
            }
            Change::DeletePrefix(prefix) => journal.retain(|key, _| !key.starts_with(&prefix)),
        }
    }
}

/// A persistent volume of role `dev`, seen at `data`.
pub(crate) fn volume(id: &str, mib: f64) -> v1::Resource {
    v1::Resource {
        disk: Some(v1::resource::DiskInfo {
            persistence: Some(v1::resource::disk_info::Persistence {
                id: id.to_owned(),
                principal: None,
            }),
            volume: Some(v1::Volume {
                mode: v1::volume::Mode::Rw.into(),
                container_path: "data".to_owned(),
                ..Default::default()
            }),
            source: None,
        }),
        ..reserved("disk", mib)
    }
}

/// Something reserved for role `dev` by an operation.
pub(crate) fn reserved(name: &str, amount: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        scalar: Some(v1::value::Scalar { value: amount }),
        reservations: vec![v1::resource::ReservationInfo {
            r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
            role: Some("dev".to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn told(status: &v1::TaskStatus) -> String {
    let mut text = format!(
        "{} {} {}",
        status.task_id.value,
        status.state().as_str_name(),
        status.source().as_str_name()
    );
    if status.reason.is_some() {
        text.push_str(&format!(" {}", status.reason().as_str_name()));
    }
    if let Some(message) = &status.message {
        text.push_str(&format!(" \"{message}\""));
    }
    text
}

pub(crate) fn framework() -> v1::FrameworkInfo {
    use v1::framework_info::{Capability, capability::Type};
    v1::FrameworkInfo {
        user: "root".to_owned(),
        name: "test".to_owned(),
        id: Some(FRAMEWORK.into()),
        roles: vec!["*".to_owned()],
        capabilities: [
            Type::MultiRole,
            Type::PartitionAware,
            Type::TaskKillingState,
        ]
        .map(|kind| Capability {
            r#type: Some(kind.into()),
        })
        .to_vec(),
        ..Default::default()
    }
}

pub(crate) fn resources(text: &str) -> Vec<v1::Resource> {
    parse_resources(text, "*")
        .unwrap()
        .allocated_to("*")
        .to_wire(mesos_types::Format::PostRefinement)
}

/// A command task.
pub(crate) fn task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: id.into(),
        agent_id: AGENT.into(),
        resources: resources("cpus:0.1;mem:32"),
        command: Some(v1::CommandInfo {
            value: Some("true".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A task of a framework's own executor.
pub(crate) fn task_of(executor: &str, id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        command: None,
        executor: Some(v1::ExecutorInfo {
            executor_id: executor.into(),
            command: Some(v1::CommandInfo {
                value: Some("./executor".to_owned()),
                ..Default::default()
            }),
            resources: resources("cpus:0.1;mem:32"),
            ..Default::default()
        }),
        ..task(id)
    }
}

pub(crate) fn call(executor: &str, kind: executor::call::Type) -> executor::Call {
    executor::Call {
        executor_id: executor.into(),
        framework_id: FRAMEWORK.into(),
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

pub(crate) fn subscribe(executor: &str, tasks: Vec<v1::TaskInfo>) -> executor::Call {
    executor::Call {
        subscribe: Some(executor::call::Subscribe {
            unacknowledged_tasks: tasks,
            unacknowledged_updates: Vec::new(),
        }),
        ..call(executor, executor::call::Type::Subscribe)
    }
}

pub(crate) fn update_call(
    executor: &str,
    task: &str,
    state: TaskState,
    uuid: u8,
) -> executor::Call {
    executor::Call {
        update: Some(executor::call::Update {
            status: v1::TaskStatus {
                task_id: task.into(),
                state: state.into(),
                source: Some(v1::task_status::Source::Executor.into()),
                uuid: Some(vec![uuid; 16]),
                ..Default::default()
            },
        }),
        ..call(executor, executor::call::Type::Update)
    }
}
