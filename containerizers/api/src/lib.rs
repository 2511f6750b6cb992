//! What a containerizer is: the plug-in trait, its contract and the data that crosses it.

mod config;
mod error;
mod fetcher;
mod outcome;

use std::sync::Arc;

use async_trait::async_trait;
use mesos_types::{ContainerId, Resources};
pub use mesos_types::{LimitValue, Limits};

pub use config::{ContainerConfig, Identity};
pub use error::{ContainerError, Stage};
pub use fetcher::{FetchError, FetchRequest, Fetcher};
pub use outcome::{ContainerStatus, LaunchResult, Limitation, Running, Termination, Usage};

/// Runs containers for the agent. An unknown id is an answer (`None`), not an error.
///
/// All methods may be called at the same time for different containers; for one container the
/// agent calls `update` one at a time, and `destroy`, `wait`, `kill` and `usage` whenever it likes.
#[async_trait]
pub trait Containerizer: Send + Sync {
    /// The name an operator writes in `--containerizers`.
    fn name(&self) -> &'static str;

    /// Whether `launch` would run this container; `launch` answers `NotSupported` otherwise.
    /// Looks at the configuration only.
    fn accepts(&self, config: &ContainerConfig) -> bool;

    /// Takes back the containers in `known` after an agent restart, before any other call;
    /// destroys what this agent started (by its own durable record or label) and does not list,
    /// nothing else. A container of `known` that has ended meanwhile, or that cannot be found, is
    /// answered by `wait` (with its recorded status, else with `status: None`).
    async fn recover(&self, known: &[ContainerConfig]) -> Result<(), ContainerError>;

    /// Starts a container: fetches, provisions, isolates and runs it. Answers when the task's
    /// process runs. Dropping the future does not undo a launch; `destroy` does, at any stage, and
    /// then `launch` answers an error. An error means that everything has been undone.
    async fn launch(&self, config: ContainerConfig) -> Result<LaunchResult, ContainerError>;

    /// Changes requests and limits of a running container.
    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        limits: &Limits,
    ) -> Result<(), ContainerError>;

    /// What the container uses now.
    async fn usage(&self, id: &ContainerId) -> Result<Option<Usage>, ContainerError>;

    /// Network addresses and pid of a running container.
    async fn status(&self, id: &ContainerId) -> Result<Option<ContainerStatus>, ContainerError>;

    /// Answers when the container has ended and is cleaned up; any number of callers, also after
    /// the end (as long as `forget` was not called).
    async fn wait(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError>;

    /// Sends a signal to every process of the task (not to helpers of ours). `false`: not running.
    async fn kill(&self, id: &ContainerId, signal: i32) -> Result<bool, ContainerError>;

    /// Kills every process, then cleans up. Safe to repeat, and at any point of a launch.
    /// Answers as `wait` does.
    async fn destroy(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError>;

    /// The agent has written down how the container ended; nothing about it is needed any more.
    async fn forget(&self, id: &ContainerId) -> Result<(), ContainerError>;

    /// Ids of the containers that are launching, running or being destroyed.
    async fn containers(&self) -> Vec<ContainerId>;

    /// Operations under way that have not ended for a while, for `/containerizer/debug`:
    /// (operation, container id or other argument).
    fn pending(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// A containerizer behind a shared handle, as the agent holds it.
pub type SharedContainerizer = Arc<dyn Containerizer>;
