//! `cgroups/cpu` on cgroup v1: `cpu` and `cpuacct`, together or each on its own mount.

use std::path::PathBuf;

use mesos_isolator_linux::{Cgroup, CgroupError, cgroup::value_of, nix};
use mesos_types::ContainerId;
use mesos_wire::v1::ResourceStatistics;

use super::{PERIOD_US, Plan, Quota, thousandths};
use crate::CgroupSettings;

/// Source: `CPU_SHARES_PER_CPU`, `CPU_SHARES_PER_CPU_REVOCABLE`, `MIN_CPU_SHARES` of Apache Mesos.
const SHARES_PER_CPU: u64 = 1024;
const SHARES_PER_CPU_LOW: u64 = 10;
const MIN_SHARES: u64 = 2;

#[derive(Debug)]
pub(super) struct CpuV1 {
    cpu: Cgroup,
    cpuacct: Cgroup,
}

impl CpuV1 {
    pub(super) fn new(settings: &CgroupSettings) -> Result<Self, CgroupError> {
        let root = |controller| {
            settings
                .hierarchies
                .prepare_root(controller, &settings.root, &[])
        };
        Ok(Self {
            cpu: root("cpu")?,
            cpuacct: root("cpuacct")?,
        })
    }

    /// One cgroup where the two are mounted together, else two.
    pub(super) fn cgroups(&self, id: &ContainerId) -> Vec<Cgroup> {
        let mut cgroups = vec![self.cpu.child(id.value())];
        if self.cpuacct != self.cpu {
            cgroups.push(self.cpuacct.child(id.value()));
        }
        cgroups
    }

    pub(super) fn create(&self, id: &ContainerId) -> Result<Vec<PathBuf>, CgroupError> {
        self.cgroups(id)
            .into_iter()
            .map(|cgroup| cgroup.create().map(|_| cgroup.file("cgroup.procs")))
            .collect()
    }

    pub(super) fn apply(&self, id: &ContainerId, plan: &Plan) -> Result<(), CgroupError> {
        let cgroup = self.cpu.child(id.value());
        let per_cpu = if plan.low_priority {
            SHARES_PER_CPU_LOW
        } else {
            SHARES_PER_CPU
        };
        let shares = (thousandths(plan.cpus).saturating_mul(per_cpu) / 1000).max(MIN_SHARES);
        cgroup.write("cpu.shares", &shares.to_string())?;
        match plan.quota {
            Quota::Untouched => Ok(()),
            Quota::Infinite => cgroup.write("cpu.cfs_quota_us", "-1"),
            Quota::PerPeriod(quota) => {
                cgroup.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                cgroup.write("cpu.cfs_quota_us", &quota.to_string())
            }
        }
    }

    pub(super) fn usage(
        &self,
        id: &ContainerId,
        cfs: bool,
        statistics: &mut ResourceStatistics,
    ) -> Result<(), CgroupError> {
        let times = self.cpuacct.child(id.value()).read("cpuacct.stat")?;
        let seconds = |key| value_of(&times, key).map(|ticks| ticks as f64 / ticks_per_second());
        statistics.cpus_user_time_secs = seconds("user");
        statistics.cpus_system_time_secs = seconds("system");
        if cfs {
            let stat = self.cpu.child(id.value()).read("cpu.stat")?;
            let count = |key| value_of(&stat, key).and_then(|count| u32::try_from(count).ok());
            statistics.cpus_nr_periods = count("nr_periods");
            statistics.cpus_nr_throttled = count("nr_throttled");
            statistics.cpus_throttled_time_secs =
                value_of(&stat, "throttled_time").map(|nanos| nanos as f64 / 1e9);
        }
        Ok(())
    }
}

/// USER_HZ, 100 on every Linux this runs on.
fn ticks_per_second() -> f64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .unwrap_or(100) as f64
}
