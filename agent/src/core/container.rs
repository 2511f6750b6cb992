//! What a container is to be: what the containerizer gets, by the task, its executor and the flags.

use mesos_containerizer_api::{ContainerConfig, Identity};
use mesos_types::ContainerId;
use mesos_wire::v1::{
    container_info,
    container_info::docker_info::{Network, PortMapping},
};

use super::{
    Core,
    environment::{self, Subject},
    generate, validate,
};

impl Core {
    /// The user a container runs as; `None`: the agent's own.
    pub(super) fn user_of(&self, container: &ContainerId) -> Option<String> {
        if !self.config.switch_user {
            return None;
        }
        let executor = self.executor_of(container)?;
        let run = self.runs.get(container)?;
        let framework = self.state.frameworks.get(&run.framework)?;
        let command = executor.info.command.as_ref();
        command
            .and_then(|command| command.user.clone())
            .or_else(|| Some(framework.info.user.clone()))
            .filter(|user| !user.is_empty())
    }

    /// Everything about a container whose sandbox is there.
    pub(super) fn container_config(&self, container: &ContainerId) -> Option<ContainerConfig> {
        let run = self.runs.get(container)?;
        let executor = self.executor_of(container)?;
        let framework = self.state.frameworks.get(&run.framework)?;
        let agent = self.state.id.clone()?;
        let task = executor
            .tasks
            .values()
            .next()
            .filter(|_| executor.kind.is_generated());
        let command = match task {
            Some(task) => validate::command_of(&task.info, &executor.info, executor.kind),
            None => executor.info.command.as_ref(),
        };
        let environment = environment::environment(&Subject {
            config: &self.config,
            agent: &agent,
            framework: &framework.info,
            executor,
            command,
        });
        let kill_grace = task
            .and_then(|task| generate::grace(task.info.kill_policy.as_ref()))
            .unwrap_or(generate::KILL_GRACE);
        Some(ContainerConfig {
            id: container.clone(),
            identity: Identity {
                agent,
                framework: run.framework.clone(),
                executor: run.executor.clone(),
                task: task.map(|task| task.id.clone()),
            },
            command: command
                .cloned()
                .unwrap_or_else(|| mesos_wire::v1::CommandInfo {
                    shell: Some(false),
                    ..Default::default()
                }),
            container: executor.info.container.clone(),
            resources: executor.allocated(),
            limits: generate::limits(&self.config, executor),
            sandbox: executor.sandbox.clone(),
            user: self.user_of(container),
            environment,
            kill_grace,
        })
    }
}

/// Whether nothing is fetched or pulled, so that a launch hardly ever fails.
pub(super) fn launches_at_once(config: &ContainerConfig) -> bool {
    let is_plain = config.container.as_ref().is_none_or(|container| {
        container.r#type() == container_info::Type::Mesos
            && container
                .mesos
                .as_ref()
                .is_none_or(|mesos| mesos.image.is_none())
    });
    config.identity.task.is_some() && config.command.uris.is_empty() && is_plain
}

/// Host ports that docker will listen on.
pub(super) fn mapped_ports(
    container: Option<&mesos_wire::v1::ContainerInfo>,
) -> Vec<(u16, String)> {
    let Some(docker) = container.and_then(|container| container.docker.as_ref()) else {
        return Vec::new();
    };
    match docker.network() {
        Network::Host | Network::None => Vec::new(),
        Network::Bridge | Network::User => docker
            .port_mappings
            .iter()
            .filter_map(
                |PortMapping {
                     host_port,
                     protocol,
                     ..
                 }| {
                    let protocol = protocol.as_deref().unwrap_or_default().to_lowercase();
                    let protocol = if protocol == "udp" { "udp" } else { "tcp" };
                    Some((u16::try_from(*host_port).ok()?, protocol.to_owned()))
                },
            )
            .collect(),
    }
}
