//! `cgroups/cpu`: shares CPU time between containers, and bounds it.
//!
//! - A container's weight against others follows its request, at every update.
//! - Its quota per period of 100 ms follows its limit, or its request when `--cgroups_enable_cfs`
//!   is on. Without either there is no bound.
//! - One revocable cpu puts the whole container at low priority (`--revocable_cpu_low_priority`).
//!
//! Behaviour: Apache Mesos, `isolators/cgroups/subsystems/cpu.cpp` and
//! `isolators/cgroups2/controllers/cpu.cpp`; ours clamps `cpu.weight` to what the kernel takes.

mod v1;
mod v2;

use async_trait::async_trait;
use mesos_isolator_api::{
    Isolator, IsolatorConfig, IsolatorError, LaunchInfo, LimitValue, Limits, Recovered,
};
use mesos_isolator_linux::{CgroupError, CgroupVersion};
use mesos_types::{ContainerId, Resources, Scalar};
use mesos_wire::v1::ResourceStatistics;

use crate::CgroupSettings;

/// CFS period, microseconds. Source: `CPU_CFS_PERIOD` there, 100 ms.
const PERIOD_US: u64 = 100_000;
/// Smallest quota the kernel takes, microseconds. Source: `MIN_CPU_CFS_QUOTA` there, 1 ms.
const MIN_QUOTA_US: u64 = 1_000;

/// A container's CPU bounds could not be set.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// Nothing to compute a weight from.
    #[error("No cpus resource given")]
    NoCpus,
    /// The kernel refused.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// See the module.
#[derive(Debug)]
pub struct CpuIsolator {
    half: Half,
    enable_cfs: bool,
    low_priority: bool,
}

#[derive(Debug)]
enum Half {
    V1(v1::CpuV1),
    V2(v2::CpuV2),
}

/// What one update asks for, before it is put in a version's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    cpus: Scalar,
    low_priority: bool,
    quota: Quota,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quota {
    /// Leave as it is.
    Untouched,
    /// No bound.
    Infinite,
    /// Microseconds per period.
    PerPeriod(u64),
}

impl CpuIsolator {
    /// Errs when the host lacks a hierarchy; the error names the missing mount.
    pub fn new(settings: &CgroupSettings) -> Result<Self, CgroupError> {
        Ok(Self {
            half: match settings.hierarchies.version() {
                CgroupVersion::V1 => Half::V1(v1::CpuV1::new(settings)?),
                CgroupVersion::V2 => Half::V2(v2::CpuV2::new(settings)?),
            },
            enable_cfs: settings.enable_cfs,
            low_priority: settings.revocable_cpu_low_priority,
        })
    }

    fn plan(&self, resources: &Resources, limits: &Limits) -> Result<Plan, CpuError> {
        let cpus = resources.cpus().ok_or(CpuError::NoCpus)?;
        let quota = match limits.cpus {
            Some(LimitValue::Infinite) => Quota::Infinite,
            Some(LimitValue::Finite(limit)) => Quota::PerPeriod(quota_us(limit)),
            None if self.enable_cfs => Quota::PerPeriod(quota_us(cpus)),
            None => Quota::Untouched,
        };
        let revocable = resources.revocable().cpus().is_some();
        Ok(Plan {
            cpus,
            low_priority: self.low_priority && revocable,
            quota,
        })
    }

    fn apply(
        &self,
        id: &ContainerId,
        resources: &Resources,
        limits: &Limits,
    ) -> Result<(), CpuError> {
        let plan = self.plan(resources, limits)?;
        match &self.half {
            Half::V1(half) => half.apply(id, &plan)?,
            Half::V2(half) => half.apply(id, &plan)?,
        }
        Ok(())
    }

    fn error(&self, error: &dyn std::error::Error) -> IsolatorError {
        IsolatorError::new(self.name(), error)
    }
}

fn quota_us(cpus: Scalar) -> u64 {
    (thousandths(cpus).saturating_mul(PERIOD_US) / 1000).max(MIN_QUOTA_US)
}

/// Negative amounts do not get here from a validated task; they count as nothing.
fn thousandths(cpus: Scalar) -> u64 {
    u64::try_from(cpus.thousandths()).unwrap_or(0)
}

#[async_trait]
impl Isolator for CpuIsolator {
    fn name(&self) -> &'static str {
        "cgroups/cpu"
    }

    async fn recover(
        &self,
        _known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        // All state is in the kernel, under names that follow from the id.
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        let join_cgroups = match &self.half {
            Half::V1(half) => half.create(&config.id),
            Half::V2(half) => half.create(&config.id),
        }
        .map_err(|error| self.error(&error))?;
        self.apply(&config.id, &config.resources, &config.limits)
            .map_err(|error| self.error(&error))?;
        Ok(LaunchInfo {
            join_cgroups,
            ..LaunchInfo::default()
        })
    }

    async fn isolate(&self, _id: &ContainerId, _pid: u32) -> Result<(), IsolatorError> {
        // The first process has entered by `LaunchInfo::join_cgroups`.
        Ok(())
    }

    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        limits: &Limits,
    ) -> Result<(), IsolatorError> {
        self.apply(id, resources, limits)
            .map_err(|error| self.error(&error))
    }

    async fn usage(
        &self,
        id: &ContainerId,
        statistics: &mut ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        match &self.half {
            Half::V1(half) => half.usage(id, self.enable_cfs, statistics),
            Half::V2(half) => half.usage(id, statistics),
        }
        .map_err(|error| self.error(&error))
    }

    async fn cleanup(&self, id: &ContainerId) -> Result<(), IsolatorError> {
        let cgroups = match &self.half {
            Half::V1(half) => half.cgroups(id),
            Half::V2(half) => half.cgroups(id),
        };
        for cgroup in cgroups {
            crate::remove_patiently(&cgroup)
                .await
                .map_err(|error| self.error(&error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fake::{FakeHost, resources};

    #[track_caller]
    fn check(host: &FakeHost, enable_cfs: bool, steps: &[(&str, Option<&str>)], expected: &Expect) {
        let settings = CgroupSettings {
            enable_cfs,
            ..host.settings()
        };
        let isolator = CpuIsolator::new(&settings).unwrap();
        let id = ContainerId::from("c");
        let mut shown = String::new();
        for (step, (request, limit)) in steps.iter().enumerate() {
            let limits = Limits {
                cpus: limit.map(crate::fake::limit),
                mem: None,
            };
            let done = if step == 0 {
                host.block_on(isolator.prepare(&host.config(&id, request, limits)))
                    .map(|_| ())
            } else {
                host.block_on(isolator.update(&id, &resources(request), &limits))
            };
            match done {
                Ok(()) => {
                    shown += &host.show(&[
                        "cpu.shares",
                        "cpu.cfs_period_us",
                        "cpu.cfs_quota_us",
                        "cpu.weight",
                        "cpu.max",
                    ])
                }
                Err(error) => shown += &format!("{error}\n"),
            }
        }
        expected.assert_eq(&shown);
    }

    #[test]
    fn v1_shares_and_quota_follow_request_and_limit() {
        let host = FakeHost::v1();
        check(
            &host,
            true,
            &[
                ("cpus:0.3", None),
                ("cpus:0.001", None),
                ("cpus:2", Some("inf")),
                ("cpus:2", Some("4")),
            ],
            &expect![[r"
                cpu.shares=307 cpu.cfs_period_us=100000 cpu.cfs_quota_us=30000
                cpu.shares=2 cpu.cfs_period_us=100000 cpu.cfs_quota_us=1000
                cpu.shares=2048 cpu.cfs_period_us=100000 cpu.cfs_quota_us=-1
                cpu.shares=2048 cpu.cfs_period_us=100000 cpu.cfs_quota_us=400000
            "]],
        );
    }

    #[test]
    fn v1_without_cfs_leaves_the_quota_alone_unless_there_is_a_limit() {
        check(
            &FakeHost::v1(),
            false,
            &[
                ("cpus:0.5", None),
                ("cpus:0.5", Some("1.5")),
                ("mem:10", None),
            ],
            &expect![[r"
                cpu.shares=512
                cpu.shares=512 cpu.cfs_period_us=100000 cpu.cfs_quota_us=150000
                isolator `cgroups/cpu`: No cpus resource given
            "]],
        );
    }

    #[test]
    fn v2_weight_is_clamped_to_what_the_kernel_takes() {
        check(
            &FakeHost::v2(),
            true,
            &[
                ("cpus:0.3", None),
                ("cpus:0.001", None),
                ("cpus:128", Some("inf")),
            ],
            &expect![[r"
                cpu.weight=30 cpu.max=30000 100000
                cpu.weight=1 cpu.max=1000 100000
                cpu.weight=10000 cpu.max=max
            "]],
        );
    }

    #[test]
    fn a_revocable_cpu_lowers_the_priority_of_the_whole_container() {
        for (host, expected) in [
            (
                FakeHost::v1(),
                expect![[r"
                cpu.shares=20
            "]],
            ),
            (
                FakeHost::v2(),
                expect![[r"
                cpu.weight=2
            "]],
            ),
        ] {
            check(&host, false, &[("cpus:1;cpus{REV}:1", None)], &expected);
        }
    }

    #[test]
    fn usage_is_in_seconds() {
        let host = FakeHost::v1();
        let isolator = CpuIsolator::new(&CgroupSettings {
            enable_cfs: true,
            ..host.settings()
        })
        .unwrap();
        let id = ContainerId::from("c");
        host.write("cpuacct.stat", "user 17\nsystem 3\n");
        host.write(
            "cpu.stat",
            "nr_periods 26\nnr_throttled 1\nthrottled_time 2890858\n",
        );
        let mut statistics = ResourceStatistics::default();
        host.block_on(isolator.usage(&id, &mut statistics)).unwrap();
        assert_eq!(statistics.cpus_user_time_secs, Some(0.17));
        assert_eq!(statistics.cpus_system_time_secs, Some(0.03));
        assert_eq!(statistics.cpus_nr_periods, Some(26));
        assert_eq!(statistics.cpus_nr_throttled, Some(1));
        assert_eq!(statistics.cpus_throttled_time_secs, Some(0.002_890_858));

        let host = FakeHost::v2();
        let isolator = CpuIsolator::new(&host.settings()).unwrap();
        host.write("cpu.stat", "usage_usec 5\nuser_usec 1500000\nsystem_usec 250000\nnr_periods 2\nnr_throttled 1\nthrottled_usec 1000\n");
        let mut statistics = ResourceStatistics::default();
        host.block_on(isolator.usage(&id, &mut statistics)).unwrap();
        assert_eq!(statistics.cpus_user_time_secs, Some(1.5));
        assert_eq!(statistics.cpus_system_time_secs, Some(0.25));
        assert_eq!(statistics.cpus_throttled_time_secs, Some(0.001));
    }

    #[test]
    fn cleanup_may_come_at_any_time_and_again() {
        for host in [FakeHost::v1(), FakeHost::v2()] {
            let isolator = CpuIsolator::new(&host.settings()).unwrap();
            let id = ContainerId::from("never-prepared");
            host.block_on(isolator.cleanup(&id)).unwrap();
            host.block_on(isolator.cleanup(&id)).unwrap();
        }
    }
}
