//! Statuses of tasks as the older endpoints show them.

use mesos_wire::v1::{self, ContainerStatus, Label, Labels, NetworkInfo, TaskStatus};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::json::{List, Wire};

/// One state that a task went through.
pub(super) struct StatusJson<'a>(pub(super) &'a TaskStatus);

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

/// Without the pid, which `/containers` shows.
struct ContainerStatusJson<'a>(&'a ContainerStatus);

impl Serialize for ContainerStatusJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &status.container_id {
            map.serialize_entry("container_id", &Wire(id))?;
        }
        if !status.network_infos.is_empty() {
            let infos = status.network_infos.iter().map(NetworkInfoJson);
            map.serialize_entry("network_infos", &List(infos))?;
        }
        if let Some(cgroup) = &status.cgroup_info {
            map.serialize_entry("cgroup_info", &Wire(cgroup))?;
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
            let addresses = info.ip_addresses.iter().map(IpAddressJson);
            map.serialize_entry("ip_addresses", &List(addresses))?;
        }
        if let Some(name) = &info.name {
            map.serialize_entry("name", name)?;
        }
        if !info.port_mappings.is_empty() {
            let mappings = info.port_mappings.iter().map(Wire);
            map.serialize_entry("port_mappings", &List(mappings))?;
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
pub(super) fn labels_json(labels: &Labels) -> impl Serialize {
    List(labels.labels.iter().map(LabelJson))
}
