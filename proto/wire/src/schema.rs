//! Every v1 message and enum as tables, built once from the descriptors.
mod build;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::WireMessage;

/// The tables of this crate's own descriptors.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::build(crate::DESCRIPTORS));

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
    /// that are always there.
    pub default: Option<Vec<u8>>,
    /// Place among the message's required fields.
    pub required_bit: u64,
    /// Whether the struct holds it behind a pointer of its own, not inline.
    pub on_heap: bool,
}

/// How many values a field has.
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
}

impl Message {
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
}

impl Enum {
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
