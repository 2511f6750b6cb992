//! Checks of values beyond their kind. Each error says what is allowed.

use std::{collections::BTreeMap, time::Duration};

use mesos_wire::{Encoding, v1};

use crate::value::Value;

type Checked = Result<(), String>;

fn holds(condition: bool, allowed: &str) -> Checked {
    if condition {
        Ok(())
    } else {
        Err(format!("expecting {allowed}"))
    }
}

pub(crate) fn port(value: &Value) -> Checked {
    holds(
        matches!(value, Value::Int(0..=65535)),
        "a port from 0 to 65535, where 0 takes a free one",
    )
}

pub(crate) fn not_negative(value: &Value) -> Checked {
    holds(
        matches!(value, Value::Int(0..=1_000_000_000)),
        "a number from 0 to 1000000000",
    )
}

pub(crate) fn at_least_one(value: &Value) -> Checked {
    holds(
        matches!(value, Value::Int(1..=1_000_000_000)),
        "a number from 1 to 1000000000",
    )
}

/// `N/DURATION`, as the least time between two.
pub(crate) fn parse_rate(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expecting NUMBER/DURATION, such as 1/10mins";
    let (permits, per) = text.split_once('/').ok_or(EXPECTED)?;
    let permits: u32 = permits.trim().parse().map_err(|_| EXPECTED)?;
    let per = mesos_types::units::parse_duration(per.trim()).map_err(|_| EXPECTED)?;
    if permits == 0 || per.is_zero() {
        return Err(format!("{EXPECTED}; neither may be zero"));
    }
    Ok(per / permits)
}

pub(crate) fn rate(value: &Value) -> Checked {
    parse_rate(&value.print()).map(|_| ())
}

pub(crate) fn fraction(value: &Value) -> Checked {
    holds(
        matches!(value, Value::Float(0.0..=1.0)),
        "a number from 0 to 1",
    )
}

fn duration(value: &Value, least: Duration, most: Duration, allowed: &str) -> Checked {
    holds(
        matches!(value, Value::Duration(duration) if (least..=most).contains(duration)),
        allowed,
    )
}

/// What ZooKeeper can count, and a client can keep.
pub(crate) fn session_timeout(value: &Value) -> Checked {
    duration(
        value,
        Duration::from_millis(100),
        Duration::from_secs(24 * 3600),
        "a duration from 100ms to 1days",
    )
}

/// An election, or a file that names one.
pub(crate) fn election(value: &Value) -> Checked {
    let source = value.print().parse::<mesos_detector::Source>();
    let target = source.and_then(|source| source.resolve());
    match target.map_err(|error| error.to_string())? {
        mesos_detector::Target::ZooKeeper(_) => Ok(()),
        mesos_detector::Target::Fixed(_) => Err(
            "expecting zk://HOST1:PORT1,HOST2:PORT2/PATH, or file:///PATH of a file that holds it"
                .to_owned(),
        ),
    }
}

pub(crate) fn positive(value: &Value) -> Checked {
    duration(
        value,
        Duration::from_nanos(1),
        Duration::MAX,
        "a duration above zero",
    )
}

pub(crate) fn at_most_a_minute(value: &Value) -> Checked {
    duration(
        value,
        Duration::ZERO,
        Duration::from_secs(60),
        "at most 1mins",
    )
}

pub(crate) fn at_most_15_seconds(value: &Value) -> Checked {
    duration(
        value,
        Duration::ZERO,
        Duration::from_secs(15),
        "at most 15secs",
    )
}

pub(crate) fn ping(value: &Value) -> Checked {
    duration(
        value,
        Duration::from_secs(1),
        Duration::from_secs(900),
        "a duration from 1secs to 15mins",
    )
}

pub(crate) fn at_least_ten_minutes(value: &Value) -> Checked {
    duration(
        value,
        Duration::from_secs(600),
        Duration::MAX,
        "at least 10mins",
    )
}

pub(crate) fn must_be_false(value: &Value) -> Checked {
    holds(*value == Value::Bool(false), "false, as Mesos does")
}

pub(crate) fn absolute(value: &Value) -> Checked {
    holds(
        matches!(value, Value::Text(path) if path.starts_with('/')),
        "an absolute path",
    )
}

/// A path, or Docker's notation of a unix socket.
pub(crate) fn socket(value: &Value) -> Checked {
    let path = |text: &str| {
        text.strip_prefix("unix://")
            .unwrap_or(text)
            .starts_with('/')
    };
    holds(
        matches!(value, Value::Text(text) if path(text)),
        "the absolute path of a unix socket",
    )
}

pub(crate) fn cgroup(value: &Value) -> Checked {
    let allowed = "the name of a cgroup, such as mesos or mesos/one, without '..'";
    let Value::Text(name) = value else {
        return holds(false, allowed);
    };
    let plain = name
        .split('/')
        .filter(|part| !part.is_empty())
        .all(|part| part != "." && part != "..");
    holds(
        plain && name.split('/').any(|part| !part.is_empty()),
        allowed,
    )
}

pub(crate) fn role(value: &Value) -> Checked {
    match value {
        Value::Text(role) => mesos_types::validate_role(role).map_err(|error| error.to_string()),
        _ => holds(false, "a role"),
    }
}

pub(crate) fn roles(value: &Value) -> Checked {
    let Value::List(roles) = value else {
        return holds(false, "roles separated by commas");
    };
    roles
        .iter()
        .try_for_each(|role| mesos_types::validate_role(role).map_err(|error| error.to_string()))
}

pub(crate) fn containerizers(value: &Value) -> Checked {
    let Value::List(names) = value else {
        return holds(false, "names separated by commas");
    };
    if let Some(name) = names
        .iter()
        .find(|name| !["mesos", "docker"].contains(&name.as_str()))
    {
        return Err(format!(
            "there is no containerizer '{name}'; expecting mesos, docker or both, separated by a comma"
        ));
    }
    holds(!names.is_empty(), "at least one of mesos, docker")
}

/// `--weights=role=weight,...`
pub(crate) fn parse_weights(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let mut weights = BTreeMap::new();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (role, weight) = pair.rsplit_once('=').ok_or_else(|| {
            format!("'{pair}' is not ROLE=WEIGHT; expecting such as dev=2,prod=5")
        })?;
        mesos_types::validate_role(role).map_err(|error| error.to_string())?;
        let weight: f64 = weight
            .parse()
            .ok()
            .filter(|weight: &f64| weight.is_finite() && *weight > 0.0)
            .ok_or_else(|| {
                format!("the weight '{weight}' of role {role} is not a number above 0")
            })?;
        if weights.insert(role.to_owned(), weight).is_some() {
            return Err(format!("role {role} has two weights"));
        }
    }
    Ok(weights)
}

pub(crate) fn weights(value: &Value) -> Checked {
    match value {
        Value::Text(text) => parse_weights(text).map(drop),
        _ => holds(false, "weights"),
    }
}

/// `cpus:0.01|mem:32;disk:1`: an offer must hold all amounts of one alternative.
pub(crate) fn parse_allocatable(text: &str) -> Result<Vec<BTreeMap<String, f64>>, String> {
    let mut alternatives = Vec::new();
    for alternative in text
        .split('|')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let mut amounts = BTreeMap::new();
        for pair in alternative
            .split(';')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let parsed = pair.split_once(':').and_then(|(name, amount)| {
                let amount: f64 = amount.trim().parse().ok()?;
                (!name.trim().is_empty() && amount.is_finite() && amount >= 0.0)
                    .then(|| (name.trim().to_owned(), amount))
            });
            let (name, amount) = parsed.ok_or_else(|| {
                format!("'{pair}' is not NAME:AMOUNT; expecting such as cpus:0.01|mem:32")
            })?;
            if amounts.insert(name.clone(), amount).is_some() {
                return Err(format!("'{alternative}' names {name} twice"));
            }
        }
        alternatives.push(amounts);
    }
    Ok(alternatives)
}

pub(crate) fn allocatable(value: &Value) -> Checked {
    match value {
        Value::Text(text) => parse_allocatable(text).map(drop),
        _ => holds(false, "amounts of resources"),
    }
}

/// Reads JSON as a v1 message.
pub(crate) fn message<M: mesos_wire::WireMessage>(value: &Value) -> Result<M, String> {
    match value {
        Value::Json(json) => mesos_wire::decode(Encoding::Json, json.to_string().as_bytes())
            .map_err(|error| error.to_string()),
        _ => Err("expecting JSON".to_owned()),
    }
}

pub(crate) fn domain(value: &Value) -> Checked {
    let domain: v1::DomainInfo = message(value)?;
    holds(
        domain.fault_domain.is_some(),
        "a fault_domain with region and zone",
    )
}

pub(crate) fn container_info(value: &Value) -> Checked {
    message::<v1::ContainerInfo>(value).map(drop)
}

pub(crate) fn parse_environment(
    json: &serde_json::Value,
) -> Result<BTreeMap<String, String>, String> {
    let expecting = || "expecting a JSON object of texts, such as {\"NAME\":\"value\"}".to_owned();
    let object = json.as_object().ok_or_else(expecting)?;
    object
        .iter()
        .map(|(name, value)| {
            Ok((
                name.clone(),
                value.as_str().ok_or_else(expecting)?.to_owned(),
            ))
        })
        .collect()
}

pub(crate) fn environment(value: &Value) -> Checked {
    match value {
        Value::Json(json) => parse_environment(json).map(drop),
        _ => holds(false, "JSON"),
    }
}

/// The paths of `{"disabled_endpoints":{"paths":[...]}}`. Another rule is an error: it would not be enforced.
pub(crate) fn parse_firewall(json: &serde_json::Value) -> Result<Vec<String>, String> {
    let expecting =
        || "expecting {\"disabled_endpoints\":{\"paths\":[\"/files/browse\"]}}".to_owned();
    let object = json.as_object().ok_or_else(expecting)?;
    if let Some(other) = object.keys().find(|key| *key != "disabled_endpoints") {
        return Err(format!("there is no rule '{other}'; {}", expecting()));
    }
    let Some(rule) = object.get("disabled_endpoints") else {
        return Ok(Vec::new());
    };
    let paths = rule
        .get("paths")
        .and_then(serde_json::Value::as_array)
        .ok_or_else(expecting)?;
    paths
        .iter()
        .map(|path| {
            path.as_str()
                .filter(|path| path.starts_with('/'))
                .map(str::to_owned)
                .ok_or_else(|| {
                    format!(
                        "{path} is not a path that starts with a slash; {}",
                        expecting()
                    )
                })
        })
        .collect()
}

pub(crate) fn firewall(value: &Value) -> Checked {
    match value {
        Value::Json(json) => parse_firewall(json).map(drop),
        _ => holds(false, "JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_least_time_between_two() {
        assert_eq!(parse_rate("1/10mins"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_rate("2/1mins"), Ok(Duration::from_secs(30)));
        for wrong in ["", "1", "1/", "/1mins", "x/1mins", "-1/1mins", "1/soon"] {
            assert!(
                parse_rate(wrong).unwrap_err().starts_with("expecting"),
                "{wrong}"
            );
        }
        for zero in ["0/1mins", "1/0secs"] {
            assert!(parse_rate(zero).unwrap_err().contains("zero"), "{zero}");
        }
    }

    #[test]
    fn amounts_and_weights_are_read() {
        let amounts = parse_allocatable("cpus:0.01|mem:32;disk:1").unwrap();
        assert_eq!(amounts.len(), 2);
        assert_eq!(amounts[1]["disk"], 1.0);
        assert!(parse_allocatable("").unwrap().is_empty());
        assert_eq!(parse_weights("dev=2, a/b=0.5").unwrap()["a/b"], 0.5);
        for bad in ["dev", "dev=0", "dev=-1", "dev=NaN", "dev=1,dev=2", "../x=1"] {
            assert!(parse_weights(bad).is_err(), "{bad}");
        }
        for bad in ["cpus", "cpus:x", ":1", "cpus:-1", "cpus:1;cpus:2"] {
            assert!(parse_allocatable(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_firewall_rule_that_is_not_known_is_an_error() {
        let parse = |text: &str| parse_firewall(&serde_json::from_str(text).unwrap());
        assert_eq!(
            parse("{\"disabled_endpoints\":{\"paths\":[\"/x\"]}}").unwrap(),
            ["/x"]
        );
        for bad in [
            "[]",
            "{\"rules\":1}",
            "{\"disabled_endpoints\":{}}",
            "{\"disabled_endpoints\":{\"paths\":[\"x\"]}}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cgroup_names_stay_below_the_hierarchy() {
        for (name, good) in [
            ("mesos", true),
            ("a/b", true),
            ("/a", true),
            ("", false),
            ("..", false),
            ("a/../b", false),
            ("/", false),
        ] {
            assert_eq!(
                cgroup(&Value::Text(name.to_owned())).is_ok(),
                good,
                "{name}"
            );
        }
    }
}
