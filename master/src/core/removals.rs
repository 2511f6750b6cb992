//! Brakes on the removal of agents: one after the other if `--agent_removal_rate_limit` says so, and not too
//! large a part of them after this master's start.
use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use mesos_types::AgentId;

use super::{Core, Effect, timers::Timer};

/// How long to wait when something else is under way with an agent that is lost.
const AGAIN: Duration = Duration::from_secs(1);

/// Agents that are lost and not marked unreachable yet.
#[derive(Debug)]
pub(super) struct Removals {
    /// Before this moment no agent is marked.
    next: Instant,
    /// In the order they were lost; those that came back are not in `waiting` any more.
    queue: VecDeque<AgentId>,
    waiting: HashSet<AgentId>,
}

impl Removals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now,
            queue: VecDeque::new(),
            waiting: HashSet::new(),
        }
    }
}

impl Core {
    /// The agent was silent, disconnected or away for too long: it is marked unreachable when its turn
    /// comes, unless it comes back before.
    pub(super) fn lose(&mut self, id: &AgentId) {
        if self.removals.waiting.contains(id) {
            return;
        }
        let known =
            self.state.agents.contains_key(id) || self.state.recovered_agents.contains_key(id);
        if !known {
            return;
        }
        if self.transitions.is_busy(id) {
            return self
                .timers
                .set(self.now.monotonic, AGAIN, Timer::Lost(id.clone()));
        }
        self.counters.unreachable_begun();
        if self.config.agent_removal_interval.is_none() {
            return self.mark_unreachable(id);
        }
        self.removals.waiting.insert(id.clone());
        self.removals.queue.push_back(id.clone());
        self.remove_lost();
    }

    /// Marks those whose turn it is.
    pub(super) fn remove_lost(&mut self) {
        let interval = self.config.agent_removal_interval.unwrap_or_default();
        let now = self.now.monotonic;
        while self.removals.next <= now {
            let Some(id) = self.removals.queue.pop_front() else {
                return;
            };
            if !self.removals.waiting.contains(&id) {
                continue;
            }
            if self.transitions.is_busy(&id) {
                // Whatever becomes of it: others first.
                self.removals.queue.push_back(id);
                return self.timers.set(now, AGAIN, Timer::Removal);
            }
            self.removals.waiting.remove(&id);
            self.removals.next = now + interval;
            self.mark_unreachable(&id);
        }
        if self.removals.waiting.is_empty() {
            self.removals.queue.clear();
            return;
        }
        let wait = self.removals.next - now;
        self.timers.set(now, wait, Timer::Removal);
    }

    /// The agent is heard of again. Whether it was about to be marked.
    pub(super) fn keep(&mut self, id: &AgentId) -> bool {
        self.timers.cancel(&Timer::Lost(id.clone()));
        let kept = self.removals.waiting.remove(id);
        if kept {
            tracing::info!(agent_id = %id, "an agent that was about to be marked unreachable is heard of again");
            self.counters.unreachable_canceled();
        }
        kept
    }

    /// The agent has had its time to come back after its session broke.
    pub(super) fn return_timeout(&mut self, id: &AgentId) {
        let away = self
            .state
            .agents
            .get(id)
            .is_some_and(|agent| !agent.connected());
        if away {
            tracing::warn!(agent_id = %id, "an agent did not come back after its session broke; it is marked unreachable");
            self.lose(id);
        }
    }

    /// Agents of the registry that did not come back after this master's start.
    pub(super) fn reregister_timeout(&mut self) {
        let late: Vec<AgentId> = self.state.recovered_agents.keys().cloned().collect();
        #[allow(
            clippy::cast_precision_loss,
            reason = "a share of far fewer than 2^52 agents"
        )]
        let percent = 100.0 * late.len() as f64 / self.expected_agents.max(1) as f64;
        let most = self.config.recovery_agent_removal_limit;
        if percent > most {
            let text = format!(
                "{} of {} agents of the registry did not come back within --agent_reregister_timeout: {percent:.1}% is \
                 more than --recovery_agent_removal_limit={most}%, so none of them is marked unreachable",
                late.len(),
                self.expected_agents,
            );
            self.effects.push(Effect::Abort(text));
            return;
        }
        for id in late {
            tracing::warn!(agent_id = %id, "an agent did not come back after this master's start; it is marked unreachable");
            self.lose(&id);
        }
    }
}
