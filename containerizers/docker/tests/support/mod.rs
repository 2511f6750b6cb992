//! What the tests of this crate share: configurations, options, waiting, an engine that is a fake.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used)]

pub mod engine;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use mesos_containerizer_api::{
    ContainerConfig, FetchError, FetchRequest, Fetcher, Identity, Limits,
};
use mesos_containerizer_docker::{DockerContainerizer, DockerOptions};
use mesos_types::{ContainerId, parse_resources};
use mesos_wire::v1::{self, container_info};

/// The image that `scripts/make-python-image` makes.
pub const IMAGE: &str = "python:3";

/// The socket of the engine that tests use: `DOCKER_HOST`, else the standard one.
pub fn engine_socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    PathBuf::from(
        host.strip_prefix("unix://")
            .unwrap_or("/var/run/docker.sock"),
    )
}

/// Fetches nothing; fails when asked to.
pub struct NoFetcher;

#[async_trait]
impl Fetcher for NoFetcher {
    async fn fetch(&self, request: FetchRequest) -> Result<(), FetchError> {
        match request.uris.first() {
            Some(uri) if uri.value == "hang:" => std::future::pending().await,
            Some(uri) => Err(FetchError {
                uri: uri.value.clone(),
                message: "told to fail".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// A folder for one test with sandboxes and a runtime folder.
pub struct Place {
    dir: tempfile::TempDir,
    pub owner: String,
    agent: String,
}

impl Place {
    pub fn new() -> Self {
        let unique = ContainerId::random().to_string();
        Self {
            dir: tempfile::tempdir().unwrap(),
            owner: format!("test-{unique}"),
            agent: format!("{unique}-S0"),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn options(&self) -> DockerOptions {
        let mut options = DockerOptions::new(
            self.owner.clone(),
            self.dir.path().to_owned(),
            self.dir.path().join("run"),
            PathBuf::from(env!("CARGO_BIN_EXE_mesos-docker-logs")),
        );
        options.socket = engine_socket();
        options.log_writer_arguments = Vec::new();
        options.host_memory = 8 << 30;
        options
    }

    pub fn containerizer(&self) -> DockerContainerizer {
        DockerContainerizer::new(self.options(), Arc::new(NoFetcher))
    }

    /// A command task that runs `command` by a shell.
    pub fn task(&self, command: &str) -> ContainerConfig {
        let id = ContainerId::random();
        let sandbox = self.dir.path().join("sandboxes").join(id.to_string());
        std::fs::create_dir_all(&sandbox).unwrap();
        ContainerConfig {
            id,
            identity: Identity {
                agent: self.agent.as_str().into(),
                framework: "fw-0000".into(),
                executor: "task-1".into(),
                task: Some("task-1".into()),
            },
            command: v1::CommandInfo {
                value: Some(command.to_owned()),
                ..v1::CommandInfo::default()
            },
            container: Some(v1::ContainerInfo {
                r#type: container_info::Type::Docker as i32,
                docker: Some(container_info::DockerInfo {
                    image: IMAGE.to_owned(),
                    ..container_info::DockerInfo::default()
                }),
                ..v1::ContainerInfo::default()
            }),
            resources: parse_resources("cpus:0.5;mem:64", "*").unwrap(),
            limits: Limits::default(),
            sandbox,
            user: None,
            environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            kill_grace: Duration::from_secs(3),
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// The `docker` part of a configuration.
pub fn docker(config: &mut ContainerConfig) -> &mut container_info::DockerInfo {
    config.container.as_mut().unwrap().docker.as_mut().unwrap()
}

pub fn parameter(config: &mut ContainerConfig, key: &str, value: &str) {
    docker(config).parameters.push(v1::Parameter {
        key: key.to_owned(),
        value: value.to_owned(),
    });
}

/// Waits until `ready` answers something; fails with `what` after 30 s.
pub async fn wait_for<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "still waiting: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
