//! `/containers` and `/monitor/statistics`: what containers use.

use mesos_wire::v1::{ContainerStatus, ResourceStatistics};
use serde::{Serialize, Serializer};

use super::json::Wire;
use crate::operator::containers::Container;

/// One entry, its fields sorted by name as in Mesos.
#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    container_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framework_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<Wire<'a, ResourceStatistics>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Wire<'a, ContainerStatus>>,
}

impl<'a> Entry<'a> {
    fn of(container: &'a Container) -> Self {
        let (framework, executor) = container.of.as_ref().map(|(f, e)| (&**f, &**e)).unzip();
        Self {
            container_id: Some(container.id.value()),
            executor_id: executor.map(|executor| executor.id.as_str()),
            executor_name: executor.map(|executor| executor.info.name()),
            framework_id: framework.map(|framework| framework.id.as_str()),
            source: executor.map(|executor| executor.info.source()),
            statistics: container.statistics.as_ref().map(Wire),
            status: container.status.as_ref().map(Wire),
        }
    }
}

/// `/containers`: what could not be had of a container is left out.
pub(super) struct ContainersJson<'a>(pub(super) &'a [Container]);

impl Serialize for ContainersJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Entry::of))
    }
}

/// `/monitor/statistics`: only containers whose statistics could be had.
pub(super) struct StatisticsJson<'a>(pub(super) &'a [Container]);

impl Serialize for StatisticsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self
            .0
            .iter()
            .filter(|container| container.statistics.is_some());
        serializer.collect_seq(known.map(|container| Entry {
            container_id: None,
            status: None,
            ..Entry::of(container)
        }))
    }
}
