//! `cgroups/cpu` on cgroup v2.
//!
//! Limits sit on `<root>/<id>`; its processes are in `<root>/<id>/leaf`, because a cgroup with
//! controllers in its children must hold no process itself.

use std::path::PathBuf;

use mesos_isolator_linux::{Cgroup, CgroupError, cgroup::value_of};
use mesos_types::ContainerId;
use mesos_wire::v1::ResourceStatistics;

use super::{PERIOD_US, Plan, Quota, thousandths};
use crate::CgroupSettings;

/// Source: `CPU_WEIGHT_PER_CPU`, `CPU_WEIGHT_PER_CPU_REVOCABLE` of Apache Mesos; the kernel's range
/// is 1 to 10000 (Documentation/admin-guide/cgroup-v2.rst, `cpu.weight`).
const WEIGHT_PER_CPU: u64 = 100;
const WEIGHT_PER_CPU_LOW: u64 = 1;
const WEIGHTS: std::ops::RangeInclusive<u64> = 1..=10_000;

#[derive(Debug)]
pub(super) struct CpuV2 {
    root: Cgroup,
}

impl CpuV2 {
    pub(super) fn new(settings: &CgroupSettings) -> Result<Self, CgroupError> {
        Ok(Self {
            root: settings
                .hierarchies
                .prepare_root("cpu", &settings.root, &["cpu"])?,
        })
    }

    pub(super) fn cgroups(&self, id: &ContainerId) -> Vec<Cgroup> {
        vec![self.root.child(id.value())]
    }

    pub(super) fn create(&self, id: &ContainerId) -> Result<Vec<PathBuf>, CgroupError> {
        let cgroup = self.root.child(id.value());
        cgroup.create()?;
        let leaf = cgroup.child("leaf");
        leaf.create()?;
        Ok(vec![leaf.file("cgroup.procs")])
    }

    pub(super) fn apply(&self, id: &ContainerId, plan: &Plan) -> Result<(), CgroupError> {
        let cgroup = self.root.child(id.value());
        let per_cpu = if plan.low_priority {
            WEIGHT_PER_CPU_LOW
        } else {
            WEIGHT_PER_CPU
        };
        let weight = (thousandths(plan.cpus).saturating_mul(per_cpu) / 1000)
            .clamp(*WEIGHTS.start(), *WEIGHTS.end());
        cgroup.write("cpu.weight", &weight.to_string())?;
        match plan.quota {
            Quota::Untouched => Ok(()),
            Quota::Infinite => cgroup.write("cpu.max", "max"),
            Quota::PerPeriod(quota) => cgroup.write("cpu.max", &format!("{quota} {PERIOD_US}")),
        }
    }

    pub(super) fn usage(
        &self,
        id: &ContainerId,
        statistics: &mut ResourceStatistics,
    ) -> Result<(), CgroupError> {
        let stat = self.root.child(id.value()).read("cpu.stat")?;
        let seconds = |key| value_of(&stat, key).map(|micros| micros as f64 / 1e6);
        let count = |key| value_of(&stat, key).and_then(|count| u32::try_from(count).ok());
        statistics.cpus_user_time_secs = seconds("user_usec");
        statistics.cpus_system_time_secs = seconds("system_usec");
        statistics.cpus_nr_periods = count("nr_periods");
        statistics.cpus_nr_throttled = count("nr_throttled");
        statistics.cpus_throttled_time_secs = seconds("throttled_usec");
        Ok(())
    }
}
