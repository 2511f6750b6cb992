//! Descriptors to tables.
use std::collections::HashMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::{Cardinality, Enum, Field, Kind, Message, Schema};
use crate::json::write_default;

/// Lists that JSON shows even when they are empty: Apache Mesos writes these answers by hand
/// (`jsonifyGetTasks` and its like in `master/readonly_handler.cpp` and `slave/http.cpp`), and
/// clients take the lists for granted.
const ALWAYS_LISTED: &[(&str, &[&str])] = &[
    (
        ".mesos.v1.master.Response.GetTasks",
        &["tasks", "unreachable_tasks", "completed_tasks"],
    ),
    (".mesos.v1.master.Response.GetExecutors", &["executors"]),
    (
        ".mesos.v1.master.Response.GetFrameworks",
        &["frameworks", "completed_frameworks"],
    ),
    (
        ".mesos.v1.master.Response.GetAgents",
        &["agents", "recovered_agents"],
    ),
    (
        ".mesos.v1.agent.Response.GetTasks",
        &[
            "pending_tasks",
            "queued_tasks",
            "launched_tasks",
            "terminated_tasks",
            "completed_tasks",
        ],
    ),
    (
        ".mesos.v1.agent.Response.GetExecutors",
        &["executors", "completed_executors"],
    ),
    (
        ".mesos.v1.agent.Response.GetFrameworks",
        &["frameworks", "completed_frameworks"],
    ),
];

impl Schema {
    /// Builds the tables of an encoded `FileDescriptorSet`.
    pub(super) fn build(descriptors: &[u8]) -> Self {
        let set = FileDescriptorSet::decode(descriptors).expect("the build wrote them");
        let mut found = Found::default();
        for file in &set.file {
            let scope = format!(".{}", file.package());
            found.enums(&scope, &file.enum_type);
            found.messages(&scope, &file.message_type);
        }
        let enums: Vec<Enum> = found.enums.iter().map(|(_, e)| Enum::new(e)).collect();
        let names = Names {
            messages: found
                .messages
                .iter()
                .enumerate()
                .map(|(i, (n, _))| (n.clone(), i))
                .collect(),
            enums: found
                .enums
                .iter()
                .enumerate()
                .map(|(i, (n, _))| (n.clone(), i))
                .collect(),
            map_entries: found
                .messages
                .iter()
                .filter(|(_, m)| m.options.as_ref().is_some_and(|o| o.map_entry()))
                .map(|(name, _)| name.clone())
                .collect(),
        };
        let messages = found
            .messages
            .iter()
            .map(|(name, m)| Message::new(name, m, &names, &enums))
            .collect();
        let mut schema = Self {
            messages,
            enums,
            names: names
                .messages
                .into_iter()
                .map(|(name, i)| (name.trim_start_matches('.').to_owned(), i))
                .collect(),
        };
        schema.mark();
        schema.measure();
        schema
    }

    /// Spreads `has_required` and `has_strict_map` from children to parents until nothing
    /// changes.
    fn mark(&mut self) {
        loop {
            let mut changed = false;
            for i in 0..self.messages.len() {
                let message = &self.messages[i];
                let has_required = !message.required.is_empty()
                    || message
                        .children()
                        .any(|(_, child)| self.messages[child].has_required);
                let has_strict_map = message.children().any(|(field, child)| {
                    let child = &self.messages[child];
                    child.has_strict_map
                        || field.cardinality == Cardinality::Map && child.has_required
                });
                let message = &mut self.messages[i];
                changed |= has_required != message.has_required
                    || has_strict_map != message.has_strict_map;
                message.has_required = has_required;
                message.has_strict_map = has_strict_map;
            }
            if !changed {
                return;
            }
        }
    }

    fn measure(&mut self) {
        let mut sizes = vec![None; self.messages.len()];
        for i in 0..self.messages.len() {
            self.size(i, &mut sizes, &mut vec![]);
        }
        for (message, size) in self.messages.iter_mut().zip(&sizes) {
            message.size = size.unwrap_or_default();
        }
        for i in 0..self.messages.len() {
            let boxed: Vec<usize> = self.messages[i]
                .children()
                .filter(|&(field, child)| field.on_heap || self.reaches(child, i))
                .filter_map(|(field, _)| self.messages[i].index_of(field.number))
                .collect();
            for field in boxed {
                self.messages[i].fields[field].on_heap = true;
            }
        }
    }

    /// The struct's size as prost lays it out: optional messages inline, recursive ones boxed.
    fn size(&self, index: usize, sizes: &mut [Option<usize>], path: &mut Vec<usize>) -> usize {
        if let Some(size) = sizes[index] {
            return size;
        }
        if path.contains(&index) {
            return 8;
        }
        path.push(index);
        let size = self.messages[index]
            .fields
            .iter()
            .map(|field| match (field.on_heap, field.kind) {
                (true, _) | (_, Kind::String | Kind::Bytes) => 24,
                (false, Kind::Message(child)) => 8 + self.size(child, sizes, path),
                (false, Kind::Bool | Kind::Enum(_)) => 8,
                (false, _) => 16,
            })
            .sum();
        path.pop();
        sizes[index] = Some(size);
        size
    }

    /// Whether `to` is `from` or lies in it through singular fields.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![];
        let mut todo = vec![from];
        while let Some(index) = todo.pop() {
            if index == to {
                return true;
            }
            if !seen.contains(&index) {
                seen.push(index);
                let inline = self.messages[index]
                    .children()
                    .filter(|(field, _)| !field.on_heap);
                todo.extend(inline.map(|(_, child)| child));
            }
        }
        false
    }
}

impl Message {
    fn new(full_name: &str, message: &DescriptorProto, names: &Names, enums: &[Enum]) -> Self {
        let listed = ALWAYS_LISTED.iter().find(|(name, _)| *name == full_name);
        let listed = listed.map_or(&[][..], |(_, fields)| fields);
        let mut fields = Vec::with_capacity(message.field.len());
        let mut required = vec![];
        for (index, field) in (0u16..).zip(&message.field) {
            let mut field = Field::new(field, names, enums);
            if listed.contains(&field.name.as_str()) {
                field.default = Some(b"[]".to_vec());
            }
            if field.cardinality == Cardinality::Required {
                field.required_bit = 1 << required.len();
                required.push(index);
            }
            fields.push(field);
        }
        let top = fields
            .iter()
            .map(|f| f.number as usize)
            .max()
            .map_or(0, |top| top + 1);
        let mut by_number = vec![None; top];
        for (index, field) in (0u16..).zip(&fields) {
            by_number[field.number as usize] = Some(index);
        }
        let defaults = (0u16..)
            .zip(&fields)
            .filter(|(_, f)| f.default.is_some())
            .map(|(i, _)| i)
            .collect();
        Self {
            name: message.name().to_owned(),
            fields,
            by_number,
            required,
            defaults,
            size: 0,
            has_required: false,
            has_strict_map: false,
        }
    }
}

impl Field {
    fn new(field: &FieldDescriptorProto, names: &Names, enums: &[Enum]) -> Self {
        let kind = kind(field, names);
        let cardinality = match field.label() {
            Label::Repeated if names.map_entries.iter().any(|n| n == field.type_name()) => {
                Cardinality::Map
            }
            Label::Repeated => Cardinality::Repeated,
            Label::Required => Cardinality::Required,
            Label::Optional => Cardinality::Optional,
        };
        let deprecated = field
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated());
        let default = field.default_value.as_deref().filter(|_| !deprecated);
        Self {
            name: field.name().to_owned(),
            key: format!("\"{}\":", field.name()).into_bytes(),
            number: field.number().cast_unsigned(),
            cardinality,
            kind,
            default: default.map(|text| write_default(kind, text, enums)),
            required_bit: 0,
            on_heap: matches!(cardinality, Cardinality::Repeated | Cardinality::Map),
        }
    }
}

impl Enum {
    fn new(descriptor: &EnumDescriptorProto) -> Self {
        let values = descriptor
            .value
            .iter()
            .map(|v| (v.name().to_owned(), v.number()))
            .collect();
        Self { values }
    }
}

/// Descriptors by full name, with its leading dot.
#[derive(Default)]
struct Found<'a> {
    messages: Vec<(String, &'a DescriptorProto)>,
    enums: Vec<(String, &'a EnumDescriptorProto)>,
}

impl<'a> Found<'a> {
    fn enums(&mut self, scope: &str, enums: &'a [EnumDescriptorProto]) {
        self.enums
            .extend(enums.iter().map(|e| (format!("{scope}.{}", e.name()), e)));
    }

    fn messages(&mut self, scope: &str, messages: &'a [DescriptorProto]) {
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            self.enums(&name, &message.enum_type);
            self.messages(&name, &message.nested_type);
            self.messages.push((name, message));
        }
    }
}

struct Names {
    messages: HashMap<String, usize>,
    enums: HashMap<String, usize>,
    map_entries: Vec<String>,
}

fn kind(field: &FieldDescriptorProto, names: &Names) -> Kind {
    match field.r#type() {
        Type::Double => Kind::Double,
        Type::Float => Kind::Float,
        Type::Int32 => Kind::Int32,
        Type::Int64 => Kind::Int64,
        Type::Uint32 => Kind::Uint32,
        Type::Uint64 => Kind::Uint64,
        Type::Sint32 => Kind::Sint32,
        Type::Sint64 => Kind::Sint64,
        Type::Fixed32 => Kind::Fixed32,
        Type::Fixed64 => Kind::Fixed64,
        Type::Sfixed32 => Kind::Sfixed32,
        Type::Sfixed64 => Kind::Sfixed64,
        Type::Bool => Kind::Bool,
        Type::String => Kind::String,
        Type::Bytes => Kind::Bytes,
        Type::Enum => Kind::Enum(names.enums[field.type_name()]),
        // v1 has no groups.
        Type::Message | Type::Group => Kind::Message(names.messages[field.type_name()]),
    }
}
