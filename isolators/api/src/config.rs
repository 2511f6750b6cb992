//! What isolators are told about a container, and what they ask the launcher to do.

use std::{collections::BTreeMap, path::PathBuf};

use mesos_types::{ContainerId, Limits, Resources};
use mesos_wire::v1;

/// What an isolator may know about a container.
#[derive(Debug, Clone, PartialEq)]
pub struct IsolatorConfig {
    /// The container.
    pub id: ContainerId,
    /// Requests.
    pub resources: Resources,
    /// Upper bounds.
    pub limits: Limits,
    /// Host path of the sandbox.
    pub sandbox: PathBuf,
    /// User on the host; `None`: the agent's own.
    pub user: Option<String>,
    /// Image, volumes and networks.
    pub container: Option<v1::ContainerInfo>,
    /// Whether this is a command task (its out-of-memory score may be raised).
    pub command_task: bool,
}

/// A container that is still there after an agent restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// As given to `prepare` once.
    pub config: IsolatorConfig,
    /// Pid of its first process; `None`: it has ended, or never ran.
    pub pid: Option<u32>,
}

/// A kernel namespace of its own for the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// Mounts.
    Mount,
    /// Process ids.
    Pid,
    /// System V IPC and POSIX queues.
    Ipc,
    /// Network.
    Net,
    /// Host name.
    Uts,
    /// Cgroup paths.
    Cgroup,
}

/// A mount made inside the container's mount namespace before the command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Device or path; `None` for pseudo file systems.
    pub source: Option<PathBuf>,
    /// Where.
    pub target: PathBuf,
    /// File system type; `None` for bind mounts and propagation changes.
    pub fstype: Option<String>,
    /// `MS_*` bits of mount(2).
    pub flags: u64,
    /// Options of the file system.
    pub options: Option<String>,
}

/// What the launcher shall do for an isolator. Lists concatenate in isolator order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchInfo {
    /// Namespaces to make.
    pub namespaces: Vec<Namespace>,
    /// Mounts to make, in order.
    pub mounts: Vec<Mount>,
    /// Variables to add to the task's environment.
    pub environment: BTreeMap<String, String>,
    /// Files (`cgroup.procs`) into which the launcher writes the first process's pid before it
    /// runs, so that the agent need not be asked again.
    pub join_cgroups: Vec<PathBuf>,
    /// `oom_score_adj` of the task; only ever raised.
    pub oom_score_adj: Option<i32>,
}

impl LaunchInfo {
    /// Puts `other` behind what is here already.
    pub fn merge(&mut self, other: LaunchInfo) {
        for namespace in other.namespaces {
            if !self.namespaces.contains(&namespace) {
                self.namespaces.push(namespace);
            }
        }
        self.mounts.extend(other.mounts);
        self.environment.extend(other.environment);
        self.join_cgroups.extend(other.join_cgroups);
        self.oom_score_adj = self.oom_score_adj.max(other.oom_score_adj);
    }
}
