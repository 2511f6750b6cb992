//! What is under way between an agent and the registry.
use std::collections::{BTreeMap, HashMap, HashSet};

use mesos_types::AgentId;

use super::AgentHello;
use crate::validation::agent::Candidate;

/// What waits for the registry, and who waits for that.
#[derive(Debug)]
pub(super) struct Transitions {
    /// Agents that can never come back, and since when.
    gone: BTreeMap<AgentId, i64>,
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
    pub(super) fn new(gone: BTreeMap<AgentId, i64>) -> Self {
        Self {
            gone,
            tokens: 0,
            pending: HashMap::new(),
            busy: HashSet::new(),
            waiting: HashMap::new(),
        }
    }

    /// Whether the agent was removed for good.
    pub(super) fn is_gone(&self, id: &AgentId) -> bool {
        self.gone.contains_key(id)
    }

    /// Whether the agent is being let in right now.
    pub(super) fn admits(&self, id: &AgentId) -> bool {
        self.busy.contains(id)
            && self
                .pending
                .values()
                .any(|pending| matches!(pending, Pending::Admit { id: own, .. } if own == id))
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
