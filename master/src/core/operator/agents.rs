//! Agents that operators take out of service: drain, deactivate, reactivate, mark gone.
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use mesos_control::v1::{DrainAgent, Shutdown, master_message::Body};
use mesos_http::{Action, Object};
use mesos_types::AgentId;
use mesos_wire::v1::{
    DrainConfig, DrainInfo, DrainState, DurationInfo,
    agent_info::capability::Type as Capability,
    master::{Call, call, call::Type},
};

use crate::{
    core::{Core, Reply, transitions::Pending},
    registry::Change as RegistryChange,
    state::{Agent, Deactivation},
};

/// Registered agents whose tasks are ending because of a drain.
#[derive(Debug, Default)]
pub(in crate::core) struct Drains {
    under_way: HashSet<AgentId>,
    /// Those that something happened to.
    touched: BTreeSet<AgentId>,
}

impl Drains {
    /// Something is different with an agent: it may be drained now.
    pub(in crate::core) fn touch(&mut self, id: &AgentId) {
        if self.under_way.contains(id) {
            self.touched.insert(id.clone());
        }
    }
}

/// Where an agent is that an operator names.
fn not_found(id: &AgentId) -> String {
    format!("Agent '{id}' not found")
}

impl Core {
    pub(super) fn change_agent(&mut self, request: u64, principal: Option<&str>, call: Call) {
        let kind = call.r#type();
        let (action, id) = match kind {
            Type::DrainAgent => (
                Action::DrainAgent,
                call.drain_agent.as_ref().map(|drain| &drain.agent_id),
            ),
            Type::DeactivateAgent => (
                Action::DeactivateAgent,
                call.deactivate_agent.as_ref().map(|agent| &agent.agent_id),
            ),
            Type::ReactivateAgent => (
                Action::ReactivateAgent,
                call.reactivate_agent.as_ref().map(|agent| &agent.agent_id),
            ),
            _ => (
                Action::MarkAgentGone,
                call.mark_agent_gone.as_ref().map(|agent| &agent.agent_id),
            ),
        };
        let id = AgentId::from(id.map_or("", |id| id.as_str()));
        if !self.authorizer.authorize(principal, action, Object::Any) {
            return self.reply(request, Reply::Forbidden(String::new()));
        }
        let outcome = match kind {
            Type::DrainAgent => {
                self.drain_agent(request, &id, call.drain_agent.unwrap_or_default())
            }
            Type::DeactivateAgent => self.deactivate_agent(request, &id),
            Type::ReactivateAgent => self.reactivate_agent(request, &id),
            _ => self.mark_agent_gone(request, &id),
        };
        if let Err(refusal) = outcome {
            self.reply(request, refusal);
        }
    }

    /// Whether an operator has taken the agent out of service, wherever it is.
    pub(in crate::core) fn deactivation(&self, id: &AgentId) -> Option<Arc<Deactivation>> {
        let state = &self.state;
        if let Some(agent) = state.agents.get(id) {
            return agent.deactivation.clone();
        }
        if let Some(agent) = state.recovered_agents.get(id) {
            return agent.deactivation.clone();
        }
        state.unreachable_agents.get(id)?.deactivation.clone()
    }

    fn is_known(&self, id: &AgentId) -> bool {
        self.state.agents.contains_key(id)
            || self.state.recovered_agents.contains_key(id)
            || self.state.unreachable_agents.contains_key(id)
    }

    /// The agent is there and nothing else is under way with it.
    fn at_rest(&self, id: &AgentId) -> Result<(), Reply> {
        if self.transitions.is_marked_gone(id) {
            return Err(Reply::Conflict(format!(
                "Agent '{id}' is being marked gone"
            )));
        }
        if self.transitions.is_busy(id) {
            return Err(Reply::Unavailable(format!(
                "Agent '{id}' is being registered, lost or changed at this moment; try again"
            )));
        }
        if self.is_known(id) {
            Ok(())
        } else {
            Err(Reply::BadRequest(not_found(id)))
        }
    }

    fn drain_agent(
        &mut self,
        request: u64,
        id: &AgentId,
        drain: call::DrainAgent,
    ) -> Result<(), Reply> {
        let max_grace_period = drain
            .max_grace_period
            .map(|given| grace_period(given.seconds, given.nanos))
            .transpose()?;
        self.at_rest(id)?;
        if let Some(agent) = self.state.agents.get(id) {
            if !agent.can(Capability::AgentDraining) {
                return Err(Reply::BadRequest(format!(
                    "Agent '{id}' cannot be drained: it does not have the capability AGENT_DRAINING"
                )));
            }
            if agent.planned.is_some() {
                return Err(Reply::BadRequest(format!(
                    "Agent '{id}' cannot be drained: its machine is in the maintenance schedule"
                )));
            }
        }
        let config = DrainConfig {
            max_grace_period,
            mark_gone: Some(drain.mark_gone()),
        };
        let deactivation = Deactivation {
            drain: Some(DrainInfo {
                state: DrainState::Draining.into(),
                config,
            }),
            drain_started: None,
        };
        self.write_service(Some(request), id, Some(deactivation));
        Ok(())
    }

    fn deactivate_agent(&mut self, request: u64, id: &AgentId) -> Result<(), Reply> {
        self.at_rest(id)?;
        // A drain goes on.
        let deactivation = self.deactivation(id).unwrap_or_default();
        self.write_service(Some(request), id, Some((*deactivation).clone()));
        Ok(())
    }

    fn reactivate_agent(&mut self, request: u64, id: &AgentId) -> Result<(), Reply> {
        self.at_rest(id)?;
        let Some(deactivation) = self.deactivation(id) else {
            return Err(Reply::BadRequest(format!(
                "Agent '{id}' is not deactivated"
            )));
        };
        if deactivation.draining() {
            return Err(Reply::BadRequest(format!(
                "Agent '{id}' is still DRAINING; it can be reactivated once it is DRAINED"
            )));
        }
        self.write_service(Some(request), id, None);
        Ok(())
    }

    fn mark_agent_gone(&mut self, request: u64, id: &AgentId) -> Result<(), Reply> {
        if self.state.gone_agents.contains_key(id) {
            self.reply(request, Reply::Ok);
            return Ok(());
        }
        if self.transitions.is_busy(id) {
            return Err(Reply::Unavailable(format!(
                "Agent '{id}' is being registered, lost or changed at this moment; try again"
            )));
        }
        if !self.is_known(id) {
            return Err(Reply::NotFound(not_found(id)));
        }
        self.write_gone(Some(request), id);
        Ok(())
    }

    fn write_service(
        &mut self,
        request: Option<u64>,
        id: &AgentId,
        deactivation: Option<Deactivation>,
    ) {
        let drain = deactivation
            .as_ref()
            .and_then(|deactivation| deactivation.drain);
        let change = RegistryChange::Drain(id.clone(), drain, deactivation.is_some());
        let pending = Pending::Service {
            request,
            id: id.clone(),
            deactivation,
        };
        let token = self.transitions.begin(id, pending);
        self.effects
            .push(crate::core::Effect::Registry { token, change });
    }

    fn write_gone(&mut self, request: Option<u64>, id: &AgentId) {
        let at_nanos = self.now.nanos();
        let pending = Pending::Gone {
            request,
            id: id.clone(),
            at_nanos,
        };
        let token = self.transitions.begin(id, pending);
        let change = RegistryChange::Gone(id.clone(), at_nanos);
        self.effects
            .push(crate::core::Effect::Registry { token, change });
    }

    /// The registry holds whether the agent is in service.
    pub(in crate::core) fn service_changed(
        &mut self,
        request: Option<u64>,
        id: &AgentId,
        deactivation: Option<Deactivation>,
    ) {
        let known = self.is_known(id);
        if known {
            self.put_service(id, deactivation);
        }
        let Some(request) = request else { return };
        let reply = if known {
            Reply::Ok
        } else {
            Reply::Conflict(format!("Agent '{id}' was removed meanwhile"))
        };
        self.reply(request, reply);
    }

    fn put_service(&mut self, id: &AgentId, deactivation: Option<Deactivation>) {
        let deactivation = deactivation.map(Arc::new);
        if let Some(agent) = self.state.recovered_agents.get_mut(id) {
            Arc::make_mut(agent).deactivation = deactivation;
            return;
        }
        if let Some(agent) = self.state.unreachable_agents.get_mut(id) {
            agent.deactivation = deactivation;
            return;
        }
        let Some(agent) = self.agent_mut(id) else {
            return;
        };
        let was_drained = agent
            .deactivation
            .as_ref()
            .is_some_and(|deactivation| deactivation.drain.is_some());
        let connected = agent.connected();
        agent.deactivation.clone_from(&deactivation);
        let Some(deactivation) = deactivation else {
            tracing::info!(agent_id = %id, "an agent is in service again");
            self.drains.under_way.remove(id);
            if was_drained {
                // Without a config: the drain is over.
                self.tell(id, Body::DrainAgent(DrainAgent { config: None }));
            }
            if connected {
                self.allocation.activate_agent(id);
                self.plan_registered(id);
            }
            return;
        };
        tracing::info!(agent_id = %id, drain = ?deactivation.drain, "an agent is out of service");
        self.allocation.deactivate_agent(id);
        self.withdraw_offers_on(id);
        self.withdraw_inverse_offers_on(id);
        if deactivation.draining() {
            self.start_drain(id);
        } else {
            self.drains.under_way.remove(id);
        }
    }

    /// Tells the agent to drain, if it is to. Also after each of its registrations, because it
    /// holds a drain for over when it is welcomed and not told.
    pub(in crate::core) fn start_drain(&mut self, id: &AgentId) {
        let now = self.now.seconds();
        let Some(agent) = self.agent_mut(id) else {
            return;
        };
        let Some(deactivation) = &mut agent.deactivation else {
            return;
        };
        let deactivation = Arc::make_mut(deactivation);
        let Some(drain) = deactivation.drain else {
            return;
        };
        deactivation.drain_started = Some(now);
        let draining = deactivation.draining();
        self.tell(
            id,
            Body::DrainAgent(DrainAgent {
                config: Some(drain.config),
            }),
        );
        if draining {
            self.drains.under_way.insert(id.clone());
            self.drains.touch(id);
        }
    }

    /// Nothing is known of the agent any more.
    pub(in crate::core) fn forget_drain(&mut self, id: &AgentId) {
        self.drains.under_way.remove(id);
        self.drains.touched.remove(id);
    }

    /// Agents on which nothing is left are drained, or gone if that was asked for.
    pub(in crate::core) fn finish_drains(&mut self) {
        for id in std::mem::take(&mut self.drains.touched) {
            // What is under way ends with another look.
            if self.transitions.is_busy(&id) {
                continue;
            }
            let Some(agent) = self.state.agents.get(&id).filter(|agent| is_empty(agent)) else {
                continue;
            };
            let Some(deactivation) = agent.deactivation.clone() else {
                continue;
            };
            let Some(drain) = deactivation.drain else {
                continue;
            };
            if drain.config.mark_gone() {
                tracing::info!(agent_id = %id, "an agent is drained; it is marked gone");
                self.write_gone(None, &id);
            } else {
                tracing::info!(agent_id = %id, "an agent is drained");
                let drained = Deactivation {
                    drain: Some(DrainInfo {
                        state: DrainState::Drained.into(),
                        ..drain
                    }),
                    ..(*deactivation).clone()
                };
                self.write_service(None, &id, Some(drained));
            }
        }
    }

    /// The registry holds that the agent is gone.
    pub(in crate::core) fn gone(&mut self, request: Option<u64>, id: &AgentId, at_nanos: i64) {
        tracing::info!(agent_id = %id, "an agent is gone for good");
        self.state.gone_agents.insert(id.clone(), at_nanos);
        let message = format!("Agent {id} has been marked gone");
        self.tell(id, Body::Shutdown(Shutdown { message }));
        self.keep(id);
        self.remove_gone_agent(id);
        self.state.recovered_agents.remove(id);
        self.state.unreachable_agents.remove(id);
        if let Some(request) = request {
            self.reply(request, Reply::Ok);
        }
    }
}

/// Whether nothing runs on the agent and nothing is under way there.
fn is_empty(agent: &Agent) -> bool {
    agent.tasks.is_empty() && agent.operations.is_empty()
}

/// The longest time a task may take to end, as the agent is told.
fn grace_period(seconds: i64, nanos: i32) -> Result<DurationInfo, Reply> {
    let nanoseconds = seconds
        .checked_mul(1_000_000_000)
        .and_then(|nanoseconds| nanoseconds.checked_add(i64::from(nanos)));
    match nanoseconds {
        Some(nanoseconds) if nanoseconds >= 0 => Ok(DurationInfo { nanoseconds }),
        _ => Err(Reply::BadRequest(format!(
            "max_grace_period is {seconds} seconds and {nanos} nanoseconds; allowed: 0 to 292 years"
        ))),
    }
}
