//! Values of the journal. Fields are only ever added; their numbers never change their meaning.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use mesos_containerizer_api::{ContainerConfig, Identity};
use mesos_types::{ContainerId, Format, LimitValue, Limits, Resources, Scalar};
use mesos_wire::v1;

/// The agent as it was when it last registered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentRecord {
    /// What it registered with.
    #[prost(message, optional, tag = "1")]
    pub info: Option<v1::AgentInfo>,
    /// Names of resources that were detected rather than given by a flag.
    #[prost(string, repeated, tag = "2")]
    pub detected: Vec<String>,
    /// The boot of the host on which the containers of this journal run.
    #[prost(string, tag = "3")]
    pub boot_id: String,
}

/// A run of an executor: the intent to launch its container, in full.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutorRecord {
    /// As the framework gave it, or as made up for a command task.
    #[prost(message, optional, tag = "1")]
    pub info: Option<v1::ExecutorInfo>,
    /// 0 command, 1 docker, 2 custom.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The container's id.
    #[prost(string, tag = "3")]
    pub container: String,
    /// The sandbox.
    #[prost(string, tag = "4")]
    pub sandbox: String,
    /// The container as given to the containerizer; unset until the intent to launch it stands.
    #[prost(message, optional, tag = "5")]
    pub intent: Option<IntentRecord>,
    /// The container came up.
    #[prost(bool, tag = "6")]
    pub launched: bool,
    /// What the containerizer said about it then.
    #[prost(message, optional, tag = "7")]
    pub status: Option<v1::ContainerStatus>,
    /// The executor subscribed at least once.
    #[prost(bool, tag = "8")]
    pub subscribed: bool,
    /// It was told to end.
    #[prost(bool, tag = "9")]
    pub terminating: bool,
    /// Its container is gone, and that has been dealt with.
    #[prost(bool, tag = "10")]
    pub terminated: bool,
}

/// A [`ContainerConfig`] without what the executor's record says already.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntentRecord {
    /// What to run.
    #[prost(message, optional, tag = "1")]
    pub command: Option<v1::CommandInfo>,
    /// Image, volumes and networks.
    #[prost(message, optional, tag = "2")]
    pub container: Option<v1::ContainerInfo>,
    /// Requests.
    #[prost(message, repeated, tag = "3")]
    pub resources: Vec<v1::Resource>,
    /// Bound on CPUs; infinite as in IEEE 754.
    #[prost(double, optional, tag = "4")]
    pub cpus_limit: Option<f64>,
    /// Bound on memory in MiB.
    #[prost(double, optional, tag = "5")]
    pub mem_limit: Option<f64>,
    /// User on the host.
    #[prost(string, optional, tag = "6")]
    pub user: Option<String>,
    /// Environment of the process.
    #[prost(btree_map = "string, string", tag = "7")]
    pub environment: BTreeMap<String, String>,
    /// Grace between SIGTERM and SIGKILL, in milliseconds.
    #[prost(uint64, tag = "8")]
    pub kill_grace_ms: u64,
    /// The task, for command tasks.
    #[prost(string, optional, tag = "9")]
    pub task: Option<String>,
}

/// A task the agent has taken.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskRecord {
    /// As the framework gave it.
    #[prost(message, optional, tag = "1")]
    pub info: Option<v1::TaskInfo>,
    /// Seconds since the epoch.
    #[prost(double, tag = "2")]
    pub accepted: f64,
    /// Delivered to the executor.
    #[prost(bool, tag = "3")]
    pub launched: bool,
    /// A kill that has been asked for.
    #[prost(message, optional, tag = "4")]
    pub kill: Option<KillRecord>,
}

/// A kill that has been asked for.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct KillRecord {
    /// Seconds since the epoch at which it was first asked for.
    #[prost(double, tag = "1")]
    pub asked: f64,
    /// Shortest grace asked for, in milliseconds; unset: the executor's own default.
    #[prost(uint64, optional, tag = "2")]
    pub grace_ms: Option<u64>,
    /// The task overran its `max_completion_time`.
    #[prost(bool, tag = "3")]
    pub overran: bool,
}

/// A drain that the master has asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DrainRecord {
    /// As it came.
    #[prost(message, optional, tag = "1")]
    pub config: Option<v1::DrainConfig>,
    /// Seconds since the epoch at which it began.
    #[prost(double, tag = "2")]
    pub since: f64,
}

/// A status update.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateRecord {
    /// The status, with its uuid.
    #[prost(message, optional, tag = "1")]
    pub status: Option<v1::TaskStatus>,
    /// The executor the task belongs to.
    #[prost(string, optional, tag = "2")]
    pub executor: Option<String>,
}

impl IntentRecord {
    /// The part of `config` that the executor's record does not say.
    pub fn of(config: &ContainerConfig) -> Self {
        let limit = |limit: Option<LimitValue>| {
            limit.map(|limit| match limit {
                LimitValue::Infinite => f64::INFINITY,
                LimitValue::Finite(amount) => amount.as_f64(),
            })
        };
        Self {
            command: Some(config.command.clone()),
            container: config.container.clone(),
            resources: config.resources.to_wire(Format::PostRefinement),
            cpus_limit: limit(config.limits.cpus),
            mem_limit: limit(config.limits.mem),
            user: config.user.clone(),
            environment: config.environment.clone(),
            kill_grace_ms: u64::try_from(config.kill_grace.as_millis()).unwrap_or(u64::MAX),
            task: config.identity.task.as_ref().map(ToString::to_string),
        }
    }

    /// The container's configuration again; `None`: the record is not complete.
    pub fn config(
        &self,
        id: ContainerId,
        identity: Identity,
        sandbox: PathBuf,
    ) -> Option<ContainerConfig> {
        let limit = |limit: Option<f64>| {
            limit.map(|limit| match Scalar::from_f64(limit) {
                Some(amount) => LimitValue::Finite(amount),
                None => LimitValue::Infinite,
            })
        };
        Some(ContainerConfig {
            id,
            identity: Identity {
                task: self.task.as_deref().map(Into::into),
                ..identity
            },
            command: self.command.clone()?,
            container: self.container.clone(),
            resources: Resources::from_wire(&self.resources).ok()?,
            limits: Limits {
                cpus: limit(self.cpus_limit),
                mem: limit(self.mem_limit),
            },
            sandbox,
            user: self.user.clone(),
            environment: self.environment.clone(),
            kill_grace: Duration::from_millis(self.kill_grace_ms),
        })
    }
}
