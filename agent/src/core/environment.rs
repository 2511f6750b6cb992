//! The environment of a container's process, by the rules of Mesos.

use std::{collections::BTreeMap, time::Duration};

use mesos_types::{AgentId, units::format_duration};
use mesos_wire::v1::{CommandInfo, FrameworkInfo};

use super::generate;
use crate::{
    config::AgentConfig,
    state::{Executor, ExecutorKind},
};

/// Where nothing says otherwise. Source: `os::host_default_path` of Mesos.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whose environment is made.
pub(super) struct Subject<'a> {
    pub(super) config: &'a AgentConfig,
    pub(super) agent: &'a AgentId,
    pub(super) framework: &'a FrameworkInfo,
    pub(super) executor: &'a Executor,
    pub(super) command: Option<&'a CommandInfo>,
}

/// Everything but what the containerizer adds. Later entries win over earlier ones: the flag's
/// variables, the agent's own, then the command's. Containers of the docker containerizer get only the
/// task's own, as with Mesos, where the rest goes to the executor beside them.
pub(super) fn environment(subject: &Subject<'_>) -> BTreeMap<String, String> {
    let Subject {
        config,
        agent,
        framework,
        executor,
        command,
    } = *subject;
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    if executor.kind != ExecutorKind::Docker {
        for (name, value) in &config.executor_environment_variables {
            set(name, value.clone());
        }
        let checkpoint = framework.checkpoint.unwrap_or(false);
        if !config
            .executor_environment_variables
            .contains_key("LIBPROCESS_IP")
        {
            set("LIBPROCESS_IP", config.ip.to_string());
        }
        set("LIBPROCESS_PORT", "0".to_owned());
        set("MESOS_FRAMEWORK_ID", executor_framework(executor));
        set("MESOS_EXECUTOR_ID", executor.id.to_string());
        set("MESOS_SLAVE_ID", agent.to_string());
        set(
            "MESOS_DIRECTORY",
            executor.sandbox.to_string_lossy().into_owned(),
        );
        set(
            "MESOS_SLAVE_PID",
            format!("slave(1)@{}:{}", config.ip, config.port),
        );
        set(
            "MESOS_AGENT_ENDPOINT",
            format!("{}:{}", config.ip, config.port),
        );
        set("MESOS_CHECKPOINT", u8::from(checkpoint).to_string());
        if checkpoint {
            set(
                "MESOS_RECOVERY_TIMEOUT",
                format_duration(config.recovery_timeout),
            );
            set(
                "MESOS_SUBSCRIPTION_BACKOFF_MAX",
                format_duration(config.executor_reregistration_timeout),
            );
        }
        set(
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
            format_duration(shutdown_grace(config, executor)),
        );
        set("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned());
        if !config.executor_environment_variables.contains_key("PATH") {
            set("PATH", PATH.to_owned());
        }
    }
    if executor.kind.is_generated()
        && let Some(role) = executor
            .tasks
            .values()
            .find_map(|task| generate::role_of(&task.info))
    {
        set("MESOS_ALLOCATION_ROLE", role);
    }
    for variable in command
        .iter()
        .filter_map(|command| command.environment.as_ref())
        .flat_map(|environment| &environment.variables)
    {
        set(&variable.name, variable.value.clone().unwrap_or_default());
    }
    env
}

fn executor_framework(executor: &Executor) -> String {
    executor
        .info
        .framework_id
        .as_ref()
        .map(|id| id.value.clone())
        .unwrap_or_default()
}

/// How long an executor may take to end.
pub(super) fn shutdown_grace(config: &AgentConfig, executor: &Executor) -> Duration {
    generate::duration(executor.info.shutdown_grace_period.as_ref())
        .unwrap_or(config.executor_shutdown_grace_period)
}
