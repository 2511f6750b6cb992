//! `/state`, `/state-summary`, `/slaves` and `/frameworks`: whole bodies.
use std::collections::{BTreeMap, BTreeSet};

use mesos_http::{Action, Object, version::Version};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    agent::{AgentJson, Detail, RecoveredAgentJson},
    framework::{FrameworkJson, SummaryJson},
    json::{Wire, list},
    task::Counts,
};
use crate::{
    config::MasterConfig,
    reading::Viewer,
    state::{Framework, Identity, Snapshot},
};

/// What the master can do, as `/state` names it.
const CAPABILITIES: [&str; 3] = ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"];

/// The agents that match, then those that are not back yet.
fn write_agents<M: SerializeMap>(
    map: &mut M,
    snapshot: &Snapshot,
    viewer: &Viewer,
    only: Option<&str>,
    detail: fn() -> Detail<'static>,
) -> Result<(), M::Error> {
    let wanted = |id: &str| only.is_none_or(|only| only == id);
    let agents = snapshot
        .agents
        .values()
        .filter(|agent| wanted(agent.id.as_str()));
    let agents = agents.map(|agent| AgentJson {
        agent,
        viewer,
        detail: detail(),
    });
    map.serialize_entry("slaves", &list(agents))?;
    let recovered = snapshot
        .recovered_agents
        .iter()
        .filter(|(id, _)| wanted(id.as_str()));
    let recovered = recovered.map(|(_, agent)| RecoveredAgentJson(agent));
    map.serialize_entry("recovered_slaves", &list(recovered))
}

fn write_frameworks<M: SerializeMap>(
    map: &mut M,
    snapshot: &Snapshot,
    viewer: &Viewer,
    only: Option<&str>,
) -> Result<(), M::Error> {
    let shown = |framework: &Framework| {
        only.is_none_or(|only| only == framework.id.as_str()) && viewer.framework(framework)
    };
    let frameworks = snapshot
        .frameworks
        .values()
        .filter(|framework| shown(framework));
    let frameworks = frameworks.map(|framework| FrameworkJson {
        framework,
        snapshot,
        viewer,
    });
    map.serialize_entry("frameworks", &list(frameworks))?;
    let completed = snapshot
        .completed_frameworks
        .iter()
        .filter(|framework| shown(framework));
    let completed = completed.map(|framework| FrameworkJson {
        framework,
        snapshot,
        viewer,
    });
    map.serialize_entry("completed_frameworks", &list(completed))
}

/// `/state`.
pub(crate) struct StateJson<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) config: &'a MasterConfig,
    pub(crate) viewer: &'a Viewer,
}

/// Where the master answers, as libprocess wrote addresses.
pub(crate) fn pid(identity: &Identity) -> String {
    match &identity.info.pid {
        Some(pid) => pid.clone(),
        None => {
            let address = identity.info.address.as_ref();
            let ip = address
                .and_then(|address| address.ip.as_deref())
                .unwrap_or("0.0.0.0");
            format!("master@{ip}:{}", identity.info.port)
        }
    }
}

/// Registered agents that are offered, and those that are not.
pub(crate) fn activated(snapshot: &Snapshot) -> (usize, usize) {
    let active = snapshot
        .agents
        .values()
        .filter(|agent| agent.active())
        .count();
    (active, snapshot.agents.len() - active)
}

struct LeaderJson<'a>(&'a Identity);

impl Serialize for LeaderJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = &self.0.info;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &info.id)?;
        map.serialize_entry("pid", &pid(self.0))?;
        map.serialize_entry("port", &info.port)?;
        map.serialize_entry("hostname", info.hostname())?;
        if let Some(domain) = &info.domain {
            map.serialize_entry("domain", &Wire(domain))?;
        }
        map.end()
    }
}

impl Serialize for StateJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (snapshot, identity, version) =
            (self.snapshot, &*self.snapshot.identity, Version::current());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &version.version)?;
        if let Some(sha) = &version.git_sha {
            map.serialize_entry("git_sha", sha)?;
        }
        if let Some(tag) = &version.git_tag {
            map.serialize_entry("git_tag", tag)?;
        }
        map.serialize_entry("build_date", &version.build_date)?;
        map.serialize_entry("build_time", &version.build_time)?;
        map.serialize_entry("build_user", &version.build_user)?;
        map.serialize_entry("start_time", &identity.start_time)?;
        map.serialize_entry("elected_time", &identity.elected_time)?;
        map.serialize_entry("id", &identity.info.id)?;
        map.serialize_entry("pid", &pid(identity))?;
        map.serialize_entry("hostname", identity.info.hostname())?;
        map.serialize_entry("capabilities", &CAPABILITIES)?;
        let (active, inactive) = activated(snapshot);
        map.serialize_entry("activated_slaves", &double(active))?;
        map.serialize_entry("deactivated_slaves", &double(inactive))?;
        map.serialize_entry(
            "unreachable_slaves",
            &double(snapshot.unreachable_agents.len()),
        )?;
        if let Some(domain) = &identity.info.domain {
            map.serialize_entry("domain", &Wire(domain))?;
        }
        // Only the leader has a state, so this master is it.
        map.serialize_entry("leader", &pid(identity))?;
        map.serialize_entry("leader_info", &LeaderJson(identity))?;
        if self.viewer.may(Action::ViewFlags, Object::Any) {
            if let Some(cluster) = &identity.cluster {
                map.serialize_entry("cluster", cluster)?;
            }
            for name in ["log_dir", "external_log_file"] {
                if let Some(value) = self.config.flags.get(name) {
                    map.serialize_entry(name, value)?;
                }
            }
            map.serialize_entry("flags", &self.config.flags)?;
        }
        write_agents(&mut map, snapshot, self.viewer, None, || Detail::Plain)?;
        write_frameworks(&mut map, snapshot, self.viewer, None)?;
        // There since Mesos 1.0, and always empty since then.
        map.serialize_entry::<_, [(); 0]>("orphan_tasks", &[])?;
        map.serialize_entry::<_, [(); 0]>("unregistered_frameworks", &[])?;
        map.end()
    }
}

/// A count as the double that Mesos writes.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn double(count: usize) -> f64 {
    count as f64
}

/// `/slaves`, of one agent when `only` is given.
pub(crate) struct AgentsJson<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) viewer: &'a Viewer,
    pub(crate) only: Option<&'a str>,
}

impl Serialize for AgentsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_agents(&mut map, self.snapshot, self.viewer, self.only, || {
            Detail::Full
        })?;
        map.end()
    }
}

/// `/frameworks`, one framework when `only` is given.
pub(crate) struct FrameworksJson<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) viewer: &'a Viewer,
    pub(crate) only: Option<&'a str>,
}

impl Serialize for FrameworksJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_frameworks(&mut map, self.snapshot, self.viewer, self.only)?;
        map.serialize_entry::<_, [(); 0]>("unregistered_frameworks", &[])?;
        map.end()
    }
}

/// `/state-summary`.
pub(crate) struct SummariesJson<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) viewer: &'a Viewer,
}

/// Counts by an id, and the ids on the other side.
type ById<'a> = BTreeMap<&'a str, (Counts, BTreeSet<&'a str>)>;

fn looked_up<'a>(of: &ById<'a>, id: &str) -> (Counts, Vec<&'a str>) {
    match of.get(id) {
        Some((counts, others)) => (*counts, others.iter().copied().collect()),
        None => (Counts::default(), Vec::new()),
    }
}

/// Tasks of the frameworks that have not ended, counted both ways.
#[derive(Default)]
struct Tally<'a> {
    frameworks: ById<'a>,
    agents: ById<'a>,
}

impl<'a> Tally<'a> {
    fn of(snapshot: &'a Snapshot, viewer: &Viewer) -> Self {
        let mut tally = Self::default();
        for framework in snapshot
            .frameworks
            .values()
            .filter(|framework| viewer.framework(framework))
        {
            let tasks = framework
                .tasks
                .values()
                .chain(framework.unreachable_tasks.values());
            for task in tasks.chain(framework.completed_tasks.iter()) {
                let (framework, agent) = (task.framework_id.as_str(), task.agent_id.as_str());
                let (counts, agents) = tally.frameworks.entry(framework).or_default();
                counts.add(task.state);
                agents.insert(agent);
                let (counts, frameworks) = tally.agents.entry(agent).or_default();
                counts.add(task.state);
                frameworks.insert(framework);
            }
        }
        tally
    }
}

impl Serialize for SummariesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (snapshot, viewer, identity) = (self.snapshot, self.viewer, &self.snapshot.identity);
        let tally = Tally::of(snapshot, viewer);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("hostname", identity.info.hostname())?;
        if let Some(cluster) = &identity.cluster {
            map.serialize_entry("cluster", cluster)?;
        }
        let agents = snapshot.agents.values().map(|agent| {
            let (counts, frameworks) = looked_up(&tally.agents, agent.id.as_str());
            AgentJson {
                agent,
                viewer,
                detail: Detail::Summary { counts, frameworks },
            }
        });
        map.serialize_entry("slaves", &list(agents))?;
        let frameworks = snapshot
            .frameworks
            .values()
            .filter(|framework| viewer.framework(framework));
        let frameworks = frameworks.map(|framework| {
            let (counts, agents) = looked_up(&tally.frameworks, framework.id.as_str());
            SummaryJson {
                framework,
                counts,
                agents,
            }
        });
        map.serialize_entry("frameworks", &list(frameworks))?;
        map.end()
    }
}
