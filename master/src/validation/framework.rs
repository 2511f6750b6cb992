//! A framework that wants to subscribe or to change its info (`master/validation.cpp`, framework::).
#![expect(
    deprecated,
    reason = "`role` is what frameworks without MULTI_ROLE use"
)]
use std::collections::BTreeSet;

use mesos_types::{FrameworkCapabilities, validate_id, validate_role};
use mesos_wire::v1::{FrameworkInfo, scheduler::OfferConstraints};
use prost::Message as _;

use super::{FRAMEWORK_BYTES, Invalid, Validity, require};
use crate::{config::MasterConfig, constraints::Constraints};

/// Most roles of one framework.
const ROLES: usize = 10_000;

/// The roles that an info subscribes to.
pub fn roles(info: &FrameworkInfo) -> BTreeSet<String> {
    if FrameworkCapabilities::from(info).multi_role {
        info.roles.iter().cloned().collect()
    } else {
        BTreeSet::from([info.role.clone().unwrap_or_else(|| "*".to_owned())])
    }
}

/// Checks an info by itself.
pub fn validate(info: &FrameworkInfo, config: &MasterConfig) -> Validity {
    let size = info.encoded_len();
    require(size <= FRAMEWORK_BYTES, || {
        format!("'FrameworkInfo' has {size} bytes, at most {FRAMEWORK_BYTES} are taken")
    })?;
    validate_roles(info, config)?;
    require(config.root_submissions || info.user != "root", || {
        "User 'root' is not allowed to run frameworks without --root_submissions set".to_owned()
    })?;
    if let Some(id) = &info.id {
        validate_id(id.as_str())
            .map_err(|error| Invalid(error.to_string()).within("'FrameworkInfo.id' is invalid"))?;
    }
    require(
        !info.failover_timeout().is_nan() && info.failover_timeout().abs() <= 9.2e9,
        || {
            format!(
                "The framework failover_timeout ({}) is invalid: it must be a duration of at most 292 years",
                info.failover_timeout()
            )
        },
    )?;
    validate_offer_filters(info)
}

fn validate_roles(info: &FrameworkInfo, config: &MasterConfig) -> Validity {
    require(info.roles.len() <= ROLES, || {
        format!(
            "'FrameworkInfo.roles' has {} entries, at most {ROLES} are taken",
            info.roles.len()
        )
    })?;
    if FrameworkCapabilities::from(info).multi_role {
        require(info.role.is_none(), || {
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
                .to_owned()
        })?;
        let mut seen = BTreeSet::new();
        for role in &info.roles {
            validate_one_role("FrameworkInfo.roles", role, config)?;
            require(seen.insert(role), || {
                format!("'FrameworkInfo.roles' contains duplicate items: '{role}'")
            })?;
        }
    } else {
        require(info.roles.is_empty(), || {
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
                .to_owned()
        })?;
        validate_one_role(
            "FrameworkInfo.role",
            info.role.as_deref().unwrap_or("*"),
            config,
        )?;
    }
    Ok(())
}

fn validate_one_role(field: &str, role: &str, config: &MasterConfig) -> Validity {
    validate_role(role).map_err(|error| {
        let text = mesos_text(role).unwrap_or_else(|| error.to_string());
        Invalid(format!("'{field}' is not a valid role: {text}"))
    })?;
    require(
        config
            .roles
            .as_ref()
            .is_none_or(|known| role == "*" || known.contains(role)),
        || format!("'{field}' is not a valid role: Role '{role}' is not in the master's --roles"),
    )
}

/// The words of Mesos for the component that is at fault (`common/roles.cpp`).
pub(super) fn mesos_text(role: &str) -> Option<String> {
    if role.is_empty() {
        return Some("Empty role name is invalid".to_owned());
    }
    if role.starts_with('/') {
        return Some(format!("Role '{role}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return Some(format!("Role '{role}' cannot end with a slash"));
    }
    for component in role.split('/') {
        let fault = match component {
            "" => "cannot contain two adjacent slashes".to_owned(),
            "." | ".." | "*" => format!("cannot include '{component}' as a component"),
            _ if component.starts_with('-') => {
                format!("component '{component}' starts with a dash")
            }
            _ => continue,
        };
        return Some(format!("Role '{role}' {fault}"));
    }
    None
}

fn validate_offer_filters(info: &FrameworkInfo) -> Validity {
    for (role, filters) in &info.offer_filters {
        validate_role(role).map_err(|error| {
            Invalid(format!(
                "'FrameworkInfo.offer_filters' contains invalid role: {error}"
            ))
        })?;
        let Some(minimum) = &filters.min_allocatable_resources else {
            continue;
        };
        for quantities in &minimum.quantities {
            require(!quantities.quantities.is_empty(), || {
                format!(
                    "Resource quantities of the offer filter for role '{role}' must not be empty"
                )
            })?;
            for (name, quantity) in &quantities.quantities {
                require(quantity.value.is_finite() && quantity.value >= 0.0, || {
                    format!("Invalid resource quantity for '{name}': {}", quantity.value)
                })?;
            }
        }
    }
    Ok(())
}

/// Suppressed roles must be roles of the framework.
pub fn validate_suppressed(suppressed: &[String], info: &FrameworkInfo) -> Validity {
    require(suppressed.len() <= ROLES, || {
        format!(
            "{} suppressed roles, at most {ROLES} are taken",
            suppressed.len()
        )
    })?;
    let own = roles(info);
    for role in suppressed {
        require(own.contains(role), || {
            format!("Suppressed role '{role}' is not contained in the list of roles")
        })?;
    }
    Ok(())
}

/// Constraints must be for roles of the framework, and say something.
pub fn validate_constraints(
    constraints: Option<&OfferConstraints>,
    info: &FrameworkInfo,
) -> Validity {
    let Some(constraints) = constraints else {
        return Ok(());
    };
    let own = roles(info);
    for role in constraints.role_constraints.keys() {
        require(own.contains(role), || {
            format!(
                "Offer constraints specify role '{role}' to which the framework is not subscribed"
            )
        })?;
    }
    Constraints::compile(constraints).map(|_| ())
}

#[cfg(test)]
mod tests {
    use mesos_wire::{Encoding, decode};

    use super::*;

    fn check(json: &str, expected: &str) {
        let info: FrameworkInfo = decode(
            Encoding::Json,
            format!(r#"{{"user":"u","name":"n",{json}}}"#).as_bytes(),
        )
        .unwrap();
        let config = MasterConfig {
            roles: Some(BTreeSet::from(["dev".to_owned(), "a/b".to_owned()])),
            root_submissions: false,
            ..MasterConfig::default()
        };
        let found = validate(&info, &config).map_or_else(|error| error.0, |()| "ok".to_owned());
        assert!(found.contains(expected), "{json}: {found}");
    }

    const MULTI: &str = r#""capabilities":[{"type":"MULTI_ROLE"}]"#;

    #[test]
    fn every_rule_of_a_framework_info_is_kept() {
        check(r#""role":"dev""#, "ok");
        check(r#""role":"*""#, "ok");
        check(r#""hostname":"h""#, "ok");
        check(r#""role":"other""#, "not in the master's --roles");
        check(
            r#""role":"a/../b""#,
            "'FrameworkInfo.role' is not a valid role: Role 'a/../b' cannot include '..' as a component",
        );
        check(r#""role":"-x""#, "starts with a dash");
        check(
            r#""roles":["dev"]"#,
            "must not be set when the framework is not MULTI_ROLE capable",
        );
        check(
            &format!(r#"{MULTI},"role":"dev""#),
            "must not be set when the framework is MULTI_ROLE",
        );
        check(&format!(r#"{MULTI},"roles":["dev","dev"]"#), "duplicate");
        check(&format!(r#"{MULTI},"roles":["dev","a/b"]"#), "ok");
        check(MULTI, "ok");
        check(r#""id":{"value":"a/b"}"#, "contains invalid characters");
        check(r#""id":{"value":""}"#, "must not be empty");
        check(r#""failover_timeout":1e300"#, "failover_timeout");
        check(r#""failover_timeout":-5.0"#, "ok");
        check(r#""user":"root""#, "root_submissions");
        check(
            r#""offer_filters":{"dev":{"min_allocatable_resources":{"quantities":[{}]}}}"#,
            "must not be empty",
        );
        check(
            r#""offer_filters":{"dev":{"min_allocatable_resources":{"quantities":[{"quantities":{"cpus":{"value":-1}}}]}}}"#,
            "Invalid resource quantity",
        );
    }

    #[test]
    fn suppressed_and_constrained_roles_are_roles_of_the_framework() {
        let info = FrameworkInfo {
            role: Some("dev".to_owned()),
            ..FrameworkInfo::default()
        };
        assert_eq!(validate_suppressed(&["dev".to_owned()], &info), Ok(()));
        assert!(validate_suppressed(&["ops".to_owned()], &info).is_err());
        let constraints =
            |json: &str| -> OfferConstraints { decode(Encoding::Json, json.as_bytes()).unwrap() };
        for (json, fine) in [
            (r"{}", true),
            (r#"{"role_constraints":{"ops":{"groups":[]}}}"#, false),
            (r#"{"role_constraints":{"dev":{"groups":[]}}}"#, false),
            (r#"{"role_constraints":{"dev":{"groups":[{}]}}}"#, false),
            (
                r#"{"role_constraints":{"dev":{"groups":[{"attribute_constraints":[
                    {"selector":{"attribute_name":"rack"},"predicate":{"exists":{}}}]}]}}}"#,
                true,
            ),
            (
                r#"{"role_constraints":{"dev":{"groups":[{"attribute_constraints":[
                    {"selector":{"attribute_name":"rack"},"predicate":{}}]}]}}}"#,
                false,
            ),
        ] {
            assert_eq!(
                validate_constraints(Some(&constraints(json)), &info).is_ok(),
                fine,
                "{json}"
            );
        }
    }
}
