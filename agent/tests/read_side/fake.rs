//! A containerizer that knows what its containers use and does nothing else.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use mesos_containerizer_api::{
    ContainerConfig, ContainerError, ContainerStatus, Containerizer, LaunchResult, Limits,
    Termination, Usage,
};
use mesos_types::{ContainerId, Resources};
use mesos_wire::v1::ResourceStatistics;

/// Answers what it was told to.
#[derive(Default)]
pub struct Fake {
    pub statistics: HashMap<ContainerId, ResourceStatistics>,
    pub status: HashMap<ContainerId, ContainerStatus>,
    /// Answers for these are errors.
    pub failing: HashSet<ContainerId>,
    /// Answers for these never come.
    pub stalled: HashSet<ContainerId>,
}

impl Fake {
    async fn hinder(&self, id: &ContainerId) -> Result<(), ContainerError> {
        if self.stalled.contains(id) {
            std::future::pending::<()>().await;
        }
        if self.failing.contains(id) {
            return Err(ContainerError::Backend {
                operation: "inspect".to_owned(),
                message: "told to fail".to_owned(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Containerizer for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn accepts(&self, _: &ContainerConfig) -> bool {
        false
    }

    async fn recover(&self, _: &[ContainerConfig]) -> Result<(), ContainerError> {
        Ok(())
    }

    async fn launch(&self, _: ContainerConfig) -> Result<LaunchResult, ContainerError> {
        Ok(LaunchResult::NotSupported)
    }

    async fn update(
        &self,
        _: &ContainerId,
        _: &Resources,
        _: &Limits,
    ) -> Result<(), ContainerError> {
        Ok(())
    }

    async fn usage(&self, id: &ContainerId) -> Result<Option<Usage>, ContainerError> {
        self.hinder(id).await?;
        let statistics = self.statistics.get(id).cloned();
        Ok(statistics.map(|statistics| Usage { statistics }))
    }

    async fn status(&self, id: &ContainerId) -> Result<Option<ContainerStatus>, ContainerError> {
        self.hinder(id).await?;
        Ok(self.status.get(id).cloned())
    }

    async fn wait(&self, _: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        Ok(None)
    }

    async fn kill(&self, _: &ContainerId, _: i32) -> Result<bool, ContainerError> {
        Ok(false)
    }

    async fn destroy(&self, _: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        Ok(None)
    }

    async fn forget(&self, _: &ContainerId) -> Result<(), ContainerError> {
        Ok(())
    }

    async fn containers(&self) -> Vec<ContainerId> {
        self.status.keys().cloned().collect()
    }

    fn pending(&self) -> Vec<(String, String)> {
        let stalled = self.stalled.iter();
        stalled
            .map(|id| ("inspect".to_owned(), id.to_string()))
            .collect()
    }
}
