//! What the agent's flags say about cgroups, and the patience that removing one needs.

use std::{sync::Arc, time::Duration};

use mesos_isolator_linux::{Cgroup, CgroupError, Hierarchies};

/// From the agent's flags.
#[derive(Debug, Clone)]
pub struct CgroupSettings {
    /// Where the hierarchies are mounted.
    pub hierarchies: Arc<Hierarchies>,
    /// `--cgroups_root`: the cgroup that holds the containers, relative to each hierarchy.
    pub root: String,
    /// `--cgroups_enable_cfs`: requests are upper bounds too, enforced by the CFS quota.
    pub enable_cfs: bool,
    /// `--cgroups_limit_swap`: the memory limit also bounds memory plus swap.
    pub limit_swap: bool,
    /// `--revocable_cpu_low_priority`.
    pub revocable_cpu_low_priority: bool,
    /// All memory of the host, bytes.
    pub host_memory: u64,
}

/// How often the kernel is asked to remove a cgroup, 1 ms apart. Source: cgroup v2 removal in
/// `linux/cgroups2.cpp` of Apache Mesos.
const REMOVE_TRIES: u32 = 5000;

/// Removes a cgroup whose last process may still be on its way out; 5 seconds at most.
pub async fn remove_patiently(cgroup: &Cgroup) -> Result<(), CgroupError> {
    for _ in 0..REMOVE_TRIES {
        if cgroup.remove()? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Err(CgroupError::Io {
        action: "remove".to_owned(),
        path: cgroup.path().to_owned(),
        source: std::io::Error::new(
            std::io::ErrorKind::ResourceBusy,
            "still busy after 5 seconds",
        ),
    })
}
