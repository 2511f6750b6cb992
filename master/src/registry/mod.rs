//! The registry: what a master knows when it starts, whoever led before it.
//!
//! Which agents were admitted, drained, lost or removed, quotas, weights, the maintenance schedule, and who
//! led last. Everything else comes back with agents and frameworks.
//!
//! - [`Registry`] is all of it, [`Change`] one step; a change is kept wholly or not at all.
//! - [`Registrar`] keeps changes: nowhere, in the embedded store of one master, or in ZooKeeper for several.
//! - `entries` is the form in which both are stored: one key per fact, so that a change costs the same
//!   however much there is.
mod change;
mod embedded;
mod entries;
mod error;
mod figures;
mod registrar;
mod zookeeper;

use std::collections::{BTreeMap, BTreeSet};

use mesos_types::AgentId;
use mesos_wire::v1::{
    AgentInfo, DrainInfo, MachineInfo, MasterInfo, maintenance::Schedule, quota::QuotaConfig,
};

pub use change::{Change, MachineKey};
pub use error::{RegistryError, WriteError};
pub use figures::Figures;
pub use registrar::{Committed, Registrar};
pub use zookeeper::{ZooKeeper, ZooKeeperSettings};

/// What a master starts with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registry {
    /// Admitted, and neither unreachable nor gone.
    pub agents: BTreeMap<AgentId, AgentInfo>,
    /// Agents being drained or drained already, admitted or unreachable.
    pub drains: BTreeMap<AgentId, DrainInfo>,
    /// Agents whose resources are not offered, admitted or unreachable.
    pub deactivated: BTreeSet<AgentId>,
    /// Unreachable, and since when (nanoseconds since 1970).
    pub unreachable: BTreeMap<AgentId, i64>,
    /// Removed for good, and when (nanoseconds since 1970).
    pub gone: BTreeMap<AgentId, i64>,
    /// By role.
    pub quotas: BTreeMap<String, QuotaConfig>,
    /// By role. `None`: never written, so that `--weights` applies.
    pub weights: Option<BTreeMap<String, f64>>,
    /// The maintenance schedule; `None`: never written.
    pub schedule: Option<Schedule>,
    /// Machines of the schedule, and those that are down.
    pub machines: BTreeMap<MachineKey, MachineInfo>,
    /// Who led last.
    pub master: Option<MasterInfo>,
}

#[cfg(test)]
mod tests;
