//! Resources and attributes as the older endpoints show them: one object, whoever they belong to.
use std::{borrow::Cow, collections::BTreeSet};

use mesos_types::{Ranges, Resource, Resources, Scalar, Value};
use mesos_wire::v1::{self, Attribute, value};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::json::{Wire, list};

/// Always shown, in this order, also when there is none of it.
const STANDARD: [&str; 4] = ["disk", "mem", "gpus", "cpus"];

/// `{"disk":0.0,"mem":32.0,"gpus":0.0,"cpus":0.1,"ports":"[31000-31001]"}`; what is revocable stands as
/// `NAME_revocable`.
pub(crate) struct ResourcesJson<'a>(pub(crate) &'a Resources);

enum Sum<'a> {
    Scalar(Scalar),
    Ranges(Cow<'a, Ranges>),
    Set(BTreeSet<&'a str>),
}

impl<'a> Sum<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Scalar(amount) => Self::Scalar(*amount),
            Value::Ranges(ranges) => Self::Ranges(Cow::Borrowed(ranges)),
            Value::Set(items) => Self::Set(items.iter().map(String::as_str).collect()),
        }
    }

    /// Values of two kinds under one name do not add up; the first one stands.
    fn add(&mut self, value: &'a Value) {
        match (self, value) {
            (Self::Scalar(sum), Value::Scalar(amount)) => *sum += *amount,
            (Self::Ranges(sum), Value::Ranges(ranges)) => *sum = Cow::Owned(sum.union(ranges)),
            (Self::Set(sum), Value::Set(items)) => sum.extend(items.iter().map(String::as_str)),
            _ => {}
        }
    }
}

impl Serialize for ResourcesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut standard = [Scalar::ZERO; STANDARD.len()];
        let mut others: Vec<(&Resource, Sum<'_>)> = Vec::new();
        // A shared volume is there once, however many use it.
        for resource in self.0.distinct() {
            let standing = STANDARD.iter().position(|name| **name == *resource.name);
            match (standing, &resource.value) {
                (Some(index), Value::Scalar(amount)) if !resource.meta.revocable => {
                    standard[index] += *amount;
                }
                (_, value) => {
                    let known = others.iter_mut().find(|(other, _)| {
                        other.name == resource.name
                            && other.meta.revocable == resource.meta.revocable
                    });
                    match known {
                        Some((_, sum)) => sum.add(value),
                        None => others.push((resource, Sum::of(value))),
                    }
                }
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, amount) in STANDARD.iter().zip(standard) {
            map.serialize_entry(name, &amount.as_f64())?;
        }
        for (resource, sum) in &others {
            if resource.meta.revocable {
                map.serialize_key(&format_args!("{}_revocable", resource.name))?;
            } else {
                map.serialize_key(&*resource.name)?;
            }
            match sum {
                Sum::Scalar(amount) => map.serialize_value(&amount.as_f64())?,
                Sum::Ranges(ranges) => map.serialize_value(&format_args!("{ranges}"))?,
                Sum::Set(items) => map.serialize_value(&set(items.iter().copied()))?,
            }
        }
        map.end()
    }
}

fn set<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("{{{}}}", items.collect::<Vec<_>>().join(", "))
}

/// `{"rack":"r1","num":3.0}`.
pub(crate) struct AttributesJson<'a>(pub(crate) &'a [Attribute]);

impl Serialize for AttributesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, attribute) in self.0.iter().enumerate() {
            // The last one of a name counts: an object has each name once.
            if self.0[index + 1..]
                .iter()
                .any(|later| later.name == attribute.name)
            {
                continue;
            }
            map.serialize_key(&attribute.name)?;
            match attribute.r#type() {
                value::Type::Scalar => {
                    let amount = attribute.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
                    map.serialize_value(&amount)?;
                }
                value::Type::Ranges => {
                    let wire = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
                    let ranges = Ranges::new(wire.map(|range| mesos_types::Range {
                        begin: range.begin,
                        end: range.end,
                    }));
                    map.serialize_value(&format_args!("{ranges}"))?;
                }
                value::Type::Set => {
                    let items = attribute.set.iter().flat_map(|set| &set.item);
                    map.serialize_value(&set(items.map(String::as_str)))?;
                }
                value::Type::Text => {
                    let text = attribute
                        .text
                        .as_ref()
                        .map_or("", |text| text.value.as_str());
                    map.serialize_value(text)?;
                }
            }
        }
        map.end()
    }
}

/// The resources one by one, as `/slaves` adds them: `[{"name":"cpus","type":"SCALAR",...}]`.
pub(crate) struct FullJson<'a>(pub(crate) &'a Resources);

impl Serialize for FullJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let each = self.0.distinct();
        let wire: Vec<v1::Resource> = each
            .map(|resource| resource.to_wire(mesos_types::Format::Endpoint))
            .collect();
        list(wire.iter().map(Wire)).serialize(serializer)
    }
}

/// Amounts by name for `/roles`: scalars, and how many ranges and sets hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Amounts(std::collections::BTreeMap<String, i128>);

impl Amounts {
    /// Adds everything in `resources`, whoever it belongs to.
    pub(crate) fn add(&mut self, resources: &Resources) {
        for resource in resources.distinct() {
            let thousandths = match &resource.value {
                Value::Scalar(amount) => i128::from(amount.thousandths()),
                Value::Ranges(ranges) => i128::from(ranges.count()) * 1000,
                Value::Set(items) => items.len() as i128 * 1000,
            };
            if thousandths > 0 {
                *self.0.entry(resource.name.to_string()).or_default() += thousandths;
            }
        }
    }

    /// Adds amounts to amounts.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    /// Names and amounts, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        #[allow(clippy::cast_precision_loss, reason = "doubles are the format")]
        self.0
            .iter()
            .map(|(name, amount)| (name.as_str(), *amount as f64 / 1000.0))
    }
}

impl Serialize for Amounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let resources = mesos_types::parse_resources(text, "*").unwrap();
        serde_json::to_string(&ResourcesJson(&resources)).unwrap()
    }

    #[test]
    fn the_standard_ones_are_always_there() {
        assert_eq!(json(""), r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":0.0}"#);
        assert_eq!(
            json("cpus:1;cpus(dev):0.5;mem:32;ports:[31000-31004,31007-32000];zones:{b,a}"),
            r#"{"disk":0.0,"mem":32.0,"gpus":0.0,"cpus":1.5,"ports":"[31000-31004, 31007-32000]","zones":"{a, b}"}"#
        );
    }

    #[test]
    fn they_say_the_same_as_the_shared_form() {
        for text in [
            "cpus:0.1",
            "cpus:4;mem:4096;disk:1e4;ports:[1-2]",
            "gpus:2;x:{a};y:7;y(r):1",
        ] {
            let resources = mesos_types::parse_resources(text, "*").unwrap();
            let ours: serde_json::Value = serde_json::from_str(&json(text)).unwrap();
            assert_eq!(ours, mesos_types::resources_json(&resources), "{text}");
        }
    }

    #[test]
    fn attributes_keep_their_order_and_the_last_of_a_name_counts() {
        let parsed =
            mesos_types::parse_attributes("rack:r0;zone:z1;num:3;ports:[1-2];rack:r1").unwrap();
        assert_eq!(
            serde_json::to_string(&AttributesJson(&parsed)).unwrap(),
            r#"{"zone":"z1","num":3.0,"ports":"[1-2]","rack":"r1"}"#
        );
    }

    #[test]
    fn amounts_count_ports() {
        let mut amounts = Amounts::default();
        amounts.add(&mesos_types::parse_resources("cpus:0.5;ports:[31005-31006]", "*").unwrap());
        amounts.add(&mesos_types::parse_resources("cpus:0.25", "*").unwrap());
        assert_eq!(
            serde_json::to_string(&amounts).unwrap(),
            r#"{"cpus":0.75,"ports":2.0}"#
        );
    }
}
