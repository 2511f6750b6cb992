//! A framework as `/state`, `/state-summary` and `/frameworks` show it.
use mesos_types::Resources;
use mesos_wire::v1::{CommandInfo, command_info};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    json::{Empty, Wire, list},
    resources::ResourcesJson,
    task::{Counts, TaskJson, labels_json},
};
use crate::{
    reading::Viewer,
    state::{Executor, Framework, Offer, Snapshot, Standing},
};

/// What `/state-summary` and `/state` have in common.
fn write_summary<M: SerializeMap>(framework: &Framework, map: &mut M) -> Result<(), M::Error> {
    let info = &framework.info;
    map.serialize_entry("id", framework.id.as_str())?;
    map.serialize_entry("name", &info.name)?;
    map.serialize_entry("used_resources", &ResourcesJson(&framework.used()))?;
    map.serialize_entry("offered_resources", &ResourcesJson(&framework.offered()))?;
    let capabilities = info
        .capabilities
        .iter()
        .map(|capability| capability.r#type().as_str_name());
    map.serialize_entry("capabilities", &list(capabilities))?;
    map.serialize_entry("hostname", info.hostname())?;
    map.serialize_entry("webui_url", info.webui_url())?;
    map.serialize_entry("active", &framework.active())?;
    map.serialize_entry("connected", &framework.connected())?;
    map.serialize_entry("recovered", &framework.recovered())
}

/// A framework with its tasks counted.
pub(crate) struct SummaryJson<'a> {
    pub(crate) framework: &'a Framework,
    pub(crate) counts: Counts,
    pub(crate) agents: Vec<&'a str>,
}

impl Serialize for SummaryJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_summary(self.framework, &mut map)?;
        self.counts.write(&mut map)?;
        map.serialize_entry("slave_ids", &self.agents)?;
        map.end()
    }
}

/// A framework with all its tasks.
pub(crate) struct FrameworkJson<'a> {
    pub(crate) framework: &'a Framework,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) viewer: &'a Viewer,
}

impl Serialize for FrameworkJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (framework, info, viewer) = (self.framework, &*self.framework.info, self.viewer);
        let visible = |task: &&std::sync::Arc<crate::state::Task>| viewer.task(task, info);
        let held: Resources = &framework.used() + &framework.offered();
        let mut map = serializer.serialize_map(None)?;
        write_summary(framework, &mut map)?;
        map.serialize_entry("user", &info.user)?;
        map.serialize_entry("failover_timeout", &info.failover_timeout())?;
        map.serialize_entry("checkpoint", &info.checkpoint())?;
        map.serialize_entry("registered_time", &framework.registered_time)?;
        map.serialize_entry("unregistered_time", &ended(framework).unwrap_or(0.0))?;
        if let Some(principal) = &info.principal {
            map.serialize_entry("principal", principal)?;
        }
        map.serialize_entry("resources", &ResourcesJson(&held))?;
        #[expect(
            clippy::float_cmp,
            reason = "one is a copy of the other until it subscribes again"
        )]
        if framework.reregistered_time != framework.registered_time {
            map.serialize_entry("reregistered_time", &framework.reregistered_time)?;
        }
        if framework.capabilities.multi_role {
            map.serialize_entry("roles", &info.roles)?;
        } else {
            map.serialize_entry("role", info.role())?;
        }
        let tasks = framework
            .tasks
            .values()
            .filter(visible)
            .map(|task| TaskJson(task));
        map.serialize_entry("tasks", &list(tasks))?;
        let tasks = framework
            .unreachable_tasks
            .values()
            .filter(visible)
            .map(|task| TaskJson(task));
        map.serialize_entry("unreachable_tasks", &list(tasks))?;
        let tasks = framework
            .completed_tasks
            .iter()
            .filter(visible)
            .map(|task| TaskJson(task));
        map.serialize_entry("completed_tasks", &list(tasks))?;
        let offers = framework
            .offers
            .iter()
            .filter_map(|id| self.snapshot.offers.get(id));
        map.serialize_entry("offers", &list(offers.map(|offer| OfferJson(offer))))?;
        let executors = framework.executors.values();
        let executors = executors.filter(|executor| viewer.executor(executor, info));
        map.serialize_entry(
            "executors",
            &list(executors.map(|executor| ExecutorJson(executor))),
        )?;
        if let Some(labels) = &info.labels {
            map.serialize_entry("labels", &labels_json(labels))?;
        }
        match &framework.offer_constraints {
            Some(constraints) => map.serialize_entry("offer_constraints", &Wire(&**constraints))?,
            None => map.serialize_entry("offer_constraints", &Empty)?,
        }
        map.end()
    }
}

/// When it was removed; a framework that may still come back has no such time.
pub(crate) fn ended(framework: &Framework) -> Option<f64> {
    (framework.standing == Standing::Completed).then_some(framework.unregistered_time)
}

struct OfferJson<'a>(&'a Offer);

impl Serialize for OfferJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Allocation<'a>(&'a str);
        impl Serialize for Allocation<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map([("role", self.0)])
            }
        }
        let offer = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", offer.id.as_str())?;
        map.serialize_entry("framework_id", offer.framework_id.as_str())?;
        map.serialize_entry("allocation_info", &Allocation(&offer.role))?;
        map.serialize_entry("slave_id", offer.agent_id.as_str())?;
        map.serialize_entry("resources", &ResourcesJson(&offer.resources))?;
        map.end()
    }
}

struct ExecutorJson<'a>(&'a Executor);

impl Serialize for ExecutorJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (executor, info) = (self.0, &*self.0.info);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("executor_id", executor.id.as_str())?;
        map.serialize_entry("name", info.name())?;
        map.serialize_entry("framework_id", executor.framework_id.as_str())?;
        map.serialize_entry("command", &CommandJson(info.command.as_ref()))?;
        map.serialize_entry("resources", &ResourcesJson(&executor.resources))?;
        let role = executor
            .resources
            .iter()
            .find_map(|resource| resource.meta.allocation_role.as_deref());
        if let Some(role) = role {
            map.serialize_entry("role", role)?;
        }
        if let Some(labels) = &info.labels {
            map.serialize_entry("labels", &labels_json(labels))?;
        }
        if info.r#type.is_some() {
            map.serialize_entry("type", info.r#type().as_str_name())?;
        }
        map.serialize_entry("slave_id", executor.agent_id.as_str())?;
        map.end()
    }
}

struct CommandJson<'a>(Option<&'a CommandInfo>);

impl Serialize for CommandJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = CommandInfo::default();
        let command = self.0.unwrap_or(&none);
        let mut map = serializer.serialize_map(None)?;
        if let Some(shell) = command.shell {
            map.serialize_entry("shell", &shell)?;
        }
        if let Some(value) = &command.value {
            map.serialize_entry("value", value)?;
        }
        map.serialize_entry("argv", &command.arguments)?;
        if let Some(environment) = &command.environment {
            map.serialize_entry("environment", &Wire(environment))?;
        }
        map.serialize_entry("uris", &list(command.uris.iter().map(UriJson)))?;
        map.end()
    }
}

struct UriJson<'a>(&'a command_info::Uri);

impl Serialize for UriJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("value", &self.0.value)?;
        map.serialize_entry("executable", &self.0.executable())?;
        map.end()
    }
}
