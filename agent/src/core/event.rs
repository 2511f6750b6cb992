//! What happens to the agent.

use mesos_containerizer_api::{ContainerError, ContainerStatus, LaunchResult, Termination};
use mesos_control::v1::MasterMessage;
use mesos_types::ContainerId;
use mesos_wire::v1::executor;
use uuid::Uuid;

use super::{ConnectionId, RequestId, SessionId};

/// One thing that happened. The core takes them one at a time.
#[derive(Debug)]
pub enum Event {
    /// Recovery is over: containers have been taken back.
    Recovered {
        /// Seconds it took.
        took: f64,
    },
    /// A connection to the master is there and wants to know what to open the session with.
    SessionWanted(SessionId),
    /// The master says something.
    Master(SessionId, Box<MasterMessage>),
    /// The session is over; the next one is being tried.
    SessionLost(SessionId),
    /// A sandbox is there, or it could not be made.
    SandboxMade(ContainerId, Result<(), SandboxFailure>),
    /// A launch has ended one way or the other.
    Launched(ContainerId, Result<LaunchResult, ContainerError>),
    /// A container has ended; `Ok(None)`: the containerizer does not know it.
    Ended(ContainerId, Result<Option<Termination>, ContainerError>),
    /// New resources have been applied, or could not be.
    Resized(ContainerId, Result<(), ContainerError>),
    /// What the containerizer says about a container after a restart; `None`: it is not running.
    Probed(ContainerId, Option<ContainerStatus>),
    /// The directories of an operation's volumes are as it wants them, or cannot be; why.
    VolumesDone(Uuid, Result<(), String>),
    /// An executor calls. A SUBSCRIBE comes with the connection its events go to.
    Executor {
        /// Who is to be answered.
        request: RequestId,
        /// For SUBSCRIBE.
        connection: Option<ConnectionId>,
        /// The call; its shape has been checked.
        call: Box<executor::Call>,
    },
    /// The executor's event stream was closed.
    ExecutorGone(ConnectionId),
    /// Checkpoints cannot be written at present (`true`), or can be again.
    CheckpointsStalled(bool),
    /// The operator wants the agent to unregister, end its tasks and itself (SIGUSR1).
    Leave,
    /// Time has passed; timers may be due.
    Tick,
}

/// Why a container has no sandbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxFailure {
    /// The user does not exist on this host, or the directory could not be made or given to it.
    #[error("{0}")]
    Directory(String),
    /// A host port that the task wants is taken by somebody else.
    #[error(
        "host port {port}/{protocol} is already in use on this agent by a process outside of it; end that process, or leave the port out of the agent's --resources"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: String,
    },
}
