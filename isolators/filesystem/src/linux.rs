//! `filesystem/linux`: a mount namespace of its own for every container, and host paths in it.
//!
//! Mounts of the host go on arriving in the container (the namespace is a slave), those of the
//! container stay in it and vanish with its last process, so there is nothing to clean up.
//! Behaviour: Apache Mesos, `isolators/filesystem/linux.cpp` and `isolators/volume/host_path.cpp`.

use async_trait::async_trait;
use mesos_isolator_api::{
    Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Namespace, Recovered,
};
use mesos_types::{ContainerId, Resource, Resources};

use crate::volume;

/// See the module. Has no state.
#[derive(Debug, Default)]
pub struct LinuxFilesystem;

impl LinuxFilesystem {
    fn error(&self, error: &dyn std::error::Error) -> IsolatorError {
        IsolatorError::new(self.name(), error)
    }
}

#[async_trait]
impl Isolator for LinuxFilesystem {
    fn name(&self) -> &'static str {
        "filesystem/linux"
    }

    async fn recover(
        &self,
        _known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        let mut info = LaunchInfo {
            namespaces: vec![Namespace::Mount],
            ..LaunchInfo::default()
        };
        if config.resources.iter().any(Resource::is_persistent_volume) {
            return Err(self.error(&volume::VolumeError::NotBuilt("persistent volumes".into())));
        }
        let Some(container) = &config.container else {
            return Ok(info);
        };
        if container
            .mesos
            .as_ref()
            .is_some_and(|mesos| mesos.image.is_some())
        {
            return Err(self.error(&volume::VolumeError::NotBuilt("container images".into())));
        }
        for volume in &container.volumes {
            let mounts = volume::prepare(volume, &config.sandbox).map_err(|e| self.error(&e))?;
            info.mounts.extend(mounts);
        }
        Ok(info)
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
