//! `filesystem/posix`: a container shares the host's file system; its sandbox is its own.
//!
//! Persistent volumes are symbolic links in the sandbox. Refuses what would need a mount namespace:
//! images, volumes of other kinds, volumes at absolute paths. Behaviour: Apache Mesos,
//! `isolators/filesystem/posix.cpp`.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mesos_isolator_api::{Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Recovered};
use mesos_types::{ContainerId, Resources};

use crate::{
    persistent::{Bind, binds},
    volume::make_mount_point,
};

/// See the module.
#[derive(Debug)]
pub struct PosixFilesystem {
    work_dir: PathBuf,
    containers: Mutex<HashMap<ContainerId, Linked>>,
}

/// The links of a container.
#[derive(Debug, Clone, Default)]
struct Linked {
    sandbox: PathBuf,
    /// Where each one is, and to what it leads.
    links: BTreeMap<PathBuf, PathBuf>,
}

fn refuse(message: impl Into<String>) -> IsolatorError {
    IsolatorError {
        isolator: "filesystem/posix",
        message: message.into(),
    }
}

impl PosixFilesystem {
    /// For an agent of this `--work_dir`.
    pub fn new(work_dir: &Path) -> Self {
        Self {
            work_dir: work_dir.to_owned(),
            containers: Mutex::default(),
        }
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<ContainerId, Linked>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Links that are missing are made, those of volumes that are no longer held are removed.
    fn change(&self, linked: &mut Linked, resources: &Resources) -> Result<(), IsolatorError> {
        let wanted = binds(resources, &self.work_dir, &linked.sandbox)
            .map_err(|error| IsolatorError::new("filesystem/posix", &error))?;
        let surplus: Vec<PathBuf> = linked
            .links
            .iter()
            .filter(|(at, to)| {
                !wanted
                    .iter()
                    .any(|bind| bind.target == **at && bind.source == **to)
            })
            .map(|(at, _)| at.clone())
            .collect();
        for at in surplus {
            remove(&at, &linked.links[&at])?;
            linked.links.remove(&at);
        }
        for bind in wanted {
            if linked.links.get(&bind.target) != Some(&bind.source) {
                link(&bind, &linked.sandbox)?;
                linked.links.insert(bind.target, bind.source);
            }
        }
        Ok(())
    }
}

/// Removes a link of ours; something else that the task put there stays.
fn remove(at: &Path, to: &Path) -> Result<(), IsolatorError> {
    if !fs::read_link(at).is_ok_and(|found| found == to) {
        return Ok(());
    }
    fs::remove_file(at)
        .map_err(|error| refuse(format!("cannot remove the link {}: {error}", at.display())))
}

fn link(bind: &Bind, sandbox: &Path) -> Result<(), IsolatorError> {
    let shown = bind.wanted.display();
    let is_inside = bind
        .wanted
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_inside {
        return Err(refuse(format!(
            "a persistent volume wants the container_path `{shown}`; without a mount namespace it must be \
             relative and without `..`; start the agent with --isolation=filesystem/linux"
        )));
    }
    if bind.read_only {
        tracing::warn!(volume = %bind.source.display(), "a volume that is to be read only is linked, and can be written to");
    }
    if let Some(parent) = bind
        .wanted
        .parent()
        .filter(|p| p.components().any(|c| c != Component::CurDir))
    {
        make_mount_point(sandbox, parent, true)
            .map_err(|error| IsolatorError::new("filesystem/posix", &error))?;
    }
    let at = bind.target.display();
    match symlink(&bind.source, &bind.target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match fs::read_link(&bind.target) {
                // Of before a restart of the agent.
                Ok(found) if found == bind.source => Ok(()),
                Ok(found) => Err(refuse(format!(
                    "the existing symlink '{at}' points to '{}' and the new target is '{}'",
                    found.display(),
                    bind.source.display()
                ))),
                Err(_) => Err(refuse(format!(
                    "cannot link a persistent volume to '{at}': something else is there"
                ))),
            }
        }
        Err(error) => Err(refuse(format!(
            "cannot link a persistent volume to '{at}': {error}"
        ))),
    }
}

#[async_trait]
impl Isolator for PosixFilesystem {
    fn name(&self) -> &'static str {
        "filesystem/posix"
    }

    async fn recover(
        &self,
        known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        for Recovered { config, .. } in known {
            let mut linked = Linked {
                sandbox: config.sandbox.clone(),
                links: BTreeMap::new(),
            };
            // Also those of tasks that came after the launch, which stand at the top in most cases.
            for entry in fs::read_dir(&config.sandbox)
                .into_iter()
                .flatten()
                .flatten()
            {
                if let Ok(to) = fs::read_link(entry.path())
                    && to.starts_with(self.work_dir.join("volumes/roles"))
                {
                    linked.links.insert(entry.path(), to);
                }
            }
            // A volume that is gone meanwhile has no link that would be needed.
            for bind in
                binds(&config.resources, &self.work_dir, &config.sandbox).unwrap_or_default()
            {
                if fs::read_link(&bind.target).is_ok_and(|to| to == bind.source) {
                    linked.links.insert(bind.target, bind.source);
                }
            }
            self.containers().insert(config.id.clone(), linked);
        }
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        if let Some(container) = &config.container {
            if container
                .mesos
                .as_ref()
                .is_some_and(|mesos| mesos.image.is_some())
            {
                return Err(refuse("Container root filesystems not supported"));
            }
            if !container.volumes.is_empty() {
                return Err(refuse(
                    "Volumes in ContainerInfo are not supported; start the agent with \
                     --isolation=filesystem/linux",
                ));
            }
        }
        let mut linked = Linked {
            sandbox: config.sandbox.clone(),
            links: BTreeMap::new(),
        };
        self.change(&mut linked, &config.resources)?;
        self.containers().insert(config.id.clone(), linked);
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
        let Some(mut linked) = self.containers().get(id).cloned() else {
            return Ok(());
        };
        let result = self.change(&mut linked, resources);
        if let Some(known) = self.containers().get_mut(id) {
            *known = linked;
        }
        result
    }

    async fn cleanup(&self, id: &ContainerId) -> Result<(), IsolatorError> {
        self.containers().remove(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mesos_wire::v1::volume::Mode;

    use super::*;
    use crate::persistent::testing::volume;

    struct Place {
        work_dir: tempfile::TempDir,
        isolator: PosixFilesystem,
    }

    impl Place {
        fn new() -> Self {
            let work_dir = tempfile::tempdir().unwrap();
            for path in ["sandbox", "volumes/roles/dev/a", "volumes/roles/dev/b"] {
                fs::create_dir_all(work_dir.path().join(path)).unwrap();
            }
            Self {
                isolator: PosixFilesystem::new(work_dir.path()),
                work_dir,
            }
        }

        fn config(&self, resources: &Resources) -> IsolatorConfig {
            IsolatorConfig {
                id: "c".into(),
                resources: resources.clone(),
                limits: Limits::default(),
                sandbox: self.work_dir.path().join("sandbox"),
                user: None,
                container: None,
                command_task: false,
            }
        }

        fn shown(&self, at: &str) -> Option<PathBuf> {
            fs::read_link(self.work_dir.path().join("sandbox").join(at)).ok()
        }

        fn volume(&self, id: &str) -> Option<PathBuf> {
            Some(self.work_dir.path().join("volumes/roles/dev").join(id))
        }
    }

    #[tokio::test]
    async fn volumes_come_and_go_as_links_also_over_a_restart() {
        let place = Place::new();
        let (a, b) = (
            volume("a", "data", Mode::Rw),
            volume("b", "deep/er", Mode::Rw),
        );
        let config = place.config(&a);
        place.isolator.prepare(&config).await.unwrap();
        assert_eq!(place.shown("data"), place.volume("a"));
        let limits = Limits::default();
        let id = &config.id;
        place
            .isolator
            .update(id, &(&a + &b), &limits)
            .await
            .unwrap();
        assert_eq!(place.shown("deep/er"), place.volume("b"));
        let next = PosixFilesystem::new(place.work_dir.path());
        let known = Recovered {
            config: config.clone(),
            pid: Some(1),
        };
        next.recover(&[known], &[]).await.unwrap();
        next.update(id, &b, &limits).await.unwrap();
        assert_eq!(place.shown("data"), None);
        assert_eq!(place.shown("deep/er"), place.volume("b"));
        next.update(id, &Resources::new(), &limits).await.unwrap();
        assert_eq!(place.shown("deep/er"), None);
        assert!(place.volume("b").unwrap().is_dir());
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_never_replaced() {
        let place = Place::new();
        let sandbox = place.work_dir.path().join("sandbox");
        fs::write(sandbox.join("data"), "the task's").unwrap();
        let config = place.config(&volume("a", "data", Mode::Rw));
        let error = place.isolator.prepare(&config).await.unwrap_err();
        assert!(error.message.contains("something else"), "{error}");
        symlink("/elsewhere", sandbox.join("link")).unwrap();
        let config = place.config(&volume("a", "link", Mode::Rw));
        let error = place.isolator.prepare(&config).await.unwrap_err();
        assert!(error.message.contains("points to '/elsewhere'"), "{error}");
        for outside in ["/data", "../data", "link/data"] {
            let config = place.config(&volume("a", outside, Mode::Rw));
            place.isolator.prepare(&config).await.unwrap_err();
        }
    }
}
