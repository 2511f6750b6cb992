//! The only code that changes the state: an event goes in, effects come out, nothing is waited for.
//!
//! [`Core::handle`] is a function of the state, the time and the event. Whoever owns the core carries
//! out the effects in order, after it has published the new state ([`Core::publish`]).

mod accept;
mod agents;
mod allocation;
mod calls;
mod event;
mod frameworks;
mod holdings;
mod inverse;
mod kill;
mod offers;
mod operations;
mod operator;
mod reconcile;
mod records;
mod registration;
mod removals;
mod status;
mod subscribe;
mod timers;
mod transitions;
mod unreachable;
mod updates;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesos_http::Authorizer;
use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::MasterInfo;

pub(crate) use event::events;
pub use event::{AgentHello, Effect, Event, Reply};

use crate::{
    clock::Now,
    config::MasterConfig,
    constraints::Constraints,
    counters::Counters,
    registry::Registry,
    state::{Change, Deactivation, Identity, RecoveredAgent, Settings, Snapshot, UnreachableAgent},
};
use agents::Liveness;
use allocation::Allocation;
use operations::Books;
use operator::{Drains, Settling};
use removals::Removals;
use timers::{Timer, Timers};
use transitions::Transitions;

/// Seconds between two HEARTBEAT events of a stream; not configurable in Mesos either.
pub const HEARTBEAT_SECONDS: u64 = 15;

/// The master's state and what is needed to change it.
pub struct Core {
    config: Arc<MasterConfig>,
    authorizer: Arc<dyn Authorizer>,
    counters: Arc<Counters>,
    state: Snapshot,
    /// As published last.
    published: Snapshot,
    now: Now,
    effects: Vec<Effect>,
    changes: Vec<Change>,
    timers: Timers,
    allocation: Allocation,
    /// Open streams and whose they are.
    streams: HashMap<u64, FrameworkId>,
    /// Welcomed sessions and whose they are.
    sessions: HashMap<u64, AgentId>,
    liveness: HashMap<AgentId, Liveness>,
    /// Agents by the address of their HTTP API.
    addresses: HashMap<(String, i32), AgentId>,
    transitions: Transitions,
    operations: Books,
    drains: Drains,
    settling: Settling,
    removals: Removals,
    /// Agents of the registry at this master's start.
    expected_agents: usize,
    /// Of frameworks that have any.
    constraints: HashMap<FrameworkId, Constraints>,
    next: Next,
}

/// What the next one of each kind is called.
#[derive(Debug, Default)]
struct Next {
    framework: u64,
    agent: u64,
    offer: u64,
}

impl Core {
    /// A master that has just become the leader, with the agents of the registry expected back.
    pub fn new(
        config: Arc<MasterConfig>,
        identity: Identity,
        registry: Registry,
        authorizer: Arc<dyn Authorizer>,
        counters: Arc<Counters>,
        now: Now,
    ) -> Self {
        let mut state = Snapshot::new(Arc::new(identity));
        let (deactivated, mut drains) = (registry.deactivated, registry.drains);
        let mut deactivation = |id: &AgentId| {
            let drain = drains.remove(id);
            (drain.is_some() || deactivated.contains(id)).then(|| {
                Arc::new(Deactivation {
                    drain,
                    drain_started: None,
                })
            })
        };
        for (id, info) in registry.agents {
            let agent = RecoveredAgent {
                info: Arc::new(info),
                deactivation: deactivation(&id),
            };
            state.recovered_agents.insert(id, Arc::new(agent));
        }
        for (id, since_nanos) in registry.unreachable {
            let agent = UnreachableAgent {
                since_nanos,
                deactivation: deactivation(&id),
            };
            state.unreachable_agents.insert(id, agent);
        }
        state.gone_agents = registry.gone.into_iter().collect();
        if registry.weights.is_some() && !config.weights.is_empty() {
            tracing::warn!(
                "--weights is passed over: weights were set before, and are in the registry"
            );
        }
        let unsaved_weights = registry.weights.is_none() && !config.weights.is_empty();
        let weights = registry.weights.unwrap_or_else(|| {
            let given = config.weights.iter();
            given
                .map(|(role, weight)| (role.clone(), weight.as_f64()))
                .collect()
        });
        state.settings = Arc::new(Settings {
            weights,
            quotas: registry.quotas,
            schedule: registry.schedule,
            machines: registry.machines,
        });
        counters.operations.begin();
        let expected_agents = state.recovered_agents.len();
        let mut timers = Timers::default();
        let start = now.monotonic;
        if unsaved_weights {
            timers.set(start, Duration::ZERO, Timer::Weights);
        }
        if !state.recovered_agents.is_empty() {
            timers.set(
                start,
                config.agent_reregister_timeout,
                Timer::ReregisterTimeout,
            );
        }
        timers.set(start, config.registry_gc_interval, Timer::Prune);
        Self {
            allocation: Allocation::new(&config, &state.settings, expected_agents, start),
            transitions: Transitions::default(),
            operations: Books::default(),
            drains: Drains::default(),
            settling: Settling::default(),
            removals: Removals::new(start),
            expected_agents,
            config,
            authorizer,
            counters,
            // An older one: the first publication is a new version.
            published: Snapshot::new(state.identity.clone()),
            state,
            now,
            effects: Vec::new(),
            changes: Vec::new(),
            timers,
            streams: HashMap::new(),
            sessions: HashMap::new(),
            liveness: HashMap::new(),
            addresses: HashMap::new(),
            constraints: HashMap::new(),
            next: Next::default(),
        }
    }

    /// Counts versions and changes on from a state that was published before this core was made.
    pub fn follow_on(&mut self, before: &Snapshot) {
        self.state.version = before.version + 1;
        self.state.changes = before.changes;
        self.published = self.state.clone();
    }

    /// Takes one event. Timers that are due fire first.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.now = now;
        while let Some(timer) = self.timers.due(now.monotonic) {
            self.fire(timer);
        }
        match event {
            Event::Tick => {}
            Event::Subscribe {
                request,
                stream,
                stream_id,
                subscribe,
                principal,
            } => {
                self.subscribe(request, stream, stream_id, *subscribe, principal);
            }
            Event::Call {
                request,
                stream_id,
                principal,
                call,
            } => {
                self.call(request, stream_id.as_deref(), principal.as_deref(), *call);
            }
            Event::StreamClosed { stream } => self.stream_closed(stream),
            Event::Teardown {
                request,
                framework_id,
            } => self.operator_teardown(request, &framework_id),
            Event::Operator {
                request,
                principal,
                call,
            } => self.operator(request, principal.as_deref(), *call),
            Event::Hello(hello) => self.hello(*hello),
            Event::Agent { session, body } => self.agent_message(session, *body),
            Event::SessionClosed { session } => self.session_closed(session),
            Event::Whitelist(names) => self.allocation.set_whitelist(names),
            Event::Registered { token } => self.registered(token),
        }
        self.finish_drains();
        self.set_alarm();
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The state now, and the changes since the last time. The version grows only if something is
    /// different, so that whoever has made something of a version can keep it.
    pub fn publish(&mut self) -> (Snapshot, Vec<Change>) {
        let changes = std::mem::take(&mut self.changes);
        self.state.changes += changes.len() as u64;
        if !changes.is_empty() || !self.state.same_records(&self.published) {
            self.state.version += 1;
            self.published = self.state.clone();
        }
        (self.state.clone(), changes)
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The state now.
    pub fn state(&self) -> &Snapshot {
        &self.state
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Allocate => self.allocate(),
            Timer::Heartbeat(stream) => self.heartbeat(stream),
            Timer::FailoverTimeout(framework) => self.failover_timeout(&framework),
            Timer::OfferTimeout(offer) => self.offer_timeout(&offer),
            Timer::Ping(agent) => self.ping(&agent),
            Timer::AgentReturn(agent) => self.return_timeout(&agent),
            Timer::Lost(agent) => self.lose(&agent),
            Timer::Removal => self.remove_lost(),
            Timer::Weights => self.persist_weights(),
            Timer::ReregisterTimeout => self.reregister_timeout(),
            Timer::Prune => self.prune(),
        }
    }

    fn master_info(&self) -> MasterInfo {
        self.state.identity.info.clone()
    }

    fn master_id(&self) -> &str {
        &self.state.identity.info.id
    }

    fn reply(&mut self, request: u64, reply: Reply) {
        self.effects.push(Effect::Reply { request, reply });
    }
}

#[cfg(test)]
pub(crate) mod tests;
