//! An inverse offer that is not answered: a framework is asked to leave an agent.
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use mesos_types::{AgentId, FrameworkId, OfferId};
use mesos_wire::v1::{self, Unavailability, allocator::InverseOfferStatus};

/// One framework, one agent.
#[derive(Debug, Clone)]
pub struct InverseOffer {
    /// Its id, of the same sequence as those of offers.
    pub id: OfferId,
    /// Who is asked.
    pub framework_id: FrameworkId,
    /// What it should leave.
    pub agent_id: AgentId,
    /// As it was sent.
    pub wire: Arc<v1::InverseOffer>,
}

/// What is planned for the machine of an agent, and what frameworks said to it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// When the machine is to be down.
    pub unavailability: Unavailability,
    /// Inverse offers that are not answered.
    pub inverse_offers: OrdSet<OfferId>,
    /// The last answer of each framework to this plan.
    pub answers: OrdMap<FrameworkId, InverseOfferStatus>,
}

impl Planned {
    /// Nobody was asked yet.
    pub fn new(unavailability: Unavailability) -> Self {
        Self {
            unavailability,
            inverse_offers: OrdSet::new(),
            answers: OrdMap::new(),
        }
    }
}
