//! Resources and attributes as the older endpoints show them: one object, whoever they belong to.

use std::collections::BTreeSet;

use mesos_types::{Format, Ranges, Resource, Resources, Scalar, Value};
use mesos_wire::v1::{Attribute, value};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::json::{List, Wire};

/// Always shown, in this order, also when there is none of it.
const STANDARD: [&str; 4] = ["disk", "mem", "gpus", "cpus"];

/// `{"disk":0.0,"mem":32.0,"gpus":0.0,"cpus":0.1,"ports":"[31000-31001]"}`; what is revocable stands as
/// `NAME_revocable`.
pub(super) struct ResourcesJson<'a>(pub(super) &'a Resources);

enum Sum<'a> {
    Scalar(Scalar),
    Ranges(Ranges),
    Set(BTreeSet<&'a str>),
}

impl<'a> Sum<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Scalar(amount) => Self::Scalar(*amount),
            Value::Ranges(ranges) => Self::Ranges(ranges.clone()),
            Value::Set(items) => Self::Set(items.iter().map(String::as_str).collect()),
        }
    }

    /// Values of two kinds under one name do not add up; the first one stands.
    fn add(&mut self, value: &'a Value) {
        match (self, value) {
            (Self::Scalar(sum), Value::Scalar(amount)) => *sum += *amount,
            (Self::Ranges(sum), Value::Ranges(ranges)) => *sum = sum.union(ranges),
            (Self::Set(sum), Value::Set(items)) => sum.extend(items.iter().map(String::as_str)),
            _ => {}
        }
    }
}

impl Serialize for ResourcesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut standard = [Scalar::ZERO; STANDARD.len()];
        let mut others: Vec<(&Resource, Sum<'_>)> = Vec::new();
        // A shared volume is there once, however often it is in use.
        for resource in self.0.distinct() {
            let revocable = resource.meta.revocable;
            let place = STANDARD.iter().position(|name| **name == *resource.name);
            if let (Some(place), Value::Scalar(amount), false) = (place, &resource.value, revocable)
            {
                standard[place] += *amount;
                continue;
            }
            let known = others.iter_mut().find(|(other, _)| {
                other.name == resource.name && other.meta.revocable == revocable
            });
            match known {
                Some((_, sum)) => sum.add(&resource.value),
                None => others.push((resource, Sum::of(&resource.value))),
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, amount) in STANDARD.iter().zip(standard) {
            map.serialize_entry(name, &amount.as_f64())?;
        }
        for (resource, sum) in &others {
            let suffix = if resource.meta.revocable {
                "_revocable"
            } else {
                ""
            };
            map.serialize_key(&format_args!("{}{suffix}", resource.name))?;
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

/// The resources one by one: `[{"name":"cpus","type":"SCALAR","scalar":{"value":4.0},"role":"*"}]`.
pub(super) struct FullJson<'a>(pub(super) &'a Resources);

impl Serialize for FullJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = self.0.to_wire(Format::Endpoint);
        List(wire.iter().map(Wire)).serialize(serializer)
    }
}

/// `{"rack":"r1","num":3.0}`.
pub(super) struct AttributesJson<'a>(pub(super) &'a [Attribute]);

impl Serialize for AttributesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, attribute) in self.0.iter().enumerate() {
            // The last one of a name counts: an object has each name once.
            let mut later = self.0[index + 1..].iter();
            if later.any(|later| later.name == attribute.name) {
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
                    let text = attribute.text.as_ref().map_or("", |text| &text.value);
                    map.serialize_value(text)?;
                }
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::{parse_attributes, parse_resources, resources_json};

    use super::*;

    #[test]
    fn the_standard_ones_come_first_and_all_say_what_the_shared_form_says() {
        let print =
            |resources: &Resources| serde_json::to_string(&ResourcesJson(resources)).unwrap();
        assert_eq!(
            print(&parse_resources("ports:[1-2];cpus:1;cpus(dev):0.5", "*").unwrap()),
            r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":1.5,"ports":"[1-2]"}"#
        );
        for text in [
            "",
            "cpus:0.1",
            "gpus:2;x:{b,a};y:7;y(r):1;ports:[1-2];ports(r):[3-3,7-9]",
        ] {
            let plain = parse_resources(text, "*").unwrap();
            let revocable = plain.map(|r| r.with_meta(|meta| meta.revocable = true));
            for resources in [plain, revocable] {
                let ours: serde_json::Value = serde_json::from_str(&print(&resources)).unwrap();
                assert_eq!(ours, resources_json(&resources), "{text}");
            }
        }
    }

    #[test]
    fn attributes_keep_their_order_and_the_last_of_a_name_counts() {
        let parsed = parse_attributes("rack:r0;zone:z1;num:3;ports:[1-2];rack:r1").unwrap();
        assert_eq!(
            serde_json::to_string(&AttributesJson(&parsed)).unwrap(),
            r#"{"zone":"z1","num":3.0,"ports":"[1-2]","rack":"r1"}"#
        );
    }
}
