//! A run: agents in turn, and whom each is offered to.

use std::time::Duration;

use crate::{
    Allocator, OfferProposal,
    agent::{Agent, Interest},
    filters::Subscriber,
    relief::Relief,
    table::{AgentKey, Key, RoleKey},
    turn::Show,
};

impl Allocator {
    /// Offers what is free on the agents that something has happened to since the last run.
    pub fn allocate(&mut self, now: Duration) -> Vec<OfferProposal> {
        self.allocate_some(now, usize::MAX)
    }

    /// A part of that, of about so many steps: a step is an agent that is looked at, one whose
    /// filters end, or 16 frameworks that do not get it. So a caller with a large cluster can do
    /// other things in between: a step takes about 2 microseconds. As long as something is left
    /// to do, [`Allocator::next_wakeup`] says "at once".
    pub fn allocate_some(&mut self, now: Duration, steps: usize) -> Vec<OfferProposal> {
        let mut left = self.expire(now, steps);
        let mut proposals = Vec::new();
        if self.is_held(now) {
            return proposals;
        }
        self.hold = None;
        self.roles.refresh();
        self.relieve();
        self.runs += u64::from(!self.queue.is_empty() || !self.sweep.is_empty());
        // Agents that changed do not keep those waiting who want to see all, nor the other way.
        let for_queue = left / 2 + 1;
        left = left.saturating_sub(for_queue);
        left += self.run_queue(now, for_queue, &mut proposals);
        left = self.run_sweep(now, left, &mut proposals);
        self.run_queue(now, left, &mut proposals);
        if self.rows_with_something.is_empty() {
            self.sweep.clear();
        }
        proposals
    }

    /// When [`Allocator::allocate`] has something to do if nothing else happens: zero for at
    /// once, `None` for not at all.
    pub fn next_wakeup(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let idle = self.queue.is_empty() && self.sweep.is_empty() && !self.roles.may_relieve();
        let agents = match self.hold {
            Some(hold) if self.roles.has_quotas() && self.agents.len() < hold.agents => {
                Some(hold.until)
            }
            _ if idle => timer,
            _ => Some(Duration::ZERO),
        };
        [agents, self.maintenance.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends filters whose time is over, for the work of so many steps. Answers what is left.
    fn expire(&mut self, now: Duration, mut steps: usize) -> usize {
        let mut ended = Vec::new();
        while let Some((at, key)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            if steps == 0 {
                break;
            }
            steps -= 1;
            self.timers.remove(&(at, key));
            let Some(agent) = self.agents.get_mut(key) else {
                continue;
            };
            ended.clear();
            agent.timer = agent.filters.expire(now, &mut ended);
            if let Some(next) = agent.timer {
                self.timers.insert((next, key));
            }
            if agent.available().is_empty() {
                continue;
            }
            match &mut agent.interest {
                Interest::Anybody => {}
                Interest::Of(some) => {
                    for who in &ended {
                        if !some.contains(who) {
                            some.push(*who);
                        }
                    }
                }
                Interest::Nobody => {
                    agent.interest = Interest::Of(ended.clone());
                    self.queue.push_back(key);
                }
            }
        }
        steps
    }

    /// Shows all agents to those who may get now what a quota kept from them.
    fn relieve(&mut self) {
        let Some(relief) = self.roles.take_relief() else {
            return;
        };
        let roles: Vec<RoleKey> = match relief {
            Relief::All => self.roles.in_order().collect(),
            Relief::Roles(tops) => {
                let below = tops.iter().flat_map(|top| self.roles.in_order_below(*top));
                below.collect()
            }
        };
        for role in roles {
            let frameworks: Vec<_> = self.roles.frameworks_in_order(role).collect();
            for framework in frameworks {
                self.join_sweep((framework, role));
            }
        }
    }

    /// The subscriber is to be shown all agents, if it wants offers.
    pub(crate) fn join_sweep(&mut self, who: Subscriber) {
        let framework = self.frameworks.get(who.0);
        if framework.is_some_and(|framework| framework.wants_offers(who.1)) {
            self.sweep.join(who);
        }
    }

    /// Shows agents that something happened to, for the work of so many steps. Answers what is
    /// left.
    fn run_queue(
        &mut self,
        now: Duration,
        mut steps: usize,
        proposals: &mut Vec<OfferProposal>,
    ) -> usize {
        while let Some(key) = self.queue.front().copied() {
            // One that was removed or has had its turn leaves its key, perhaps for another agent
            // to come by.
            let waits = |agent: &&mut Agent| agent.interest != Interest::Nobody;
            let Some(agent) = self.agents.get_mut(key).filter(waits) else {
                self.queue.pop_front();
                continue;
            };
            if steps == 0 {
                break;
            }
            let interest = std::mem::take(&mut agent.interest);
            self.queue.pop_front();
            let show = match &interest {
                Interest::Of(some) => Show::Some(some),
                Interest::Nobody | Interest::Anybody => Show::Anybody,
            };
            steps = steps.saturating_sub(self.offer_agent(key, show, now, proposals));
        }
        self.exhausted.get_mut().clear();
        steps
    }

    /// Shows agents to those who are to see all, for the work of so many steps. Answers what is
    /// left.
    fn run_sweep(
        &mut self,
        now: Duration,
        mut steps: usize,
        proposals: &mut Vec<OfferProposal>,
    ) -> usize {
        while steps > 0 {
            let Some(row) = self.sweep.next(&self.rows_with_something) else {
                break;
            };
            let key = AgentKey::new(row as u32);
            let only = self.sweep.only_member();
            let mut show = only.as_ref().map_or(Show::Sweeping, |only| {
                Show::Some(std::slice::from_ref(only))
            });
            if let Some(agent) = self.agents.get_mut(key)
                && agent.interest == Interest::Anybody
            {
                agent.interest = Interest::Nobody;
                show = Show::Anybody;
            }
            steps = steps.saturating_sub(self.offer_agent(key, show, now, proposals));
            for who in std::mem::take(self.exhausted.get_mut()) {
                if self.is_exhausted(who) {
                    self.sweep.leave(who);
                }
            }
        }
        self.exhausted.get_mut().clear();
        steps
    }
}
