//! `--resources`: text such as `cpus:4;mem(prod):1024;ports:[31000-32000]`, or a JSON array.

use std::collections::{BTreeMap, BTreeSet};

use mesos_wire::v1::{
    self,
    resource::{ReservationInfo, reservation_info},
};

use super::{Resource, ResourceError, Resources, Scalar, Value};
use crate::validate_role;

/// Reads resources as a flag gives them; what names no role is reserved for `default_role`
/// unless that is `*`.
///
/// # Errors
/// The first part that cannot be. Also what an agent cannot have from a flag: persistent volumes,
/// revocable resources, dynamic reservations, one name with two types.
pub fn parse_resources(text: &str, default_role: &str) -> Result<Resources, ResourceError> {
    let parts = if text.trim_start().starts_with('[') {
        parse_json(text)?
    } else {
        text.split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(parse_part)
            .collect::<Result<_, _>>()?
    };
    let mut kinds = BTreeMap::new();
    let mut all = Resources::default();
    for part in parts {
        let refuse = |problem: &str| ResourceError {
            resource: part.name.to_string(),
            problem: problem.to_owned(),
        };
        let kind = std::mem::discriminant(&part.value);
        if *kinds.entry(part.name.clone()).or_insert(kind) != kind {
            return Err(refuse("it is given with two types"));
        }
        if part.is_persistent_volume() {
            return Err(refuse("a persistent volume cannot be given by a flag"));
        }
        if part.meta.revocable {
            return Err(refuse("a revocable resource cannot be given by a flag"));
        }
        if part.is_dynamically_reserved() {
            return Err(refuse("a dynamic reservation cannot be given by a flag"));
        }
        let reserved = !part.meta.reservations.is_empty() || default_role == "*";
        all.add(if reserved {
            part
        } else {
            part.with_meta(|m| m.reservations = vec![static_for(default_role)])
        });
    }
    Ok(all)
}

fn static_for(role: &str) -> ReservationInfo {
    ReservationInfo {
        r#type: Some(reservation_info::Type::Static.into()),
        role: Some(role.to_owned()),
        ..Default::default()
    }
}

fn parse_json(text: &str) -> Result<Vec<Resource>, ResourceError> {
    let refuse = |problem: String| ResourceError {
        resource: "(JSON)".to_owned(),
        problem,
    };
    let values: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
    values
        .into_iter()
        .map(|value| {
            let wire: v1::Resource =
                mesos_wire::json::from_value(value).map_err(|e| refuse(e.to_string()))?;
            Resource::from_wire(&wire)
        })
        .collect()
}

fn parse_part(part: &str) -> Result<Resource, ResourceError> {
    let refuse = |problem: String| ResourceError {
        resource: part.to_owned(),
        problem,
    };
    let (name, value) = part
        .split_once(':')
        .filter(|(_, value)| !value.contains(':'))
        .ok_or_else(|| refuse("allowed: NAME:VALUE or NAME(ROLE):VALUE".to_owned()))?;
    let name = name.trim();
    let (name, role) = match name.split_once('(') {
        None => (name, None),
        Some((name, rest)) => {
            let role = rest
                .strip_suffix(')')
                .ok_or_else(|| refuse("the parenthesis after the name is not closed".to_owned()))?;
            (name.trim(), Some(role.trim()))
        }
    };
    if name.is_empty() {
        return Err(refuse("the name is empty".to_owned()));
    }
    let value = parse_value(name, value).map_err(refuse)?;
    let mut resource = Resource::new(name, value);
    if let Some(role) = role.filter(|role| *role != "*") {
        validate_role(role).map_err(|e| refuse(e.to_string()))?;
        resource = resource.with_meta(|meta| meta.reservations = vec![static_for(role)]);
    }
    Ok(resource)
}

fn parse_value(name: &str, text: &str) -> Result<Value, String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if text.starts_with('[') {
        return text
            .parse()
            .map(Value::Ranges)
            .map_err(|e: super::ranges::RangesError| e.to_string());
    }
    if let Some(inner) = text.strip_prefix('{') {
        let inner = inner.strip_suffix('}').ok_or("the brace is not closed")?;
        let items: Vec<&str> = inner.split(',').filter(|item| !item.is_empty()).collect();
        let distinct: BTreeSet<String> = items.iter().map(|item| (*item).to_owned()).collect();
        if distinct.len() < items.len() {
            return Err(format!("an item stands twice in {{{inner}}}"));
        }
        return Ok(Value::Set(distinct));
    }
    let allowed = "allowed: a number not below 0, [BEGIN-END,...] or {ITEM,...}";
    let numeric = text
        .chars()
        .all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    let amount: f64 = text
        .parse()
        .ok()
        .filter(|_| numeric)
        .ok_or_else(|| format!("`{text}`: {allowed}"))?;
    let scalar = Scalar::from_f64(amount).filter(|_| amount >= 0.0);
    let scalar = scalar.ok_or_else(|| format!("`{text}`: {allowed}"))?;
    if amount > 0.0 && scalar == Scalar::ZERO {
        return Err(format!("`{text}` is nothing at a precision of 0.001"));
    }
    if name == "gpus" && scalar.thousandths() % 1000 != 0 {
        return Err(format!("`{text}`: gpus must be whole"));
    }
    Ok(Value::Scalar(scalar))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_say_the_same() {
        let text = "cpus:4; mem(eng/web):1024.5;ports:[31000-31004, 31005-32000];zones:{b,a};";
        let json = r#"[
            {"name":"cpus","type":"SCALAR","scalar":{"value":4}},
            {"name":"mem","type":"SCALAR","scalar":{"value":1024.5},
             "reservations":[{"type":"STATIC","role":"eng/web"}]},
            {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]}},
            {"name":"zones","type":"SET","set":{"item":["a","b"]}}]"#;
        let parsed = parse_resources(text, "*").unwrap();
        assert_eq!(parsed, parse_resources(json, "*").unwrap());
        assert_eq!(
            parsed.to_string(),
            "cpus:4; mem(reservations: [(STATIC,eng/web)]):1024.5; ports:[31000-32000]; zones:{a, b}"
        );
    }

    #[test]
    fn what_names_no_role_goes_to_the_default_role() {
        let parsed = parse_resources("cpus:1;mem(*):2;disk(ops):3", "eng").unwrap();
        assert_eq!(
            parsed.reserved_for("eng").names(),
            BTreeSet::from(["cpus", "mem"])
        );
        assert_eq!(parsed.reserved_for("ops").names(), BTreeSet::from(["disk"]));
    }

    #[test]
    fn nothing_of_something_is_nothing() {
        assert!(
            parse_resources("cpus:0;ports:[];zones:{}", "*")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (text, part) in [
            ("cpus", "`cpus`"),
            ("cpus:1:2", "`cpus:1:2`"),
            ("mem:1;cpus:-1", "`-1`"),
            ("cpus:nan", "`nan`"),
            ("cpus:inf", "`inf`"),
            ("cpus:1e300", "`1e300`"),
            ("cpus:0.0004", "0.001"),
            ("gpus:1.5", "whole"),
            ("cpus(eng:1", "parenthesis"),
            ("cpus(a//b):1", "a//b"),
            (":1", "name is empty"),
            ("ports:[5-1]", "[5-1]"),
            ("zones:{a,a}", "twice"),
            ("cpus:1;cpus:[1-2]", "two types"),
            ("[{\"name\":\"cpus\"}]", "type"),
            ("[1]", "(JSON)"),
            ("[", "(JSON)"),
        ] {
            let error = parse_resources(text, "*").unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_agent_cannot_have_everything_from_a_flag() {
        let dynamic = r#""reservations":[{"type":"DYNAMIC","role":"a"}]"#;
        let volume =
            r#""reservations":[{"type":"STATIC","role":"a"}],"disk":{"persistence":{"id":"v"}}"#;
        for (more, part) in [
            (r#""revocable":{}"#, "revocable"),
            (dynamic, "dynamic"),
            (volume, "persistent"),
            (r#""shared":{}"#, "shared"),
        ] {
            let text =
                format!(r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":1}},{more}}}]"#);
            let error = parse_resources(&text, "*").unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
