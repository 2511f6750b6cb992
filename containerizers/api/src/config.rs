//! What a container shall be: everything a containerizer needs to know to launch it.

use std::{collections::BTreeMap, path::PathBuf};

use mesos_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Limits, Resources, TaskId};
use mesos_wire::v1;

/// Whose container it is. Written into labels and names, read back by recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The agent that runs the container.
    pub agent: AgentId,
    /// The framework it belongs to.
    pub framework: FrameworkId,
    /// The executor it belongs to; for a command task the task's own id.
    pub executor: ExecutorId,
    /// The task, when the container is a command task rather than an executor.
    pub task: Option<TaskId>,
}

/// Everything a containerizer needs to launch, or after a restart to recognise, one container.
///
/// The agent has validated it, made the sandbox (owned by `user`) and written its intent down.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerConfig {
    /// One id per run, never used twice.
    pub id: ContainerId,
    /// Whose container it is.
    pub identity: Identity,
    /// What to run; `uris` are fetched into the sandbox first.
    pub command: v1::CommandInfo,
    /// Image, volumes and networks; `None`: an ordinary process on the host's file system.
    pub container: Option<v1::ContainerInfo>,
    /// Requests. For a command task under the `mesos` containerizer the executor's overhead of
    /// 0.1 cpus and 32 MiB is already added.
    pub resources: Resources,
    /// Upper bounds.
    pub limits: Limits,
    /// Host path of the sandbox.
    pub sandbox: PathBuf,
    /// User on the host to run as; `None`: the agent's own.
    pub user: Option<String>,
    /// The complete environment of the process except what the containerizer itself adds
    /// (`MESOS_SANDBOX`, `MESOS_CONTAINER_NAME`, image defaults). `command.environment` is
    /// already merged in, secrets resolved.
    pub environment: BTreeMap<String, String>,
    /// Grace between SIGTERM and SIGKILL that `destroy` need not honour but `docker stop` shows.
    pub kill_grace: std::time::Duration,
}
