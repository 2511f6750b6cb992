//! Whether an operator call has the parts that its type asks for.

use mesos_types::ContainerId;
use mesos_wire::v1::{
    self, CommandInfo,
    agent::{
        Call,
        call::{Type, attach_container_input},
    },
};

/// Says what is missing or wrong, in Mesos's words. Source: `validation::agent::call::validate` in
/// `slave/validation.cpp` of Apache Mesos 1.11.
#[expect(deprecated, reason = "old calls are checked as well")]
pub(super) fn validate(call: &Call) -> Result<Type, String> {
    let kind = call.r#type.and_then(|kind| Type::try_from(kind).ok());
    let kind = kind.ok_or_else(|| missing("type"))?;
    let check = Check(kind);
    match kind {
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetLoggingLevel
        | Type::GetState
        | Type::GetContainers
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetAgent
        | Type::GetResourceProviders => {}
        Type::GetMetrics => check.there(call.get_metrics.is_some())?,
        Type::SetLoggingLevel => check.there(call.set_logging_level.is_some())?,
        Type::ListFiles => check.there(call.list_files.is_some())?,
        Type::ReadFile => check.there(call.read_file.is_some())?,
        Type::LaunchNestedContainer => {
            let part = check.part(call.launch_nested_container.as_ref())?;
            check.nested(&part.container_id)?;
            check.command(part.command.as_ref())?;
        }
        Type::WaitNestedContainer => {
            check.nested(
                &check
                    .part(call.wait_nested_container.as_ref())?
                    .container_id,
            )?;
        }
        Type::KillNestedContainer => {
            check.nested(
                &check
                    .part(call.kill_nested_container.as_ref())?
                    .container_id,
            )?;
        }
        Type::RemoveNestedContainer => {
            check.nested(
                &check
                    .part(call.remove_nested_container.as_ref())?
                    .container_id,
            )?;
        }
        Type::LaunchNestedContainerSession => {
            let part = check.part(call.launch_nested_container_session.as_ref())?;
            check.nested(&part.container_id)?;
            check.command(part.command.as_ref())?;
        }
        Type::AttachContainerInput => {
            let part = check.part(call.attach_container_input.as_ref())?;
            let kind = part
                .r#type
                .and_then(|kind| attach_container_input::Type::try_from(kind).ok());
            match kind {
                None => return Err(missing("attach_container_input.type")),
                Some(attach_container_input::Type::Unknown) => {
                    return Err("'attach_container_input.type' is unknown".to_owned());
                }
                Some(attach_container_input::Type::ContainerId) => {
                    let id = part.container_id.as_ref();
                    check.id(id.ok_or_else(|| missing("attach_container_input.container_id"))?)?;
                }
                Some(attach_container_input::Type::ProcessIo) => {}
            }
        }
        Type::AttachContainerOutput => {
            check.id(&check
                .part(call.attach_container_output.as_ref())?
                .container_id)?;
        }
        Type::LaunchContainer => {
            let part = check.part(call.launch_container.as_ref())?;
            check.id(&part.container_id)?;
            check.command(part.command.as_ref())?;
        }
        Type::WaitContainer => check.id(&check.part(call.wait_container.as_ref())?.container_id)?,
        Type::KillContainer => check.id(&check.part(call.kill_container.as_ref())?.container_id)?,
        Type::RemoveContainer => {
            check.id(&check.part(call.remove_container.as_ref())?.container_id)?;
        }
        Type::AddResourceProviderConfig => {
            let info = &check.part(call.add_resource_provider_config.as_ref())?.info;
            check.new_provider(info)?;
        }
        Type::UpdateResourceProviderConfig => {
            let info = &check
                .part(call.update_resource_provider_config.as_ref())?
                .info;
            check.new_provider(info)?;
        }
        Type::RemoveResourceProviderConfig => {
            check.there(call.remove_resource_provider_config.is_some())?;
        }
        Type::MarkResourceProviderGone => {
            check.there(call.mark_resource_provider_gone.is_some())?
        }
        Type::PruneImages => check.there(call.prune_images.is_some())?,
    }
    Ok(kind)
}

fn missing(field: &str) -> String {
    format!("Expecting '{field}' to be present")
}

/// Checks the part of a call that is named after its type.
struct Check(Type);

impl Check {
    fn name(&self) -> String {
        self.0.as_str_name().to_lowercase()
    }

    fn there(&self, there: bool) -> Result<(), String> {
        if there {
            Ok(())
        } else {
            Err(missing(&self.name()))
        }
    }

    fn part<'a, T>(&self, part: Option<&'a T>) -> Result<&'a T, String> {
        part.ok_or_else(|| missing(&self.name()))
    }

    fn id(&self, id: &v1::ContainerId) -> Result<(), String> {
        ContainerId::from(id)
            .validate()
            .map_err(|error| format!("'{}.container_id' is invalid: {error}", self.name()))
    }

    fn nested(&self, id: &v1::ContainerId) -> Result<(), String> {
        self.id(id)?;
        match id.parent {
            Some(_) => Ok(()),
            None => Err(missing(&format!("{}.container_id.parent", self.name()))),
        }
    }

    /// Source: `validateCommandInfo` and `validateEnvironment` in `common/validation.cpp`, as far as it
    /// is about what is left out.
    fn command(&self, command: Option<&CommandInfo>) -> Result<(), String> {
        let Some(command) = command else {
            return Ok(());
        };
        let variables = command.environment.iter().flat_map(|e| &e.variables);
        for variable in variables {
            let (name, secret) = (&variable.name, variable.secret.is_some());
            let problem = match variable.r#type() {
                v1::environment::variable::Type::Unknown => "of type 'UNKNOWN' is not allowed",
                v1::environment::variable::Type::Value if secret => {
                    "of type 'VALUE' must not have a secret set"
                }
                v1::environment::variable::Type::Value if variable.value.is_none() => {
                    "of type 'VALUE' must have a value set"
                }
                v1::environment::variable::Type::Secret if variable.value.is_some() => {
                    "of type 'SECRET' must not have a value set"
                }
                v1::environment::variable::Type::Secret if !secret => {
                    "of type 'SECRET' must have a secret set"
                }
                v1::environment::variable::Type::Value
                | v1::environment::variable::Type::Secret => continue,
            };
            return Err(format!(
                "'{}.command' is invalid: Environment variable '{name}' {problem}",
                self.name()
            ));
        }
        Ok(())
    }

    fn new_provider(&self, info: &v1::ResourceProviderInfo) -> Result<(), String> {
        match &info.id {
            Some(_) => Err(format!("Expecting '{}.info.id' to be unset", self.name())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on a call in JSON.
    fn verdict(json: &str) -> String {
        let call: Call = mesos_wire::json::from_slice(json.as_bytes()).unwrap();
        match validate(&call) {
            Ok(kind) => kind.as_str_name().to_owned(),
            Err(problem) => problem,
        }
    }

    #[test]
    fn each_type_but_the_plain_ones_asks_for_its_part() {
        let plain = [
            Type::Unknown,
            Type::GetHealth,
            Type::GetFlags,
            Type::GetVersion,
            Type::GetLoggingLevel,
            Type::GetState,
            Type::GetContainers,
            Type::GetFrameworks,
            Type::GetExecutors,
            Type::GetOperations,
            Type::GetTasks,
            Type::GetAgent,
            Type::GetResourceProviders,
        ];
        for kind in (0..=32).map(|n| Type::try_from(n).unwrap()) {
            let name = kind.as_str_name();
            let expected = if plain.contains(&kind) {
                name.to_owned()
            } else {
                missing(&name.to_lowercase())
            };
            assert_eq!(verdict(&format!(r#"{{"type":"{name}"}}"#)), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, expected) in [
            ("{}", "Expecting 'type' to be present"),
            (r#"{"type":"NOPE"}"#, "Expecting 'type' to be present"),
            (
                r#"{"type":"WAIT_NESTED_CONTAINER","wait_nested_container":{"container_id":{"value":"a"}}}"#,
                "Expecting 'wait_nested_container.container_id.parent' to be present",
            ),
            (
                r#"{"type":"KILL_CONTAINER","kill_container":{"container_id":{"value":"a/b"}}}"#,
                "'kill_container.container_id' is invalid: 'a/b' contains invalid characters; \
                 not allowed are control characters, '/' and '\\'",
            ),
            (
                r#"{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"a"},
                    "command":{"environment":{"variables":[{"name":"N"}]}}}}"#,
                "'launch_container.command' is invalid: Environment variable 'N' of type 'VALUE' must have a value set",
            ),
            (
                r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{}}"#,
                "Expecting 'attach_container_input.type' to be present",
            ),
            (
                r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"CONTAINER_ID"}}"#,
                "Expecting 'attach_container_input.container_id' to be present",
            ),
            (
                r#"{"type":"LAUNCH_NESTED_CONTAINER","launch_nested_container":{"container_id":
                    {"value":"a","parent":{"value":"b"}},"command":{"value":"true"}}}"#,
                "LAUNCH_NESTED_CONTAINER",
            ),
        ] {
            assert_eq!(verdict(json), expected, "{json}");
        }
    }
}
