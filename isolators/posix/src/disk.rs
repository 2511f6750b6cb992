//! `disk/du`: measures each sandbox now and then, and ends a container that is over its quota.
//!
//! Only a container with a `disk` resource is measured, every `--container_disk_watch_interval`;
//! only with `--enforce_container_disk_quota` does it matter. One walk at a time, in slices.
//! Behaviour: Apache Mesos, `isolators/posix/disk.cpp`, which runs du.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mesos_isolator_api::{
    Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limitation, Limits, Recovered,
};
use mesos_types::{ContainerId, Resource, Resources, Scalar, units::format_bytes};
use mesos_wire::v1::{DiskStatistics, ResourceStatistics, task_status::Reason};
use tokio::sync::Semaphore;

use crate::walker::Walker;

/// Entries looked at before others get their turn; about a millisecond.
const SLICE: usize = 500;

/// See the module.
#[derive(Debug)]
pub struct DiskUsage {
    interval: Duration,
    enforce: bool,
    containers: Mutex<HashMap<ContainerId, Measured>>,
    one_at_a_time: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Measured {
    sandbox: PathBuf,
    quota: Option<Scalar>,
    used: Option<u64>,
}

impl DiskUsage {
    /// `interval` is `--container_disk_watch_interval`, `enforce`
    /// `--enforce_container_disk_quota`.
    pub fn new(interval: Duration, enforce: bool) -> Self {
        Self {
            // Zero would be a busy loop.
            interval: interval.max(Duration::from_millis(10)),
            enforce,
            containers: Mutex::default(),
            one_at_a_time: Arc::new(Semaphore::new(1)),
        }
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<ContainerId, Measured>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, config: &IsolatorConfig) {
        let measured = Measured {
            sandbox: config.sandbox.clone(),
            quota: quota(&config.resources),
            used: None,
        };
        self.containers().insert(config.id.clone(), measured);
    }

    async fn measure(&self, sandbox: &Path) -> Option<u64> {
        let _turn = self.one_at_a_time.acquire().await.ok()?;
        let sandbox = sandbox.to_owned();
        let mut walker = tokio::task::spawn_blocking(move || Walker::new(&sandbox))
            .await
            .ok()?;
        loop {
            let (next, total) = tokio::task::spawn_blocking(move || {
                let total = walker.step(SLICE);
                (walker, total)
            })
            .await
            .ok()?;
            if total.is_some() {
                return total;
            }
            walker = next;
        }
    }
}

/// What the sandbox may hold, MiB. Persistent volumes have room of their own.
fn quota(resources: &Resources) -> Option<Scalar> {
    resources
        .filter(|resource| !resource.is_persistent_volume())
        .disk()
}

#[async_trait]
impl Isolator for DiskUsage {
    fn name(&self) -> &'static str {
        "disk/du"
    }

    async fn recover(
        &self,
        known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        for container in known {
            self.add(&container.config);
        }
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        self.add(config);
        Ok(LaunchInfo::default())
    }

    async fn isolate(&self, _id: &ContainerId, _pid: u32) -> Result<(), IsolatorError> {
        Ok(())
    }

    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        _limits: &Limits,
    ) -> Result<(), IsolatorError> {
        if let Some(measured) = self.containers().get_mut(id) {
            measured.quota = quota(resources);
        }
        Ok(())
    }

    async fn usage(
        &self,
        id: &ContainerId,
        statistics: &mut ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        let Some(measured) = self.containers().get(id).cloned() else {
            return Ok(());
        };
        let Some(quota) = measured.quota else {
            return Ok(());
        };
        let limit_bytes = Some(quota.mib_to_bytes());
        statistics.disk_limit_bytes = limit_bytes;
        statistics.disk_used_bytes = measured.used;
        statistics.disk_statistics.push(DiskStatistics {
            limit_bytes,
            used_bytes: measured.used,
            ..DiskStatistics::default()
        });
        Ok(())
    }

    async fn limitation(&self, id: &ContainerId) -> Limitation {
        // The first measurement soon, so that statistics have something to show.
        let mut pause = self.interval.min(Duration::from_secs(1));
        loop {
            tokio::time::sleep(pause).await;
            pause = self.interval;
            let Some(sandbox) = self
                .containers()
                .get(id)
                .filter(|m| m.quota.is_some())
                .map(|m| m.sandbox.clone())
            else {
                continue;
            };
            let Some(used) = self.measure(&sandbox).await else {
                continue;
            };
            let quota = {
                let mut containers = self.containers();
                let Some(measured) = containers.get_mut(id) else {
                    continue;
                };
                measured.used = Some(used);
                measured.quota
            };
            if let Some(quota) = quota.filter(|q| self.enforce && used > q.mib_to_bytes()) {
                return Limitation {
                    reason: Reason::ContainerLimitationDisk,
                    message: format!(
                        "Disk usage ({}) exceeds quota ({})",
                        format_bytes(used),
                        format_bytes(quota.mib_to_bytes())
                    ),
                    resources: Resource::scalar("disk", quota).into(),
                };
            }
        }
    }

    async fn cleanup(&self, id: &ContainerId) -> Result<(), IsolatorError> {
        self.containers().remove(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(sandbox: &Path, disk: f64) -> IsolatorConfig {
        let mib = Scalar::from_f64(disk).unwrap();
        IsolatorConfig {
            id: "c".into(),
            resources: Resource::scalar("disk", mib).into(),
            limits: Limits::default(),
            sandbox: sandbox.to_owned(),
            user: None,
            container: None,
            command_task: true,
        }
    }

    #[tokio::test]
    async fn a_sandbox_over_its_quota_ends_the_container() {
        let sandbox = tempfile::tempdir().unwrap();
        let isolator = DiskUsage::new(Duration::from_millis(10), true);
        let config = config(sandbox.path(), 1.0);
        isolator.prepare(&config).await.unwrap();
        let mut watch = std::pin::pin!(isolator.limitation(&config.id));
        // It does not answer while all is well, and statistics appear.
        let measured = async {
            loop {
                let mut statistics = ResourceStatistics::default();
                isolator.usage(&config.id, &mut statistics).await.unwrap();
                if statistics.disk_used_bytes.is_some() {
                    break statistics;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let statistics = tokio::select! {
            limitation = &mut watch => panic!("{limitation:?}"),
            statistics = measured => statistics,
        };
        assert_eq!(statistics.disk_limit_bytes, Some(1 << 20));
        assert_eq!(statistics.disk_statistics.len(), 1);
        std::fs::write(sandbox.path().join("big"), vec![1; 2 << 20]).unwrap();
        let limitation = watch.await;
        assert!(
            limitation.message.starts_with("Disk usage (20")
                && limitation.message.ends_with("KB) exceeds quota (1MB)")
                || limitation.message == "Disk usage (2MB) exceeds quota (1MB)",
            "{}",
            limitation.message
        );
        assert_eq!(limitation.reason, Reason::ContainerLimitationDisk);
    }

    #[tokio::test]
    async fn without_enforcement_it_only_measures() {
        let sandbox = tempfile::tempdir().unwrap();
        std::fs::write(sandbox.path().join("big"), vec![1; 2 << 20]).unwrap();
        let isolator = DiskUsage::new(Duration::from_millis(10), false);
        let config = config(sandbox.path(), 1.0);
        isolator.prepare(&config).await.unwrap();
        let watch = isolator.limitation(&config.id);
        assert!(
            tokio::time::timeout(Duration::from_millis(100), watch)
                .await
                .is_err()
        );
        let mut statistics = ResourceStatistics::default();
        isolator.usage(&config.id, &mut statistics).await.unwrap();
        assert!(statistics.disk_used_bytes.unwrap() > 2 << 20);
    }
}
