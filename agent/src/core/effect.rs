//! What the core wants done. Effects of one event are carried out in order; nothing in them waits for
//! the core.

use std::path::PathBuf;

use mesos_containerizer_api::ContainerConfig;
use mesos_control::v1::AgentMessage;
use mesos_types::{ContainerId, ExecutorId, FrameworkId, Limits, Resources};
use mesos_wire::v1::{self, executor};

use super::{ConnectionId, RequestId, SessionId};
use crate::{checkpoint::Change, volumes::VolumeWork};

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Become this agent: write `slave.info` and start its journal. Comes before anything is persisted.
    Adopt(Box<v1::AgentInfo>),
    /// Write this down, wholly or not at all, before any later effect.
    Persist(Vec<Change>),
    /// Write this down so that it survives power loss too, before any later effect.
    PersistResources(Vec<Change>),
    /// Make and remove directories of volumes, before any later effect; answered by
    /// [`VolumesDone`](super::Event::VolumesDone).
    Volumes(Box<VolumeWork>),
    /// Open a new session with these messages: the hello, then the snapshot in pieces.
    OpenSession(SessionId, Vec<AgentMessage>),
    /// Send this to the master, if the session still stands.
    Send(SessionId, Box<AgentMessage>),
    /// Give the session up and try the next one.
    CloseSession(SessionId),
    /// Make a sandbox; answered by [`SandboxMade`](super::Event::SandboxMade).
    MakeSandbox(Box<SandboxRequest>),
    /// Launch; answered by [`Launched`](super::Event::Launched).
    Launch(Box<ContainerConfig>),
    /// Wait for the container's end; answered by [`Ended`](super::Event::Ended).
    Wait(ContainerId),
    /// Change a container's resources; answered by [`Resized`](super::Event::Resized).
    Resize(Box<ResizeRequest>),
    /// Send a signal to the container's processes.
    Signal(ContainerId, i32),
    /// End the container now. Its end comes as answer to [`Wait`](Self::Wait) or [`Launch`](Self::Launch).
    Destroy(ContainerId),
    /// The container's end has been written down.
    Forget(ContainerId),
    /// Look whether a container runs; answered by [`Probed`](super::Event::Probed).
    Probe(ContainerId),
    /// Answer an executor's call.
    Answer(RequestId, Result<(), Refusal>),
    /// Send an event to an executor.
    ToExecutor(ConnectionId, Box<executor::Event>),
    /// End an executor's event stream after what was sent.
    CloseExecutor(ConnectionId),
    /// Remove a directory when it is old enough, counted from now.
    Collect(PathBuf),
    /// Forget which agent this was: remove `meta/slaves/latest`.
    Renounce,
    /// End the process.
    Exit(Exit),
}

/// Where a sandbox is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxPaths {
    /// Whose it is.
    pub framework: FrameworkId,
    /// Whose it is.
    pub executor: ExecutorId,
    /// The sandbox itself: `.../executors/E/runs/C`.
    pub sandbox: PathBuf,
}

/// A sandbox to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxRequest {
    /// The container.
    pub container: ContainerId,
    /// Where.
    pub paths: SandboxPaths,
    /// Who owns it; `None`: the agent's own user.
    pub user: Option<String>,
    /// Persistent volumes to give to that user too.
    pub volumes: Vec<PathBuf>,
    /// Host ports that must be free: number and `tcp` or `udp`.
    pub ports: Vec<(u16, String)>,
}

/// New resources of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct ResizeRequest {
    /// The container.
    pub container: ContainerId,
    /// Requests.
    pub resources: Resources,
    /// Upper bounds.
    pub limits: Limits,
    /// Whom its volumes are for; `None`: the agent's own user.
    pub user: Option<String>,
    /// Volumes to give to that user first.
    pub volumes: Vec<PathBuf>,
}

/// Why an executor's call is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 400 with this text.
    Bad(String),
    /// 403 with this text.
    Forbidden(String),
}

/// How the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// As asked for.
    Done,
    /// Something an operator has to know.
    Failed(String),
}
