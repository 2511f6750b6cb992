//! What a containerizer answers: launches, ends, limits reached, statistics.

use mesos_types::Resources;
use mesos_wire::v1;

/// Outcome of `launch`.
#[derive(Debug, Clone, PartialEq)]
pub enum LaunchResult {
    /// The process runs.
    Launched(Running),
    /// A container with this id exists already; nothing was done.
    AlreadyLaunched,
    /// Not a container for this containerizer; the next one may be asked.
    NotSupported,
}

/// Facts about a container that has just started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Running {
    /// Pid on the host of the container's first process.
    pub pid: Option<u32>,
    /// Network addresses, cgroups.
    pub status: ContainerStatus,
    /// Bytes for `TaskStatus.data` of TASK_RUNNING (docker: the inspect JSON).
    pub data: Option<Vec<u8>>,
}

/// Where a running container is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerStatus {
    /// Pid on the host of the container's first process.
    pub pid: Option<u32>,
    /// Networks with addresses; empty: the agent's own address holds.
    pub network_infos: Vec<v1::NetworkInfo>,
    /// Cgroup details.
    pub cgroup_info: Option<v1::CgroupInfo>,
}

/// A resource bound that the container has broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Limitation {
    /// For the task status.
    pub reason: v1::task_status::Reason,
    /// For a person.
    pub message: String,
    /// What was used, for `TaskStatus.limitation`.
    pub resources: Resources,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Termination {
    /// Raw wait status; `None`: unknown.
    pub status: Option<i32>,
    /// Set when a bound ended the container.
    pub limitation: Option<Limitation>,
    /// Further words for the status message, such as what an engine said.
    pub message: Option<String>,
}

/// What a container uses; all of it goes to `/monitor/statistics` and `/containers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Counters and gauges as on the wire.
    pub statistics: v1::ResourceStatistics,
}
