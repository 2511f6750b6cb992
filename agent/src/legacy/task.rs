//! A task as `/state` shows it: one that its executor has, or one that waits for it.

use std::collections::BTreeMap;

use mesos_types::{FrameworkId, Resources};
use mesos_wire::v1::{self, CommandInfo, command_info::Uri};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    json::{List, Pairs, Wire},
    resources::ResourcesJson,
    status::{StatusJson, labels_json},
};
use crate::state::Task;

/// The role that resources are allocated to; a task's are all allocated to one.
pub(super) fn role(resources: &Resources) -> Option<&str> {
    let mut roles = resources.iter().map(|r| r.meta.allocation_role.as_deref());
    roles.find_map(|role| role)
}

fn executor(task: &Task) -> Option<&str> {
    let executor = task.info.executor.as_ref()?;
    Some(&executor.executor_id.value)
}

/// One task with its history.
pub(super) struct TaskJson<'a> {
    pub(super) task: &'a Task,
    pub(super) framework: &'a FrameworkId,
}

impl Serialize for TaskJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (task, info) = (self.task, &*self.task.info);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", task.id.as_str())?;
        map.serialize_entry("name", &info.name)?;
        map.serialize_entry("framework_id", self.framework.as_str())?;
        // Empty for a command task; clients take that for "no executor".
        map.serialize_entry("executor_id", executor(task).unwrap_or_default())?;
        map.serialize_entry("slave_id", &info.agent_id.value)?;
        map.serialize_entry("state", task.state.as_str_name())?;
        map.serialize_entry("resources", &ResourcesJson(&task.resources))?;
        if !info.limits.is_empty() {
            map.serialize_entry("limits", &LimitsJson(&info.limits))?;
        }
        map.serialize_entry("role", role(&task.resources).unwrap_or("*"))?;
        let statuses = task.statuses.iter().map(|status| StatusJson(status));
        map.serialize_entry("statuses", &List(statuses))?;
        let command = info.command.as_ref();
        let command = command.or_else(|| info.executor.as_ref()?.command.as_ref());
        if let Some(user) = command.and_then(|command| command.user.as_ref()) {
            map.serialize_entry("user", user)?;
        }
        if let Some(labels) = &info.labels {
            map.serialize_entry("labels", &labels_json(labels))?;
        }
        if let Some(discovery) = &info.discovery {
            map.serialize_entry("discovery", &Wire(discovery))?;
        }
        if let Some(container) = &info.container {
            map.serialize_entry("container", &Wire(container))?;
        }
        if let Some(check) = &info.health_check {
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
                let negative = limit.value < 0.0;
                map.serialize_entry(name, if negative { "-Infinity" } else { "Infinity" })?;
            }
        }
        map.end()
    }
}

/// A task that its executor has not been given yet.
pub(super) struct QueuedJson<'a>(pub(super) &'a Task);

impl Serialize for QueuedJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (task, info) = (self.0, &*self.0.info);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", task.id.as_str())?;
        map.serialize_entry("name", &info.name)?;
        map.serialize_entry("slave_id", &info.agent_id.value)?;
        map.serialize_entry("resources", &ResourcesJson(&task.resources))?;
        map.serialize_entry("role", role(&task.resources).unwrap_or("*"))?;
        if let Some(command) = &info.command {
            map.serialize_entry("command", &CommandJson(command))?;
        }
        if let Some(executor) = executor(task) {
            map.serialize_entry("executor_id", executor)?;
        }
        if let Some(discovery) = &info.discovery {
            map.serialize_entry("discovery", &Wire(discovery))?;
        }
        map.end()
    }
}

struct CommandJson<'a>(&'a CommandInfo);

impl Serialize for CommandJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let command = self.0;
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
        map.serialize_entry("uris", &List(command.uris.iter().map(uri)))?;
        map.end()
    }
}

fn uri(uri: &Uri) -> impl Serialize {
    use serde_json::Value;
    let pairs = [
        ("value", Value::from(uri.value.as_str())),
        ("executable", Value::from(uri.executable())),
    ];
    Pairs(pairs.into_iter())
}
