//! The containerizer as the agent sees it.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mesos_containerizer_api::{
    ContainerConfig, ContainerError, ContainerStatus, Containerizer, LaunchResult, Termination,
    Usage,
};
use mesos_isolator_api::update_all;
use mesos_types::{ContainerId, Limits, Resources};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    container::{Container, Phase},
    lifecycle, recover,
    runtime_dir::RuntimeDir,
    server::Server,
    settings::MesosSettings,
    usage, validate,
};

/// After this long an operation shows in `/containerizer/debug`.
const PENDING: Duration = Duration::from_secs(2);

/// Runs containers made of namespaces and cgroups. Dropping it stops watching them; they live on,
/// and the next one made over the same runtime directory takes them back.
///
/// Its methods must be called within a tokio runtime.
pub struct MesosContainerizer {
    shared: Arc<Shared>,
}

/// What the containerizer and the owners of its containers share.
pub(crate) struct Shared {
    pub(crate) settings: MesosSettings,
    pub(crate) runtime_dir: RuntimeDir,
    pub(crate) server: Server,
    /// The agent stops; containers are left alone.
    pub(crate) stop: CancellationToken,
    containers: Mutex<HashMap<ContainerId, Arc<Container>>>,
}

impl Shared {
    fn containers(&self) -> MutexGuard<'_, HashMap<ContainerId, Arc<Container>>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, container: &Arc<Container>) {
        self.containers()
            .insert(container.id.clone(), container.clone());
    }

    pub(crate) fn remove(&self, container: &Arc<Container>) {
        self.containers().remove(&container.id);
    }

    /// Removes the last that is known about an ended container.
    pub(crate) fn forget(&self, container: &Arc<Container>) {
        if container.phase() != Phase::Ended {
            return;
        }
        if let Err(error) = container.dir.remove() {
            // The next recovery finds and removes it.
            tracing::warn!(container_id = %container.id, %error, "the runtime directory of a container stays");
        }
        self.remove(container);
    }

    fn get(&self, id: &ContainerId) -> Option<Arc<Container>> {
        self.containers().get(id).cloned()
    }
}

impl MesosContainerizer {
    /// Makes it; touches nothing yet.
    pub fn new(settings: MesosSettings) -> Self {
        let runtime_dir = RuntimeDir::new(&settings.runtime_dir);
        let shared = Shared {
            server: Server::new(settings.helper.clone()),
            settings,
            runtime_dir,
            stop: CancellationToken::new(),
            containers: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Names of the isolators in launch order.
    pub fn isolators(&self) -> Vec<&'static str> {
        self.shared
            .settings
            .isolators
            .iter()
            .map(|isolator| isolator.name())
            .collect()
    }

    /// Pid of the process that makes containers, once one was asked for. They do not depend on it.
    pub fn helper_pid(&self) -> Option<u32> {
        self.shared.server.pid()
    }

    /// Where a container's runtime files are.
    pub fn runtime_dir_of(&self, id: &ContainerId) -> std::path::PathBuf {
        let dir = self.shared.runtime_dir.container(id);
        Path::to_owned(dir.path())
    }
}

impl Drop for MesosContainerizer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

#[async_trait]
impl Containerizer for MesosContainerizer {
    fn name(&self) -> &'static str {
        "mesos"
    }

    fn accepts(&self, config: &ContainerConfig) -> bool {
        validate::accepts(config)
    }

    async fn recover(&self, known: &[ContainerConfig]) -> Result<(), ContainerError> {
        recover::recover(&self.shared, known).await
    }

    async fn launch(&self, config: ContainerConfig) -> Result<LaunchResult, ContainerError> {
        if !validate::accepts(&config) {
            return Ok(LaunchResult::NotSupported);
        }
        let dir = self.shared.runtime_dir.container(&config.id);
        let container = match self.shared.containers().entry(config.id.clone()) {
            Entry::Occupied(_) => return Ok(LaunchResult::AlreadyLaunched),
            Entry::Vacant(place) => {
                if config.id.validate().is_ok() && dir.exists() {
                    // A run of before a restart that nobody has forgotten yet.
                    return Ok(LaunchResult::AlreadyLaunched);
                }
                let (resources, limits) = (config.resources.clone(), config.limits);
                let container = Container::new(config.id.clone(), dir, resources, limits);
                place.insert(container.clone());
                container
            }
        };
        let (reply, launched) = oneshot::channel();
        // In a task of its own, so that it goes on when the caller gives up.
        tokio::spawn(lifecycle::own(
            self.shared.clone(),
            container,
            config,
            reply,
        ));
        match launched.await {
            Ok(launched) => launched.map(LaunchResult::Launched),
            Err(_stopped) => Err(ContainerError::Backend {
                operation: "launch".to_owned(),
                message: "the agent is stopping".to_owned(),
            }),
        }
    }

    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        limits: &Limits,
    ) -> Result<(), ContainerError> {
        let Some(container) = self.shared.get(id) else {
            return Ok(());
        };
        container.set_resources(resources, limits);
        match container.phase() {
            // Applied when the launch is through.
            Phase::Launching(_) => Ok(()),
            Phase::Running => update_all(&self.shared.settings.isolators, id, resources, limits)
                .await
                .map_err(|error| ContainerError::Update {
                    id: id.clone(),
                    message: error.to_string(),
                }),
            Phase::Destroying | Phase::Ended => Ok(()),
        }
    }

    async fn usage(&self, id: &ContainerId) -> Result<Option<Usage>, ContainerError> {
        match self.shared.get(id) {
            Some(container) if container.phase() != Phase::Ended => {
                Ok(Some(usage::usage(&self.shared, &container).await))
            }
            _ => Ok(None),
        }
    }

    async fn status(&self, id: &ContainerId) -> Result<Option<ContainerStatus>, ContainerError> {
        Ok(self
            .shared
            .get(id)
            .filter(|container| container.phase() != Phase::Ended)
            .map(|container| ContainerStatus {
                pid: container.pid(),
                ..ContainerStatus::default()
            }))
    }

    async fn wait(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        match self.shared.get(id) {
            Some(container) => Ok(Some(container.ended().await)),
            None => Ok(None),
        }
    }

    async fn kill(&self, id: &ContainerId, signal: i32) -> Result<bool, ContainerError> {
        let Some(container) = self.shared.get(id) else {
            return Ok(false);
        };
        let Some((pid, fd)) = container.first() else {
            return Ok(false);
        };
        if container.phase() != Phase::Running || fd.has_ended() {
            return Ok(false);
        }
        match self.shared.settings.launcher.signal(id, pid, signal) {
            Ok(_) => Ok(true),
            Err(error) => Err(ContainerError::Backend {
                operation: format!("sending signal {signal} to container {id}"),
                message: error.to_string(),
            }),
        }
    }

    async fn destroy(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        let Some(container) = self.shared.get(id) else {
            return Ok(None);
        };
        container.destroy.cancel();
        Ok(Some(container.ended().await))
    }

    async fn forget(&self, id: &ContainerId) -> Result<(), ContainerError> {
        if let Some(container) = self.shared.get(id) {
            self.shared.forget(&container);
        }
        Ok(())
    }

    async fn containers(&self) -> Vec<ContainerId> {
        let containers = self.shared.containers();
        let alive = containers
            .values()
            .filter(|container| container.phase() != Phase::Ended);
        alive.map(|container| container.id.clone()).collect()
    }

    fn pending(&self) -> Vec<(String, String)> {
        let containers = self.shared.containers();
        containers
            .values()
            .filter_map(|container| {
                let (phase, since) = container.phase_since();
                if since.elapsed() < PENDING {
                    return None;
                }
                let operation = match phase {
                    Phase::Launching(stage) => format!("containerizer::launch ({stage})"),
                    Phase::Destroying => "containerizer::destroy".to_owned(),
                    Phase::Running | Phase::Ended => return None,
                };
                Some((operation, container.id.to_string()))
            })
            .collect()
    }
}
