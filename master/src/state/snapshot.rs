//! The state as one immutable value, and the place where readers find the newest one.
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::{OrdMap, Vector};
use mesos_types::{AgentId, FrameworkId, OfferId};
use mesos_wire::v1::MasterInfo;
use tokio::sync::broadcast;

use super::{
    Agent, Change, Framework, InverseOffer, Offer, RecoveredAgent, Settings, Task, TaskKey,
    UnreachableAgent, WallTime,
};

/// Changes a follower may be behind before it loses some and must start again with a snapshot.
const CHANGES: usize = 65_536;

/// Who this master is; fixed for the life of the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// As in `master_info` of SUBSCRIBED, without `capabilities` (see [`Identity::info`]).
    pub info: MasterInfo,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// When the process started.
    pub start_time: WallTime,
    /// When it became the leader.
    pub elected_time: WallTime,
}

/// All state at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Another one for each state that differs; grows.
    pub version: u64,
    /// How many entries of the stream of changes this state contains; see [`Published::follow`].
    pub changes: u64,
    /// Who this master is.
    pub identity: Arc<Identity>,
    /// Frameworks that are not completed.
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Frameworks that ended, oldest first, bounded.
    pub completed_frameworks: Vector<Arc<Framework>>,
    /// Registered agents.
    pub agents: OrdMap<AgentId, Arc<Agent>>,
    /// Agents of the registry that are not back yet.
    pub recovered_agents: OrdMap<AgentId, Arc<RecoveredAgent>>,
    /// Agents that are silent for too long.
    pub unreachable_agents: OrdMap<AgentId, UnreachableAgent>,
    /// Agents that were removed for good, and when (nanoseconds since 1970).
    pub gone_agents: OrdMap<AgentId, i64>,
    /// Offers that are not answered.
    pub offers: OrdMap<OfferId, Arc<Offer>>,
    /// Inverse offers that are not answered.
    pub inverse_offers: OrdMap<OfferId, Arc<InverseOffer>>,
    /// What operators have set.
    pub settings: Arc<Settings>,
}

impl Snapshot {
    /// Nothing known yet.
    pub fn new(identity: Arc<Identity>) -> Self {
        Self {
            version: 0,
            changes: 0,
            identity,
            frameworks: OrdMap::new(),
            completed_frameworks: Vector::new(),
            agents: OrdMap::new(),
            recovered_agents: OrdMap::new(),
            unreachable_agents: OrdMap::new(),
            gone_agents: OrdMap::new(),
            offers: OrdMap::new(),
            inverse_offers: OrdMap::new(),
            settings: Arc::default(),
        }
    }

    /// Whether both hold the very same records; quick, and `false` may be wrong.
    pub(crate) fn same_records(&self, other: &Self) -> bool {
        fn same<K: Ord, V>(a: &OrdMap<K, V>, b: &OrdMap<K, V>) -> bool {
            a.ptr_eq(b) || (a.is_empty() && b.is_empty())
        }
        // Completed frameworks do not change; they come at the end and go from the beginning.
        let ends = |snapshot: &Self| {
            let completed = &snapshot.completed_frameworks;
            (
                completed.len(),
                completed.front().map(Arc::as_ptr),
                completed.back().map(Arc::as_ptr),
            )
        };
        same(&self.frameworks, &other.frameworks)
            && ends(self) == ends(other)
            && same(&self.agents, &other.agents)
            && same(&self.recovered_agents, &other.recovered_agents)
            && same(&self.unreachable_agents, &other.unreachable_agents)
            && same(&self.gone_agents, &other.gone_agents)
            && same(&self.offers, &other.offers)
            && same(&self.inverse_offers, &other.inverse_offers)
            && Arc::ptr_eq(&self.settings, &other.settings)
    }

    /// The task of that name, unless it ended or is on an unreachable agent.
    pub fn task(&self, key: &TaskKey) -> Option<&Arc<Task>> {
        self.frameworks.get(&key.framework)?.tasks.get(&key.task)
    }
}

/// The newest snapshot and the stream of changes, shared by the writer and all readers.
#[derive(Debug)]
pub struct Published {
    newest: ArcSwap<Snapshot>,
    changes: broadcast::Sender<(u64, Change)>,
}

impl Published {
    /// Begins with `snapshot`.
    pub fn new(snapshot: Snapshot) -> Self {
        let (changes, _) = broadcast::channel(CHANGES);
        Self {
            newest: ArcSwap::from_pointee(snapshot),
            changes,
        }
    }

    /// The newest state. Never waits.
    pub fn load(&self) -> Arc<Snapshot> {
        self.newest.load_full()
    }

    /// A state and the changes after it, without gap. Each change has its number; skip those with a
    /// number up to `snapshot.changes`. `RecvError::Lagged` means that changes were lost: the follower is
    /// too slow and has to start again.
    pub fn follow(&self) -> (Arc<Snapshot>, broadcast::Receiver<(u64, Change)>) {
        let changes = self.changes.subscribe();
        (self.load(), changes)
    }

    /// Publishes a state, then the changes that led to it, numbered up to `snapshot.changes`.
    pub(crate) fn publish(&self, snapshot: Snapshot, changes: Vec<Change>) {
        let first = snapshot.changes + 1 - changes.len() as u64;
        self.newest.store(Arc::new(snapshot));
        for (number, change) in (first..).zip(changes) {
            // Nobody follows: nothing to do.
            let _ = self.changes.send((number, change));
        }
    }
}
