//! What a task must be before anything is made for it. The master has checked it too; the agent does
//! not rely on that, and knows more about containers.

use mesos_types::{
    ExecutorId, FrameworkId, PersistentVolume, Ranges, Resource, Resources, is_terminal,
    validate_id,
};
use mesos_wire::v1::{
    self, TaskInfo, TaskState, command_info, container_info, environment, task_status::Reason,
};

use super::updates::NewStatus;
use crate::{
    config::AgentConfig,
    state::{AgentState, ExecutorKind},
};

/// A task that cannot be: how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// The task itself is fine, but not for this agent: TASK_DROPPED rather than TASK_ERROR.
    pub(super) dropped: bool,
}

impl Invalid {
    fn task(message: impl Into<String>) -> Self {
        Self {
            reason: Reason::TaskInvalid,
            message: message.into(),
            dropped: false,
        }
    }

    pub(super) fn status(self, or_lost: impl FnOnce(TaskState) -> TaskState) -> NewStatus {
        let state = if self.dropped {
            or_lost(TaskState::TaskDropped)
        } else {
            TaskState::TaskError
        };
        NewStatus::agent(state, self.reason, self.message)
    }
}

/// Checks a task and the executor it goes to.
///
/// # Errors
/// The first rule that it breaks, in words for its owner.
pub(super) fn check(
    config: &AgentConfig,
    framework: &FrameworkId,
    task: &TaskInfo,
    info: &v1::ExecutorInfo,
    kind: ExecutorKind,
) -> Result<(), Invalid> {
    for (what, id) in [
        ("framework", framework.as_str()),
        ("executor", info.executor_id.value.as_str()),
        ("task", task.task_id.value.as_str()),
    ] {
        validate_id(id)
            .map_err(|error| Invalid::task(format!("The {what} id is invalid: {error}")))?;
    }
    let resources =
        Resources::from_wire(&task.resources).map_err(|e| Invalid::task(e.to_string()))?;
    let own = Resources::from_wire(&info.resources).map_err(|e| Invalid::task(e.to_string()))?;
    check_volumes(config, &(&resources + &own))?;
    let container = container_of(info);
    if kind == ExecutorKind::Custom && info.command.is_none() {
        return Err(Invalid::task(
            "The executor has no command; give ExecutorInfo.command (executors of type DEFAULT are not built yet)",
        ));
    }
    if let Some(command) = command_of(task, info, kind) {
        check_command(command, kind, container)?;
    } else if kind != ExecutorKind::Docker {
        return Err(Invalid::task(
            "The task has neither a command nor an executor; give TaskInfo.command",
        ));
    }
    check_limits(config, task, kind)?;
    if let Some(container) = container {
        check_container(container, &held_ports(&resources, info))?;
    }
    Ok(())
}

/// Persistent volumes: each of a kind there can be here, and at a place of its own.
fn check_volumes(config: &AgentConfig, resources: &Resources) -> Result<(), Invalid> {
    let volumes = PersistentVolume::all(resources, &config.work_dir)
        .map_err(|error| Invalid::task(error.to_string()))?;
    let mut places = std::collections::BTreeSet::new();
    for volume in &volumes {
        if volume.container_path.is_empty() {
            return Err(Invalid::task(format!(
                "The persistent volume `{}` has no container_path",
                volume.id
            )));
        }
        if !places.insert(std::path::Path::new(&volume.container_path)) {
            return Err(Invalid::task(format!(
                "Two persistent volumes want the container_path `{}`",
                volume.container_path
            )));
        }
    }
    Ok(())
}

/// Checks that the agent has the reservations and volumes that a task comes with.
///
/// # Errors
/// It has not, or a volume cannot be shown to an executor that runs already.
pub(super) fn check_held(
    state: &AgentState,
    framework: &FrameworkId,
    task: &TaskInfo,
    info: &v1::ExecutorInfo,
) -> Result<(), Invalid> {
    let dropped = |reason, message: String| Invalid {
        reason,
        message,
        dropped: true,
    };
    // They were checked.
    let of_task = Resources::from_wire(&task.resources).unwrap_or_default();
    let own = Resources::from_wire(&info.resources).unwrap_or_default();
    let held = (&of_task + &own).checkpointed();
    let is_unknown = |resource: &&Resource| {
        let one = Resources::from((*resource).clone());
        !state.resources.contains(&one)
    };
    if let Some(unknown) = held.distinct().find(is_unknown) {
        return Err(dropped(
            Reason::ResourcesUnknown,
            format!(
                "The checkpointed resources being used by the task or task group are unknown to the agent: {}",
                Resources::from(unknown.clone())
            ),
        ));
    }
    let executor = ExecutorId::from(&info.executor_id);
    let runs = state.executor(framework, &executor).is_some();
    let is_docker = container_of(info).is_some_and(|c| c.r#type() == container_info::Type::Docker);
    let new = of_task.persistent_volumes();
    if runs && is_docker && !new.is_empty() {
        return Err(dropped(
            Reason::TaskInvalid,
            format!(
                "The executor runs in a docker container, which gets persistent volumes only when it is launched ({new})"
            ),
        ));
    }
    Ok(())
}

/// Ports of a task and of its executor together.
fn held_ports(task: &Resources, info: &v1::ExecutorInfo) -> Ranges {
    let executor = Resources::from_wire(&info.resources).unwrap_or_default();
    task.ports().union(&executor.ports())
}

/// The command that the container runs.
pub(super) fn command_of<'a>(
    task: &'a TaskInfo,
    info: &'a v1::ExecutorInfo,
    kind: ExecutorKind,
) -> Option<&'a v1::CommandInfo> {
    match kind {
        ExecutorKind::Command | ExecutorKind::Docker => task.command.as_ref(),
        ExecutorKind::Custom => info.command.as_ref(),
    }
}

/// Image, volumes and networks of the container; for generated executors they are the task's.
pub(super) fn container_of(info: &v1::ExecutorInfo) -> Option<&v1::ContainerInfo> {
    info.container.as_ref()
}

fn check_command(
    command: &v1::CommandInfo,
    kind: ExecutorKind,
    container: Option<&v1::ContainerInfo>,
) -> Result<(), Invalid> {
    let has_image = container.is_some_and(|container| {
        container.docker.is_some()
            || container
                .mesos
                .as_ref()
                .is_some_and(|mesos| mesos.image.is_some())
    });
    let is_shell = command.shell.unwrap_or(true);
    if command.value.as_deref().unwrap_or_default().is_empty() {
        if is_shell {
            return Err(Invalid::task(
                "The command is missing: CommandInfo.shell is true, so give CommandInfo.value",
            ));
        }
        if !has_image && kind != ExecutorKind::Docker {
            return Err(Invalid::task(
                "The command is missing: give CommandInfo.value, the path of the program",
            ));
        }
    }
    for variable in command.environment.iter().flat_map(|e| &e.variables) {
        match variable.r#type() {
            environment::variable::Type::Secret => {
                return Err(Invalid::task(format!(
                    "The environment variable `{}` is a secret; secrets are not built yet",
                    variable.name
                )));
            }
            environment::variable::Type::Value | environment::variable::Type::Unknown
                if variable.value.is_none() =>
            {
                return Err(Invalid::task(format!(
                    "The environment variable `{}` has no value",
                    variable.name
                )));
            }
            environment::variable::Type::Value | environment::variable::Type::Unknown => {}
        }
        if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
            return Err(Invalid::task(format!(
                "The environment variable `{}` has no valid name",
                variable.name.escape_debug()
            )));
        }
    }
    for command_info::Uri { value, .. } in &command.uris {
        if value.is_empty() {
            return Err(Invalid::task("A URI of the command is empty"));
        }
    }
    Ok(())
}

fn check_limits(config: &AgentConfig, task: &TaskInfo, kind: ExecutorKind) -> Result<(), Invalid> {
    for (name, limit) in &task.limits {
        if name != "cpus" && name != "mem" {
            return Err(Invalid::task(format!(
                "There is a limit on `{name}`; allowed are cpus and mem"
            )));
        }
        if limit.value.is_nan() || limit.value < 0.0 {
            return Err(Invalid::task(format!(
                "The limit on {name} is {}; allowed are numbers from 0 and Infinity",
                limit.value
            )));
        }
        let isolator = if name == "cpus" {
            "cgroups/cpu"
        } else {
            "cgroups/mem"
        };
        let is_isolated = config
            .isolation
            .iter()
            .any(|i| i == isolator || i == "cgroups/all");
        if kind != ExecutorKind::Docker && !is_isolated {
            return Err(Invalid {
                reason: Reason::TaskInvalid,
                message: format!(
                    "The task has a limit on {name}, which needs the isolator {isolator}; add it to the agent's --isolation"
                ),
                dropped: true,
            });
        }
    }
    Ok(())
}

fn check_container(container: &v1::ContainerInfo, held: &Ranges) -> Result<(), Invalid> {
    match container.r#type() {
        container_info::Type::Docker => {
            let Some(docker) = &container.docker else {
                return Err(Invalid::task(
                    "The container is of type DOCKER without `docker`; give ContainerInfo.docker with an image",
                ));
            };
            if docker.image.trim().is_empty() {
                return Err(Invalid::task(
                    "ContainerInfo.docker.image is empty; give an image",
                ));
            }
            if let Some(parameter) = docker.parameters.iter().find(|p| p.key == "name") {
                return Err(Invalid::task(format!(
                    "The docker parameter `name` ({}) is not allowed: the agent names containers itself",
                    parameter.value
                )));
            }
            for mapping in &docker.port_mappings {
                check_mapping(mapping, held)?;
            }
        }
        container_info::Type::Mesos => {}
    }
    for volume in &container.volumes {
        if volume.container_path.is_empty() {
            return Err(Invalid::task("A volume has no container_path"));
        }
    }
    Ok(())
}

fn check_mapping(
    mapping: &container_info::docker_info::PortMapping,
    held: &Ranges,
) -> Result<(), Invalid> {
    let host = mapping.host_port;
    if host == 0 {
        return Err(Invalid::task(format!(
            "The port mapping of container port {} has host port 0; name a host port, and hold it in the task's `ports` resource",
            mapping.container_port
        )));
    }
    if host > u32::from(u16::MAX)
        || mapping.container_port == 0
        || mapping.container_port > u32::from(u16::MAX)
    {
        return Err(Invalid::task(format!(
            "The port mapping {host}:{} is no mapping of ports; allowed are 1 to 65535",
            mapping.container_port
        )));
    }
    if !matches!(
        mapping.protocol.as_deref(),
        None | Some("" | "tcp" | "udp" | "TCP" | "UDP")
    ) {
        return Err(Invalid::task(format!(
            "The port mapping of host port {host} has the protocol `{}`; allowed are tcp and udp",
            mapping.protocol.as_deref().unwrap_or_default()
        )));
    }
    if !held.contains_value(u64::from(host)) {
        return Err(Invalid::task(format!(
            "Host port {host} of the port mappings is not among the ports of the task ({held}); accept it from the offer as part of the task's `ports` resource"
        )));
    }
    Ok(())
}

/// Whether statuses of executors make sense at all.
pub(super) fn is_from_executor(state: TaskState) -> bool {
    is_terminal(state)
        || matches!(
            state,
            TaskState::TaskStarting | TaskState::TaskRunning | TaskState::TaskKilling
        )
}
