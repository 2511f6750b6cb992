//! `disk/du`: measures each sandbox and persistent volume now and then, and ends a container that is over
//! its quota.
//!
//! Only what a `disk` resource bounds is measured, every `--container_disk_watch_interval`; only with
//! `--enforce_container_disk_quota` does it matter. One walk at a time, in slices. A volume counts for
//! itself, against its own size, and not for the sandbox; one that is a whole disk ends where the disk
//! does, and is only measured.
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
use mesos_types::{
    ContainerId, PersistentVolume, Resource, Resources, Scalar, VolumeDisk, units::format_bytes,
};
use mesos_wire::v1::{DiskStatistics, ResourceStatistics, task_status::Reason};
use tokio::sync::Semaphore;

use crate::walker::Walker;

/// Entries looked at before others get their turn; about a millisecond.
const SLICE: usize = 500;

/// See the module.
#[derive(Debug)]
pub struct DiskUsage {
    work_dir: PathBuf,
    interval: Duration,
    enforce: bool,
    containers: Mutex<HashMap<ContainerId, Measured>>,
    one_at_a_time: Arc<Semaphore>,
}

/// What is measured of a container: its sandbox, if that has a bound, then its volumes.
#[derive(Debug, Clone)]
struct Measured {
    sandbox: PathBuf,
    trees: Vec<Tree>,
}

/// One directory with what it may hold.
#[derive(Debug, Clone, PartialEq)]
struct Tree {
    path: PathBuf,
    quota: Scalar,
    /// Whether going over it ends the container.
    bound: bool,
    /// The volume; `None`: the sandbox.
    volume: Option<Resource>,
    used: Option<u64>,
}

impl DiskUsage {
    /// For an agent of this `--work_dir`. `interval` is `--container_disk_watch_interval`, `enforce`
    /// `--enforce_container_disk_quota`.
    pub fn new(work_dir: &Path, interval: Duration, enforce: bool) -> Self {
        Self {
            work_dir: work_dir.to_owned(),
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
            trees: self.trees(&config.sandbox, &config.resources),
        };
        self.containers().insert(config.id.clone(), measured);
    }

    fn trees(&self, sandbox: &Path, resources: &Resources) -> Vec<Tree> {
        let own = quota(resources).map(|quota| Tree {
            path: sandbox.to_owned(),
            quota,
            bound: true,
            volume: None,
            used: None,
        });
        // What cannot be a volume here was refused at the launch.
        let volumes = resources.distinct().filter_map(|resource| {
            let volume = PersistentVolume::of(resource, &self.work_dir)?.ok()?;
            Some(Tree {
                bound: matches!(volume.disk, VolumeDisk::Directory(_)),
                path: volume.path,
                quota: volume.size,
                volume: Some(resource.clone()),
                used: None,
            })
        });
        own.into_iter().chain(volumes).collect()
    }

    fn paths(&self, id: &ContainerId) -> Vec<PathBuf> {
        let containers = self.containers();
        let trees = containers.get(id).into_iter().flat_map(|m| &m.trees);
        trees.map(|tree| tree.path.clone()).collect()
    }

    /// Takes a measurement over; the tree, if it holds more than it may.
    fn note(&self, id: &ContainerId, path: &Path, used: u64) -> Option<Tree> {
        let mut containers = self.containers();
        let trees = &mut containers.get_mut(id)?.trees;
        let tree = trees.iter_mut().find(|tree| tree.path == path)?;
        tree.used = Some(used);
        let over = self.enforce && tree.bound && used > tree.quota.mib_to_bytes();
        over.then(|| tree.clone())
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
            let mut trees = self.trees(&measured.sandbox, resources);
            for tree in &mut trees {
                let before = measured.trees.iter().find(|old| old.path == tree.path);
                tree.used = before.and_then(|old| old.used);
            }
            measured.trees = trees;
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
        for tree in &measured.trees {
            let limit_bytes = Some(tree.quota.mib_to_bytes());
            let mut shown = DiskStatistics {
                limit_bytes,
                used_bytes: tree.used,
                ..DiskStatistics::default()
            };
            match tree.volume.as_ref().and_then(|v| v.meta.disk.as_ref()) {
                None => {
                    statistics.disk_limit_bytes = limit_bytes;
                    statistics.disk_used_bytes = tree.used;
                }
                Some(disk) => {
                    shown.source.clone_from(&disk.source);
                    shown.persistence.clone_from(&disk.persistence);
                }
            }
            statistics.disk_statistics.push(shown);
        }
        Ok(())
    }

    async fn limitation(&self, id: &ContainerId) -> Limitation {
        // The first measurement soon, so that statistics have something to show.
        let mut pause = self.interval.min(Duration::from_secs(1));
        loop {
            tokio::time::sleep(pause).await;
            pause = self.interval;
            for path in self.paths(id) {
                let Some(used) = self.measure(&path).await else {
                    continue;
                };
                let Some(over) = self.note(id, &path, used) else {
                    continue;
                };
                return Limitation {
                    reason: Reason::ContainerLimitationDisk,
                    message: format!(
                        "Disk usage ({}) exceeds quota ({})",
                        format_bytes(used),
                        format_bytes(over.quota.mib_to_bytes())
                    ),
                    resources: over
                        .volume
                        .unwrap_or_else(|| Resource::scalar("disk", over.quota))
                        .into(),
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
        let isolator = DiskUsage::new(Path::new("/w"), Duration::from_millis(10), true);
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
        let isolator = DiskUsage::new(Path::new("/w"), Duration::from_millis(10), false);
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

    #[tokio::test]
    async fn a_volume_counts_against_its_own_size() {
        use mesos_wire::v1::resource::{DiskInfo, ReservationInfo, disk_info::Persistence};
        let work_dir = tempfile::tempdir().unwrap();
        let (sandbox, volume) = (
            work_dir.path().join("sandbox"),
            work_dir.path().join("volumes/roles/dev/v"),
        );
        for path in [&sandbox, &volume] {
            std::fs::create_dir_all(path).unwrap();
        }
        std::fs::write(volume.join("big"), vec![1; 2 << 20]).unwrap();
        let isolator = DiskUsage::new(work_dir.path(), Duration::from_millis(10), true);
        let mut config = config(&sandbox, 1.0);
        let held = |mib: f64| {
            Resource::scalar("disk", Scalar::from_f64(mib).unwrap()).with_meta(|meta| {
                meta.reservations = vec![ReservationInfo {
                    role: Some("dev".to_owned()),
                    ..ReservationInfo::default()
                }];
                meta.disk = Some(DiskInfo {
                    persistence: Some(Persistence {
                        id: "v".to_owned(),
                        principal: None,
                    }),
                    ..DiskInfo::default()
                });
            })
        };
        config.resources.add(held(4.0));
        isolator.prepare(&config).await.unwrap();
        let mut watch = std::pin::pin!(isolator.limitation(&config.id));
        let measured = async {
            loop {
                let mut statistics = ResourceStatistics::default();
                isolator.usage(&config.id, &mut statistics).await.unwrap();
                let shown = statistics.disk_statistics;
                if shown.len() == 2 && shown.iter().all(|tree| tree.used_bytes.is_some()) {
                    break shown;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let shown = tokio::select! {
            limitation = &mut watch => panic!("{limitation:?}"),
            shown = measured => shown,
        };
        assert!(
            shown[0].used_bytes < Some(1 << 20),
            "the sandbox without it"
        );
        assert!(shown[1].used_bytes > Some(2 << 20));
        assert_eq!(shown[1].persistence.as_ref().unwrap().id, "v");
        // It has shrunk.
        let less = Resources::from(held(1.0));
        isolator
            .update(&config.id, &less, &Limits::default())
            .await
            .unwrap();
        let limitation = watch.await;
        assert!(limitation.message.ends_with("exceeds quota (1MB)"));
        assert_eq!(limitation.resources, less);
    }
}
