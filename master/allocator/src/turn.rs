//! An agent's turn: who of those that it is shown to gets it.

use std::{cell::Cell, sync::Arc, time::Duration};

use mesos_types::{Resources, Scalar, Value};

use crate::{
    Allocator, OfferProposal,
    agent::Agent,
    amounts::Amounts,
    filters::Subscriber,
    framework::{Framework, Subscription},
    options::is_worth_offering,
    quota::{Allowance, Cut},
    table::{AgentKey, RoleKey},
};

/// Looking at so many subscribers is as much work as another agent.
const SUBSCRIBERS_PER_STEP: usize = 16;

/// Amounts that nothing real reaches, far from the ends of the range.
const PLENTY: i64 = i64::MAX / 4;

impl Allocator {
    /// Offers an agent's free resources until nobody of those wants the rest. Answers how many
    /// steps of work that was.
    pub(crate) fn offer_agent(
        &mut self,
        key: AgentKey,
        show: Show<'_>,
        now: Duration,
        proposals: &mut Vec<OfferProposal>,
    ) -> usize {
        let mut served = Served::default();
        loop {
            let next = self.next_offer(key, show, &served, now);
            self.roles.watch_cuts();
            let Some((who, resources)) = next else {
                break;
            };
            let Some(agent) = self.agents.get_mut(key) else {
                break;
            };
            let Some(framework) = self.frameworks.get(who.0) else {
                break;
            };
            proposals.push(OfferProposal {
                framework: framework.id.clone(),
                role: self.roles.path(who.1),
                agent: agent.id.clone(),
                resources: self.roles.allocate(who.1, &resources),
            });
            served.shared |= agent.is_special() && resources.distinct().any(|r| r.meta.shared);
            served.subscribers.push(who);
            let first = !agent.is_holder(who);
            let more = agent.take(who, &resources);
            self.roles.charge(who.1, who.0, &more, true);
            if first {
                self.begin_holding(who);
                self.maintenance.touch(key);
            }
            self.recount(key);
        }
        1 + served.passed_over.get() / SUBSCRIBERS_PER_STEP
    }

    /// Whose turn it is to be offered what this agent has left, and what of it: somebody in a role
    /// with a guarantee that is not met, else anybody.
    fn next_offer(
        &self,
        key: AgentKey,
        show: Show<'_>,
        served: &Served,
        now: Duration,
    ) -> Option<(Subscriber, Arc<Resources>)> {
        let agent = self
            .agents
            .get(key)
            .filter(|agent| self.is_offered(agent))?;
        let least = &self.least;
        if agent.available().is_empty()
            || (self.own_minimums == 0 && !is_worth_offering(agent.available_amounts(), least))
        {
            return None;
        }
        let turn = Turn {
            agent,
            show,
            served,
            now,
        };
        if let Show::Some([who]) = show {
            // It may be gone, and its role with it.
            let framework = self.frameworks.get(who.0)?;
            if !framework.wants_offers(who.1) {
                return None;
            }
            let offerable = self.offerable(agent, who.1)?;
            return self.offer_to(&turn, *who, &offerable);
        }
        if self.roles.anybody_is_owed(&agent.known_free) {
            let mut owed = self.roles.in_order();
            let found = owed.find_map(|role| {
                let owed = self.roles.is_owed(role, &agent.known_free);
                owed.then(|| self.offer_in_role(&turn, role))?
            });
            if found.is_some() {
                return found;
            }
        }
        let mut roles = self.roles.in_order();
        roles.find_map(|role| self.offer_in_role(&turn, role))
    }

    /// The same among the frameworks of one role.
    fn offer_in_role(
        &self,
        turn: &Turn<'_>,
        role: RoleKey,
    ) -> Option<(Subscriber, Arc<Resources>)> {
        let offerable = self.offerable(turn.agent, role)?;
        let mut frameworks = self.roles.frameworks_in_order(role);
        frameworks.find_map(|framework| {
            let who = (framework, role);
            let shown = match turn.show {
                Show::Anybody => true,
                Show::Some(some) => some.contains(&who),
                Show::Sweeping => self.sweep.contains(who),
            };
            let passed = &turn.served.passed_over;
            passed.set(passed.get() + 1);
            shown.then(|| self.offer_to(turn, who, &offerable))?
        })
    }

    /// What of the agent frameworks of a role may get, if anything.
    fn offerable(&self, agent: &Agent, role: RoleKey) -> Option<Offerable> {
        if agent.is_special() || !agent.capabilities.hierarchical_role {
            let path = self.roles.path(role);
            if path.contains('/') && !agent.capabilities.hierarchical_role {
                return None;
            }
            if agent.is_special() {
                let offerable = agent.available_to(&path);
                return (!offerable.is_empty()).then_some(Offerable::ByFramework(offerable));
            }
        }
        // All frameworks of the role may get the same.
        let all = agent.available_to("");
        if !self.roles.is_unrestricted(role)
            && let Some(less) = self.within_quota(role, &all)
        {
            let amounts = Amounts::all(&less);
            return Some(Offerable::Same(less.into(), amounts, true));
        }
        let amounts = agent.available_amounts().clone();
        Some(Offerable::Same(all, amounts, false))
    }

    /// What of `offerable` one framework is to be offered, if anything.
    fn offer_to(
        &self,
        turn: &Turn<'_>,
        who: Subscriber,
        offerable: &Offerable,
    ) -> Option<(Subscriber, Arc<Resources>)> {
        let agent = turn.agent;
        let framework = self.frameworks.get(who.0)?;
        if !framework.wants_offers(who.1)
            || !self.may_use(framework, agent)
            || turn.served.subscribers.contains(&who)
        {
            return None;
        }
        let subscription = framework.subscriptions.get(&who.1)?;
        let least = self.least_for(subscription);
        let offer = match offerable {
            Offerable::Same(offer, amounts, is_cut) => {
                if offer.is_empty() || !is_worth_offering(amounts, least) {
                    if *is_cut && is_worth_offering(agent.available_amounts(), least) {
                        self.exhausted.borrow_mut().push(who);
                    }
                    return None;
                }
                offer.clone()
            }
            Offerable::ByFramework(all) => {
                let shared = !turn.served.shared;
                let offer = agent.understood(all, framework.capabilities, shared);
                if offer.is_empty() || !is_worth_offering(&Amounts::all(&offer), least) {
                    return None;
                }
                self.cut_for(who, offer, least)?
            }
        };
        let refused = agent
            .filters
            .refuses(who, subscription.epoch, &offer, turn.now);
        (!refused).then_some((who, offer))
    }

    /// What of an offer is left by quotas, if that is worth it.
    fn cut_for(
        &self,
        who: Subscriber,
        offer: Arc<Resources>,
        least: &[Amounts],
    ) -> Option<Arc<Resources>> {
        if self.roles.is_unrestricted(who.1) {
            return Some(offer);
        }
        let Some(less) = self.within_quota(who.1, &offer) else {
            return Some(offer);
        };
        if less.is_empty() || !is_worth_offering(&Amounts::all(&less), least) {
            self.exhausted.borrow_mut().push(who);
            return None;
        }
        Some(Arc::new(less))
    }

    fn least_for<'a>(&'a self, subscription: &'a Subscription) -> &'a [Amounts] {
        subscription.min_allocatable.as_ref().unwrap_or(&self.least)
    }

    /// Whether the framework may be offered anything of the agent.
    fn may_use(&self, framework: &Framework, agent: &Agent) -> bool {
        let can = framework.capabilities;
        let gpus_barred = self.options.filter_gpu_resources && agent.has_gpus();
        let far = agent.region.is_some() && agent.region != self.options.region;
        (can.gpu_resources || !gpus_barred)
            && (can.region_aware || !far)
            && (agent.capabilities.multi_role || !can.multi_role)
    }

    /// What of `offer` the role may get without breaking a limit of its own or above it, and
    /// without taking what is kept free for guarantees of others; `None` for all.
    fn within_quota(&self, role: RoleKey, offer: &Resources) -> Option<Resources> {
        let mut allowances: Vec<(&str, Allowance<'_>)> = Vec::with_capacity(4);
        let mut granted = vec![None; offer.distinct().count()];
        let mut cuts = Cut::default();
        // What is not reserved comes first: it may be what a guarantee needs.
        let mut parts: Vec<_> = offer.distinct().enumerate().collect();
        parts.sort_by_key(|(_, resource)| resource.reservation_role());
        for (part, resource) in parts {
            let Value::Scalar(amount) = &resource.value else {
                continue;
            };
            let reservation = resource.reservation_role();
            let span = self.roles.span(role, reservation);
            if resource.meta.revocable || span == 0 {
                continue;
            }
            let name = &*resource.name;
            let known = allowances.iter().position(|(known, _)| *known == name);
            let at = known.unwrap_or_else(|| {
                allowances.push((name, self.roles.allowance(role, name)));
                allowances.len() - 1
            });
            let wanted = amount.thousandths();
            let whole = resource.is_indivisible() || resource.meta.shared;
            let allowance = &mut allowances[at].1;
            let (allowed, cut) = allowance.grant(wanted, span, reservation.is_none(), whole);
            cuts.limit |= cut.limit;
            cuts.headroom |= cut.headroom;
            granted[part] = (allowed < wanted).then_some(allowed);
        }
        if cuts == Cut::default() {
            return None;
        }
        self.roles.note_cut(role, cuts);
        let cut = offer.distinct().zip(granted).map(|(resource, granted)| {
            let mut resource = resource.clone();
            if let Some(granted) = granted {
                resource.value = Value::Scalar(Scalar::from_thousandths(granted));
            }
            resource
        });
        Some(cut.collect())
    }

    /// Whether no agent has anything that the quota would leave to a subscriber, after it was kept
    /// from something.
    pub(crate) fn is_exhausted(&self, who: Subscriber) -> bool {
        let Some(framework) = self.frameworks.get(who.0) else {
            return true;
        };
        let Some(subscription) = framework.subscriptions.get(&who.1) else {
            return true;
        };
        // What is reserved or revocable is not charged.
        let other = self.roles.has_reservations(who.1)
            || (framework.capabilities.revocable_resources && self.revocable_agents > 0);
        let span = self.roles.span(who.1, None);
        let has_room = |least: &Amounts| {
            least.iter().all(|(name, amount)| {
                let mut allowance = self.roles.allowance(who.1, name);
                allowance.grant(PLENTY, span, true, false).0 >= amount
            })
        };
        !other
            && !self.least_for(subscription).iter().any(has_room)
            && !self.least_for(subscription).is_empty()
    }
}

/// Whom an agent is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Show<'a> {
    Anybody,
    Some(&'a [Subscriber]),
    /// Those who take part in the round through all agents.
    Sweeping,
}

/// What of an agent frameworks of a role may get.
enum Offerable {
    /// The same for all of them, with its amounts, and whether a quota has made it less.
    Same(Arc<Resources>, Amounts, bool),
    /// This, as far as a framework understands it and quotas allow.
    ByFramework(Arc<Resources>),
}

/// An agent that is shown to somebody.
struct Turn<'a> {
    agent: &'a Agent,
    show: Show<'a>,
    served: &'a Served,
    now: Duration,
}

/// What one turn has offered of an agent.
#[derive(Debug, Default)]
struct Served {
    subscribers: Vec<Subscriber>,
    /// Shared volumes are offered once per turn.
    shared: bool,
    passed_over: Cell<usize>,
}
