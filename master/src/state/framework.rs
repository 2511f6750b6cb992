//! A framework: who it is, how it is connected, and what is its own.
use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdMap, OrdSet, Vector};
use mesos_types::{
    AgentId, ExecutorId, FrameworkCapabilities, FrameworkId, OfferId, Resources, TaskId,
};
use mesos_wire::v1::{ExecutorInfo, FrameworkInfo, scheduler::OfferConstraints};

use super::{Task, WallTime};

/// The event stream of a framework that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Which stream; never used twice.
    pub stream: u64,
    /// Value of `Mesos-Stream-Id` that every further call must carry.
    pub id: String,
}

/// How the master stands with a framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Known only from agents that came back after this master started; has not subscribed yet. Its
    /// `failover_timeout` does not run.
    Recovered,
    /// Subscribed: its stream is open and it is offered resources.
    Subscribed(Subscription),
    /// Its stream broke; `failover_timeout` runs.
    Disconnected,
    /// Torn down, or not back within its `failover_timeout`. Its id stays refused as long as it is kept.
    Completed,
}

/// A framework, also one that has ended.
#[derive(Debug, Clone)]
pub struct Framework {
    /// Its id; also in `info`.
    pub id: FrameworkId,
    /// As subscribed last, `id` included.
    pub info: Arc<FrameworkInfo>,
    /// The capabilities in `info`.
    pub capabilities: FrameworkCapabilities,
    /// The roles it is subscribed to: `info.roles`, or `info.role` without MULTI_ROLE.
    pub roles: Arc<BTreeSet<String>>,
    /// The roles it wants no offers for.
    pub suppressed_roles: Arc<BTreeSet<String>>,
    /// Which agents it wants offers of, by role.
    pub offer_constraints: Option<Arc<OfferConstraints>>,
    /// How it is connected.
    pub standing: Standing,
    /// First subscription with this master (or when it was recovered).
    pub registered_time: WallTime,
    /// Last subscription with this master; equal to `registered_time` at first.
    pub reregistered_time: WallTime,
    /// When it was removed or its stream broke; 0 before that.
    pub unregistered_time: WallTime,
    /// Tasks whose end the framework has not acknowledged, and of course the running ones.
    pub tasks: OrdMap<TaskId, Arc<Task>>,
    /// Tasks on unreachable agents, the oldest forgotten first.
    pub unreachable_tasks: OrdMap<TaskId, Arc<Task>>,
    /// Tasks that ended, oldest first, bounded.
    pub completed_tasks: Vector<Arc<Task>>,
    /// Executors of its own (a command task's is the agent's business).
    pub executors: OrdMap<(AgentId, ExecutorId), Arc<Executor>>,
    /// Its offers that are not answered.
    pub offers: OrdSet<OfferId>,
    /// Inverse offers to it that are not answered.
    pub inverse_offers: OrdSet<OfferId>,
    /// Held by its tasks and executors on each agent, with allocation roles. By agent, because a port of
    /// one agent is not that of another.
    pub used_on: OrdMap<AgentId, Resources>,
    /// In its offers of each agent, with allocation roles.
    pub offered_on: OrdMap<AgentId, Resources>,
}

impl Framework {
    /// Whether its event stream is open.
    pub fn connected(&self) -> bool {
        matches!(self.standing, Standing::Subscribed(_))
    }

    /// Whether it is offered resources. The same as [`Framework::connected`]: an HTTP framework is never
    /// connected and inactive.
    pub fn active(&self) -> bool {
        self.connected()
    }

    /// Whether it is known only from agents.
    pub fn recovered(&self) -> bool {
        self.standing == Standing::Recovered
    }

    /// The open stream.
    pub fn subscription(&self) -> Option<&Subscription> {
        match &self.standing {
            Standing::Subscribed(subscription) => Some(subscription),
            Standing::Recovered | Standing::Disconnected | Standing::Completed => None,
        }
    }

    /// Held by all its tasks and executors. Ports of different agents come together.
    pub fn used(&self) -> Resources {
        sum(&self.used_on)
    }

    /// In all its offers. Ports of different agents come together.
    pub fn offered(&self) -> Resources {
        sum(&self.offered_on)
    }

    /// What the user calls it.
    pub fn name(&self) -> &str {
        &self.info.name
    }
}

fn sum(parts: &OrdMap<AgentId, Resources>) -> Resources {
    parts
        .values()
        .fold(Resources::default(), |sum, part| &sum + part)
}

/// An executor that a framework brought, on one agent.
#[derive(Debug, Clone)]
pub struct Executor {
    /// Its id, unique per framework and agent.
    pub id: ExecutorId,
    /// As launched, `framework_id` filled in.
    pub info: Arc<ExecutorInfo>,
    /// Its resources, with their allocation.
    pub resources: Resources,
    /// Where it runs.
    pub agent_id: AgentId,
    /// Whose it is.
    pub framework_id: FrameworkId,
}
