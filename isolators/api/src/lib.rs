//! What an isolator is: the plug-in trait, its contract, and the walks over a list of them.

mod config;
mod walk;

use async_trait::async_trait;
use mesos_types::{ContainerId, Resources};
pub use mesos_types::{LimitValue, Limits};
use mesos_wire::v1;

pub use config::{IsolatorConfig, LaunchInfo, Mount, Namespace, Recovered};
pub use walk::{CleanupFailure, cleanup_all, isolate_all, prepare_all, recover_all, update_all};

/// An isolator could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("isolator `{isolator}`: {message}")]
pub struct IsolatorError {
    /// Which one, by its name in `--isolation`.
    pub isolator: &'static str,
    /// What was tried on which thing, and what came of it.
    pub message: String,
}

impl IsolatorError {
    /// Takes over an error with all its causes.
    pub fn new(isolator: &'static str, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(beneath) = cause {
            message.push_str(": ");
            message.push_str(&beneath.to_string());
            cause = beneath.source();
        }
        Self { isolator, message }
    }
}

/// A bound that a container has broken; the containerizer then destroys it.
#[derive(Debug, Clone, PartialEq)]
pub struct Limitation {
    /// For the task status.
    pub reason: v1::task_status::Reason,
    /// For a person.
    pub message: String,
    /// What was used.
    pub resources: Resources,
}

/// One kind of isolation. Holds only state that `recover` can rebuild.
#[async_trait]
pub trait Isolator: Send + Sync {
    /// The name an operator writes in `--isolation`.
    fn name(&self) -> &'static str;

    /// Rebuilds state after an agent restart, before any other call. Orphans get cleaned up next.
    async fn recover(
        &self,
        known: &[Recovered],
        orphans: &[ContainerId],
    ) -> Result<(), IsolatorError>;

    /// Runs before the fork, one isolator at a time, in registry order. What it asks for in
    /// `LaunchInfo` is done by the helper inside the new container, in the same order.
    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError>;

    /// Takes in the container's first process, which is still held back. Runs once, in order.
    async fn isolate(&self, id: &ContainerId, pid: u32) -> Result<(), IsolatorError>;

    /// May run beside `usage`, never beside itself for the same container.
    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        limits: &Limits,
    ) -> Result<(), IsolatorError>;

    /// Adds what it knows to the container's statistics. Default: nothing to report.
    async fn usage(
        &self,
        _id: &ContainerId,
        _statistics: &mut v1::ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        Ok(())
    }

    /// Answers when the container has broken a bound. Started once after `isolate` or `recover`;
    /// dropped when the container ends. Default: never answers.
    async fn limitation(&self, _id: &ContainerId) -> Limitation {
        std::future::pending().await
    }

    /// Called after the last process has ended, before `cleanup`: a bound that was broken at the
    /// very end (an out-of-memory kill that ended the container). Default: none.
    async fn last_limitation(&self, _id: &ContainerId) -> Option<Limitation> {
        None
    }

    /// Runs after the last process, in reverse order, even if `prepare` never did. Safe to repeat.
    async fn cleanup(&self, id: &ContainerId) -> Result<(), IsolatorError>;
}
