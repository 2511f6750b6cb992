//! The messages are those of Apache Mesos: every package, message, field, number, label,
//! default and enum value is compared with a table made from its `.proto` files.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic like the tests"
)]

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::Value;

/// Lines of text, so that a difference reads well: `mesos.v1.Label.key = 1 required string`.
type Facts = BTreeSet<String>;

fn table() -> Facts {
    let table: Value = serde_json::from_str(include_str!("data/wire-fields.json")).unwrap();
    let mut facts = Facts::new();
    for (file, package) in table["packages"].as_object().unwrap() {
        facts.insert(format!("{file} package {}", text(package)));
    }
    for (name, kind) in table["types"].as_object().unwrap() {
        let file = text(&kind["file"]);
        facts.insert(format!("{file} {} {name}", text(&kind["kind"])));
        for value in kind["values"].as_array().unwrap_or(&vec![]) {
            facts.insert(format!(
                "{name}.{} = {}",
                text(&value["name"]),
                value["number"]
            ));
        }
        for field in kind["fields"].as_array().unwrap_or(&vec![]) {
            let (label, kind) = (text(&field["label"]), text(&field["type"]));
            let mut fact = format!(
                "{name}.{} = {} {label} {kind}",
                text(&field["name"]),
                field["number"]
            );
            if let Some(default) = field.get("default") {
                fact += &format!(" default {}", text(default));
            }
            if field["deprecated"] == true {
                fact += " deprecated";
            }
            if let Some(oneof) = field.get("oneof") {
                fact += &format!(" oneof {}", text(oneof));
            }
            facts.insert(fact);
        }
    }
    facts
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

struct Ours {
    facts: Facts,
    /// Entry messages of maps: key and value type.
    maps: BTreeMap<String, String>,
}

impl Ours {
    fn read() -> Facts {
        let set = FileDescriptorSet::decode(mesos_wire::DESCRIPTORS).unwrap();
        let mut ours = Self {
            facts: Facts::new(),
            maps: BTreeMap::new(),
        };
        for file in set
            .file
            .iter()
            .filter(|file| file.name().starts_with("mesos/v1/"))
        {
            ours.facts
                .insert(format!("{} package {}", file.name(), file.package()));
            ours.enums(file.name(), file.package(), &file.enum_type);
            ours.messages(file.name(), file.package(), &file.message_type);
        }
        ours.facts
    }

    fn enums(&mut self, file: &str, scope: &str, enums: &[EnumDescriptorProto]) {
        for kind in enums {
            let name = format!("{scope}.{}", kind.name());
            self.facts.insert(format!("{file} enum {name}"));
            for value in &kind.value {
                self.facts
                    .insert(format!("{name}.{} = {}", value.name(), value.number()));
            }
        }
    }

    fn messages(&mut self, file: &str, scope: &str, messages: &[DescriptorProto]) {
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            if message
                .options
                .as_ref()
                .is_some_and(|options| options.map_entry())
            {
                let [key, value] = &message.field[..] else {
                    panic!("{name} is no map entry")
                };
                self.maps
                    .insert(name, format!("map<{},{}>", kind(key), kind(value)));
                continue;
            }
            self.facts.insert(format!("{file} message {name}"));
            self.enums(file, &name, &message.enum_type);
            self.messages(file, &name, &message.nested_type);
            for field in &message.field {
                let mut label = match field.label() {
                    Label::Optional => "optional",
                    Label::Required => "required",
                    Label::Repeated => "repeated",
                };
                let mut kind = kind(field);
                if let Some(map) = self.maps.get(&kind) {
                    (label, kind) = ("map", map.clone());
                }
                let mut fact = format!(
                    "{name}.{} = {} {label} {kind}",
                    field.name(),
                    field.number()
                );
                if let Some(default) = &field.default_value {
                    fact += &format!(" default {default}");
                }
                if field
                    .options
                    .as_ref()
                    .is_some_and(|options| options.deprecated())
                {
                    fact += " deprecated";
                }
                if let Some(oneof) = field.oneof_index {
                    fact += &format!(" oneof {}", message.oneof_decl[oneof as usize].name());
                }
                self.facts.insert(fact);
            }
        }
    }
}

fn kind(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

#[test]
fn every_message_field_and_enum_value_is_mesoss() {
    let (table, ours) = (table(), Ours::read());
    let missing: Vec<_> = table.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&table).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing: {missing:#?}\nextra: {extra:#?}"
    );
    assert!(table.len() > 1_900, "only {} facts", table.len());
}
