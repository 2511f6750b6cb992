//! Checks and health checks of tasks.
use mesos_wire::v1::{CheckInfo, CommandInfo, HealthCheck, check_info, health_check};

use super::{Invalid, Validity, container::validate_environment, require};

/// A task's `check`.
pub fn validate_check(check: &CheckInfo) -> Validity {
    use check_info::Type;
    let Some(kind) = check.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return Err(Invalid::new("CheckInfo must specify 'type'"));
    };
    match kind {
        Type::Unknown => return Err(Invalid::new("'UNKNOWN' is not a valid check type")),
        Type::Command => {
            let Some(command) = &check.command else {
                return Err(Invalid::new(
                    "Expecting 'command' to be set for COMMAND check",
                ));
            };
            validate_command("Command check", &command.command)?;
        }
        Type::Http => {
            let Some(http) = &check.http else {
                return Err(Invalid::new("Expecting 'http' to be set for HTTP check"));
            };
            validate_port(http.port)?;
            validate_path("HTTP check", http.path.as_deref())?;
        }
        Type::Tcp => {
            let Some(tcp) = &check.tcp else {
                return Err(Invalid::new("Expecting 'tcp' to be set for TCP check"));
            };
            validate_port(tcp.port)?;
        }
    }
    validate_seconds(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

/// A task's `health_check`. A missing type has been inferred before (see [`infer_type`]).
pub fn validate_health_check(check: &HealthCheck) -> Validity {
    use health_check::Type;
    let Some(kind) = check.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return Err(Invalid::new("HealthCheck must specify 'type'"));
    };
    match kind {
        Type::Unknown => return Err(Invalid::new("'UNKNOWN' is not a valid health check type")),
        Type::Command => {
            let Some(command) = &check.command else {
                return Err(Invalid::new(
                    "Expecting 'command' to be set for COMMAND health check",
                ));
            };
            validate_command("Command health check", command)?;
        }
        Type::Http => {
            let Some(http) = &check.http else {
                return Err(Invalid::new(
                    "Expecting 'http' to be set for HTTP health check",
                ));
            };
            if let Some(scheme) = &http.scheme
                && scheme != "http"
                && scheme != "https"
            {
                return Err(Invalid(format!(
                    "Unsupported HTTP health check scheme: '{scheme}'"
                )));
            }
            validate_port(http.port)?;
            validate_path("HTTP health check", http.path.as_deref())?;
        }
        Type::Tcp => {
            let Some(tcp) = &check.tcp else {
                return Err(Invalid::new(
                    "Expecting 'tcp' to be set for TCP health check",
                ));
            };
            validate_port(tcp.port)?;
        }
    }
    validate_seconds(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
    ])
}

/// Frameworks older than 1.0 leave the type out: it follows from what else is set.
pub fn infer_type(check: &mut HealthCheck) {
    use health_check::Type;
    if check.r#type.is_some() {
        return;
    }
    match (&check.command, &check.http) {
        (Some(_), None) => check.set_type(Type::Command),
        (None, Some(_)) => check.set_type(Type::Http),
        (None, None) | (Some(_), Some(_)) => {}
    }
}

fn validate_command(what: &str, command: &CommandInfo) -> Validity {
    if command.value.is_none() {
        let kind = if command.shell() {
            "'shell command'"
        } else {
            "'executable path'"
        };
        return Err(Invalid(format!("{what} must contain {kind}")));
    }
    command
        .environment
        .as_ref()
        .map_or(Ok(()), validate_environment)
}

fn validate_path(what: &str, path: Option<&str>) -> Validity {
    match path {
        Some(path) if !path.starts_with('/') => Err(Invalid(format!(
            "The path '{path}' of {what} must start with '/'"
        ))),
        Some(_) | None => Ok(()),
    }
}

fn validate_port(port: u32) -> Validity {
    require(port <= u32::from(u16::MAX), || {
        format!("Port {port} of the check is not in [0, 65535]")
    })
}

/// Not negative, and short enough to be a time on a clock.
fn validate_seconds(values: &[(&str, Option<f64>)]) -> Validity {
    for (name, value) in values {
        let Some(value) = value else { continue };
        require(*value >= 0.0, || {
            format!("Expecting '{name}' to be non-negative")
        })?;
        require(*value <= 1e9, || {
            format!("Expecting '{name}' to be at most 1000000000, found {value}")
        })?;
    }
    Ok(())
}
