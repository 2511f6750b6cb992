//! `filesystem/posix`: a container shares the host's file system; its sandbox is its own.
//!
//! Refuses what would need a mount namespace: images and volumes. Behaviour: Apache Mesos,
//! `isolators/filesystem/posix.cpp`.

use async_trait::async_trait;
use mesos_isolator_api::{Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Recovered};
use mesos_types::{ContainerId, Resource, Resources};

/// See the module. Has no state.
#[derive(Debug, Default)]
pub struct PosixFilesystem;

impl PosixFilesystem {
    fn refuse(message: &str) -> IsolatorError {
        IsolatorError {
            isolator: "filesystem/posix",
            message: message.to_owned(),
        }
    }
}

#[async_trait]
impl Isolator for PosixFilesystem {
    fn name(&self) -> &'static str {
        "filesystem/posix"
    }

    async fn recover(
        &self,
        _known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        if let Some(container) = &config.container {
            if container
                .mesos
                .as_ref()
                .is_some_and(|mesos| mesos.image.is_some())
            {
                return Err(Self::refuse("Container root filesystems not supported"));
            }
            if !container.volumes.is_empty() {
                return Err(Self::refuse(
                    "Volumes in ContainerInfo are not supported; start the agent with \
                     --isolation=filesystem/linux",
                ));
            }
        }
        if config.resources.iter().any(Resource::is_persistent_volume) {
            return Err(Self::refuse("persistent volumes are not built yet"));
        }
        Ok(LaunchInfo::default())
    }

    async fn isolate(&self, _id: &ContainerId, _pid: u32) -> Result<(), IsolatorError> {
        Ok(())
    }

    async fn update(
        &self,
        _id: &ContainerId,
        _resources: &Resources,
        _limits: &Limits,
    ) -> Result<(), IsolatorError> {
        Ok(())
    }

    async fn cleanup(&self, _id: &ContainerId) -> Result<(), IsolatorError> {
        Ok(())
    }
}
