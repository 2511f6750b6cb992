//! An agent as `/state`, `/state-summary` and `/slaves` show it.
use mesos_types::Resources;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    json::{Wire, list},
    resources::{AttributesJson, FullJson, ResourcesJson},
    task::Counts,
};
use crate::{
    reading::Viewer,
    state::{Agent, RecoveredAgent},
};

/// How much is said about an agent.
pub(crate) enum Detail<'a> {
    /// As in `/state`.
    Plain,
    /// With each resource one by one, as in `/slaves`.
    Full,
    /// With its tasks counted, as in `/state-summary`.
    Summary {
        /// Tasks by state.
        counts: Counts,
        /// Frameworks that have or had tasks here.
        frameworks: Vec<&'a str>,
    },
}

/// One agent that is registered.
pub(crate) struct AgentJson<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) viewer: &'a Viewer,
    pub(crate) detail: Detail<'a>,
}

impl AgentJson<'_> {
    /// The roles that resources are reserved for and that may be seen, with these resources.
    fn reserved(&self) -> Vec<(&str, Resources)> {
        let total = &self.agent.total;
        let roles = total
            .reservation_roles()
            .into_iter()
            .filter(|role| self.viewer.role(role));
        roles.map(|role| (role, total.reserved_for(role))).collect()
    }
}

impl Serialize for AgentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let agent = self.agent;
        let (used, reserved) = (agent.used_total(), self.reserved());
        let unreserved = agent.total.unreserved();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", agent.id.as_str())?;
        map.serialize_entry("hostname", &agent.info.hostname)?;
        map.serialize_entry("port", &agent.port())?;
        map.serialize_entry("attributes", &AttributesJson(&agent.info.attributes))?;
        if let Some(domain) = &agent.info.domain {
            map.serialize_entry("domain", &Wire(domain))?;
        }
        map.serialize_entry("pid", &agent.pid())?;
        map.serialize_entry("registered_time", &agent.registered_time)?;
        if let Some(time) = agent.reregistered_time {
            map.serialize_entry("reregistered_time", &time)?;
        }
        map.serialize_entry("resources", &ResourcesJson(&agent.total))?;
        map.serialize_entry("used_resources", &ResourcesJson(&used))?;
        map.serialize_entry("offered_resources", &ResourcesJson(&agent.offered))?;
        map.serialize_entry("reserved_resources", &ByRole(&reserved, ResourcesJson))?;
        map.serialize_entry("unreserved_resources", &ResourcesJson(&unreserved))?;
        map.serialize_entry("active", &agent.active())?;
        map.serialize_entry("deactivated", &agent.deactivation.is_some())?;
        map.serialize_entry("version", &agent.version)?;
        let capabilities = agent
            .capabilities
            .iter()
            .map(|capability| capability.r#type().as_str_name());
        map.serialize_entry("capabilities", &list(capabilities))?;
        if let Some(deactivation) = &agent.deactivation {
            if let Some(drain) = &deactivation.drain {
                map.serialize_entry("drain_info", &Wire(drain))?;
            }
            if let Some(started) = deactivation.drain_started {
                map.serialize_entry("estimated_drain_start_time_seconds", &started)?;
            }
        }
        match &self.detail {
            Detail::Plain => {}
            Detail::Full => {
                map.serialize_entry("reserved_resources_full", &ByRole(&reserved, FullJson))?;
                map.serialize_entry("unreserved_resources_full", &FullJson(&unreserved))?;
                map.serialize_entry("used_resources_full", &FullJson(&used))?;
                map.serialize_entry("offered_resources_full", &FullJson(&agent.offered))?;
            }
            Detail::Summary { counts, frameworks } => {
                counts.write(&mut map)?;
                map.serialize_entry("framework_ids", frameworks)?;
            }
        }
        map.end()
    }
}

struct ByRole<'a, F>(&'a [(&'a str, Resources)], F);

impl<'a, F, T> Serialize for ByRole<'a, F>
where
    F: Fn(&'a Resources) -> T,
    T: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(role, resources)| (role, (self.1)(resources))),
        )
    }
}

/// An agent of the registry that has not come back.
pub(crate) struct RecoveredAgentJson<'a>(pub(crate) &'a RecoveredAgent);

impl Serialize for RecoveredAgentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = &self.0.info;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", info.id.as_ref().map_or("", |id| id.value.as_str()))?;
        map.serialize_entry("hostname", &info.hostname)?;
        map.serialize_entry("port", &info.port())?;
        map.serialize_entry("attributes", &AttributesJson(&info.attributes))?;
        if let Some(domain) = &info.domain {
            map.serialize_entry("domain", &Wire(domain))?;
        }
        map.end()
    }
}
