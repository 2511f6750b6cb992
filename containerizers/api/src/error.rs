//! Why a containerizer could not do what it was asked.

use std::error::Error as StdError;

use mesos_types::ContainerId;
use mesos_wire::v1::task_status::Reason;

/// A step of the launch pipeline inside a containerizer, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Checking what was asked for.
    Validate,
    /// Downloading URIs.
    Fetch,
    /// Pulling images, mounting volumes.
    Provision,
    /// Isolators prepare.
    Prepare,
    /// Making the process, still held back.
    Fork,
    /// Isolators take the process in.
    Isolate,
    /// Letting it go.
    Release,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Validate => "validate",
            Self::Fetch => "fetch",
            Self::Provision => "provision",
            Self::Prepare => "prepare",
            Self::Fork => "fork",
            Self::Isolate => "isolate",
            Self::Release => "release",
        })
    }
}

/// The cause beneath a [`ContainerError`].
pub type Cause = Box<dyn StdError + Send + Sync>;

/// An operation on a container failed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The container did not come up; everything has been undone.
    #[error("stage `{stage}` failed: {message}")]
    Launch {
        /// Where in the pipeline.
        stage: Stage,
        /// What happened and what to do about it, for the framework's user.
        message: String,
        /// What is beneath, if `message` does not say it all.
        source: Option<Cause>,
    },
    /// `destroy` came while the container was launching.
    #[error("container {id} was destroyed while launching")]
    DestroyedWhileLaunching {
        /// The container.
        id: ContainerId,
    },
    /// New resources could not be applied.
    #[error("cannot update resources of container {id}: {message}")]
    Update {
        /// The container.
        id: ContainerId,
        /// What happened.
        message: String,
    },
    /// Processes or kernel objects could not be removed; it is tried again.
    #[error("cannot destroy container {id}: {message}")]
    Destroy {
        /// The container.
        id: ContainerId,
        /// What happened.
        message: String,
    },
    /// State of earlier runs could not be read.
    #[error("cannot recover: {message}")]
    Recover {
        /// What happened and what to do.
        message: String,
    },
    /// Something beneath (engine, kernel) did not answer as it should.
    #[error("{operation} failed: {message}")]
    Backend {
        /// What was asked.
        operation: String,
        /// What came back.
        message: String,
    },
}

impl ContainerError {
    /// What the framework reads in the task status. No other place translates.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Launch { .. }
            | Self::DestroyedWhileLaunching { .. }
            | Self::Recover { .. }
            | Self::Backend { .. }
            | Self::Destroy { .. } => Reason::ContainerLaunchFailed,
            Self::Update { .. } => Reason::ContainerUpdateFailed,
        }
    }
}
