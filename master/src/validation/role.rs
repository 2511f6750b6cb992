//! Names of roles that operators give, and the list that `--roles` allows.
use mesos_types::validate_role;

use super::framework::mesos_text;
use crate::config::MasterConfig;

/// Checks a role that something is set for, in Mesos's words.
///
/// # Errors
/// What is wrong with it.
pub fn validate_listed(role: &str, config: &MasterConfig) -> Result<(), String> {
    validate_name(role).map_err(|why| format!("Invalid role '{role}': {why}"))?;
    if is_listed(role, config) {
        Ok(())
    } else {
        Err(format!("Unknown role '{role}'"))
    }
}

/// Checks the name alone.
///
/// # Errors
/// What is wrong with it, in Mesos's words where it has any.
pub fn validate_name(role: &str) -> Result<(), String> {
    validate_role(role).map_err(|error| mesos_text(role).unwrap_or_else(|| error.to_string()))
}

/// Whether `--roles` allows the role.
pub fn is_listed(role: &str, config: &MasterConfig) -> bool {
    let listed = config.roles.as_ref();
    listed.is_none_or(|roles| role == "*" || roles.contains(role))
}
