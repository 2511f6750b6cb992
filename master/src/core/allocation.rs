//! The allocator as the core uses it: records in, allotments out, clocks matched.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use mesos_allocator::{
    AgentCapabilities, AgentSpec, Allocator, AllocatorError, FrameworkSpec, InverseProposal,
    OfferProposal, Options, Quota, Weight, refusal_from_seconds,
};
use mesos_types::{AgentId, FrameworkId, Quantities, Resources};
use mesos_wire::v1::{DomainInfo, Filters, Unavailability, allocator::InverseOfferStatus};

use crate::{
    config::MasterConfig,
    core::operator::to_quota,
    state::{Agent, Framework, Settings},
};

/// How many steps of a run are done at once: about 2 ms in the allocator, and several times that for what
/// becomes of the offers. The rest follows after other events.
const RUN_PIECE: usize = 1000;

/// The allocator and when it wants to be asked.
pub(super) struct Allocation {
    allocator: Allocator,
    /// Where its time begins.
    start: Instant,
    /// When a timer is set to ask it.
    alarm: Option<Instant>,
    /// Since when it has something to do.
    asked: Option<Instant>,
    /// When its filters were counted last.
    counted: Option<Instant>,
}

/// Time between two counts of the filters, which looks at every agent.
const COUNT: Duration = Duration::from_secs(5);

impl Allocation {
    /// With so many agents expected back.
    pub(super) fn new(
        config: &MasterConfig,
        settings: &Settings,
        expected_agents: usize,
        start: Instant,
    ) -> Self {
        let options = Options {
            allocation_interval: config.allocation_interval,
            min_allocatable: config.min_allocatable.clone(),
            filter_gpu_resources: config.filter_gpu_resources,
            excluded_from_shares: config.fair_sharing_excluded.clone(),
            weights: settings
                .weights
                .iter()
                .filter_map(|(role, weight)| Some((role.clone(), Weight::from_f64(*weight)?)))
                .collect(),
            role_sorter: config.role_sorter.clone(),
            framework_sorter: config.framework_sorter.clone(),
            region: config.domain.as_ref().and_then(region_of),
            seed: config.seed,
        };
        let mut allocator = Allocator::new(options);
        for (role, quota) in &settings.quotas {
            allocator.set_quota(role, to_quota(Some(quota)));
        }
        if config.whitelist.is_some() {
            // Until the file was read.
            allocator.set_whitelist(Some(BTreeSet::new()));
        }
        if expected_agents > 0 {
            allocator.hold(
                expected_agents,
                config.allocator_agent_recovery_factor,
                config.allocator_recovery_timeout,
            );
        }
        Self {
            allocator,
            start,
            alarm: None,
            asked: None,
            counted: None,
        }
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// How long from now a timer must be set for, unless an earlier one is set.
    pub(super) fn next_alarm(&mut self, now: Instant, debounce: Duration) -> Option<Duration> {
        let wanted = self.start + self.allocator.next_wakeup()?;
        let asked = wanted.max(now);
        self.asked = Some(self.asked.map_or(asked, |before| before.min(asked)));
        let wanted = wanted.max(now + debounce);
        if self.alarm.is_some_and(|alarm| alarm <= wanted) {
            return None;
        }
        self.alarm = Some(wanted);
        Some(wanted - now)
    }

    pub(super) fn allocate(&mut self, now: Instant) -> Vec<OfferProposal> {
        self.alarm = None;
        self.allocator.allocate_some(self.time(now), RUN_PIECE)
    }

    /// How long ago the run that begins was asked for.
    pub(super) fn waited(&mut self, now: Instant) -> Duration {
        self.asked
            .take()
            .map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked))
    }

    /// Active filters by role, when it is time to count them again.
    pub(super) fn filters(&mut self, now: Instant) -> Option<BTreeMap<String, usize>> {
        if self
            .counted
            .is_some_and(|counted| now.saturating_duration_since(counted) < COUNT)
        {
            return None;
        }
        self.counted = Some(now);
        let filters = self.allocator.offer_filters();
        Some(
            filters
                .into_iter()
                .map(|(role, count)| (role.to_string(), count))
                .collect(),
        )
    }

    pub(super) fn add_framework(&mut self, framework: &Framework) {
        self.allocator
            .add_framework(&framework.id, &spec(framework), framework.connected());
    }

    /// Its filters stay.
    pub(super) fn update_framework(&mut self, framework: &Framework) {
        log(self
            .allocator
            .update_framework(&framework.id, &spec(framework)));
    }

    pub(super) fn activate_framework(&mut self, id: &FrameworkId) {
        log(self.allocator.activate_framework(id));
    }

    pub(super) fn deactivate_framework(&mut self, id: &FrameworkId) {
        log(self.allocator.deactivate_framework(id));
    }

    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        log(self.allocator.remove_framework(id));
    }

    /// With everything that is charged on it in the record.
    pub(super) fn add_agent(&mut self, agent: &Agent) {
        let used: Vec<(FrameworkId, Resources)> = agent
            .used
            .iter()
            .map(|(id, used)| (id.clone(), used.clone()))
            .collect();
        log(self
            .allocator
            .add_agent(&agent.id, &agent_spec(agent), &used));
    }

    /// The agent is back: its total may be another one.
    pub(super) fn return_agent(&mut self, agent: &Agent) {
        log(self.allocator.update_agent(&agent.id, &agent.total));
        if agent.active() {
            log(self.allocator.activate_agent(&agent.id));
        } else {
            log(self.allocator.deactivate_agent(&agent.id));
        }
    }

    pub(super) fn activate_agent(&mut self, id: &AgentId) {
        log(self.allocator.activate_agent(id));
    }

    pub(super) fn set_whitelist(&mut self, hostnames: BTreeSet<String>) {
        self.allocator.set_whitelist(Some(hostnames));
    }

    pub(super) fn set_weights(&mut self, weights: &[(String, Weight)]) {
        self.allocator.set_weights(weights);
    }

    /// An empty one takes the role's quota away.
    pub(super) fn set_quota(&mut self, role: &str, quota: Quota) {
        self.allocator.set_quota(role, quota);
    }

    /// What counts against the quota of a role, with what is offered.
    pub(super) fn quota_consumed(&self, role: &str) -> Quantities {
        self.allocator.quota_consumed(role)
    }

    pub(super) fn set_unavailability(
        &mut self,
        agent: &AgentId,
        unavailability: Option<Unavailability>,
    ) {
        log(self.allocator.set_unavailability(agent, unavailability));
    }

    pub(super) fn inverse_offers(&mut self, now: Instant) -> Vec<InverseProposal> {
        self.allocator.inverse_offers(self.time(now))
    }

    pub(super) fn inverse_answered(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        answer: InverseOfferStatus,
        refused: Duration,
        now: Instant,
    ) {
        let now = self.time(now);
        log(self
            .allocator
            .inverse_answered(framework, agent, answer, refused, now));
    }

    pub(super) fn inverse_withdrawn(&mut self, framework: &FrameworkId, agent: &AgentId) {
        // Of a framework that was just deactivated the allocator has forgotten it already.
        let _ = self.allocator.inverse_withdrawn(framework, agent);
    }

    /// More is held than was offered.
    pub(super) fn charge(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
    ) {
        log(self.allocator.charge(framework, agent, resources));
    }

    /// What an agent has, and what of it is held.
    #[cfg(test)]
    pub(super) fn books(&self, agent: &AgentId) -> (Resources, Resources) {
        let held = self.allocator.held(agent);
        let held = held
            .iter()
            .fold(Resources::new(), |sum, (_, held)| &sum + held);
        (
            self.allocator.total(agent).cloned().unwrap_or_default(),
            held,
        )
    }

    /// An operation has made `to` out of `from`, which the framework holds.
    pub(super) fn update_allocation(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        from: &Resources,
        to: &Resources,
    ) {
        log(self.allocator.update_allocation(framework, agent, from, to));
    }

    /// An operation has made `to` out of `from`, which nobody holds.
    pub(super) fn update_available(&mut self, agent: &AgentId, from: &Resources, to: &Resources) {
        log(self.allocator.update_available(agent, from, to));
    }

    /// The agent has something else than was thought.
    pub(super) fn update_agent(&mut self, agent: &AgentId, total: &Resources) {
        log(self.allocator.update_agent(agent, total));
    }

    pub(super) fn deactivate_agent(&mut self, id: &AgentId) {
        log(self.allocator.deactivate_agent(id));
    }

    pub(super) fn remove_agent(&mut self, id: &AgentId) {
        log(self.allocator.remove_agent(id));
    }

    /// `refused`: the framework did not want them, for that long.
    pub(super) fn recover(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        refused: Option<Duration>,
        now: Instant,
    ) {
        let now = self.time(now);
        log(self
            .allocator
            .recover(framework, agent, resources, refused, now));
    }

    pub(super) fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        log(self.allocator.revive(id, roles));
    }

    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        log(self.allocator.suppress(id, roles));
    }
}

/// Our books and the allocator's differ: worth a look, no reason to stop.
fn log(result: Result<(), AllocatorError>) {
    if let Err(error) = result {
        #[cfg(test)]
        panic!("the allocator refused: {error}");
        #[cfg(not(test))]
        tracing::error!(%error, "the allocator refused");
    }
}

fn region_of(domain: &DomainInfo) -> Option<String> {
    Some(domain.fault_domain.as_ref()?.region.name.clone())
}

fn agent_spec(agent: &Agent) -> AgentSpec {
    let region = agent.info.domain.as_ref().and_then(region_of);
    AgentSpec {
        total: agent.total.clone(),
        hostname: agent.info.hostname.clone(),
        capabilities: AgentCapabilities::from(agent.capabilities.as_slice()),
        region,
        active: agent.active(),
    }
}

fn spec(framework: &Framework) -> FrameworkSpec {
    FrameworkSpec {
        suppressed: (*framework.suppressed_roles).clone(),
        ..FrameworkSpec::from(&*framework.info)
    }
}

/// How long an answer to an offer refuses what it leaves.
pub(super) fn refusal(filters: Option<&Filters>) -> Duration {
    refusal_from_seconds(filters.and_then(|filters| filters.refuse_seconds))
}
