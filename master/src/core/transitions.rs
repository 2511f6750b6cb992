//! What is under way between an agent and the registry.
use std::collections::{BTreeMap, HashMap, HashSet};

use mesos_types::AgentId;
use mesos_wire::v1::{MachineInfo, maintenance::Schedule, quota::QuotaConfig};

use super::AgentHello;
use crate::{registry::MachineKey, state::Deactivation, validation::agent::Candidate};

/// What waits for the registry, and who waits for that.
#[derive(Debug, Default)]
pub(super) struct Transitions {
    /// Tokens given out.
    pub(super) tokens: u64,
    pub(super) pending: HashMap<u64, Pending>,
    /// Agents with something pending.
    pub(super) busy: HashSet<AgentId>,
    /// The newest hello of an agent that is busy.
    pub(super) waiting: HashMap<AgentId, AgentHello>,
}

/// What happens once the registry holds a change.
#[derive(Debug)]
pub(super) enum Pending {
    Admit {
        id: AgentId,
        hello: Box<AgentHello>,
        candidate: Box<Candidate>,
        was: Was,
        closed: bool,
    },
    Unreachable {
        id: AgentId,
        since_nanos: i64,
    },
    /// The agent is in service or not; `request` is answered.
    Service {
        request: Option<u64>,
        id: AgentId,
        deactivation: Option<Deactivation>,
    },
    /// What an operator sets for the whole cluster; `request` is answered.
    Setting {
        request: Option<u64>,
        setting: Setting,
    },
    /// The agent is gone for good.
    Gone {
        request: Option<u64>,
        id: AgentId,
        at_nanos: i64,
    },
}

/// What operators set for the whole cluster.
#[derive(Debug)]
pub(super) enum Setting {
    /// Weights of these roles.
    Weights(Vec<(String, f64)>),
    /// Quotas of these roles, or none any more.
    Quotas(Vec<(String, Option<QuotaConfig>)>),
    /// The schedule, its machines, and agents on machines that go down.
    Maintenance {
        schedule: Schedule,
        machines: BTreeMap<MachineKey, MachineInfo>,
        removed: Vec<AgentId>,
    },
}

/// What the agent was when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    /// Never seen.
    New,
    /// Registered with this master; its session broke or is replaced.
    Registered,
    /// In the registry, not back since this master started.
    Recovered,
    /// Marked unreachable.
    Unreachable,
    /// Of another master's time, and no longer in the registry.
    Unknown,
}

impl Transitions {
    /// Whether the agent is being let in right now.
    pub(super) fn admits(&self, id: &AgentId) -> bool {
        self.busy.contains(id)
            && self
                .pending
                .values()
                .any(|pending| matches!(pending, Pending::Admit { id: own, .. } if own == id))
    }

    /// Whether the agent is about to be gone for good.
    pub(super) fn is_marked_gone(&self, id: &AgentId) -> bool {
        self.busy.contains(id)
            && self
                .pending
                .values()
                .any(|pending| matches!(pending, Pending::Gone { id: own, .. } if own == id))
    }

    pub(super) fn is_busy(&self, id: &AgentId) -> bool {
        self.busy.contains(id)
    }

    pub(super) fn begin(&mut self, id: &AgentId, pending: Pending) -> u64 {
        self.tokens += 1;
        self.busy.insert(id.clone());
        self.pending.insert(self.tokens, pending);
        self.tokens
    }

    /// For what concerns no agent.
    pub(super) fn begin_setting(&mut self, pending: Pending) -> u64 {
        self.tokens += 1;
        self.pending.insert(self.tokens, pending);
        self.tokens
    }

    /// A session has ended: what waits in it is void, what is under way goes on without it.
    pub(super) fn drop_session(&mut self, session: u64) {
        self.waiting.retain(|_, hello| hello.session != session);
        for pending in self.pending.values_mut() {
            if let Pending::Admit { hello, closed, .. } = pending
                && hello.session == session
            {
                *closed = true;
            }
        }
    }
}
