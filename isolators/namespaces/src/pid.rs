//! `namespaces/pid`: a container sees its own processes only, and its end is the end of them all.
//!
//! Behaviour: Apache Mesos, `isolators/namespaces/pid.cpp`: a new pid namespace, and `/proc` mounted
//! anew in the container's mount namespace.

use async_trait::async_trait;
use mesos_isolator_api::{
    Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Mount, Namespace, Recovered,
};
use mesos_isolator_linux::mounts;
use mesos_types::{ContainerId, Resources};

/// See the module. Has no state.
#[derive(Debug, Default)]
pub struct PidIsolator;

#[async_trait]
impl Isolator for PidIsolator {
    fn name(&self) -> &'static str {
        "namespaces/pid"
    }

    async fn recover(
        &self,
        _known: &[Recovered],
        _orphans: &[ContainerId],
    ) -> Result<(), IsolatorError> {
        Ok(())
    }

    async fn prepare(&self, config: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        let shared = config
            .container
            .as_ref()
            .and_then(|container| container.linux_info.as_ref())
            .is_some_and(|linux| linux.share_pid_namespace());
        if shared {
            // Allowed as long as `--disallow_sharing_agent_pid_namespace` is not given, which the
            // agent refuses.
            return Ok(LaunchInfo::default());
        }
        Ok(LaunchInfo {
            namespaces: vec![Namespace::Pid, Namespace::Mount],
            mounts: vec![Mount {
                source: Some("proc".into()),
                target: "/proc".into(),
                fstype: Some("proc".to_owned()),
                flags: mounts::PROC,
                options: None,
            }],
            ..LaunchInfo::default()
        })
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
