//! Offers: made of what the allocator gives out, answered, taken back.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesos_allocator::OfferProposal;
use mesos_types::{AgentId, Format, FrameworkId, OfferId, Resources};
use mesos_wire::v1::{self, scheduler::call};

use super::{Core, allocation::refusal, event::events, records::take_away, timers::Timer};
use crate::{
    metrics::Fate,
    state::{Framework, Offer},
};

/// Offers in one event at most. More go in further events, so that the first are read while the last are
/// still being written.
const OFFERS_IN_EVENT: usize = 1000;
/// How long the allocator keeps an agent from a framework whose constraints exclude it; when it asks again,
/// the answer is the same. Its longest filter.
const EXCLUDED: Duration = Duration::from_secs(365 * 24 * 3600);

impl Core {
    /// Sets a timer when the allocator has something to do. What happens within the debounce makes one run.
    pub(super) fn set_alarm(&mut self) {
        let now = self.now.monotonic;
        if let Some(after) = self
            .allocation
            .next_alarm(now, self.config.allocation_debounce)
        {
            self.timers.set(now, after, Timer::Allocate);
        }
    }

    /// Gives resources to the allocator. `refused`: the framework did not want them for that long.
    pub(super) fn free(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        refused: Option<Duration>,
    ) {
        self.allocation
            .recover(framework, agent, resources, refused, self.now.monotonic);
    }

    pub(super) fn allocate(&mut self) {
        let mut sent: BTreeMap<FrameworkId, Vec<v1::Offer>> = BTreeMap::new();
        // Of the system, not of the event: how long a run takes is measured, and decides nothing.
        let begun = Instant::now();
        let now = self.now.monotonic;
        let waited = self.allocation.waited(now);
        let allotments = self.allocation.allocate(now);
        self.counters.allocated(begun.elapsed(), waited);
        if let Some(filters) = self.allocation.filters(now) {
            self.counters.filtered(filters);
        }
        for allotment in allotments {
            let Some((offer, wire)) = self.make_offer(allotment) else {
                continue;
            };
            let framework_id = offer.framework_id.clone();
            self.book_offer(offer);
            let pending = sent.entry(framework_id.clone()).or_default();
            pending.push(wire);
            if pending.len() >= OFFERS_IN_EVENT {
                let offers = std::mem::take(pending);
                self.send_offers(&framework_id, offers);
            }
        }
        for (framework, offers) in sent {
            self.send_offers(&framework, offers);
        }
        self.ask_to_leave();
    }

    fn send_offers(&mut self, framework: &FrameworkId, offers: Vec<v1::Offer>) {
        if offers.is_empty() {
            return;
        }
        self.counters
            .frameworks
            .offers(framework, Fate::Sent, offers.len());
        self.send(framework, events::offers(offers));
    }

    /// Puts an offer into the books. Nobody else may hold the records of its framework and agent meanwhile:
    /// they would be copied for each offer.
    fn book_offer(&mut self, offer: Offer) {
        if let Some(timeout) = self.config.offer_timeout {
            self.timers.set(
                self.now.monotonic,
                timeout,
                Timer::OfferTimeout(offer.id.clone()),
            );
        }
        if let Some(framework) = self.framework_mut(&offer.framework_id) {
            *framework
                .offered_on
                .entry(offer.agent_id.clone())
                .or_default() += &offer.resources;
            framework.offers.insert(offer.id.clone());
        }
        if let Some(agent) = self.agent_mut(&offer.agent_id) {
            agent.offered += &offer.resources;
            agent.offers.insert(offer.id.clone());
        }
        self.state.offers.insert(offer.id.clone(), Arc::new(offer));
    }

    /// Offers and inverse offers count together.
    pub(super) fn next_offer_id(&mut self) -> OfferId {
        let id = self.offer_id();
        self.next.offer += 1;
        id
    }

    fn offer_id(&self) -> OfferId {
        OfferId::from(format!("{}-O{}", self.master_id(), self.next.offer))
    }

    /// The offer of an allotment, and the form in which it is sent. `None` when it cannot be made; then what
    /// it would have held is free again.
    fn make_offer(&mut self, allotment: OfferProposal) -> Option<(Offer, v1::Offer)> {
        let state = &self.state;
        let framework = state
            .frameworks
            .get(&allotment.framework)
            .filter(|framework| framework.connected());
        let agent = state
            .agents
            .get(&allotment.agent)
            .filter(|agent| agent.active());
        let (Some(framework), Some(agent)) = (framework, agent) else {
            tracing::error!(
                ?allotment,
                "the allocator gave to or of somebody who is not there"
            );
            self.give_back(&allotment, None);
            return None;
        };
        let constraints = self.constraints.get(&framework.id);
        if constraints.is_some_and(|constraints| !constraints.allow(&allotment.role, &agent.info)) {
            self.give_back(&allotment, Some(EXCLUDED));
            return None;
        }
        let offer = Offer {
            id: self.offer_id(),
            framework_id: framework.id.clone(),
            agent_id: agent.id.clone(),
            info: agent.info.clone(),
            ip: agent.ip.clone(),
            executor_ids: agent
                .executors
                .keys()
                .filter(|(owner, _)| *owner == framework.id)
                .map(|(_, executor)| executor.clone())
                .collect(),
            unavailability: agent.planned.as_ref().map(|planned| planned.unavailability),
            resources: allotment.resources,
            role: allotment.role.to_string(),
            made: self.now.seconds(),
        };
        let wire = as_sent(&offer, framework);
        self.next.offer += 1;
        Some((offer, wire))
    }

    fn give_back(&mut self, allotment: &OfferProposal, refused: Option<Duration>) {
        self.allocation.recover(
            &allotment.framework,
            &allotment.agent,
            &allotment.resources,
            refused,
            self.now.monotonic,
        );
    }

    /// Takes an offer out of the books; its resources stay charged to the framework in the allocator.
    pub(super) fn take_offer(&mut self, id: &OfferId) -> Option<Arc<Offer>> {
        let offer = self.state.offers.remove(id)?;
        if self.config.offer_timeout.is_some() {
            self.timers.cancel(&Timer::OfferTimeout(id.clone()));
        }
        if let Some(framework) = self.framework_mut(&offer.framework_id) {
            take_away(&mut framework.offered_on, &offer.agent_id, &offer.resources);
            framework.offers.remove(id);
        }
        if let Some(agent) = self.agent_mut(&offer.agent_id) {
            agent.offered -= &offer.resources;
            agent.offers.remove(id);
        }
        Some(offer)
    }

    /// Takes an offer back. `rescind`: its framework is told.
    pub(super) fn withdraw(&mut self, id: &OfferId, rescind: bool) {
        let Some(offer) = self.take_offer(id) else {
            return;
        };
        self.free(&offer.framework_id, &offer.agent_id, &offer.resources, None);
        if rescind {
            self.counters
                .frameworks
                .offers(&offer.framework_id, Fate::Rescinded, 1);
            self.send(&offer.framework_id, events::rescind(id.into()));
        }
    }

    /// Inverse offers too; those are not worth telling.
    pub(super) fn withdraw_offers_of(&mut self, framework: &FrameworkId, rescind: bool) {
        self.withdraw_inverse_offers_of(framework);
        let Some(framework) = self.state.frameworks.get(framework).cloned() else {
            return;
        };
        for offer in &framework.offers {
            self.withdraw(offer, rescind);
        }
    }

    pub(super) fn withdraw_offers_of_roles(&mut self, framework: &FrameworkId, roles: &[String]) {
        if roles.is_empty() {
            return;
        }
        let Some(framework) = self.state.frameworks.get(framework).cloned() else {
            return;
        };
        for offer in &framework.offers {
            if self
                .state
                .offers
                .get(offer)
                .is_some_and(|offer| roles.contains(&offer.role))
            {
                self.withdraw(offer, true);
            }
        }
    }

    /// Offers that are not answered and `fit`.
    pub(super) fn offers_where(&self, fit: impl Fn(&Offer) -> bool) -> Vec<OfferId> {
        let offers = self.state.offers.values();
        offers
            .filter(|offer| fit(offer))
            .map(|offer| offer.id.clone())
            .collect()
    }

    pub(super) fn withdraw_offers_where(&mut self, fit: impl Fn(&Offer) -> bool) {
        for offer in self.offers_where(fit) {
            self.withdraw(&offer, true);
        }
    }

    pub(super) fn withdraw_offers_on(&mut self, agent: &AgentId) {
        let Some(agent) = self.state.agents.get(agent).cloned() else {
            return;
        };
        for offer in &agent.offers {
            self.withdraw(offer, true);
        }
    }

    pub(super) fn offer_timeout(&mut self, id: &OfferId) {
        if self.state.offers.contains_key(id) {
            tracing::info!(offer_id = %id, "an offer was not answered in time");
            self.withdraw(id, true);
        } else if self.state.inverse_offers.contains_key(id) {
            tracing::info!(offer_id = %id, "an inverse offer was not answered in time");
            self.inverse_offer_timeout(id);
        }
    }

    pub(super) fn decline(&mut self, id: &FrameworkId, decline: &call::Decline) {
        let refused = refusal(decline.filters.as_ref());
        for offer_id in &decline.offer_ids {
            let offer_id = OfferId::from(offer_id);
            let own = self
                .state
                .offers
                .get(&offer_id)
                .is_some_and(|offer| offer.framework_id == *id);
            if !own {
                tracing::debug!(framework_id = %id, %offer_id, "passed over the decline of an offer that is not valid any more");
                continue;
            }
            if let Some(offer) = self.take_offer(&offer_id) {
                self.counters.frameworks.offers(id, Fate::Declined, 1);
                self.free(
                    &offer.framework_id,
                    &offer.agent_id,
                    &offer.resources,
                    Some(refused),
                );
            }
        }
    }

    /// No roles mean all of them. A role that is not the framework's voids the whole call, as in Mesos.
    pub(super) fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        let Some(roles) = self.own_roles(id, roles, "REVIVE") else {
            return;
        };
        if let Some(framework) = self.framework_mut(id) {
            let suppressed = Arc::make_mut(&mut framework.suppressed_roles);
            suppressed.retain(|role| !roles.contains(role));
        }
        self.allocation.revive(id, &roles);
    }

    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        let Some(roles) = self.own_roles(id, roles, "SUPPRESS") else {
            return;
        };
        if let Some(framework) = self.framework_mut(id) {
            Arc::make_mut(&mut framework.suppressed_roles).extend(roles.iter().cloned());
        }
        self.allocation.suppress(id, &roles);
    }

    fn own_roles(&self, id: &FrameworkId, roles: &[String], call: &str) -> Option<Vec<String>> {
        let framework = self.state.frameworks.get(id)?;
        if roles.is_empty() {
            return Some(framework.roles.iter().cloned().collect());
        }
        if let Some(other) = roles.iter().find(|role| !framework.roles.contains(*role)) {
            tracing::warn!(framework_id = %id, role = %other, "dropped a {call} for a role the framework is not subscribed to");
            return None;
        }
        Some(roles.to_vec())
    }
}

/// The offer in the form that the framework's capabilities ask for.
fn as_sent(offer: &Offer, framework: &Framework) -> v1::Offer {
    let format = if framework.capabilities.reservation_refinement {
        Format::PostRefinement
    } else {
        Format::PreRefinement
    };
    let mut sent = offer.to_wire(format);
    if !framework.capabilities.multi_role {
        sent.allocation_info = None;
        for resource in &mut sent.resources {
            resource.allocation_info = None;
        }
    }
    sent
}
