//! Inverse offers: frameworks are asked to leave agents whose machines are to be down, and answer.
use std::{collections::BTreeMap, sync::Arc};

use mesos_types::{AgentId, FrameworkId, OfferId};
use mesos_wire::v1::{
    self, Filters, TimeInfo, Unavailability,
    allocator::{InverseOfferStatus, inverse_offer_status::Status},
};

use super::{Core, allocation::refusal, event::events, timers::Timer};
use crate::state::{InverseOffer, Planned, agent_url};

impl Core {
    /// Asks the frameworks that the allocator names.
    pub(super) fn ask_to_leave(&mut self) {
        let mut sent: BTreeMap<FrameworkId, Vec<v1::InverseOffer>> = BTreeMap::new();
        for proposal in self.allocation.inverse_offers(self.now.monotonic) {
            let (framework_id, agent_id) = (proposal.framework, proposal.agent);
            let agent = self.state.agents.get(&agent_id);
            // Of one that is out of service nobody is asked; when it is back, everybody is.
            let Some(agent) = agent.filter(|agent| agent.active()).cloned() else {
                continue;
            };
            let id = self.next_offer_id();
            let wire = v1::InverseOffer {
                id: (&id).into(),
                url: Some(agent_url(&agent.info, &agent.ip)),
                framework_id: (&framework_id).into(),
                agent_id: Some((&agent_id).into()),
                unavailability: proposal.unavailability,
                resources: Vec::new(),
            };
            sent.entry(framework_id.clone())
                .or_default()
                .push(wire.clone());
            if let Some(timeout) = self.config.offer_timeout {
                self.timers
                    .set(self.now.monotonic, timeout, Timer::OfferTimeout(id.clone()));
            }
            if let Some(framework) = self.framework_mut(&framework_id) {
                framework.inverse_offers.insert(id.clone());
            }
            if let Some(planned) = self.planned_mut(&agent_id) {
                planned.inverse_offers.insert(id.clone());
            }
            let offer = InverseOffer {
                id: id.clone(),
                framework_id,
                agent_id,
                wire: Arc::new(wire),
            };
            self.state.inverse_offers.insert(id, Arc::new(offer));
        }
        for (framework, offers) in sent {
            self.send(&framework, events::inverse_offers(offers));
        }
    }

    /// ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS: noted for the operator, who decides.
    pub(super) fn answer_inverse_offers(
        &mut self,
        framework: &FrameworkId,
        offers: &[v1::OfferId],
        filters: Option<&Filters>,
        status: Status,
    ) {
        let refused = refusal(filters);
        for id in offers.iter().map(OfferId::from) {
            let own = self.state.inverse_offers.get(&id);
            let Some(offer) = own
                .filter(|offer| offer.framework_id == *framework)
                .cloned()
            else {
                tracing::debug!(framework_id = %framework, offer_id = %id, "passed over the answer to an inverse offer that is not valid any more");
                continue;
            };
            self.take_inverse_offer(&id);
            let answer = InverseOfferStatus {
                status: status.into(),
                framework_id: framework.into(),
                timestamp: TimeInfo {
                    nanoseconds: self.now.nanos(),
                },
            };
            self.allocation.inverse_answered(
                framework,
                &offer.agent_id,
                answer.clone(),
                refused,
                self.now.monotonic,
            );
            if let Some(planned) = self.planned_mut(&offer.agent_id) {
                planned.answers.insert(framework.clone(), answer);
            }
        }
    }

    /// The schedule has another time for the agent's machine than before, or none. What is offered of
    /// the agent is offered anew, with that time.
    pub(super) fn plan(&mut self, id: &AgentId, unavailability: Option<Unavailability>) {
        let Some(agent) = self.state.agents.get(id) else {
            return;
        };
        let before = agent.planned.as_ref().map(|planned| planned.unavailability);
        if before == unavailability {
            return;
        }
        self.withdraw_offers_on(id);
        self.withdraw_inverse_offers_on(id);
        if let Some(agent) = self.agent_mut(id) {
            agent.planned = unavailability.map(|time| Arc::new(Planned::new(time)));
        }
        self.allocation.set_unavailability(id, unavailability);
    }

    /// The agent has just registered: its machine may be in the schedule.
    pub(super) fn plan_registered(&mut self, id: &AgentId) {
        let Some(agent) = self.state.agents.get(id) else {
            return;
        };
        let unavailability = self
            .state
            .settings
            .unavailability_of(&agent.info, &agent.ip);
        if unavailability.is_none() && agent.planned.is_none() {
            return;
        }
        if let Some(agent) = self.agent_mut(id)
            && agent.planned.as_ref().map(|planned| planned.unavailability) != unavailability
        {
            agent.planned = unavailability.map(|time| Arc::new(Planned::new(time)));
        }
        // The allocator may have been told of the agent anew.
        self.allocation.set_unavailability(id, unavailability);
    }

    fn planned_mut(&mut self, id: &AgentId) -> Option<&mut Planned> {
        self.agent_mut(id)?.planned.as_mut().map(Arc::make_mut)
    }

    /// Takes an inverse offer out of the books.
    fn take_inverse_offer(&mut self, id: &OfferId) -> Option<Arc<InverseOffer>> {
        let offer = self.state.inverse_offers.remove(id)?;
        self.timers.cancel(&Timer::OfferTimeout(id.clone()));
        if let Some(framework) = self.framework_mut(&offer.framework_id) {
            framework.inverse_offers.remove(id);
        }
        if let Some(planned) = self.planned_mut(&offer.agent_id) {
            planned.inverse_offers.remove(id);
        }
        Some(offer)
    }

    fn withdraw_inverse_offer(&mut self, id: &OfferId, rescind: bool) {
        let Some(offer) = self.take_inverse_offer(id) else {
            return;
        };
        self.allocation
            .inverse_withdrawn(&offer.framework_id, &offer.agent_id);
        if rescind {
            self.send(
                &offer.framework_id,
                events::rescind_inverse_offer(id.into()),
            );
        }
    }

    pub(super) fn withdraw_inverse_offers_on(&mut self, agent: &AgentId) {
        let planned = self.state.agents.get(agent);
        let Some(planned) = planned.and_then(|agent| agent.planned.clone()) else {
            return;
        };
        for offer in &planned.inverse_offers {
            self.withdraw_inverse_offer(offer, true);
        }
    }

    /// The framework is gone or starts anew; it is not told.
    pub(super) fn withdraw_inverse_offers_of(&mut self, framework: &FrameworkId) {
        let Some(framework) = self.state.frameworks.get(framework).cloned() else {
            return;
        };
        for offer in &framework.inverse_offers {
            self.withdraw_inverse_offer(offer, false);
        }
    }

    /// The framework has not answered in time; it is asked again.
    pub(super) fn inverse_offer_timeout(&mut self, id: &OfferId) {
        self.withdraw_inverse_offer(id, true);
    }
}
