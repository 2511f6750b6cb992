//! A framework and its executors as `/state` shows them.

use std::sync::Arc;

use mesos_types::Resources;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    resources::ResourcesJson,
    status::labels_json,
    task::{QueuedJson, TaskJson, role},
};
use crate::{
    operator::Viewer,
    state::{Executor, Framework, Task, TaskPlace},
};

/// One framework with its executors and their tasks.
pub(super) struct FrameworkJson<'a> {
    pub(super) framework: &'a Framework,
    pub(super) viewer: &'a Viewer,
}

impl FrameworkJson<'_> {
    fn executors<'a>(
        &'a self,
        all: impl Iterator<Item = &'a Arc<Executor>>,
    ) -> Vec<ExecutorJson<'a>> {
        let info = &self.framework.info;
        all.filter(|executor| self.viewer.executor(executor, info))
            .map(|executor| ExecutorJson { executor, of: self })
            .collect()
    }
}

impl Serialize for FrameworkJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (framework, info) = (self.framework, &*self.framework.info);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", framework.id.as_str())?;
        map.serialize_entry("name", &info.name)?;
        map.serialize_entry("user", &info.user)?;
        map.serialize_entry("failover_timeout", &info.failover_timeout())?;
        map.serialize_entry("checkpoint", &info.checkpoint())?;
        map.serialize_entry("hostname", info.hostname())?;
        if let Some(principal) = &info.principal {
            map.serialize_entry("principal", principal)?;
        }
        if framework.capabilities.multi_role {
            map.serialize_entry("roles", &info.roles)?;
        } else {
            map.serialize_entry("role", info.role())?;
        }
        map.serialize_entry("executors", &self.executors(framework.executors.values()))?;
        let completed = framework.completed_executors.iter();
        map.serialize_entry("completed_executors", &self.executors(completed))?;
        map.end()
    }
}

struct ExecutorJson<'a> {
    executor: &'a Executor,
    of: &'a FrameworkJson<'a>,
}

impl Serialize for ExecutorJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (executor, framework) = (self.executor, self.of.framework);
        let info = &*executor.info;
        let seen = |task: &&Arc<Task>| self.of.viewer.task(task, &framework.info);
        let json = |task| TaskJson {
            task,
            framework: &framework.id,
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", executor.id.as_str())?;
        map.serialize_entry("name", info.name())?;
        map.serialize_entry("source", info.source())?;
        map.serialize_entry("container", executor.container.value())?;
        map.serialize_entry("directory", &executor.sandbox.to_string_lossy())?;
        map.serialize_entry("resources", &ResourcesJson(&executor.allocated()))?;
        let own: Resources = executor.resources();
        if !own.is_empty() {
            map.serialize_entry("role", role(&own).unwrap_or("*"))?;
        }
        if let Some(labels) = &info.labels {
            map.serialize_entry("labels", &labels_json(labels))?;
        }
        if info.r#type.is_some() {
            map.serialize_entry("type", info.r#type().as_str_name())?;
        }
        let launched = executor.tasks_in(TaskPlace::Launched).filter(seen);
        let launched: Vec<_> = launched.map(|task| json(task)).collect();
        map.serialize_entry("tasks", &launched)?;
        let queued = executor.tasks_in(TaskPlace::Queued).filter(seen);
        let queued: Vec<_> = queued.map(|task| QueuedJson(task)).collect();
        map.serialize_entry("queued_tasks", &queued)?;
        // Those whose last update is not acknowledged yet come after the others, as in Mesos.
        let completed = executor.completed_tasks.iter();
        let completed = completed
            .chain(executor.tasks_in(TaskPlace::Ended))
            .filter(seen);
        let completed: Vec<_> = completed.map(|task| json(task)).collect();
        map.serialize_entry("completed_tasks", &completed)?;
        map.end()
    }
}
