//! What Mesos would make up for a command task: its executor, and what the container gets.

use std::time::Duration;

use mesos_types::{LimitValue, Limits, Resource, Resources, Scalar};
use mesos_wire::v1::{self, ContainerInfo, ExecutorInfo, FrameworkId, TaskInfo, container_info};

use crate::{
    config::AgentConfig,
    state::{Executor, ExecutorKind, TaskPlace},
};

/// Overhead of the executor that Mesos would start for a command task, in thousandths of a CPU.
/// Source: `DEFAULT_EXECUTOR_CPUS` of Mesos's agent.
const OVERHEAD_CPUS: Scalar = Scalar::from_thousandths(100);
/// The same in MiB. Source: `DEFAULT_EXECUTOR_MEM`.
const OVERHEAD_MEM: Scalar = Scalar::from_thousandths(32_000);
/// A command longer than this is shortened in the executor's name. Source: `getExecutorInfo`.
const NAME_LIMIT: usize = 15;
const NAME_SHORTENED: usize = 12;
/// Grace of a kill when nothing says otherwise. Source: `DEFAULT_KILL_POLICY_GRACE_PERIOD`.
pub(super) const KILL_GRACE: Duration = Duration::from_secs(3);

/// Who speaks for a task.
pub(super) fn kind_of(task: &TaskInfo, default: Option<&ContainerInfo>) -> ExecutorKind {
    if task.executor.is_some() {
        return ExecutorKind::Custom;
    }
    match task
        .container
        .as_ref()
        .or(default)
        .map(ContainerInfo::r#type)
    {
        Some(container_info::Type::Docker) => ExecutorKind::Docker,
        Some(container_info::Type::Mesos) | None => ExecutorKind::Command,
    }
}

/// The executor of a task: the framework's own, or the one that Mesos would make up.
pub(super) fn executor_info(
    config: &AgentConfig,
    framework: &FrameworkId,
    task: &TaskInfo,
    kind: ExecutorKind,
) -> ExecutorInfo {
    let default = || config.default_container_info.clone();
    if let Some(executor) = &task.executor {
        return ExecutorInfo {
            framework_id: Some(framework.clone()),
            container: executor.container.clone().or_else(default),
            ..executor.clone()
        };
    }
    let mut overhead = Resources::new();
    if kind == ExecutorKind::Command {
        overhead.add(Resource::scalar("cpus", OVERHEAD_CPUS));
        overhead.add(Resource::scalar("mem", OVERHEAD_MEM));
        if let Some(role) = role_of(task) {
            overhead = overhead.allocated_to(&role);
        }
    }
    #[expect(
        deprecated,
        reason = "`source` is what Mesos fills in, and what clients show"
    )]
    ExecutorInfo {
        r#type: None,
        executor_id: task.task_id.value.as_str().into(),
        framework_id: Some(framework.clone()),
        command: task.command.as_ref().map(|command| v1::CommandInfo {
            uris: command.uris.clone(),
            environment: command.environment.clone(),
            shell: command.shell,
            value: command.value.clone(),
            arguments: command.arguments.clone(),
            user: command.user.clone(),
        }),
        container: task.container.clone().or_else(default),
        resources: overhead.to_wire(mesos_types::Format::PostRefinement),
        name: Some(executor_name(task)),
        source: Some(task.task_id.value.clone()),
        data: None,
        discovery: task.discovery.clone(),
        shutdown_grace_period: None,
        labels: task.labels.clone(),
    }
}

/// The role that a task's resources are allocated to.
pub(super) fn role_of(task: &TaskInfo) -> Option<String> {
    let own = task.resources.iter();
    let executor = task
        .executor
        .iter()
        .flat_map(|executor| &executor.resources);
    own.chain(executor)
        .find_map(|resource| resource.allocation_info.as_ref()?.role.clone())
}

fn executor_name(task: &TaskInfo) -> String {
    let id = &task.task_id.value;
    let command = task.command.clone().unwrap_or_default();
    let value = command.value.as_deref().unwrap_or_default();
    let shown = if command.shell.unwrap_or(true) && task.command.is_some() {
        format!("sh -c '{}'", shorten(value))
    } else if value.is_empty() {
        "NO EXECUTABLE".to_owned()
    } else {
        let mut words = vec![value.to_owned()];
        words.extend(command.arguments.iter().cloned());
        format!("[{}]", shorten(&words.join(", ")))
    };
    format!("Command Executor (Task: {id}) (Command: {shown})")
}

fn shorten(text: &str) -> String {
    if text.len() <= NAME_LIMIT {
        return text.to_owned();
    }
    let mut end = NAME_SHORTENED;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

/// Bounds of an executor's container: only if any task has one, each the sum of the tasks' bounds, or
/// of their requests where they have none, and of the executor's request.
/// Source: `Slave::computeExecutorLimits` of Mesos.
pub(super) fn limits(config: &AgentConfig, executor: &Executor) -> Limits {
    let own = executor.resources();
    let bound = |name: &str| -> Option<LimitValue> {
        let live = || {
            executor
                .tasks
                .values()
                .filter(|task| task.place != TaskPlace::Ended)
        };
        if !live().any(|task| task.info.limits.contains_key(name)) {
            return None;
        }
        let mut sum = own.scalar(name).unwrap_or(Scalar::ZERO);
        for task in live() {
            match task.info.limits.get(name) {
                Some(limit) => match Scalar::from_f64(limit.value) {
                    Some(limit) => sum += limit,
                    None => return Some(LimitValue::Infinite),
                },
                None if name == "cpus" && !config.cfs => return None,
                None => sum += task.resources.scalar(name).unwrap_or(Scalar::ZERO),
            }
        }
        Some(LimitValue::Finite(sum))
    };
    Limits {
        cpus: bound("cpus"),
        mem: bound("mem"),
    }
}

/// A duration of the wire; negative ones are none.
pub(super) fn duration(wire: Option<&v1::DurationInfo>) -> Option<Duration> {
    wire.and_then(|duration| u64::try_from(duration.nanoseconds).ok())
        .map(Duration::from_nanos)
}

/// Grace of a kill by a policy.
pub(super) fn grace(policy: Option<&v1::KillPolicy>) -> Option<Duration> {
    duration(policy?.grace_period.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(command: Option<v1::CommandInfo>) -> TaskInfo {
        TaskInfo {
            task_id: "t".into(),
            command,
            ..Default::default()
        }
    }

    fn shell(value: &str) -> v1::CommandInfo {
        v1::CommandInfo {
            value: Some(value.to_owned()),
            ..Default::default()
        }
    }

    #[test]
    fn names_are_those_that_mesos_makes_up() {
        let program = v1::CommandInfo {
            shell: Some(false),
            value: Some("/bin/sleep".to_owned()),
            arguments: vec!["sleep".to_owned(), "1000".to_owned()],
            ..Default::default()
        };
        let image = v1::CommandInfo {
            shell: Some(false),
            ..Default::default()
        };
        for (command, shown) in [
            (shell("exit 0"), "sh -c 'exit 0'"),
            (shell("exec sleep 1000"), "sh -c 'exec sleep 1000'"),
            (shell("env | sort; ls"), "sh -c 'env | sort; ls'"),
            (shell("env | sort; ls -l"), "sh -c 'env | sort; ...'"),
            (shell("ééééééééé"), "sh -c 'éééééé...'"),
            (program, "[/bin/sleep, ...]"),
            (image, "NO EXECUTABLE"),
        ] {
            assert_eq!(
                executor_name(&task(Some(command))),
                format!("Command Executor (Task: t) (Command: {shown})")
            );
        }
    }
}
