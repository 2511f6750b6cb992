//! An agent comes: for the first time, with a new session, after this master's start, or after silence.
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use mesos_control::v1::{Hello, Refused, Welcome, master_message::Body};
use mesos_types::{AgentId, Resources};

use super::{
    AgentHello, Core, Effect,
    timers::Timer,
    transitions::{Pending, Was},
};
use crate::{
    config::MasterConfig,
    registry::Change as RegistryChange,
    state::{Agent, Change},
    validation::agent::{Candidate, validate},
};

/// To an agent whose machine was taken down.
const DOWN: &str = "The machine is DOWN for maintenance; bring it up first";

impl Core {
    pub(super) fn hello(&mut self, hello: AgentHello) {
        let candidate = match validate(&hello) {
            Ok(candidate) => candidate,
            Err(invalid) => {
                tracing::warn!(peer = %hello.peer, %invalid, "refused an agent");
                return self.refuse(hello.session, invalid.0, false);
            }
        };
        if self.is_machine_down(&hello, &candidate) {
            return self.refuse(hello.session, DOWN.to_owned(), true);
        }
        if let Err(why) = fits_domain(candidate.info.domain.is_some(), &self.config) {
            tracing::warn!(peer = %hello.peer, why, "refused an agent");
            return self.refuse(hello.session, why.to_owned(), false);
        }
        self.counters.agent_came(candidate.info.id.is_some());
        let Some(id) = candidate.info.id.as_ref().map(AgentId::from) else {
            return self.register(hello, candidate);
        };
        if self.state.gone_agents.contains_key(&id) {
            let text =
                format!("Agent {id} was removed for good; it cannot come back under this id");
            return self.refuse(hello.session, text, true);
        }
        if self.transitions.is_busy(&id) {
            if let Some(older) = self.transitions.waiting.insert(id, hello) {
                self.effects.push(Effect::CloseSession {
                    session: older.session,
                });
            }
            return;
        }
        self.reregister(id, hello, candidate);
    }

    fn is_machine_down(&self, hello: &AgentHello, candidate: &Candidate) -> bool {
        let settings = &self.state.settings;
        settings.is_down(&candidate.info, &ip(hello))
    }

    fn refuse(&mut self, session: u64, message: String, shutdown: bool) {
        self.effects.push(Effect::Message {
            session,
            body: Box::new(Body::Refused(Refused { message, shutdown })),
        });
        self.effects.push(Effect::CloseSession { session });
    }

    fn register(&mut self, hello: AgentHello, mut candidate: Candidate) {
        let address = (ip(&hello), candidate.info.port());
        if let Some(known) = self
            .addresses
            .get(&address)
            .and_then(|id| self.state.agents.get(id))
        {
            let id = known.id.clone();
            if known.process_epoch == hello.hello.process_epoch && !self.transitions.is_busy(&id) {
                // It was admitted, and its session broke before it heard its id.
                candidate.info.id = Some((&id).into());
                return self.take_in(id, hello, candidate, Was::Registered);
            }
        }
        let id = AgentId::from(format!("{}-S{}", self.master_id(), self.next.agent));
        self.next.agent += 1;
        candidate.info.id = Some((&id).into());
        self.admit_to_registry(id, hello, candidate, Was::New);
    }

    fn reregister(&mut self, id: AgentId, hello: AgentHello, candidate: Candidate) {
        let state = &self.state;
        let (was, same) = if let Some(known) = state.agents.get(&id) {
            (Was::Registered, *known.info == candidate.info)
        } else if let Some(known) = state.recovered_agents.get(&id) {
            (Was::Recovered, *known.info == candidate.info)
        } else if state.unreachable_agents.contains_key(&id) {
            (Was::Unreachable, false)
        } else {
            (Was::Unknown, false)
        };
        if same {
            self.take_in(id, hello, candidate, was);
        } else {
            self.admit_to_registry(id, hello, candidate, was);
        }
    }

    fn admit_to_registry(
        &mut self,
        id: AgentId,
        hello: AgentHello,
        candidate: Candidate,
        was: Was,
    ) {
        let change = RegistryChange::Admit(id.clone(), Box::new(candidate.info.clone()));
        let pending = Pending::Admit {
            id: id.clone(),
            hello: Box::new(hello),
            candidate: Box::new(candidate),
            was,
            closed: false,
        };
        let token = self.transitions.begin(&id, pending);
        self.effects.push(Effect::Registry { token, change });
    }

    /// Begins to mark an agent unreachable. Nothing else may be under way with it.
    pub(super) fn mark_unreachable(&mut self, id: &AgentId) {
        let since_nanos = self.now.nanos();
        let token = self.transitions.begin(
            id,
            Pending::Unreachable {
                id: id.clone(),
                since_nanos,
            },
        );
        let change = RegistryChange::Unreachable(id.clone(), since_nanos);
        self.effects.push(Effect::Registry { token, change });
    }

    /// A change of the registry that nothing waits for.
    pub(super) fn write_registry(&mut self, change: RegistryChange) {
        self.transitions.tokens += 1;
        let token = self.transitions.tokens;
        self.effects.push(Effect::Registry { token, change });
    }

    pub(super) fn registered(&mut self, token: u64) {
        let Some(pending) = self.transitions.pending.remove(&token) else {
            return;
        };
        let id = match pending {
            Pending::Admit {
                id,
                hello,
                candidate,
                was,
                closed,
            } => {
                self.transitions.busy.remove(&id);
                let session = hello.session;
                if self.is_machine_down(&hello, &candidate) {
                    // Its machine was taken down while it was on its way into the registry.
                    self.write_registry(RegistryChange::Remove(id.clone()));
                    self.refuse(session, DOWN.to_owned(), true);
                } else {
                    self.take_in(id.clone(), *hello, *candidate, was);
                    if closed {
                        self.session_closed(session);
                    }
                }
                id
            }
            Pending::Unreachable { id, since_nanos } => {
                self.transitions.busy.remove(&id);
                self.unreachable(&id, since_nanos);
                id
            }
            Pending::Setting { request, setting } => {
                return self.setting_written(request, setting);
            }
            Pending::Service {
                request,
                id,
                deactivation,
            } => {
                self.transitions.busy.remove(&id);
                self.service_changed(request, &id, deactivation);
                id
            }
            Pending::Gone {
                request,
                id,
                at_nanos,
            } => {
                self.transitions.busy.remove(&id);
                self.gone(request, &id, at_nanos);
                id
            }
        };
        self.drains.touch(&id);
        if let Some(hello) = self.transitions.waiting.remove(&id) {
            self.hello(hello);
        }
    }

    /// Lets an agent in and welcomes it.
    fn take_in(&mut self, id: AgentId, hello: AgentHello, candidate: Candidate, was: Was) {
        let session = hello.session;
        let snapshot = hello.snapshot.clone().unwrap_or_default();
        let address = (ip(&hello), candidate.info.port());
        if let Some(other) = self
            .addresses
            .get(&address)
            .filter(|other| **other != id)
            .cloned()
        {
            self.replace_agent(&other);
        }
        if was == Was::Registered {
            self.end_old_session(&id, session);
        }
        let before = self.put_agent(&id, &hello, &candidate, &address);
        let known = before.is_some();
        self.addresses.insert(address, id.clone());
        self.sessions.insert(session, id.clone());
        self.state.recovered_agents.remove(&id);
        self.state.unreachable_agents.remove(&id);
        let after = self.take_frameworks(&snapshot);
        self.take_executors(&id, &snapshot, known);
        let known_operations = self.take_operations(&id, &snapshot);
        let back = self.take_tasks(&id, snapshot, was, known);
        let known_tasks = self.missing_tasks(&id, &hello);
        tracing::info!(agent_id = %id, ?was, unknown_to_it = known_tasks.len(), "an agent registered");
        let welcome = Welcome {
            agent_id: Some((&id).into()),
            protocol: candidate.protocol,
            features: Vec::new(),
            master: Some(self.master_info()),
            ping_timeout_seconds: self.config.agent_ping_timeout.as_secs_f64()
                * f64::from(self.config.max_agent_ping_timeouts),
            known_tasks,
            reregistered: was != Was::New,
            known_operations,
        };
        self.tell(&id, Body::Welcome(welcome));
        for body in after {
            self.tell(&id, body);
        }
        self.start_drain(&id);
        self.counters.agent_admitted(was != Was::New);
        self.send_kills(&id);
        self.keep(&id);
        self.timers.cancel(&Timer::AgentReturn(id.clone()));
        self.watch(&id, true);
        let Some(agent) = self.state.agents.get(&id).cloned() else {
            return;
        };
        match before {
            Some(before) if same_to_frameworks(&before, &agent) => {
                self.allocation.return_agent(&agent);
            }
            Some(_) => {
                // What was refused of it may be wanted now.
                self.allocation.remove_agent(&id);
                self.allocation.add_agent(&agent);
            }
            None => {
                self.allocation.add_agent(&agent);
                self.changed(Change::AgentAdded(agent));
            }
        }
        self.plan_registered(&id);
        for key in back {
            self.announce_return(&key, was);
        }
    }

    fn end_old_session(&mut self, id: &AgentId, session: u64) {
        let old = self.state.agents.get(id).and_then(|agent| agent.session);
        if let Some(old) = old.filter(|old| *old != session) {
            self.sessions.remove(&old);
            self.effects.push(Effect::CloseSession { session: old });
        }
        // What it has may have changed.
        self.withdraw_offers_on(id);
        self.withdraw_inverse_offers_on(id);
    }

    /// Puts the record of the agent in place; the one that was there comes back.
    fn put_agent(
        &mut self,
        id: &AgentId,
        hello: &AgentHello,
        candidate: &Candidate,
        address: &(String, i32),
    ) -> Option<Arc<Agent>> {
        let now = self.now.seconds();
        let Hello {
            version,
            capabilities,
            process_epoch,
            resource_version_uuid,
            ..
        } = &hello.hello;
        let old = self.state.agents.get(id).cloned();
        if let Some(old) = &old {
            self.addresses.remove(&(old.ip.clone(), old.port()));
        }
        let fresh = Agent {
            id: id.clone(),
            info: Arc::new(candidate.info.clone()),
            ip: address.0.clone(),
            version: version.clone(),
            capabilities: Arc::new(capabilities.clone()),
            process_epoch: process_epoch.clone(),
            resource_version: resource_version_uuid.clone(),
            registered_time: now,
            reregistered_time: None,
            session: Some(hello.session),
            total: candidate.total.clone(),
            used: OrdMap::new(),
            offered: Resources::default(),
            tasks: OrdSet::new(),
            executors: OrdMap::new(),
            offers: OrdSet::new(),
            operations: OrdMap::new(),
            deactivation: self.deactivation(id),
            planned: None,
        };
        let agent = match &old {
            None => fresh,
            Some(old) => Agent {
                registered_time: old.registered_time,
                reregistered_time: Some(now),
                used: old.used.clone(),
                tasks: old.tasks.clone(),
                executors: old.executors.clone(),
                operations: old.operations.clone(),
                planned: old.planned.clone(),
                ..fresh
            },
        };
        self.state.agents.insert(id.clone(), Arc::new(agent));
        old
    }
}

/// Whether an agent with or without a fault domain may come to this master.
fn fits_domain(has_domain: bool, config: &MasterConfig) -> Result<(), &'static str> {
    match (has_domain, &config.domain) {
        (true, None) => Err(
            "The agent has a --domain and this master has none; give the master one, or take the agent's away",
        ),
        (false, _) if config.require_agent_domain => {
            Err("The agent has no --domain, and this master runs with --require_agent_domain")
        }
        _ => Ok(()),
    }
}

/// Whether a framework would judge the agent as before.
fn same_to_frameworks(before: &Agent, now: &Agent) -> bool {
    before.info.attributes == now.info.attributes
        && before.info.domain == now.info.domain
        && before.info.hostname == now.info.hostname
}

/// Address of the agent's HTTP API: what it says, else where it speaks from.
fn ip(hello: &AgentHello) -> String {
    let said = hello.hello.ip.as_str();
    if said.is_empty()
        || said
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified())
    {
        hello.peer.clone()
    } else {
        said.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_domains_of_agents_and_masters_must_fit() {
        let domain = crate::core::tests::world::json(
            r#"{"fault_domain":{"region":{"name":"r"},"zone":{"name":"z"}}}"#,
        );
        let without = MasterConfig::default();
        let with = MasterConfig {
            domain: Some(domain),
            ..MasterConfig::default()
        };
        let strict = MasterConfig {
            require_agent_domain: true,
            ..with.clone()
        };
        let fits = |has_domain, config: &MasterConfig| fits_domain(has_domain, config).is_ok();
        assert!(fits(false, &without) && !fits(true, &without));
        assert!(fits(false, &with) && fits(true, &with));
        assert!(!fits(false, &strict) && fits(true, &strict));
    }
}
