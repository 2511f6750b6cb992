//! `posix/cpu` and `posix/mem`: bound nothing, report what a container's processes use.
//!
//! Sums over the process tree beneath the container's first process. Behaviour: Apache Mesos,
//! `isolators/posix.hpp`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use mesos_isolator_api::{Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Recovered};
use mesos_isolator_linux::process;
use mesos_types::{ContainerId, Resources};
use mesos_wire::v1::ResourceStatistics;
use procfs::process::{Process, Stat};

/// First processes of the containers.
#[derive(Debug, Default)]
struct Pids(Mutex<HashMap<ContainerId, u32>>);

impl Pids {
    fn set(&self, id: &ContainerId, pid: u32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), pid);
    }

    fn remove(&self, id: &ContainerId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    fn recover(&self, known: &[Recovered]) {
        for container in known {
            if let Some(pid) = container.pid {
                self.set(&container.config.id, pid);
            }
        }
    }

    /// What the processes of a container report; those that end meanwhile are left out.
    fn stats(&self, id: &ContainerId) -> Vec<Stat> {
        let pid = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .copied();
        let tree = pid.map(process::tree).unwrap_or_default();
        tree.into_iter()
            .filter_map(|pid| i32::try_from(pid).ok())
            .filter_map(|pid| Process::new(pid).and_then(|process| process.stat()).ok())
            .collect()
    }
}

macro_rules! isolator {
    ($(#[$doc:meta])* $type:ident, $name:literal, $usage:path) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $type {
            pids: Pids,
        }

        #[async_trait]
        impl Isolator for $type {
            fn name(&self) -> &'static str {
                $name
            }

            async fn recover(
                &self,
                known: &[Recovered],
                _orphans: &[ContainerId],
            ) -> Result<(), IsolatorError> {
                self.pids.recover(known);
                Ok(())
            }

            async fn prepare(&self, _config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
                Ok(LaunchInfo::default())
            }

            async fn isolate(&self, id: &ContainerId, pid: u32) -> Result<(), IsolatorError> {
                self.pids.set(id, pid);
                Ok(())
            }

            async fn update(
                &self,
                _id: &ContainerId,
                _resources: &Resources,
                _limits: &Limits,
            ) -> Result<(), IsolatorError> {
                Ok(())
            }

            async fn usage(
                &self,
                id: &ContainerId,
                statistics: &mut ResourceStatistics,
            ) -> Result<(), IsolatorError> {
                let stats = self.pids.stats(id);
                $usage(&stats, statistics);
                Ok(())
            }

            async fn cleanup(&self, id: &ContainerId) -> Result<(), IsolatorError> {
                self.pids.remove(id);
                Ok(())
            }
        }
    };
}

fn cpu_usage(stats: &[Stat], statistics: &mut ResourceStatistics) {
    let ticks = procfs::ticks_per_second() as f64;
    let seconds = |field: fn(&Stat) -> u64| stats.iter().map(field).sum::<u64>() as f64 / ticks;
    statistics.cpus_user_time_secs = Some(seconds(|stat| stat.utime));
    statistics.cpus_system_time_secs = Some(seconds(|stat| stat.stime));
}

fn mem_usage(stats: &[Stat], statistics: &mut ResourceStatistics) {
    let pages: u64 = stats.iter().map(|stat| stat.rss).sum();
    statistics.mem_rss_bytes = Some(pages.saturating_mul(procfs::page_size()));
}

isolator!(
    /// `posix/cpu`: user and system time of the processes that run now.
    PosixCpu,
    "posix/cpu",
    cpu_usage
);

isolator!(
    /// `posix/mem`: resident memory of the processes that run now; pages they share count in each.
    PosixMem,
    "posix/mem",
    mem_usage
);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn usage_is_that_of_the_process_tree_and_ends_with_cleanup() {
        let id = ContainerId::from("c");
        let (cpu, mem) = (PosixCpu::default(), PosixMem::default());
        cpu.isolate(&id, std::process::id()).await.unwrap();
        mem.isolate(&id, std::process::id()).await.unwrap();
        let mut statistics = ResourceStatistics::default();
        cpu.usage(&id, &mut statistics).await.unwrap();
        mem.usage(&id, &mut statistics).await.unwrap();
        assert!(statistics.cpus_user_time_secs.is_some());
        assert!(statistics.mem_rss_bytes.unwrap() > 100_000);
        mem.cleanup(&id).await.unwrap();
        mem.usage(&id, &mut statistics).await.unwrap();
        assert_eq!(statistics.mem_rss_bytes, Some(0));
    }
}
