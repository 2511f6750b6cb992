//! Quotas: each one alone, then all of them together as a tree of roles.
use std::collections::BTreeMap;

use mesos_types::{Quantities, Resources, Scalar};
use mesos_wire::v1::{
    Resource,
    quota::{QuotaConfig, QuotaRequest},
    value::{self, Type},
};

use super::{Invalid, Validity, require, role::validate_name};

/// Largest amount of `mem` or `disk`, in MiB: 1 EiB. Source: `validateInputScalarValue` of Mesos.
const MOST_MEGABYTES: f64 = (1_u64 << 40) as f64;
/// Largest amount of anything else; the same source.
const MOST: f64 = 1e12;
/// Resources that one quota may name.
const MOST_NAMES: usize = 256;

/// Checks one quota of UPDATE_QUOTA.
///
/// # Errors
/// What is wrong with it, in Mesos's words (`master/quota.cpp`).
pub fn validate_config(config: &QuotaConfig) -> Validity {
    let invalid = |text: String| Err(Invalid(text));
    if let Err(why) = validate_name(&config.role) {
        return invalid(format!("Invalid 'QuotaConfig.role': {why}"));
    }
    if config.role == "*" {
        return invalid(
            "Invalid 'QuotaConfig.role': setting quota for the default '*' role is not supported"
                .to_owned(),
        );
    }
    for (kind, amounts) in [("guarantee", &config.guarantees), ("limit", &config.limits)] {
        require(amounts.len() <= MOST_NAMES, || {
            format!(
                "The quota of role '{}' has {}s of {} resources; allowed: {MOST_NAMES}",
                config.role,
                kind,
                amounts.len()
            )
        })?;
        for (name, amount) in amounts {
            if let Err(why) = amount_of(name, amount.value) {
                return invalid(format!(
                    "Invalid {kind} configuration {{'{name}': {}}}: {why}",
                    amount.value
                ));
            }
        }
    }
    let (guarantees, limits) = (guarantees(config), limits(config));
    let over = guarantees
        .iter()
        .any(|(name, amount)| limits.get(name).is_some_and(|limit| amount > *limit));
    require(!over, || {
        format!(
            "'QuotaConfig.guarantees' '{}' is not contained within the 'QuotaConfig.limits' '{}'",
            text(&guarantees),
            text(
                &limits
                    .iter()
                    .map(|(name, limit)| (name.as_str(), *limit))
                    .collect()
            )
        )
    })
}

/// Checks SET_QUOTA, and makes a quota of it: the limit is the guarantee.
///
/// # Errors
/// What is wrong with it, in Mesos's words (`master/quota.cpp`).
pub fn from_request(request: &QuotaRequest) -> Result<QuotaConfig, Invalid> {
    let role = request.role();
    if role.is_empty() {
        return Err(Invalid::new(
            "QuotaInfo with invalid role: Role names cannot be the empty string",
        ));
    }
    validate_name(role).map_err(|why| Invalid(format!("QuotaInfo with invalid role: {why}")))?;
    require(role != "*", || {
        "QuotaInfo must not specify the default '*' role".to_owned()
    })?;
    require(!request.guarantee.is_empty(), || {
        "QuotaInfo with empty 'guarantee'".to_owned()
    })?;
    require(request.guarantee.len() <= MOST_NAMES, || {
        format!(
            "QuotaInfo names {} resources; allowed: {MOST_NAMES}",
            request.guarantee.len()
        )
    })?;
    let mut amounts = BTreeMap::new();
    for resource in &request.guarantee {
        let amount = guaranteed(resource)?;
        if amounts.insert(resource.name.clone(), amount).is_some() {
            return Err(Invalid(format!(
                "QuotaInfo contains duplicate resource name '{}'",
                resource.name
            )));
        }
    }
    Ok(QuotaConfig {
        role: role.to_owned(),
        guarantees: amounts.clone(),
        limits: amounts,
    })
}

#[expect(
    deprecated,
    reason = "the older form of a reservation is refused as well"
)]
fn guaranteed(resource: &Resource) -> Result<value::Scalar, Invalid> {
    let refuse = |text: &str| Err(Invalid::new(text));
    if let Err(error) = Resources::from_wire(std::slice::from_ref(resource)) {
        return Err(Invalid(format!("QuotaInfo with invalid resource: {error}")));
    }
    if !resource.reservations.is_empty()
        || resource.reservation.is_some()
        || resource.role.as_deref().is_some_and(|role| role != "*")
    {
        return refuse("QuotaInfo must not contain ReservationInfo");
    }
    if resource.disk.is_some() {
        return refuse("QuotaInfo must not contain DiskInfo");
    }
    if resource.revocable.is_some() {
        return refuse("QuotaInfo must not contain RevocableInfo");
    }
    let Some(scalar) = resource
        .scalar
        .filter(|_| resource.r#type() == Type::Scalar)
    else {
        return refuse("QuotaInfo must not include non-scalar resources");
    };
    amount_of(&resource.name, scalar.value).map_err(|why| {
        Invalid(format!(
            "QuotaInfo with invalid resource: {}: {why}",
            resource.name
        ))
    })?;
    Ok(scalar)
}

/// The amount, if it can be one.
fn amount_of(name: &str, value: f64) -> Result<Scalar, String> {
    let most = if name == "mem" || name == "disk" {
        MOST_MEGABYTES
    } else {
        MOST
    };
    if name.is_empty() {
        return Err("the name of the resource is empty".to_owned());
    }
    if !(0.0..=most).contains(&value) {
        return Err(format!("the amount is {value}; allowed: 0 to {most}"));
    }
    Scalar::from_f64(value).ok_or_else(|| format!("the amount is {value}; allowed: 0 to {most}"))
}

/// The guarantees of a valid quota; those of nothing are none.
pub fn guarantees(config: &QuotaConfig) -> Quantities {
    let amounts = config.guarantees.iter();
    amounts
        .filter_map(|(name, amount)| Some((name.as_str(), Scalar::from_f64(amount.value)?)))
        .filter(|(_, amount)| *amount > Scalar::default())
        .collect()
}

/// The limits of a valid quota.
pub fn limits(config: &QuotaConfig) -> BTreeMap<String, Scalar> {
    let amounts = config.limits.iter();
    amounts
        .filter_map(|(name, amount)| Some((name.clone(), Scalar::from_f64(amount.value)?)))
        .collect()
}

/// `cpus:4; mem:4096`, as Mesos prints amounts.
pub fn text(amounts: &Quantities) -> String {
    let parts: Vec<String> = amounts
        .iter()
        .map(|(name, amount)| format!("{name}:{amount}"))
        .collect();
    parts.join("; ")
}

/// Checks all quotas together: what is promised below a role must fit into what is promised to it and
/// what it may have, if it has a quota of its own.
///
/// # Errors
/// The first role whose sub-roles are promised too much.
pub fn validate_tree(quotas: &BTreeMap<String, QuotaConfig>) -> Validity {
    let needed = needed(quotas);
    for (role, config) in quotas {
        let below: Quantities = sum_below(role, &needed);
        let own = guarantees(config);
        require(own.contains(&below), || {
            format!(
                "the guarantees '{}' of role '{role}' do not contain the sum '{}' of those of its sub-roles",
                text(&own),
                text(&below)
            )
        })?;
        let limits = limits(config);
        if let Some((name, amount)) = below
            .iter()
            .find(|(name, amount)| limits.get(*name).is_some_and(|limit| amount > limit))
        {
            return Err(Invalid(format!(
                "the sub-roles of role '{role}' are guaranteed {amount} {name}, and its limit is {}",
                limits.get(name).copied().unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// What all quotas together promise.
pub fn promised(quotas: &BTreeMap<String, QuotaConfig>) -> Quantities {
    let mut sum = Quantities::default();
    for (role, amount) in needed(quotas) {
        if !role.contains('/') {
            sum.add_all(&amount);
        }
    }
    sum
}

/// By role with or above a quota: what it is promised, or where it has no quota, what its sub-roles are.
fn needed(quotas: &BTreeMap<String, QuotaConfig>) -> BTreeMap<&str, Quantities> {
    let mut roles: Vec<&str> = Vec::new();
    for role in quotas.keys() {
        let mut above = Some(role.as_str());
        while let Some(role) = above {
            roles.push(role);
            above = role.rsplit_once('/').map(|(above, _)| above);
        }
    }
    // The deepest first.
    roles.sort_unstable_by_key(|role| (std::cmp::Reverse(role.matches('/').count()), *role));
    roles.dedup();
    let mut needed: BTreeMap<&str, Quantities> = BTreeMap::new();
    let mut below: BTreeMap<&str, Quantities> = BTreeMap::new();
    for role in roles {
        let amount = match quotas.get(role) {
            Some(config) => guarantees(config),
            None => below.remove(role).unwrap_or_default(),
        };
        if let Some((above, _)) = role.rsplit_once('/') {
            below.entry(above).or_default().add_all(&amount);
        }
        needed.insert(role, amount);
    }
    needed
}

fn sum_below(role: &str, needed: &BTreeMap<&str, Quantities>) -> Quantities {
    let mut sum = Quantities::default();
    let children = needed.iter().filter(|(child, _)| {
        child
            .rsplit_once('/')
            .is_some_and(|(above, _)| above == role)
    });
    for (_, amount) in children {
        sum.add_all(amount);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::world::json;

    fn quota(role: &str, rest: &str) -> QuotaConfig {
        json(&format!(r#"{{"role":"{role}"{rest}}}"#))
    }

    #[test]
    fn a_quota_that_cannot_be_is_refused_with_what_is_wrong() {
        let cases = [
            (quota("", ""), "Invalid 'QuotaConfig.role': "),
            (
                quota("*", ""),
                "Invalid 'QuotaConfig.role': setting quota for the default",
            ),
            (quota("a/../b", ""), "Invalid 'QuotaConfig.role': "),
            (
                quota("a", r#","limits":{"cpus":{"value":-1}}"#),
                "Invalid limit configuration {'cpus': -1}: the amount is -1; allowed: 0 to",
            ),
            (
                quota("a", r#","guarantees":{"mem":{"value":2e12}}"#),
                "Invalid guarantee configuration {'mem': 2000000000000}",
            ),
            (
                quota(
                    "a",
                    r#","guarantees":{"cpus":{"value":2}},"limits":{"cpus":{"value":1}}"#,
                ),
                "'QuotaConfig.guarantees' 'cpus:2' is not contained within the 'QuotaConfig.limits' 'cpus:1'",
            ),
        ];
        for (config, expected) in cases {
            let found = validate_config(&config).expect_err("it is refused").0;
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn an_old_request_is_refused_with_what_is_wrong() {
        let cpus = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1}}"#;
        let cases = [
            ("{}".to_owned(), "QuotaInfo with invalid role: Role names cannot be the empty string"),
            (r#"{"role":"*"}"#.to_owned(), "QuotaInfo must not specify the default '*' role"),
            (r#"{"role":"a"}"#.to_owned(), "QuotaInfo with empty 'guarantee'"),
            (
                format!(r#"{{"role":"a","guarantee":[{cpus},{cpus}]}}"#),
                "QuotaInfo contains duplicate resource name 'cpus'",
            ),
            (
                r#"{"role":"a","guarantee":[{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}]}"#.to_owned(),
                "QuotaInfo must not include non-scalar resources",
            ),
            (
                r#"{"role":"a","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{}}]}"#.to_owned(),
                "QuotaInfo must not contain RevocableInfo",
            ),
            (
                r#"{"role":"a","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"role":"b"}]}"#.to_owned(),
                "QuotaInfo must not contain ReservationInfo",
            ),
        ];
        for (request, expected) in cases {
            let found = from_request(&json(&request)).expect_err("it is refused").0;
            assert_eq!(found, expected);
        }
    }

    fn tree(quotas: &[(&str, i64, Option<i64>)]) -> BTreeMap<String, QuotaConfig> {
        let amount = |value: i64| format!(r#"{{"cpus":{{"value":{value}}}}}"#);
        let all = quotas.iter().map(|(role, guarantee, limit)| {
            let mut rest = format!(r#","guarantees":{}"#, amount(*guarantee));
            if let Some(limit) = limit {
                rest += &format!(r#","limits":{}"#, amount(*limit));
            }
            ((*role).to_owned(), quota(role, &rest))
        });
        all.collect()
    }

    #[test]
    fn sub_roles_are_promised_no_more_than_what_is_above_them() {
        let fits = |quotas: &[(&str, i64, Option<i64>)]| validate_tree(&tree(quotas)).is_ok();
        assert!(fits(&[("a", 5, None), ("a/b", 2, None), ("a/c", 3, None)]));
        assert!(!fits(&[("a", 5, None), ("a/b", 2, None), ("a/c", 4, None)]));
        assert!(
            fits(&[("a/b", 2, None), ("a/c", 4, None)]),
            "nothing is set above"
        );
        assert!(!fits(&[
            ("a", 5, None),
            ("a/b/c", 3, None),
            ("a/b/d", 3, None)
        ]));
        assert!(!fits(&[("a", 0, Some(5)), ("a/b", 2, None)]));
        let all = tree(&[
            ("a", 5, None),
            ("a/b", 2, None),
            ("c/d", 1, None),
            ("c/e", 1, None),
        ]);
        assert_eq!(text(&promised(&all)), "cpus:7");
    }
}
