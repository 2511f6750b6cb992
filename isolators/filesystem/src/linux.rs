//! `filesystem/linux`: a mount namespace of its own for every container; host paths and persistent
//! volumes in it.
//!
//! Mounts of the host go on arriving in the container (the namespace is a slave), those of the
//! container stay in it and vanish with its last process, so there is nothing to clean up, and nothing
//! that a removal of the sandbox could reach. Volumes of tasks that come later are mounted into the
//! namespace of the running container, and unmounted when their task has ended.
//! Behaviour: Apache Mesos, `isolators/filesystem/linux.cpp` and `isolators/volume/host_path.cpp`, which
//! mounts volumes on the host, and only at names without a slash.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mesos_isolator_api::{
    Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Namespace, Recovered,
};
use mesos_isolator_linux::{ProcessKey, mountinfo, mounts};
use mesos_types::{ContainerId, Resources};

use crate::{
    persistent::{Bind, binds},
    volume,
};

/// See the module.
#[derive(Debug)]
pub struct LinuxFilesystem {
    work_dir: PathBuf,
    containers: Mutex<HashMap<ContainerId, Mounted>>,
}

/// What is mounted in a container.
#[derive(Debug, Clone)]
struct Mounted {
    sandbox: PathBuf,
    /// Its first process, once there is one.
    process: Option<ProcessKey>,
    /// Where persistent volumes are mounted.
    volumes: BTreeSet<PathBuf>,
}

impl LinuxFilesystem {
    /// For an agent of this `--work_dir`.
    pub fn new(work_dir: &Path) -> Self {
        Self {
            work_dir: work_dir.to_owned(),
            containers: Mutex::default(),
        }
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<ContainerId, Mounted>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, error: &dyn std::error::Error) -> IsolatorError {
        IsolatorError::new(self.name(), error)
    }

    fn recover_one(&self, known: &Recovered) -> io::Result<()> {
        let Some(pid) = known.pid else {
            return Ok(());
        };
        let config = &known.config;
        let Some((process, present)) = mountinfo::of(pid)? else {
            return Ok(());
        };
        let own = config.container.iter().flat_map(|c| &c.volumes);
        let of_the_launch: BTreeSet<PathBuf> = own
            .map(|volume| config.sandbox.join(&volume.container_path))
            .collect();
        let wanted = config.resources.persistent_volumes();
        let wanted: BTreeSet<PathBuf> = wanted
            .distinct()
            .filter_map(|resource| resource.meta.disk.as_ref()?.volume.as_ref())
            .map(|volume| config.sandbox.join(&volume.container_path))
            .collect();
        // The kernel shows paths without links.
        let real = fs::canonicalize(&config.sandbox).unwrap_or_else(|_| config.sandbox.clone());
        let volumes = present
            .into_iter()
            .map(|mount| match mount.target.strip_prefix(&real) {
                Ok(inside) => config.sandbox.join(inside),
                Err(_) => mount.target,
            })
            .filter(|target| {
                wanted.contains(target)
                    || target != &config.sandbox
                        && target.starts_with(&config.sandbox)
                        && !of_the_launch.contains(target)
            })
            .collect();
        let mounted = Mounted {
            sandbox: config.sandbox.clone(),
            process: Some(process),
            volumes,
        };
        self.containers().insert(config.id.clone(), mounted);
        Ok(())
    }
}

/// Mounts what is missing and unmounts what is too much, in the container. Blocks.
fn change(mounted: &mut Mounted, wanted: &[Bind]) -> Result<(), String> {
    let Some(process) = mounted.process.clone() else {
        return Ok(());
    };
    let sandbox = mounted.sandbox.clone();
    let surplus: Vec<PathBuf> = mounted
        .volumes
        .iter()
        .filter(|target| !wanted.iter().any(|bind| bind.target == **target))
        .rev()
        .cloned()
        .collect();
    let missing: Vec<&Bind> = wanted
        .iter()
        .filter(|bind| !mounted.volumes.contains(&bind.target))
        .collect();
    if surplus.is_empty() && missing.is_empty() {
        return Ok(());
    }
    let volumes = &mut mounted.volumes;
    let work = move || {
        let mut problem = None;
        for target in surplus {
            match mounts::unmount(&target) {
                Ok(()) => {
                    volumes.remove(&target);
                    if target.starts_with(&sandbox) {
                        // What is in it is the task's own.
                        let _not_empty = fs::remove_dir(&target);
                    }
                }
                Err(error) => {
                    let at = target.display();
                    problem.get_or_insert(format!("cannot unmount {at}: {error}"));
                }
            }
        }
        for bind in missing {
            if let Err(text) = mount(bind, &sandbox) {
                problem.get_or_insert(text);
                break;
            }
            volumes.insert(bind.target.clone());
        }
        Ok(problem)
    };
    match mounts::within_mounts_of(&process, work) {
        Ok(None | Some(None)) => Ok(()),
        Ok(Some(Some(problem))) => Err(problem),
        Err(error) => Err(format!("cannot enter the container's mounts: {error}")),
    }
}

fn mount(bind: &Bind, sandbox: &Path) -> Result<(), String> {
    bind.make_place(sandbox).map_err(|error| {
        let error = IsolatorError::new("filesystem/linux", &error);
        error.message
    })?;
    for step in bind.mounts() {
        let source = step.source.as_deref();
        mounts::mount(source, &step.target, None, step.flags, None).map_err(|error| {
            let (source, target) = (bind.source.display(), bind.target.display());
            format!("cannot mount {source} on {target}: {error}")
        })?;
    }
    Ok(())
}

#[async_trait]
impl Isolator for LinuxFilesystem {
    fn name(&self) -> &'static str {
        "filesystem/linux"
    }

    async fn recover(
        &self,
        known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        for known in known {
            self.recover_one(known).map_err(|e| self.error(&e))?;
        }
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        let mut info = LaunchInfo {
            namespaces: vec![Namespace::Mount],
            ..LaunchInfo::default()
        };
        if let Some(container) = &config.container {
            if container
                .mesos
                .as_ref()
                .is_some_and(|mesos| mesos.image.is_some())
            {
                return Err(self.error(&volume::VolumeError::NotBuilt("container images".into())));
            }
            for volume in &container.volumes {
                let mounts =
                    volume::prepare(volume, &config.sandbox).map_err(|e| self.error(&e))?;
                info.mounts.extend(mounts);
            }
        }
        let volumes = binds(&config.resources, &self.work_dir, &config.sandbox)
            .map_err(|e| self.error(&e))?;
        for bind in &volumes {
            bind.make_place(&config.sandbox)
                .map_err(|e| self.error(&e))?;
            info.mounts.extend(bind.mounts());
        }
        let mounted = Mounted {
            sandbox: config.sandbox.clone(),
            process: None,
            volumes: volumes.into_iter().map(|bind| bind.target).collect(),
        };
        self.containers().insert(config.id.clone(), mounted);
        Ok(info)
    }

    async fn isolate(&self, id: &ContainerId, pid: u32) -> Result<(), IsolatorError> {
        let process = ProcessKey::of(pid).map_err(|e| self.error(&e))?;
        if let Some(mounted) = self.containers().get_mut(id) {
            mounted.process = Some(process);
        }
        Ok(())
    }

    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        _limits: &Limits,
    ) -> Result<(), IsolatorError> {
        let Some(mut mounted) = self.containers().get(id).cloned() else {
            return Ok(());
        };
        let wanted =
            binds(resources, &self.work_dir, &mounted.sandbox).map_err(|e| self.error(&e))?;
        if mounted.volumes.is_empty() && wanted.is_empty() {
            return Ok(());
        }
        let done = tokio::task::spawn_blocking(move || {
            let result = change(&mut mounted, &wanted);
            (mounted, result)
        });
        let (mounted, result) = done.await.map_err(|e| self.error(&e))?;
        if let Some(known) = self.containers().get_mut(id) {
            known.volumes = mounted.volumes;
        }
        result.map_err(|message| IsolatorError {
            isolator: self.name(),
            message,
        })
    }

    async fn cleanup(&self, id: &ContainerId) -> Result<(), IsolatorError> {
        self.containers().remove(id);
        Ok(())
    }
}
