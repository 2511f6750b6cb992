//! Offer constraints: which agents a framework wants to be offered, by role.
use std::{borrow::Cow, collections::BTreeMap};

use mesos_wire::v1::{
    AgentInfo, Attribute,
    scheduler::{
        AttributeConstraint, OfferConstraints,
        attribute_constraint::{
            predicate::Predicate as WirePredicate,
            selector::{PseudoattributeType, Selector as WireSelector},
        },
    },
    value,
};
use regex::{Regex, RegexBuilder};

use crate::validation::{Invalid, require};

/// Largest compiled expression, in bytes.
const REGEX_BYTES: usize = 1 << 16;
/// Most constraints of one framework.
const CONSTRAINTS: usize = 10_000;

/// The constraints of a framework, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Constraints(BTreeMap<String, Vec<Group>>);

/// All of them must hold.
type Group = Vec<Constraint>;

#[derive(Debug, Clone)]
struct Constraint {
    selector: Selector,
    predicate: Predicate,
}

#[derive(Debug, Clone)]
enum Selector {
    Attribute(String),
    Hostname,
    Region,
    Zone,
}

#[derive(Debug, Clone)]
enum Predicate {
    Exists,
    NotExists,
    Equals(String),
    NotEquals(String),
    Matches(Regex),
    NotMatches(Regex),
}

/// What a selector finds on an agent.
enum Found<'a> {
    Nothing,
    Text(Cow<'a, str>),
    /// An attribute that is no text: predicates about text say nothing about it.
    Other,
}

impl Constraints {
    /// Reads constraints.
    ///
    /// # Errors
    /// A role without groups, an empty group, a part that is missing, an expression that does not compile
    /// or is too large.
    pub fn compile(wire: &OfferConstraints) -> Result<Self, Invalid> {
        let mut count = 0;
        let mut roles = BTreeMap::new();
        for (role, of_role) in &wire.role_constraints {
            require(!of_role.groups.is_empty(), || {
                format!("Offer constraints for role '{role}' have no groups")
            })?;
            let mut groups = Vec::new();
            for group in &of_role.groups {
                require(!group.attribute_constraints.is_empty(), || {
                    format!("A group of the offer constraints for role '{role}' is empty")
                })?;
                count += group.attribute_constraints.len();
                require(count <= CONSTRAINTS, || {
                    format!("More than {CONSTRAINTS} offer constraints")
                })?;
                groups.push(
                    group
                        .attribute_constraints
                        .iter()
                        .map(Constraint::compile)
                        .collect::<Result<_, _>>()?,
                );
            }
            roles.insert(role.clone(), groups);
        }
        Ok(Self(roles))
    }

    /// Whether the agent may be offered to the framework in this role. A role without constraints takes any.
    pub fn allow(&self, role: &str, agent: &AgentInfo) -> bool {
        self.0.get(role).is_none_or(|groups| {
            groups
                .iter()
                .any(|group| group.iter().all(|constraint| constraint.holds(agent)))
        })
    }
}

impl Constraint {
    fn compile(wire: &AttributeConstraint) -> Result<Self, Invalid> {
        let selector = match &wire.selector.selector {
            None => return Err(Invalid::new("An attribute constraint has no selector")),
            Some(WireSelector::AttributeName(name)) => Selector::Attribute(name.clone()),
            Some(WireSelector::PseudoattributeType(kind)) => {
                match PseudoattributeType::try_from(*kind) {
                    Ok(PseudoattributeType::Hostname) => Selector::Hostname,
                    Ok(PseudoattributeType::Region) => Selector::Region,
                    Ok(PseudoattributeType::Zone) => Selector::Zone,
                    Ok(PseudoattributeType::Unknown) | Err(_) => {
                        return Err(Invalid::new(
                            "An attribute constraint has an unknown pseudoattribute",
                        ));
                    }
                }
            }
        };
        let predicate = match &wire.predicate.predicate {
            None => return Err(Invalid::new("An attribute constraint has no predicate")),
            Some(WirePredicate::Exists(_)) => Predicate::Exists,
            Some(WirePredicate::NotExists(_)) => Predicate::NotExists,
            Some(WirePredicate::TextEquals(text)) => Predicate::Equals(text.value.clone()),
            Some(WirePredicate::TextNotEquals(text)) => Predicate::NotEquals(text.value.clone()),
            Some(WirePredicate::TextMatches(text)) => Predicate::Matches(regex(&text.regex)?),
            Some(WirePredicate::TextNotMatches(text)) => Predicate::NotMatches(regex(&text.regex)?),
        };
        Ok(Self {
            selector,
            predicate,
        })
    }

    fn holds(&self, agent: &AgentInfo) -> bool {
        let found = self.selector.find(agent);
        match (&self.predicate, &found) {
            (Predicate::Exists, found) => !matches!(found, Found::Nothing),
            (Predicate::NotExists, found) => matches!(found, Found::Nothing),
            (_, Found::Other) => true,
            (Predicate::Equals(_) | Predicate::Matches(_), Found::Nothing) => false,
            (Predicate::NotEquals(_) | Predicate::NotMatches(_), Found::Nothing) => true,
            (Predicate::Equals(wanted), Found::Text(text)) => text == wanted,
            (Predicate::NotEquals(unwanted), Found::Text(text)) => text != unwanted,
            (Predicate::Matches(wanted), Found::Text(text)) => wanted.is_match(text),
            (Predicate::NotMatches(unwanted), Found::Text(text)) => !unwanted.is_match(text),
        }
    }
}

impl Selector {
    fn find<'a>(&self, agent: &'a AgentInfo) -> Found<'a> {
        let domain = agent
            .domain
            .as_ref()
            .and_then(|domain| domain.fault_domain.as_ref());
        let text =
            |text: Option<&'a str>| text.map_or(Found::Nothing, |text| Found::Text(text.into()));
        match self {
            Self::Hostname => text(Some(&agent.hostname)),
            Self::Region => text(domain.map(|domain| domain.region.name.as_str())),
            Self::Zone => text(domain.map(|domain| domain.zone.name.as_str())),
            Self::Attribute(name) => {
                let named = |attribute: &&Attribute| attribute.name == *name;
                match agent.attributes.iter().find(named) {
                    None => Found::Nothing,
                    Some(attribute) if attribute.r#type() == value::Type::Text => {
                        text(attribute.text.as_ref().map(|text| text.value.as_str()))
                    }
                    Some(_) => Found::Other,
                }
            }
        }
    }
}

/// The whole text must match, as with RE2's `FullMatch`.
fn regex(pattern: &str) -> Result<Regex, Invalid> {
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build();
    // Alone first: with the anchors around it, an unbalanced one might become whole.
    build(pattern)
        .and_then(|_| build(&format!("^(?:{pattern})$")))
        .map_err(|error| {
            Invalid(format!(
                "The regular expression '{pattern}' of an offer constraint: {error}"
            ))
        })
}

#[cfg(test)]
mod tests {
    use mesos_wire::{Encoding, decode};

    use super::*;

    fn agent() -> AgentInfo {
        let json = br#"{"hostname":"node7.example","attributes":[
            {"name":"rack","type":"TEXT","text":{"value":"r1"}},
            {"name":"rack","type":"TEXT","text":{"value":"r2"}},
            {"name":"num","type":"SCALAR","scalar":{"value":3}}],
            "domain":{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}}"#;
        decode(Encoding::Json, json).unwrap()
    }

    fn compile(groups: &str) -> Result<Constraints, Invalid> {
        let json = format!(r#"{{"role_constraints":{{"dev":{{"groups":{groups}}}}}}}"#);
        Constraints::compile(&decode(Encoding::Json, json.as_bytes()).unwrap())
    }

    #[test]
    fn constraints_follow_mesos() {
        let rack = r#"{"attribute_name":"rack"}"#;
        let num = r#"{"attribute_name":"num"}"#;
        let none = r#"{"attribute_name":"none"}"#;
        let host = r#"{"pseudoattribute_type":"HOSTNAME"}"#;
        let region = r#"{"pseudoattribute_type":"REGION"}"#;
        let zone = r#"{"pseudoattribute_type":"ZONE"}"#;
        for (selector, predicate, allowed) in [
            (rack, r#"{"exists":{}}"#, true),
            (none, r#"{"exists":{}}"#, false),
            (rack, r#"{"not_exists":{}}"#, false),
            (none, r#"{"not_exists":{}}"#, true),
            // The first of that name counts.
            (rack, r#"{"text_equals":{"value":"r1"}}"#, true),
            (rack, r#"{"text_equals":{"value":"r2"}}"#, false),
            (rack, r#"{"text_not_equals":{"value":"r1"}}"#, false),
            (none, r#"{"text_equals":{"value":"x"}}"#, false),
            (none, r#"{"text_not_equals":{"value":"x"}}"#, true),
            (num, r#"{"text_equals":{"value":"x"}}"#, true),
            (num, r#"{"text_not_matches":{"regex":".*"}}"#, true),
            (host, r#"{"text_matches":{"regex":"node[0-9]+"}}"#, false),
            (
                host,
                r#"{"text_matches":{"regex":"node[0-9]+[.]example"}}"#,
                true,
            ),
            (
                host,
                r#"{"text_not_matches":{"regex":"a|node7.example"}}"#,
                false,
            ),
            (region, r#"{"text_equals":{"value":"eu"}}"#, true),
            (zone, r#"{"text_equals":{"value":"b"}}"#, false),
        ] {
            let group = format!(
                r#"[{{"attribute_constraints":[{{"selector":{selector},"predicate":{predicate}}}]}}]"#
            );
            let constraints = compile(&group).unwrap();
            assert_eq!(constraints.allow("dev", &agent()), allowed, "{group}");
            assert!(constraints.allow("other", &agent()));
        }
    }

    #[test]
    fn one_group_is_enough_and_all_of_it() {
        let one = |value: &str| {
            format!(
                r#"{{"selector":{{"attribute_name":"rack"}},"predicate":{{"text_equals":{{"value":"{value}"}}}}}}"#
            )
        };
        let group = |constraints: &[String]| {
            format!(r#"{{"attribute_constraints":[{}]}}"#, constraints.join(","))
        };
        let both = compile(&format!("[{}]", group(&[one("r1"), one("r2")]))).unwrap();
        assert!(!both.allow("dev", &agent()));
        let either = compile(&format!(
            "[{},{}]",
            group(&[one("r2")]),
            group(&[one("r1")])
        ))
        .unwrap();
        assert!(either.allow("dev", &agent()));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let matches = |regex: &str| {
            format!(
                r#"[{{"attribute_constraints":[{{"selector":{{"attribute_name":"a"}},
                    "predicate":{{"text_matches":{{"regex":"{regex}"}}}}}}]}}]"#
            )
        };
        for bad in [
            "[]".to_owned(),
            "[{}]".to_owned(),
            r#"[{"attribute_constraints":[{"selector":{},"predicate":{"exists":{}}}]}]"#.to_owned(),
            r#"[{"attribute_constraints":[{"selector":{"attribute_name":"a"},"predicate":{}}]}]"#.to_owned(),
            r#"[{"attribute_constraints":[{"selector":{"pseudoattribute_type":"UNKNOWN"},"predicate":{"exists":{}}}]}]"#
                .to_owned(),
            matches("("),
            matches("a)|(?:b"),
            matches("(((a{100}){100}){100})"),
        ] {
            assert!(compile(&bad).is_err(), "{bad}");
        }
        assert!(compile(&matches("a+")).is_ok());
    }
}
