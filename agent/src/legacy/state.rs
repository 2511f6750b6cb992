//! `/state`: everything that the agent knows, in one body.

use std::sync::Arc;

use mesos_http::{Action, Object, version::Version};
use mesos_types::Resources;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    executor::FrameworkJson,
    json::{Pairs, Wire},
    resources::{AttributesJson, FullJson, ResourcesJson},
};
use crate::{
    core::CAPABILITIES,
    operator::{ReadSide, Viewer},
    state::{AgentState, Framework},
};

/// The whole body.
pub(super) struct StateJson<'a> {
    pub(super) state: &'a AgentState,
    pub(super) read: &'a ReadSide,
    pub(super) viewer: &'a Viewer,
}

/// By role, without the roles that the viewer may not see.
fn reserved<'a>(resources: &'a Resources, viewer: &Viewer) -> Vec<(&'a str, Resources)> {
    let roles = resources.reservation_roles().into_iter();
    roles
        .filter(|role| viewer.role(role))
        .map(|role| (role, resources.reserved_for(role)))
        .collect()
}

fn by_role(reserved: &[(&str, Resources)]) -> impl Serialize {
    Pairs(reserved.iter().map(|(role, r)| (*role, ResourcesJson(r))))
}

impl StateJson<'_> {
    fn identity<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (agent, version) = (&*self.state.agent, Version::current());
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
        map.serialize_entry("start_time", &self.state.started)?;
        let id = self.state.id.as_ref().map_or("", |id| id.as_str());
        map.serialize_entry("id", id)?;
        map.serialize_entry("pid", &format_args!("slave(1)@{}", self.read.address))?;
        map.serialize_entry("hostname", &agent.hostname)?;
        map.serialize_entry("capabilities", &CAPABILITIES.map(|c| c.as_str_name()))?;
        if let Some(domain) = &agent.domain {
            map.serialize_entry("domain", &Wire(domain))?;
        }
        if let Some(drain) = &self.state.drain {
            map.serialize_entry("drain_config", &Wire(&drain.config))?;
            map.serialize_entry("estimated_drain_start_time_seconds", &drain.since)?;
        }
        Ok(())
    }

    fn resources<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (total, allocated) = (&self.state.resources, &self.state.allocated());
        let reserved_total = reserved(total, self.viewer);
        let unreserved = total.unreserved();
        map.serialize_entry("resources", &ResourcesJson(total))?;
        map.serialize_entry("reserved_resources", &by_role(&reserved_total))?;
        map.serialize_entry("unreserved_resources", &ResourcesJson(&unreserved))?;
        let full = reserved_total.iter().map(|(role, r)| (*role, FullJson(r)));
        map.serialize_entry("reserved_resources_full", &Pairs(full))?;
        map.serialize_entry("unreserved_resources_full", &FullJson(&unreserved))?;
        let reserved_allocated = reserved(allocated, self.viewer);
        map.serialize_entry(
            "reserved_resources_allocated",
            &by_role(&reserved_allocated),
        )?;
        let unreserved = allocated.unreserved();
        map.serialize_entry(
            "unreserved_resources_allocated",
            &ResourcesJson(&unreserved),
        )?;
        // Nobody can bring a resource provider yet.
        map.serialize_entry::<_, [(); 0]>("resource_providers", &[])?;
        map.serialize_entry("attributes", &AttributesJson(&self.state.agent.attributes))
    }

    fn frameworks<'a>(
        &'a self,
        all: impl Iterator<Item = &'a Arc<Framework>>,
    ) -> Vec<FrameworkJson<'a>> {
        let viewer = self.viewer;
        all.filter(|framework| viewer.framework(framework))
            .map(|framework| FrameworkJson { framework, viewer })
            .collect()
    }
}

impl Serialize for StateJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (state, read) = (self.state, self.read);
        let mut map = serializer.serialize_map(None)?;
        self.identity(&mut map)?;
        self.resources(&mut map)?;
        if let Some(hostname) = state.master.as_ref().and_then(|m| m.hostname.as_ref()) {
            map.serialize_entry("master_hostname", hostname)?;
        }
        if self.viewer.may(Action::ViewFlags, Object::Any) {
            for name in ["log_dir", "external_log_file"] {
                if let Some(value) = read.flags.get(name) {
                    map.serialize_entry(name, value)?;
                }
            }
            map.serialize_entry("flags", &*read.flags)?;
        }
        map.serialize_entry("frameworks", &self.frameworks(state.frameworks.values()))?;
        let completed = state.completed_frameworks.iter();
        map.serialize_entry("completed_frameworks", &self.frameworks(completed))?;
        map.end()
    }
}
