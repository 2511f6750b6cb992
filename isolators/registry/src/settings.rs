//! What the agent's flags say about isolation.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mesos_isolator_cgroups::CgroupSettings;
use mesos_isolator_linux::{CgroupError, Hierarchies};

/// Everything isolators are made from.
#[derive(Debug, Clone)]
pub struct IsolationSettings {
    /// `--isolation`: names separated by commas.
    pub isolation: String,
    /// `--work_dir`, below which persistent volumes lie.
    pub work_dir: PathBuf,
    /// The cgroup file systems of the host.
    pub hierarchies: Arc<Hierarchies>,
    /// `--cgroups_root`.
    pub cgroups_root: String,
    /// `--cgroups_enable_cfs`.
    pub cgroups_enable_cfs: bool,
    /// `--cgroups_limit_swap`.
    pub cgroups_limit_swap: bool,
    /// `--revocable_cpu_low_priority`.
    pub revocable_cpu_low_priority: bool,
    /// All memory of the host, bytes.
    pub host_memory: u64,
    /// `--enforce_container_disk_quota`.
    pub enforce_container_disk_quota: bool,
    /// `--container_disk_watch_interval`.
    pub container_disk_watch_interval: Duration,
}

impl IsolationSettings {
    /// What Apache Mesos 1.11 does without flags, on this host, for an agent of this `work_dir`.
    /// `hierarchy` is `--cgroups_hierarchy`.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    pub fn for_host(hierarchy: &Path, work_dir: &Path) -> Result<Self, CgroupError> {
        Ok(Self {
            isolation: "posix/cpu,posix/mem".to_owned(),
            work_dir: work_dir.to_owned(),
            hierarchies: Arc::new(Hierarchies::detect(hierarchy)?),
            cgroups_root: "mesos".to_owned(),
            cgroups_enable_cfs: false,
            cgroups_limit_swap: false,
            revocable_cpu_low_priority: true,
            host_memory: host_memory(),
            enforce_container_disk_quota: false,
            container_disk_watch_interval: Duration::from_secs(15),
        })
    }

    pub(crate) fn cgroups(&self) -> CgroupSettings {
        CgroupSettings {
            hierarchies: self.hierarchies.clone(),
            root: self.cgroups_root.clone(),
            enable_cfs: self.cgroups_enable_cfs,
            limit_swap: self.cgroups_limit_swap,
            revocable_cpu_low_priority: self.revocable_cpu_low_priority,
            host_memory: self.host_memory,
        }
    }
}

/// `MemTotal` in bytes; 0 when it cannot be read, and then nothing is computed from it.
fn host_memory() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kib| kib.saturating_mul(1024))
}
