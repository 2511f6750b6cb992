//! The plug-in: calls of the agent, each answered from memory or by one question to the engine.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bollard::{models::ContainerUpdateBody, query_parameters::KillContainerOptions};
use mesos_containerizer_api::{
    ContainerConfig, ContainerError, ContainerStatus, Containerizer, Fetcher, LaunchResult, Limits,
    Termination, Usage,
};
use mesos_types::{ContainerId, Resources};
use mesos_wire::v1::container_info;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    engine::{Engine, EngineError},
    entry::{Entry, Phase},
    limits::engine_limits,
    names,
    options::DockerOptions,
    output,
    removal::Removals,
};

/// From when on an operation shows in `pending`.
const PENDING: Duration = Duration::from_secs(5);

/// Runs containers through a Docker engine.
///
/// The engine need not be there when this is made. Dropping it stops what runs beside the
/// containers in this process; the containers and the writers of their output live on.
pub struct DockerContainerizer {
    inner: Arc<Inner>,
    _stop: DropGuard,
}

/// What the loops share.
pub(crate) struct Inner {
    pub options: Arc<DockerOptions>,
    pub engine: Arc<Engine>,
    pub fetcher: Arc<dyn Fetcher>,
    pub removals: Removals,
    /// Fires when the containerizer is dropped.
    pub stop: CancellationToken,
    /// Duration of the latest pull in milliseconds.
    pub pull_millis: AtomicU64,
    entries: Mutex<HashMap<ContainerId, Arc<Entry>>>,
}

impl Inner {
    pub(crate) fn entries(&self) -> MutexGuard<'_, HashMap<ContainerId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entry(&self, id: &ContainerId) -> Option<Arc<Entry>> {
        self.entries().get(id).cloned()
    }

    /// Sends a signal to the first process of a container.
    pub(crate) async fn signal(&self, reference: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptions {
            signal: signal.to_owned(),
        };
        self.engine
            .call(
                "kill container",
                self.options.deadlines.question,
                |docker| async move { docker.kill_container(reference, Some(options)).await },
            )
            .await
    }
}

impl DockerContainerizer {
    /// Must be called within a tokio runtime.
    pub fn new(options: DockerOptions, fetcher: Arc<dyn Fetcher>) -> Self {
        let stop = CancellationToken::new();
        let engine = Arc::new(Engine::new(&options.socket));
        let removals = Removals::start(Arc::clone(&engine), options.deadlines.remove, stop.clone());
        let inner = Arc::new(Inner {
            options: Arc::new(options),
            engine,
            fetcher,
            removals,
            stop: stop.clone(),
            pull_millis: AtomicU64::new(0),
            entries: Mutex::new(HashMap::new()),
        });
        Self {
            inner,
            _stop: stop.drop_guard(),
        }
    }

    /// The engine's version, as a test that it answers.
    ///
    /// # Errors
    /// When it does not; the text says what to do.
    pub async fn probe(&self) -> Result<String, EngineError> {
        let question = self.inner.options.deadlines.question;
        let version = self
            .inner
            .engine
            .call("version", question, |docker| async move {
                docker.version().await
            });
        Ok(version.await?.version.unwrap_or_default())
    }

    /// Metrics by Mesos's names.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let millis = self.inner.pull_millis.load(Ordering::Relaxed);
        BTreeMap::from([(
            "containerizer/docker/image_pull_ms".to_owned(),
            millis as f64,
        )])
    }
}

impl std::fmt::Debug for DockerContainerizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerContainerizer")
            .field("socket", &self.inner.engine.socket())
            .finish()
    }
}

#[async_trait]
impl Containerizer for DockerContainerizer {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn accepts(&self, config: &ContainerConfig) -> bool {
        accepts(config)
    }

    async fn recover(&self, known: &[ContainerConfig]) -> Result<(), ContainerError> {
        self.inner.recover(known).await;
        Ok(())
    }

    async fn launch(&self, config: ContainerConfig) -> Result<LaunchResult, ContainerError> {
        if !accepts(&config) {
            return Ok(LaunchResult::NotSupported);
        }
        let id = config.id.clone();
        let name = names::name(&config.identity.agent, &id);
        let entry = {
            let mut entries = self.inner.entries();
            if entries.contains_key(&id) {
                return Ok(LaunchResult::AlreadyLaunched);
            }
            let entry = Arc::new(Entry::new(config, Phase::Launching, name));
            entries.insert(id.clone(), Arc::clone(&entry));
            entry
        };
        // Its own task, because dropping this future must not stop a launch half-way.
        let task = tokio::spawn(Arc::clone(&self.inner).launch(entry));
        match task.await {
            Ok(result) => result.map(LaunchResult::Launched),
            Err(error) => Err(ContainerError::Backend {
                operation: format!("launch of container {id}"),
                message: error.to_string(),
            }),
        }
    }

    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        limits: &Limits,
    ) -> Result<(), ContainerError> {
        let Some(entry) = self.inner.entry(id) else {
            return Err(ContainerError::Update {
                id: id.clone(),
                message: "there is no such container".to_owned(),
            });
        };
        entry.set_resources(resources, limits);
        if entry.phase() != Phase::Running {
            return Ok(());
        }
        let Some(body) = self.inner.changes(&entry, resources, limits) else {
            return Ok(());
        };
        let reference = entry.reference();
        let sent = body.clone();
        self.inner
            .engine
            .call(
                "update container",
                self.inner.options.deadlines.question,
                |docker| async move { docker.update_container(&reference, sent).await },
            )
            .await
            .map_err(|error| ContainerError::Update {
                id: id.clone(),
                message: error.to_string(),
            })?;
        let mut facts = entry.facts();
        facts.cpu_shares = body.cpu_shares.unwrap_or(facts.cpu_shares);
        facts.cpu_quota = body.cpu_quota.unwrap_or(facts.cpu_quota);
        facts.memory = body.memory.unwrap_or(facts.memory);
        Ok(())
    }

    async fn usage(&self, id: &ContainerId) -> Result<Option<Usage>, ContainerError> {
        let Some(entry) = self.inner.entry(id) else {
            return Ok(None);
        };
        let Some(pid) = entry.facts().status.pid else {
            return Ok(None);
        };
        if entry.is_ended() {
            return Ok(None);
        }
        let (resources, limits) = entry.resources();
        let options = &self.inner.options;
        let statistics = crate::usage::read(
            pid,
            &resources,
            &limits,
            options.enable_cfs,
            options.host_memory,
        );
        Ok(statistics.map(|statistics| Usage { statistics }))
    }

    async fn status(&self, id: &ContainerId) -> Result<Option<ContainerStatus>, ContainerError> {
        let entry = self.inner.entry(id).filter(|entry| !entry.is_ended());
        Ok(entry.map(|entry| entry.facts().status.clone()))
    }

    async fn wait(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        match self.inner.entry(id) {
            Some(entry) => Ok(Some(entry.ended().await)),
            None => Ok(None),
        }
    }

    async fn kill(&self, id: &ContainerId, signal: i32) -> Result<bool, ContainerError> {
        let Some(entry) = self.inner.entry(id) else {
            return Ok(false);
        };
        if !matches!(entry.phase(), Phase::Running | Phase::Recovering) {
            return Ok(false);
        }
        let (reference, stop_signal) = {
            let facts = entry.facts();
            (facts.reference.clone(), facts.stop_signal.clone())
        };
        // As `docker stop`: images say which signal asks them to end.
        let signal = match stop_signal {
            Some(stop) if signal == nix::sys::signal::Signal::SIGTERM as i32 => stop,
            _ => signal.to_string(),
        };
        if matches!(signal.as_str(), "9" | "KILL" | "SIGKILL") {
            entry.killed.store(true, Ordering::Relaxed);
        }
        match self.inner.signal(&reference, &signal).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(false),
            Err(error) => Err(ContainerError::Backend {
                operation: format!("signal {signal} to container {id}"),
                message: error.to_string(),
            }),
        }
    }

    async fn destroy(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        let Some(entry) = self.inner.entry(id) else {
            return Ok(None);
        };
        // Whoever works on the container sees it: the launch, or the loop that awaits its end.
        entry.stop.cancel();
        Ok(Some(entry.ended().await))
    }

    async fn forget(&self, id: &ContainerId) -> Result<(), ContainerError> {
        let ended = {
            let mut entries = self.inner.entries();
            match entries.get(id) {
                Some(entry) if entry.is_ended() => entries.remove(id),
                _ => None,
            }
        };
        if ended.is_some() {
            let path = output::position_file(&self.inner.options, &id.to_string());
            let _absent = tokio::fs::remove_file(path).await;
        }
        Ok(())
    }

    async fn containers(&self) -> Vec<ContainerId> {
        let entries = self.inner.entries();
        entries
            .iter()
            .filter(|(_, entry)| !entry.is_ended())
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn pending(&self) -> Vec<(String, String)> {
        let entries = self.inner.entries();
        let slow = entries
            .iter()
            .filter(|(_, entry)| entry.since.elapsed() > PENDING);
        slow.filter_map(|(id, entry)| {
            let operation = match entry.phase() {
                Phase::Launching => "docker::launch",
                Phase::Recovering => "docker::recover",
                Phase::Running if entry.stop.is_cancelled() => "docker::destroy",
                Phase::Running | Phase::Ended(_) => return None,
            };
            Some((operation.to_owned(), id.to_string()))
        })
        .collect()
    }
}

impl Inner {
    /// What the engine must be told so that new requests and limits hold; memory is only raised,
    /// and a command task's container only grows.
    fn changes(
        &self,
        entry: &Entry,
        resources: &Resources,
        limits: &Limits,
    ) -> Option<ContainerUpdateBody> {
        let options = &self.options;
        let wanted = engine_limits(resources, limits, options.enable_cfs, options.host_memory);
        let facts = entry.facts();
        let only_grow = entry.config.identity.task.is_some();
        let mut body = ContainerUpdateBody::default();
        if let Some(shares) = wanted.cpu_shares
            && (shares > facts.cpu_shares || (!only_grow && shares != facts.cpu_shares))
        {
            body.cpu_shares = Some(shares);
        }
        if let Some(quota) = wanted.cpu_quota {
            // Nothing, and less than nothing, are no bound.
            let size = |quota: i64| if quota <= 0 { i64::MAX } else { quota };
            let (new, old) = (size(quota), size(facts.cpu_quota));
            if new > old || (!only_grow && new != old) {
                body.cpu_quota = Some(quota);
            }
        }
        if let Some(memory) = wanted.memory
            && facts.memory > 0
            && memory > facts.memory
        {
            body.memory = Some(memory);
            // The engine sets twice the memory at create, and refuses more memory than that.
            body.memory_swap = memory.checked_mul(2);
        }
        (body != ContainerUpdateBody::default()).then_some(body)
    }
}

fn accepts(config: &ContainerConfig) -> bool {
    config.id.parent().is_none()
        && config
            .container
            .as_ref()
            .is_some_and(|container| container.r#type() == container_info::Type::Docker)
}
