//! What may be asked of this containerizer, and what is said about the rest.

use std::ffi::OsString;

use mesos_containerizer_api::ContainerConfig;
use mesos_isolator_linux::spawn::Credentials;
use mesos_wire::v1;

/// What runs: program and arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) program: OsString,
    pub(crate) argv: Vec<OsString>,
}

/// Whether this kind of container is ours at all.
pub(crate) fn accepts(config: &ContainerConfig) -> bool {
    let docker = v1::container_info::Type::Docker;
    config
        .container
        .as_ref()
        .is_none_or(|container| container.r#type() != docker)
}

/// The command, or why it cannot run here: for the framework's user.
pub(crate) fn check(config: &ContainerConfig) -> Result<Program, String> {
    config
        .id
        .validate()
        .map_err(|error| format!("container id: {error}"))?;
    if config.id.parent().is_some() {
        return Err(not_built("nested containers"));
    }
    if let Some(container) = &config.container {
        check_container(container)?;
    }
    if !config.sandbox.is_dir() {
        return Err(format!(
            "the sandbox {} does not exist",
            config.sandbox.display()
        ));
    }
    program(&config.command)
}

fn not_built(what: &str) -> String {
    format!("{what} are not built yet for the mesos containerizer")
}

/// What restricts or connects a container and is not built is refused, never left out silently.
fn check_container(container: &v1::ContainerInfo) -> Result<(), String> {
    if container
        .network_infos
        .iter()
        .any(|network| network.name.is_some())
    {
        return Err(not_built("named networks (network_infos.name)"));
    }
    if container
        .rlimit_info
        .as_ref()
        .is_some_and(|info| !info.rlimits.is_empty())
    {
        return Err(not_built("resource limits (rlimit_info)"));
    }
    if container.tty_info.is_some() {
        return Err(not_built("terminals (tty_info)"));
    }
    if let Some(linux) = &container.linux_info {
        #[expect(deprecated, reason = "older frameworks restrict themselves by it")]
        let capabilities = linux.capability_info.is_some()
            || linux.bounding_capabilities.is_some()
            || linux.effective_capabilities.is_some();
        if capabilities {
            return Err(not_built("capabilities (linux_info)"));
        }
        if linux
            .seccomp
            .as_ref()
            .is_some_and(|seccomp| seccomp.unconfined != Some(true))
        {
            return Err(not_built("seccomp profiles (linux_info.seccomp)"));
        }
        if linux.shm_size.is_some() || linux.ipc_mode() == v1::linux_info::IpcMode::Private {
            return Err(not_built(
                "private IPC namespaces (linux_info.ipc_mode, shm_size)",
            ));
        }
    }
    Ok(())
}

fn program(command: &v1::CommandInfo) -> Result<Program, String> {
    let value = command.value.as_deref().filter(|value| !value.is_empty());
    if command.shell() {
        let value = value.ok_or("the command has `shell` set and no `value` to run")?;
        let argv = ["sh", "-c", value].map(OsString::from).to_vec();
        return Ok(Program {
            program: "/bin/sh".into(),
            argv,
        });
    }
    let value = value.ok_or("the command has neither a shell nor a `value` to execute")?;
    let argv = if command.arguments.is_empty() {
        vec![value.into()]
    } else {
        command.arguments.iter().map(OsString::from).collect()
    };
    Ok(Program {
        program: value.into(),
        argv,
    })
}

/// Who the task runs as; `None`: as the agent. May block on the host's name service.
pub(crate) fn credentials(user: Option<&str>) -> Result<Option<Credentials>, String> {
    let Some(user) = user else { return Ok(None) };
    match Credentials::of_user(user) {
        Ok(Some(credentials)) => Ok(Some(credentials)),
        Ok(None) => Err(format!(
            "user `{user}` does not exist on this agent; create it, name another in \
             CommandInfo.user or FrameworkInfo.user, or start the agent with --no-switch_user"
        )),
        Err(error) => Err(format!("cannot look up user `{user}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(shell: bool, value: &str, arguments: &[&str]) -> v1::CommandInfo {
        v1::CommandInfo {
            shell: Some(shell),
            value: Some(value.to_owned()),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            ..v1::CommandInfo::default()
        }
    }

    #[test]
    fn a_shell_gets_the_line_and_an_executable_its_arguments() {
        let shell = program(&command(true, "echo $A", &["ignored"])).unwrap();
        assert_eq!(shell.program, "/bin/sh");
        assert_eq!(shell.argv, ["sh", "-c", "echo $A"]);
        let direct = program(&command(false, "/bin/sleep", &["mysleep", "1000"])).unwrap();
        assert_eq!(direct.program, "/bin/sleep");
        assert_eq!(direct.argv, ["mysleep", "1000"]);
        assert_eq!(
            program(&command(false, "true", &[])).unwrap().argv,
            ["true"]
        );
        assert!(program(&command(true, "", &[])).is_err());
        assert!(program(&v1::CommandInfo::default()).is_err());
    }

    #[test]
    fn what_would_restrict_and_is_not_built_is_refused() {
        let mut container = v1::ContainerInfo::default();
        assert_eq!(check_container(&container), Ok(()));
        container.network_infos.push(v1::NetworkInfo::default());
        assert_eq!(
            check_container(&container),
            Ok(()),
            "the host's network has no name"
        );
        container.network_infos[0].name = Some("net".to_owned());
        assert!(
            check_container(&container)
                .unwrap_err()
                .contains("named networks")
        );
        let linux = v1::LinuxInfo {
            seccomp: Some(v1::SeccompInfo::default()),
            ..v1::LinuxInfo::default()
        };
        let container = v1::ContainerInfo {
            linux_info: Some(linux),
            ..v1::ContainerInfo::default()
        };
        assert!(check_container(&container).unwrap_err().contains("seccomp"));
    }

    #[test]
    fn an_unknown_user_is_told_what_to_do() {
        assert_eq!(credentials(None), Ok(None));
        let error = credentials(Some("no-such-user-here")).unwrap_err();
        assert!(error.contains("`no-such-user-here` does not exist on this agent; create it"));
    }
}
