//! An offer that is not answered.
use std::sync::Arc;

use mesos_types::{AgentId, FrameworkId, OfferId, Resources};
use mesos_wire::v1;

use super::WallTime;

/// Resources of one agent in the hands of one framework.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// To whom.
    pub framework_id: FrameworkId,
    /// Of which agent.
    pub agent_id: AgentId,
    /// As it was sent, except that allocation and reservations are always in the newest form here.
    pub wire: Arc<v1::Offer>,
    /// What is offered, with allocation.
    pub resources: Resources,
    /// The role it was allocated to.
    pub role: String,
    /// When it was made.
    pub made: WallTime,
}
