//! A step of the registry.
use std::collections::BTreeMap;

use mesos_types::AgentId;
use mesos_wire::v1::{
    AgentInfo, DrainInfo, MachineId, MachineInfo, MasterInfo, maintenance::Schedule,
    quota::QuotaConfig,
};

/// A machine of the maintenance schedule. Host names are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineKey {
    /// In lower case; empty: any name.
    pub hostname: String,
    /// Empty: any address.
    pub ip: String,
}

impl From<&MachineId> for MachineKey {
    fn from(id: &MachineId) -> Self {
        Self {
            hostname: id.hostname().to_lowercase(),
            ip: id.ip().to_owned(),
        }
    }
}

impl From<&MachineKey> for MachineId {
    fn from(key: &MachineKey) -> Self {
        let present = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self {
            hostname: present(&key.hostname),
            ip: present(&key.ip),
        }
    }
}

/// A change of the registry; it is kept wholly or not at all, and making it again changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The agent is admitted (again), or its description changed: no longer unreachable.
    Admit(AgentId, Box<AgentInfo>),
    /// The agent is unreachable since then (nanoseconds since 1970). Its drain and its deactivation stay.
    Unreachable(AgentId, i64),
    /// The agent left or was replaced; it may come back as a new one.
    Remove(AgentId),
    /// These unreachable agents are forgotten.
    Forget(Vec<AgentId>),
    /// The agent was removed for good, then (nanoseconds since 1970).
    Gone(AgentId, i64),
    /// These agents that are gone are forgotten.
    ForgetGone(Vec<AgentId>),
    /// How far the agent's drain is, and whether its resources are kept back. `None` and `false` after it
    /// was reactivated.
    Drain(AgentId, Option<DrainInfo>, bool),
    /// New quotas of these roles; `None` takes the role's quota away.
    Quotas(Vec<(String, Option<QuotaConfig>)>),
    /// New weights of these roles; those of other roles stay. An empty list notes that weights were set.
    Weights(Vec<(String, f64)>),
    /// The schedule, the machines it leads to and the agents that are removed by it.
    Maintenance {
        /// The whole schedule; `None`: as if never written.
        schedule: Option<Schedule>,
        /// All machines, by their own ids; those not named here are forgotten.
        machines: BTreeMap<MachineKey, MachineInfo>,
        /// As by [`Change::Remove`].
        removed: Vec<AgentId>,
    },
    /// This master leads now.
    Leader(Box<MasterInfo>),
}
