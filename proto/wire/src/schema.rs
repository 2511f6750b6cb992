//! Every v1 message and enum as tables, built once from the descriptors.
use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::WireMessage;
use crate::json::write_default;

/// The tables of this crate's own descriptors.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::build(crate::DESCRIPTORS));

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

/// Tables refer to each other by their index.
pub(crate) struct Schema {
    messages: Vec<Message>,
    enums: Vec<Enum>,
    names: HashMap<String, usize>,
}

/// One message type.
pub(crate) struct Message {
    /// Without package and outer messages.
    pub name: String,
    /// In the order of the definition.
    pub fields: Vec<Field>,
    /// Index into `fields` by field number.
    by_number: Vec<Option<u16>>,
    /// Indices of the required fields.
    pub required: Vec<u16>,
    /// Indices of the fields that JSON shows when they are unset.
    pub defaults: Vec<u16>,
    /// Estimated bytes of the decoded struct itself.
    pub size: usize,
    /// Whether it, or anything in it, has a required field.
    pub has_required: bool,
    /// Whether it, or anything in it, is a map to messages with required fields.
    pub has_strict_map: bool,
}

/// One field of a message.
pub(crate) struct Field {
    pub name: String,
    /// `"name":`, as it stands in JSON.
    pub key: Vec<u8>,
    pub number: u32,
    pub cardinality: Cardinality,
    pub kind: Kind,
    /// The JSON of the declared default, unless the field is deprecated; `[]` for the lists
    /// of [`ALWAYS_LISTED`].
    pub default: Option<Vec<u8>>,
    /// Place among the message's required fields.
    pub required_bit: u64,
    /// Whether the struct holds it behind a pointer of its own, not inline.
    pub on_heap: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cardinality {
    Optional,
    Required,
    Repeated,
    Map,
}

/// The type of a field's value; messages and enums by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(usize),
    Message(usize),
}

/// One enum type.
pub(crate) struct Enum {
    values: Vec<(String, i32)>,
}

impl Schema {
    pub fn get() -> &'static Self {
        &SCHEMA
    }

    /// The table of a generated type.
    pub fn of<M: WireMessage>() -> &'static Message {
        const {
            assert!(
                is_v1(M::PACKAGE),
                "only messages of mesos.v1 have JSON tables"
            )
        };
        let schema = Self::get();
        let index = schema
            .names
            .get(&M::full_name())
            .expect("types and tables have one source");
        &schema.messages[*index]
    }

    pub fn message(&self, index: usize) -> &Message {
        &self.messages[index]
    }

    pub fn enumeration(&self, index: usize) -> &Enum {
        &self.enums[index]
    }

    fn build(descriptors: &[u8]) -> Self {
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

    /// Index of the field with this number.
    pub fn index_of(&self, number: u32) -> Option<usize> {
        self.by_number
            .get(number as usize)
            .copied()
            .flatten()
            .map(usize::from)
    }

    /// Index of the field with this name; the search starts at `hint`, because input tends to
    /// have the order of the definition.
    pub fn index_named(&self, name: &str, hint: usize) -> Option<usize> {
        let hint = hint.min(self.fields.len());
        let (before, after) = self.fields.split_at(hint);
        let is_named = |field: &Field| field.name == name;
        after
            .iter()
            .position(is_named)
            .map(|i| i + hint)
            .or_else(|| before.iter().position(is_named))
    }

    /// A mask with the bit of every required field.
    pub fn required_mask(&self) -> u64 {
        match self.required.len() {
            0 => 0,
            n => u64::MAX >> (64 - n),
        }
    }

    fn children(&self) -> impl Iterator<Item = (&Field, usize)> {
        self.fields.iter().filter_map(|field| match field.kind {
            Kind::Message(child) => Some((field, child)),
            _ => None,
        })
    }
}

impl Field {
    /// Whether it holds any number of values.
    pub fn is_plural(&self) -> bool {
        matches!(self.cardinality, Cardinality::Repeated | Cardinality::Map)
    }

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

    /// The number that counts as default.
    pub fn first(&self) -> i32 {
        self.values.first().map_or(0, |(_, number)| *number)
    }

    pub fn name(&self, number: i32) -> Option<&str> {
        self.values
            .iter()
            .find(|(_, n)| *n == number)
            .map(|(name, _)| name.as_str())
    }

    pub fn number(&self, name: &str) -> Option<i32> {
        self.values
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, number)| *number)
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

const fn is_v1(package: &str) -> bool {
    let (package, v1) = (package.as_bytes(), b"mesos.v1");
    let mut i = 0;
    while i < v1.len() {
        if i >= package.len() || package[i] != v1[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    fn size_of<M: WireMessage>() -> (usize, usize) {
        (Schema::of::<M>().size, std::mem::size_of::<M>())
    }

    #[test]
    fn estimated_sizes_are_near_the_real_ones() {
        for (estimate, real) in [
            size_of::<v1::TaskInfo>(),
            size_of::<v1::Offer>(),
            size_of::<v1::Resource>(),
            size_of::<v1::offer::Operation>(),
            size_of::<v1::ContainerId>(),
            size_of::<v1::ContainerInfo>(),
            size_of::<v1::scheduler::Call>(),
        ] {
            assert!(
                estimate >= real / 2 && estimate <= real * 3,
                "{estimate} for {real}"
            );
        }
    }

    #[test]
    fn fields_are_found_by_name_from_any_hint() {
        let message = Schema::of::<v1::TaskInfo>();
        for (i, field) in message.fields.iter().enumerate() {
            for hint in 0..=message.fields.len() + 1 {
                assert_eq!(message.index_named(&field.name, hint), Some(i));
            }
            assert_eq!(message.index_of(field.number), Some(i));
        }
        assert_eq!(message.index_named("slave_id", 0), None);
    }

    #[test]
    fn only_recursive_and_repeated_messages_are_on_the_heap() {
        let id = Schema::of::<v1::ContainerId>();
        assert!(id.fields[id.index_named("parent", 0).unwrap()].on_heap);
        let task = Schema::of::<v1::TaskInfo>();
        assert!(!task.fields[task.index_named("executor", 0).unwrap()].on_heap);
        assert!(task.fields[task.index_named("resources", 0).unwrap()].on_heap);
    }
}
