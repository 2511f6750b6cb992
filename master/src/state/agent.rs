//! An agent: what it offers, what is used of it, and whether it answers.
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use mesos_types::{AgentId, ExecutorId, FrameworkId, OfferId, Resources};
use mesos_wire::v1::{
    AgentInfo, DrainInfo, DrainState,
    agent_info::{Capability, capability::Type},
};
use uuid::Uuid;

use super::{Executor, Operation, Planned, TaskKey, WallTime};

/// An agent that is registered with this master.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its id; also in `info`.
    pub id: AgentId,
    /// As registered, `id` included.
    pub info: Arc<AgentInfo>,
    /// Address of its HTTP API, without the port.
    pub ip: String,
    /// Release of the agent, as it says.
    pub version: String,
    /// Capabilities it declared.
    pub capabilities: Arc<Vec<Capability>>,
    /// Changes at each start of the agent process.
    pub process_epoch: String,
    /// 16 bytes, as the agent said last.
    pub resource_version: Vec<u8>,
    /// When this master admitted it (or took it back after the master's start).
    pub registered_time: WallTime,
    /// When it came back last.
    pub reregistered_time: Option<WallTime>,
    /// Its control stream; `None` while it is disconnected. An agent without one is offered to nobody.
    pub session: Option<u64>,
    /// Everything it has, without allocations.
    pub total: Resources,
    /// Held by tasks and executors, per framework, with allocation roles.
    pub used: OrdMap<FrameworkId, Resources>,
    /// In offers that are not answered, with allocation roles.
    pub offered: Resources,
    /// Tasks on it that have not been acknowledged as ended.
    pub tasks: OrdSet<TaskKey>,
    /// Executors of frameworks on it.
    pub executors: OrdMap<(FrameworkId, ExecutorId), Arc<Executor>>,
    /// Offers of it that are not answered.
    pub offers: OrdSet<OfferId>,
    /// Operations on it whose end is not acknowledged.
    pub operations: OrdMap<Uuid, Arc<Operation>>,
    /// Whether an operator has taken it out of service.
    pub deactivation: Option<Arc<Deactivation>>,
    /// What the maintenance schedule has for its machine.
    pub planned: Option<Arc<Planned>>,
}

/// An operator wants nothing new on an agent. Kept in the registry, except for the time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deactivation {
    /// What runs there is to end too; how far that is.
    pub drain: Option<DrainInfo>,
    /// When the agent was told so last, by this master.
    pub drain_started: Option<WallTime>,
}

impl Deactivation {
    /// Whether its tasks are still ending.
    pub fn draining(&self) -> bool {
        self.drain
            .as_ref()
            .is_some_and(|drain| drain.state() == DrainState::Draining)
    }
}

impl Agent {
    /// Whether its control stream is open.
    pub fn connected(&self) -> bool {
        self.session.is_some()
    }

    /// Whether it is offered: connected, and nobody deactivated it.
    pub fn active(&self) -> bool {
        self.connected() && self.deactivation.is_none()
    }

    /// Port of its HTTP API.
    pub fn port(&self) -> i32 {
        self.info.port()
    }

    /// Its address as `/slaves` shows it: `slave(1)@127.0.0.1:5051`.
    pub fn pid(&self) -> String {
        format!("slave(1)@{}:{}", self.ip, self.port())
    }

    /// Whether the agent declared this capability.
    pub fn can(&self, capability: Type) -> bool {
        self.capabilities
            .iter()
            .any(|declared| declared.r#type() == capability)
    }

    /// Held by the tasks and executors of all frameworks.
    pub fn used_total(&self) -> Resources {
        self.used
            .values()
            .fold(Resources::default(), |sum, used| &sum + used)
    }
}

/// An agent of the registry that has not come back since this master started.
#[derive(Debug, Clone)]
pub struct RecoveredAgent {
    /// As it was registered.
    pub info: Arc<AgentInfo>,
    /// Whether an operator has taken it out of service.
    pub deactivation: Option<Arc<Deactivation>>,
}

/// An agent that was silent for too long. It may come back.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreachableAgent {
    /// Since when, nanoseconds since 1970.
    pub since_nanos: i64,
    /// Whether an operator has taken it out of service.
    pub deactivation: Option<Arc<Deactivation>>,
}
