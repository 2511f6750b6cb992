//! A task as `/state` and `/tasks` show it.
use std::collections::BTreeMap;

use mesos_wire::v1::{self, ContainerStatus, Label, Labels, NetworkInfo, TaskState, TaskStatus};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::to_raw_value;

use super::{
    json::{Wire, list},
    resources::ResourcesJson,
};
use crate::state::Task;

/// One task with its history, printed once for each version of the record.
pub(crate) struct TaskJson<'a>(pub(crate) &'a Task);

impl Serialize for TaskJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = || {
            to_raw_value(&Printed(self.0))
                .expect("records have text for keys and finite numbers or none")
        };
        self.0.shown.legacy(raw).serialize(serializer)
    }
}

struct Printed<'a>(&'a Task);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (task, spec) = (self.0, &*self.0.spec);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", task.id.as_str())?;
        map.serialize_entry("name", &spec.name)?;
        map.serialize_entry("framework_id", task.framework_id.as_str())?;
        let executor = task.executor_id.as_ref().map_or("", |id| id.as_str());
        map.serialize_entry("executor_id", executor)?;
        map.serialize_entry("slave_id", task.agent_id.as_str())?;
        map.serialize_entry("state", task.state.as_str_name())?;
        map.serialize_entry("resources", &ResourcesJson(&task.resources))?;
        if !spec.limits.is_empty() {
            map.serialize_entry("limits", &LimitsJson(&spec.limits))?;
        }
        let role = task
            .resources
            .iter()
            .find_map(|resource| resource.meta.allocation_role.as_deref());
        map.serialize_entry("role", role.unwrap_or("*"))?;
        let statuses = task.statuses.iter().map(|status| StatusJson(status));
        map.serialize_entry("statuses", &list(statuses))?;
        if let Some(user) = &spec.user {
            map.serialize_entry("user", user)?;
        }
        if let Some(labels) = &spec.labels {
            map.serialize_entry("labels", &labels_json(labels))?;
        }
        if let Some(discovery) = &spec.discovery {
            map.serialize_entry("discovery", &Wire(discovery))?;
        }
        if let Some(container) = &spec.container {
            map.serialize_entry("container", &Wire(container))?;
        }
        if let Some(check) = &spec.health_check {
            map.serialize_entry("health_check", &Wire(check))?;
        }
        map.end()
    }
}

/// `{"cpus":2.0,"mem":"Infinity"}`: JSON has no number for no limit.
struct LimitsJson<'a>(&'a BTreeMap<String, v1::value::Scalar>);

impl Serialize for LimitsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, limit) in self.0 {
            if limit.value.is_finite() {
                map.serialize_entry(name, &limit.value)?;
            } else {
                map.serialize_entry(
                    name,
                    if limit.value < 0.0 {
                        "-Infinity"
                    } else {
                        "Infinity"
                    },
                )?;
            }
        }
        map.end()
    }
}

struct StatusJson<'a>(&'a TaskStatus);

impl Serialize for StatusJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("state", status.state().as_str_name())?;
        map.serialize_entry("timestamp", &status.timestamp())?;
        if let Some(labels) = &status.labels {
            map.serialize_entry("labels", &labels_json(labels))?;
        }
        if let Some(container) = &status.container_status {
            map.serialize_entry("container_status", &ContainerStatusJson(container))?;
        }
        if let Some(healthy) = status.healthy {
            map.serialize_entry("healthy", &healthy)?;
        }
        map.end()
    }
}

struct ContainerStatusJson<'a>(&'a ContainerStatus);

impl Serialize for ContainerStatusJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &status.container_id {
            map.serialize_entry("container_id", &ContainerIdJson(id))?;
        }
        if !status.network_infos.is_empty() {
            let infos = status.network_infos.iter().map(NetworkInfoJson);
            map.serialize_entry("network_infos", &list(infos))?;
        }
        if let Some(cgroup) = &status.cgroup_info {
            map.serialize_entry("cgroup_info", &Wire(cgroup))?;
        }
        map.end()
    }
}

struct ContainerIdJson<'a>(&'a v1::ContainerId);

impl Serialize for ContainerIdJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("value", &self.0.value)?;
        if let Some(parent) = &self.0.parent {
            map.serialize_entry("parent", &ContainerIdJson(parent))?;
        }
        map.end()
    }
}

struct NetworkInfoJson<'a>(&'a NetworkInfo);

impl Serialize for NetworkInfoJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !info.groups.is_empty() {
            map.serialize_entry("groups", &info.groups)?;
        }
        if let Some(labels) = &info.labels {
            map.serialize_entry("labels", &labels_json(labels))?;
        }
        if !info.ip_addresses.is_empty() {
            map.serialize_entry(
                "ip_addresses",
                &list(info.ip_addresses.iter().map(IpAddressJson)),
            )?;
        }
        if let Some(name) = &info.name {
            map.serialize_entry("name", name)?;
        }
        if !info.port_mappings.is_empty() {
            map.serialize_entry("port_mappings", &list(info.port_mappings.iter().map(Wire)))?;
        }
        map.end()
    }
}

struct IpAddressJson<'a>(&'a v1::network_info::IpAddress);

impl Serialize for IpAddressJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("protocol", self.0.protocol().as_str_name())?;
        if let Some(address) = &self.0.ip_address {
            map.serialize_entry("ip_address", address)?;
        }
        map.end()
    }
}

struct LabelJson<'a>(&'a Label);

impl Serialize for LabelJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.0.key)?;
        if let Some(value) = &self.0.value {
            map.serialize_entry("value", value)?;
        }
        map.end()
    }
}

/// `[{"key":"k","value":"v"}]`.
pub(crate) fn labels_json(labels: &Labels) -> impl Serialize {
    list(labels.labels.iter().map(LabelJson))
}

/// How many tasks are in each state, for `/state-summary`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts([u64; SUMMARIZED.len()]);

/// The states that the summary counts, in its order. Others are not shown there.
const SUMMARIZED: [TaskState; 10] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

impl Counts {
    /// Counts one task.
    pub(crate) fn add(&mut self, state: TaskState) {
        if let Some(index) = SUMMARIZED.iter().position(|counted| *counted == state) {
            self.0[index] += 1;
        }
    }

    /// Writes the counts into an object.
    pub(crate) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for (state, count) in SUMMARIZED.iter().zip(self.0) {
            map.serialize_entry(state.as_str_name(), &count)?;
        }
        Ok(())
    }
}
