//! An agent in its session: what it says, whether it is alive, and when its session breaks.
use mesos_control::v1::{Ping, agent_message, master_message::Body};
use mesos_types::AgentId;

use super::{Core, Effect, timers::Timer};

/// Whether an agent answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Liveness {
    /// Intervals in a row without a word.
    missed: u32,
    /// Whether it said anything in this interval.
    heard: bool,
}

impl Core {
    pub(super) fn agent_message(&mut self, session: u64, body: agent_message::Body) {
        let Some(id) = self.sessions.get(&session).cloned() else {
            tracing::debug!(
                session,
                "dropped a message of an agent whose session has ended"
            );
            return;
        };
        if let Some(liveness) = self.liveness.get_mut(&id) {
            liveness.heard = true;
            if liveness.missed >= self.config.max_agent_ping_timeouts {
                liveness.missed = 0;
                self.keep(&id);
            }
        }
        match body {
            agent_message::Body::Update(update) => self.status_update(&id, update),
            agent_message::Body::ExecutorExited(exited) => {
                self.counters.executor_exited();
                self.executor_exited(&id, exited);
            }
            agent_message::Body::ExecutorMessage(message) => self.executor_message(&id, message),
            agent_message::Body::Unregister(_) => {
                self.counters.agent_left();
                self.unregister(&id);
            }
            agent_message::Body::OperationUpdate(update) => self.operation_update(&id, update),
            agent_message::Body::Pong(_) | agent_message::Body::Nothing(_) => {}
            agent_message::Body::Hello(_) | agent_message::Body::Snapshot(_) => {
                tracing::warn!(agent_id = %id, "an agent introduced itself twice; its session is cut");
                self.effects.push(Effect::CloseSession { session });
                self.session_closed(session);
            }
        }
    }

    /// The session broke. The agent keeps its tasks and is expected back; nothing of it is offered.
    pub(super) fn session_closed(&mut self, session: u64) {
        self.transitions.drop_session(session);
        let Some(id) = self.sessions.remove(&session) else {
            return;
        };
        let Some(agent) = self.agent_mut(&id) else {
            return;
        };
        if agent.session != Some(session) {
            return;
        }
        agent.session = None;
        tracing::info!(agent_id = %id, "an agent is disconnected");
        self.allocation.deactivate_agent(&id);
        self.withdraw_offers_on(&id);
        self.withdraw_inverse_offers_on(&id);
        self.timers.set(
            self.now.monotonic,
            self.config.agent_reregister_timeout,
            Timer::AgentReturn(id.clone()),
        );
        // From here on it has the full time to come back.
        self.watch(&id, false);
    }

    /// Starts watching an agent anew, with no ping missed. `heard`: it has just spoken.
    pub(super) fn watch(&mut self, id: &AgentId, heard: bool) {
        self.liveness
            .insert(id.clone(), Liveness { missed: 0, heard });
        self.set_ping(id);
    }

    fn set_ping(&mut self, id: &AgentId) {
        let interval = self.config.agent_ping_timeout;
        self.timers
            .set(self.now.monotonic, interval, Timer::Ping(id.clone()));
    }

    pub(super) fn ping(&mut self, id: &AgentId) {
        let Some(liveness) = self.liveness.get_mut(id) else {
            return;
        };
        liveness.missed = if liveness.heard {
            0
        } else {
            liveness.missed + 1
        };
        liveness.heard = false;
        let missed = liveness.missed;
        if missed >= self.config.max_agent_ping_timeouts {
            tracing::warn!(agent_id = %id, missed, "an agent does not answer; it is marked unreachable");
            self.lose(id);
        }
        // While it waits for its turn it may still answer.
        self.tell(id, Body::Ping(Ping {}));
        self.set_ping(id);
    }

    /// Nobody needs to know any more whether it is alive.
    pub(super) fn unwatch(&mut self, id: &AgentId) {
        self.liveness.remove(id);
        self.timers.cancel(&Timer::Ping(id.clone()));
        self.timers.cancel(&Timer::AgentReturn(id.clone()));
        self.keep(id);
    }
}
