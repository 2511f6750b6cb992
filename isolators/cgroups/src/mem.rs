//! `cgroups/mem`: bounds a container's memory, and tells when the kernel had to kill for it.
//!
//! - The soft bound follows the request at every update (v1 `memory.soft_limit_in_bytes`,
//!   v2 `memory.low`), at least 32 MiB.
//! - The hard bound follows the limit, or the request without one. It is set at launch and only
//!   raised afterwards, because a bound below current use would kill a healthy task.
//! - An out-of-memory kill is a [`Limitation`]: the whole container goes.
//!
//! Behaviour: Apache Mesos, `isolators/cgroups/subsystems/memory.cpp` and
//! `isolators/cgroups2/controllers/memory.cpp`. Ours looks at `oom_kill` on v2, not at `oom`, which
//! also counts failed allocations that killed nobody.

mod oom;
mod v1;
mod v2;

use async_trait::async_trait;
use mesos_isolator_api::{
    Isolator, IsolatorConfig, IsolatorError, LaunchInfo, LimitValue, Limitation, Limits, Recovered,
};
use mesos_isolator_linux::{CgroupError, CgroupVersion};
use mesos_types::{ContainerId, Resources, Scalar};
use mesos_wire::v1::ResourceStatistics;

use crate::CgroupSettings;

/// Smallest bound ever written, bytes. Source: `MIN_MEMORY` of Apache Mesos, 32 MiB.
const MIN_MEMORY: u64 = 32 << 20;

/// A container's memory bounds could not be set.
#[derive(Debug, thiserror::Error)]
pub enum MemError {
    /// Nothing to compute a bound from.
    #[error("No memory resource given")]
    NoMemory,
    /// The kernel refused.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// See the module.
#[derive(Debug)]
pub struct MemIsolator {
    half: Half,
    host_memory: u64,
}

#[derive(Debug)]
enum Half {
    V1(v1::MemV1),
    V2(v2::MemV2),
}

/// A hard bound; the order is that of size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hard {
    Bytes(u64),
    Infinite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    soft: u64,
    hard: Hard,
}

impl MemIsolator {
    /// Errs when the host lacks the hierarchy; the error names the missing mount.
    pub fn new(settings: &CgroupSettings) -> Result<Self, CgroupError> {
        Ok(Self {
            half: match settings.hierarchies.version() {
                CgroupVersion::V1 => Half::V1(v1::MemV1::new(settings)?),
                CgroupVersion::V2 => Half::V2(v2::MemV2::new(settings)?),
            },
            host_memory: settings.host_memory,
        })
    }

    /// Of containers that may use more than they asked for, those with the smallest request die
    /// first. Source: `MemorySubsystemProcess::isolate` of Apache Mesos.
    fn oom_score_adj(&self, plan: &Plan) -> Option<i32> {
        let burstable = Hard::Bytes(plan.soft) < plan.hard;
        if !burstable || self.host_memory == 0 {
            return None;
        }
        let share = u128::from(plan.soft) * 1000 / u128::from(self.host_memory);
        Some(1000 - i32::try_from(share.min(1000)).unwrap_or(1000))
    }

    fn error(&self, error: &dyn std::error::Error) -> IsolatorError {
        IsolatorError::new(self.name(), error)
    }
}

fn plan(resources: &Resources, limits: &Limits) -> Result<Plan, MemError> {
    let at_least = |mib: Scalar| mib.mib_to_bytes().max(MIN_MEMORY);
    let soft = at_least(resources.mem().ok_or(MemError::NoMemory)?);
    let hard = match limits.mem {
        None => Hard::Bytes(soft),
        Some(LimitValue::Infinite) => Hard::Infinite,
        Some(LimitValue::Finite(limit)) => Hard::Bytes(at_least(limit)),
    };
    Ok(Plan { soft, hard })
}

#[async_trait]
impl Isolator for MemIsolator {
    fn name(&self) -> &'static str {
        "cgroups/mem"
    }

    async fn recover(
        &self,
        known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        for container in known {
            if let Half::V1(half) = &self.half {
                half.watch_again(&container.config.id);
            }
        }
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        let plan = plan(&config.resources, &config.limits).map_err(|error| self.error(&error))?;
        let join = match &self.half {
            Half::V1(half) => half.prepare(&config.id, &plan),
            Half::V2(half) => half.prepare(&config.id, &plan),
        }
        .map_err(|error| self.error(&error))?;
        let v1 = matches!(self.half, Half::V1(_));
        let oom_score_adj = if v1 && config.command_task {
            self.oom_score_adj(&plan)
        } else {
            None
        };
        Ok(LaunchInfo {
            join_cgroups: vec![join],
            oom_score_adj,
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
        let plan = plan(resources, limits).map_err(|error| self.error(&error))?;
        match &self.half {
            Half::V1(half) => half.update(id, &plan),
            Half::V2(half) => half.update(id, &plan),
        }
        .map_err(|error| self.error(&error))
    }

    async fn usage(
        &self,
        id: &ContainerId,
        statistics: &mut ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        match &self.half {
            Half::V1(half) => half.usage(id, statistics),
            Half::V2(half) => half.usage(id, statistics),
        }
        .map_err(|error| self.error(&error))
    }

    async fn limitation(&self, id: &ContainerId) -> Limitation {
        match &self.half {
            Half::V1(half) => half.limitation(id).await,
            Half::V2(half) => half.limitation(id).await,
        }
    }

    async fn last_limitation(&self, id: &ContainerId) -> Option<Limitation> {
        match &self.half {
            Half::V1(half) => half.last_limitation(id),
            Half::V2(half) => half.last_limitation(id),
        }
    }

    async fn cleanup(&self, id: &ContainerId) -> Result<(), IsolatorError> {
        let cgroup = match &self.half {
            Half::V1(half) => half.forget(id),
            Half::V2(half) => half.cgroup(id),
        };
        crate::remove_patiently(&cgroup)
            .await
            .map_err(|error| self.error(&error))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fake::{FakeHost, resources};

    const FILES: [&str; 5] = [
        "memory.soft_limit_in_bytes",
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.low",
        "memory.max",
    ];

    #[track_caller]
    fn check(host: &FakeHost, limit_swap: bool, steps: &[(&str, Option<&str>)], expected: &Expect) {
        let settings = CgroupSettings {
            limit_swap,
            ..host.settings()
        };
        let isolator = MemIsolator::new(&settings).unwrap();
        let id = ContainerId::from("c");
        for file in [
            "memory.oom_control",
            "memory.pressure_level",
            "memory.events",
        ] {
            host.write(file, "");
        }
        let mut shown = String::new();
        for (step, (request, limit)) in steps.iter().enumerate() {
            let limits = Limits {
                mem: limit.map(crate::fake::limit),
                cpus: None,
            };
            let done = if step == 0 {
                host.block_on(isolator.prepare(&host.config(&id, request, limits)))
                    .map(|_| ())
            } else {
                host.block_on(isolator.update(&id, &resources(request), &limits))
            };
            match done {
                Ok(()) => shown += &host.show(&FILES),
                Err(error) => shown += &format!("{error}\n"),
            }
        }
        expected.assert_eq(&shown);
    }

    #[test]
    fn v1_bounds_follow_the_request_and_the_hard_one_is_only_raised() {
        check(
            &FakeHost::v1(),
            false,
            &[
                ("mem:64", None),
                ("mem:10", None),
                ("mem:128", None),
                ("mem:64", Some("256")),
                ("mem:64", Some("inf")),
                ("mem:64", Some("512")),
                ("cpus:1", None),
            ],
            &expect![[r"
                memory.soft_limit_in_bytes=67108864 memory.limit_in_bytes=67108864
                memory.soft_limit_in_bytes=33554432 memory.limit_in_bytes=67108864
                memory.soft_limit_in_bytes=134217728 memory.limit_in_bytes=134217728
                memory.soft_limit_in_bytes=67108864 memory.limit_in_bytes=268435456
                memory.soft_limit_in_bytes=67108864 memory.limit_in_bytes=-1
                memory.soft_limit_in_bytes=67108864 memory.limit_in_bytes=-1
                isolator `cgroups/mem`: No memory resource given
            "]],
        );
    }

    #[test]
    fn v1_swap_is_bounded_with_memory() {
        check(
            &FakeHost::v1(),
            true,
            &[("mem:64", None), ("mem:128", None)],
            &expect![[r"
                memory.soft_limit_in_bytes=67108864 memory.limit_in_bytes=67108864 memory.memsw.limit_in_bytes=67108864
                memory.soft_limit_in_bytes=134217728 memory.limit_in_bytes=134217728 memory.memsw.limit_in_bytes=134217728
            "]],
        );
    }

    #[test]
    fn v2_bounds_follow_the_request_and_an_infinite_one_stays() {
        check(
            &FakeHost::v2(),
            false,
            &[
                ("mem:64", None),
                ("mem:10", None),
                ("mem:128", None),
                ("mem:64", Some("inf")),
                ("mem:64", Some("512")),
            ],
            &expect![[r"
                memory.low=67108864 memory.max=67108864
                memory.low=33554432 memory.max=67108864
                memory.low=134217728 memory.max=134217728
                memory.low=67108864 memory.max=max
                memory.low=67108864 memory.max=max
            "]],
        );
    }

    #[test]
    fn a_burstable_command_task_is_killed_before_others() {
        let host = FakeHost::v1();
        let isolator = MemIsolator::new(&host.settings()).unwrap();
        for file in ["memory.oom_control", "memory.pressure_level"] {
            host.write(file, "");
        }
        let id = ContainerId::from("c");
        let adj = |limit: Option<&str>| {
            let limits = Limits {
                mem: limit.map(crate::fake::limit),
                cpus: None,
            };
            let config = host.config(&id, "mem:1024", limits);
            host.block_on(isolator.prepare(&config))
                .unwrap()
                .oom_score_adj
        };
        assert_eq!(adj(None), None);
        assert_eq!(
            adj(Some("2048")),
            Some(750),
            "a quarter of the host's 4 GiB is requested"
        );
        assert_eq!(adj(Some("inf")), Some(750));
    }

    #[test]
    fn an_out_of_memory_kill_on_v2_is_a_limitation() {
        let host = FakeHost::v2();
        let isolator = MemIsolator::new(&host.settings()).unwrap();
        let id = ContainerId::from("c");
        host.write("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\n");
        assert_eq!(host.block_on(isolator.last_limitation(&id)), None);
        host.write("memory.max", "67108864\n");
        host.write("memory.peak", "67108864\n");
        host.write("memory.stat", "anon 1\nfile 2\n");
        host.write("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n");
        let limitation = host.block_on(isolator.limitation(&id));
        expect![[r"
            Memory limit exceeded: Requested: 64MB Maximum Used: 64MB

            MEMORY STATISTICS post-OOM: 
            anon 1
            file 2

        "]]
        .assert_eq(&limitation.message);
        assert_eq!(limitation.resources, resources("mem:64"));
        assert_eq!(
            host.block_on(isolator.last_limitation(&id)),
            Some(limitation)
        );
    }

    #[test]
    fn usage_has_mesos_names() {
        let host = FakeHost::v1();
        let isolator = MemIsolator::new(&host.settings()).unwrap();
        let id = ContainerId::from("c");
        host.write("memory.usage_in_bytes", "14733312\n");
        host.write("memory.stat", "cache 1\ntotal_cache 16384\ntotal_rss 13209600\ntotal_mapped_file 5\ntotal_swap 6\ntotal_unevictable 7\n");
        let mut statistics = ResourceStatistics::default();
        host.block_on(isolator.usage(&id, &mut statistics)).unwrap();
        assert_eq!(statistics.mem_total_bytes, Some(14_733_312));
        assert_eq!(statistics.mem_cache_bytes, Some(16384));
        assert_eq!(statistics.mem_file_bytes, Some(16384));
        assert_eq!(statistics.mem_rss_bytes, Some(13_209_600));
        assert_eq!(statistics.mem_anon_bytes, Some(13_209_600));
        assert_eq!(statistics.mem_mapped_file_bytes, Some(5));
        assert_eq!(statistics.mem_swap_bytes, Some(6));
        assert_eq!(statistics.mem_unevictable_bytes, Some(7));
    }
}
