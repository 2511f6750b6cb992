//! What the engine's refusals mean for the user of a framework, and what to do about them.

use bollard::models::HostConfig;
use mesos_containerizer_api::{ContainerError, Stage};

use crate::{engine::EngineError, request::CreateRequest};

/// Turns an engine's refusal into the error of a launch: its own words first, then advice. The
/// advice is for people; nothing decides by it.
pub(crate) fn launch_error(
    stage: Stage,
    what: &str,
    error: &EngineError,
    request: &CreateRequest,
) -> ContainerError {
    let said = error.to_string();
    let hint = if matches!(error, EngineError::Refused { .. }) {
        hint(&said, request)
    } else {
        None
    };
    let message = match hint {
        Some(hint) => format!("{what}: {said}; {hint}"),
        None => format!("{what}: {said}"),
    };
    ContainerError::Launch {
        stage,
        message,
        source: None,
    }
}

fn hint(said: &str, request: &CreateRequest) -> Option<String> {
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let network = &request.network;
    let image = &request.image;
    if has(&["port is already allocated", "address already in use"]) {
        return Some(
            "something else on this host listens on that port: stop it, or use another port of \
             the offer"
                .to_owned(),
        );
    }
    if has(&["network"]) && has(&["not found", "no such network"]) {
        return Some(format!(
            "make it with `docker network create {network}`, or correct \
             container.network_infos[0].name"
        ));
    }
    if has(&["unable to apply caps", "cap_set"])
        || (has(&["operation not permitted"]) && asks_for_privilege(request))
    {
        let lacking = lacking_capabilities();
        return Some(if lacking.is_empty() {
            "the kernel does not let the engine give these capabilities: leave `privileged` and \
             `cap-add` out"
                .to_owned()
        } else {
            format!(
                "this host lacks {}, so it cannot start privileged containers: leave `privileged` \
                 out, or name the capabilities it needs with the parameter `cap-add`",
                lacking.join(", ")
            )
        });
    }
    if has(&["executable file not found", "no such file or directory"]) && has(&["exec", "stat "]) {
        return Some(format!(
            "the command is not in the image `{image}`: check command.value, command.shell and \
             the image's PATH"
        ));
    }
    if has(&["permission denied"]) && has(&["exec"]) {
        return Some(format!(
            "the command is not executable in the image `{image}`"
        ));
    }
    if has(&["unable to find user", "no matching entries in passwd"]) {
        return Some(format!(
            "the user is not in the image `{image}`: correct the parameter `user`, or give a \
             number"
        ));
    }
    if has(&["rlimit"]) {
        return Some(
            "raising a hard limit needs CAP_SYS_RESOURCE: ask for less with the parameter \
             `ulimit`"
                .to_owned(),
        );
    }
    if has(&[
        "no such image",
        "manifest unknown",
        "manifest for",
        "pull access denied",
        "repository does not exist",
        "unauthorized",
    ]) {
        return Some(format!(
            "check the name and tag of `{image}`, and credentials for its registry \
             (--docker_config, or .docker/config.json among the task's URIs)"
        ));
    }
    if has(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "network is unreachable",
    ]) {
        return Some(format!(
            "the registry of `{image}` does not answer from this host"
        ));
    }
    if has(&["server gave http response to https client"]) {
        return Some(
            "the registry speaks plain HTTP: list it under `insecure-registries` of the engine's \
             daemon.json"
                .to_owned(),
        );
    }
    None
}

fn asks_for_privilege(request: &CreateRequest) -> bool {
    let host: Option<&HostConfig> = request.body.host_config.as_ref();
    host.is_some_and(|host| host.privileged == Some(true) || host.cap_add.is_some())
}

/// Capabilities that no process on this host can have.
fn lacking_capabilities() -> Vec<String> {
    let Ok(bounding) = caps::read(None, caps::CapSet::Bounding) else {
        return Vec::new();
    };
    let supported = caps::runtime::procfs_all_supported(None).unwrap_or_else(|_| caps::all());
    let mut lacking: Vec<String> = supported
        .difference(&bounding)
        .map(ToString::to_string)
        .collect();
    lacking.sort();
    lacking
}

/// Words for exit statuses that say why the command did not run. Source: POSIX shell 2.8.2.
pub(crate) fn exit_hint(code: i32) -> Option<&'static str> {
    match code {
        126 => Some("the command is not executable in the image"),
        127 => {
            Some("the command was not found in the image: check command.value and the image's PATH")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> CreateRequest {
        CreateRequest {
            name: "n".into(),
            image: "img:1".into(),
            force_pull: false,
            network: "mynet".into(),
            body: bollard::models::ContainerCreateBody {
                host_config: Some(HostConfig {
                    privileged: Some(true),
                    ..HostConfig::default()
                }),
                ..bollard::models::ContainerCreateBody::default()
            },
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (said, advice) in [
            (
                "driver failed programming external connectivity on endpoint x: Bind for \
                 0.0.0.0:31000 failed: port is already allocated",
                "use another port of the offer",
            ),
            ("network mynet not found", "docker network create mynet"),
            (
                "OCI runtime create failed: exec: \"nope\": executable file not found in $PATH",
                "not in the image `img:1`",
            ),
            (
                "unable to find user bob: no matching entries in passwd file",
                "parameter `user`",
            ),
            ("manifest unknown", "check the name and tag of `img:1`"),
            (
                "unable to apply caps: operation not permitted",
                "leave `privileged`",
            ),
        ] {
            let error = EngineError::Refused {
                status: 500,
                message: said.into(),
            };
            let error = launch_error(Stage::Release, "cannot start", &error, &request());
            let text = error.to_string();
            assert!(text.contains(advice) && text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_refused_privilege_names_what_the_host_lacks() {
        let lacking = lacking_capabilities();
        let hint = hint("unable to apply caps: operation not permitted", &request()).unwrap();
        for capability in &lacking {
            assert!(
                capability.starts_with("CAP_") && hint.contains(capability),
                "{hint}"
            );
        }
    }
}
