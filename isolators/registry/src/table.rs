//! The table of isolators. A new one is a line here.

use std::{fmt, sync::Arc};

use caps::Capability;
use mesos_isolator_api::Isolator;
use mesos_isolator_cgroups::{CpuIsolator, MemIsolator};
use mesos_isolator_filesystem::{LinuxFilesystem, PosixFilesystem};
use mesos_isolator_linux::CgroupError;
use mesos_isolator_namespaces::PidIsolator;
use mesos_isolator_posix::{DiskUsage, PosixCpu, PosixMem};

use crate::IsolationSettings;

type Build = fn(&IsolationSettings) -> Result<Arc<dyn Isolator>, CgroupError>;

/// One isolator.
pub struct Entry {
    /// As an operator writes it.
    pub name: &'static str,
    /// Makes it.
    pub build: Build,
    /// What the agent must be able to do for it.
    pub needs: &'static [Capability],
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// In launch order: `prepare` walks it forward, `cleanup` backward. The order of Apache Mesos.
pub const TABLE: &[Entry] = &[
    Entry {
        name: "filesystem/posix",
        build: |settings| Ok(Arc::new(PosixFilesystem::new(&settings.work_dir))),
        needs: &[],
    },
    Entry {
        name: "filesystem/linux",
        build: |settings| Ok(Arc::new(LinuxFilesystem::new(&settings.work_dir))),
        needs: &[Capability::CAP_SYS_ADMIN],
    },
    Entry {
        name: "posix/cpu",
        build: |_| Ok(Arc::new(PosixCpu::default())),
        needs: &[],
    },
    Entry {
        name: "posix/mem",
        build: |_| Ok(Arc::new(PosixMem::default())),
        needs: &[],
    },
    Entry {
        name: "cgroups/cpu",
        build: |settings| Ok(Arc::new(CpuIsolator::new(&settings.cgroups())?)),
        needs: &[],
    },
    Entry {
        name: "cgroups/mem",
        build: |settings| Ok(Arc::new(MemIsolator::new(&settings.cgroups())?)),
        needs: &[],
    },
    Entry {
        name: "namespaces/pid",
        build: |_| Ok(Arc::new(PidIsolator)),
        needs: &[Capability::CAP_SYS_ADMIN],
    },
    Entry {
        name: "disk/du",
        build: |settings| {
            Ok(Arc::new(DiskUsage::new(
                &settings.work_dir,
                settings.container_disk_watch_interval,
                settings.enforce_container_disk_quota,
            )))
        },
        needs: &[],
    },
];

/// Older names, and what they stand for.
const ALIASES: &[(&str, &[&str])] = &[
    ("process", &["posix/cpu", "posix/mem"]),
    ("cgroups", &["cgroups/cpu", "cgroups/mem"]),
    ("posix/disk", &["disk/du"]),
];

/// Names that are isolators of their own in Apache Mesos, and part of another one here.
pub(crate) const PARTS: &[(&str, &str)] = &[
    ("volume/host_path", "filesystem/linux"),
    ("volume/sandbox_path", "filesystem/linux"),
];

/// Names of Apache Mesos 1.11 that are not in the table.
pub(crate) const NOT_BUILT: &[&str] = &[
    "posix/rlimits",
    "cgroups/all",
    "cgroups/blkio",
    "cgroups/cpuset",
    "cgroups/devices",
    "cgroups/hugetlb",
    "cgroups/net_cls",
    "cgroups/net_prio",
    "cgroups/perf_event",
    "cgroups/pids",
    "appc/runtime",
    "docker/runtime",
    "docker/volume",
    "linux/capabilities",
    "linux/devices",
    "linux/nnp",
    "linux/seccomp",
    "namespaces/ipc",
    "volume/image",
    "volume/secret",
    "volume/csi",
    "disk/xfs",
    "filesystem/shared",
    "gpu/nvidia",
    "network/cni",
    "network/port_mapping",
    "network/ports",
    "environment_secret",
    "windows/cpu",
    "windows/mem",
    "filesystem/windows",
];

pub(crate) fn expand(name: &str) -> Vec<&str> {
    match ALIASES.iter().find(|(alias, _)| *alias == name) {
        Some((_, names)) => names.to_vec(),
        None => vec![name],
    }
}

pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == name)
}

pub(crate) fn known() -> String {
    let names = TABLE.iter().map(|entry| entry.name);
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    names.chain(aliases).collect::<Vec<_>>().join(", ")
}
