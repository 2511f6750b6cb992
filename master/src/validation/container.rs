//! Commands, environments, secrets, containers and volumes of tasks and executors.
use mesos_wire::v1::{
    CommandInfo, ContainerInfo, Environment, Secret, Volume, container_info, environment, secret,
    volume,
};

use super::{Invalid, Validity};

/// A task's or executor's command.
pub fn validate_command(command: &CommandInfo) -> Validity {
    command
        .environment
        .as_ref()
        .map_or(Ok(()), validate_environment)
}

/// Variables with what their type asks for.
pub fn validate_environment(environment: &Environment) -> Validity {
    use environment::variable::Type;
    for variable in &environment.variables {
        let name = &variable.name;
        match variable.r#type() {
            Type::Secret => {
                let Some(secret) = &variable.secret else {
                    return Err(Invalid(format!(
                        "Environment variable '{name}' of type 'SECRET' must have a secret set"
                    )));
                };
                if variable.value.is_some() {
                    return Err(Invalid(format!(
                        "Environment variable '{name}' of type 'SECRET' must not have a value set"
                    )));
                }
                validate_secret(secret).map_err(|e| {
                    e.within(&format!(
                        "Environment variable '{name}' specifies an invalid secret"
                    ))
                })?;
                if secret
                    .value
                    .as_ref()
                    .is_some_and(|value| value.data.contains(&0))
                {
                    return Err(Invalid(format!(
                        "Environment variable '{name}' specifies a secret containing null bytes, \
                         which is not allowed in the environment"
                    )));
                }
            }
            Type::Value => {
                if variable.value.is_none() {
                    return Err(Invalid(format!(
                        "Environment variable '{name}' of type 'VALUE' must have a value set"
                    )));
                }
                if variable.secret.is_some() {
                    return Err(Invalid(format!(
                        "Environment variable '{name}' of type 'VALUE' must not have a secret set"
                    )));
                }
            }
            Type::Unknown => {
                return Err(Invalid(
                    "Environment variable of type 'UNKNOWN' is not allowed".to_owned(),
                ));
            }
        }
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Invalid(format!(
                "'{name}' cannot be the name of an environment variable"
            )));
        }
    }
    Ok(())
}

/// Exactly what the type says.
pub fn validate_secret(secret: &Secret) -> Validity {
    match secret.r#type() {
        secret::Type::Reference => {
            if secret.reference.is_none() {
                return Err(Invalid::new(
                    "Secret of type REFERENCE must have the 'reference' field set",
                ));
            }
            if secret.value.is_some() {
                return Err(Invalid::new(
                    "Secret of type REFERENCE must not have the 'value' field set",
                ));
            }
        }
        secret::Type::Value => {
            if secret.value.is_none() {
                return Err(Invalid::new(
                    "Secret of type VALUE must have the 'value' field set",
                ));
            }
            if secret.reference.is_some() {
                return Err(Invalid::new(
                    "Secret of type VALUE must not have the 'reference' field set",
                ));
            }
        }
        secret::Type::Unknown => return Err(Invalid::new("Secret of type UNKNOWN is not allowed")),
    }
    Ok(())
}

/// A container of a task or an executor.
pub fn validate_container(container: &ContainerInfo) -> Validity {
    for volume in &container.volumes {
        validate_volume(volume).map_err(|error| error.within("Invalid volume"))?;
    }
    if container.r#type() == container_info::Type::Docker {
        let Some(docker) = &container.docker else {
            return Err(Invalid::new(
                "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo",
            ));
        };
        if docker
            .parameters
            .iter()
            .any(|parameter| parameter.key == "name")
        {
            return Err(Invalid::new("Parameter in DockerInfo must not be 'name'"));
        }
    }
    Ok(())
}

fn validate_volume(volume: &Volume) -> Validity {
    use volume::source::Type;
    let sources = [
        volume.host_path.is_some(),
        volume.image.is_some(),
        volume.source.is_some(),
    ];
    if sources.into_iter().filter(|set| *set).count() != 1 {
        return Err(Invalid::new(
            "Exactly one of 'host_path', 'image' or 'source' must be set",
        ));
    }
    let Some(source) = &volume.source else {
        return Ok(());
    };
    let missing = |field: &str, kind: &str| {
        Err(Invalid(format!(
            "'source.{field}' is not set for {kind} volume"
        )))
    };
    match source.r#type() {
        Type::Unknown if source.r#type.is_none() => {
            return Err(Invalid::new("'source.type' is not set"));
        }
        Type::Unknown => return Err(Invalid::new("'source.type' is unknown")),
        Type::DockerVolume if source.docker_volume.is_none() => {
            return missing("docker_volume", "DOCKER_VOLUME");
        }
        Type::HostPath if source.host_path.is_none() => return missing("host_path", "HOST_PATH"),
        Type::SandboxPath => {
            let Some(path) = &source.sandbox_path else {
                return missing("sandbox_path", "SANDBOX_PATH");
            };
            if path.r#type() == volume::source::sandbox_path::Type::Unknown {
                return Err(Invalid::new(
                    "'source.sandbox_path.type' must be SELF or PARENT",
                ));
            }
            if std::path::Path::new(&path.path)
                .components()
                .any(|part| part == std::path::Component::ParentDir)
            {
                return Err(Invalid(format!(
                    "'source.sandbox_path.path' '{}' must not hold '..'",
                    path.path
                )));
            }
        }
        Type::Secret => {
            let Some(secret) = &source.secret else {
                return missing("secret", "SECRET");
            };
            validate_secret(secret)?;
        }
        Type::CsiVolume if source.csi_volume.is_none() => {
            return missing("csi_volume", "CSI_VOLUME");
        }
        Type::DockerVolume | Type::HostPath | Type::CsiVolume => {}
    }
    Ok(())
}
