//! Random whole messages of any type, as protobuf bytes, made from the descriptors.
use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Below this depth only required fields are made.
const FULL_DEPTH: usize = 5;

/// Descriptors by full name, with its leading dot.
#[derive(Default)]
struct Types {
    messages: HashMap<String, DescriptorProto>,
    enums: HashMap<String, EnumDescriptorProto>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(mesos_wire::DESCRIPTORS).unwrap();
    let mut types = Types::default();
    for file in set.file {
        types.add(
            &format!(".{}", file.package()),
            &file.message_type,
            &file.enum_type,
        );
    }
    types
});

impl Types {
    fn add(&mut self, scope: &str, messages: &[DescriptorProto], enums: &[EnumDescriptorProto]) {
        for kind in enums {
            self.enums
                .insert(format!("{scope}.{}", kind.name()), kind.clone());
        }
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            self.add(&name, &message.nested_type, &message.enum_type);
            self.messages.insert(name, message.clone());
        }
    }
}

/// xorshift64*, so that a seed gives the same message again.
pub struct Generator {
    state: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1 }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % n
    }

    /// A message with this full name.
    pub fn message(&mut self, name: &str) -> Vec<u8> {
        let mut out = vec![];
        self.fields(&format!(".{name}"), 0, &mut out);
        out
    }

    fn fields(&mut self, name: &str, depth: usize, out: &mut Vec<u8>) {
        let message = &TYPES.messages[name];
        let is_entry = message.options.as_ref().is_some_and(|o| o.map_entry());
        for field in &message.field {
            let count = match field.label() {
                Label::Required => 1,
                _ if is_entry => 1,
                _ if depth >= FULL_DEPTH => 0,
                Label::Optional => u64::from(self.below(3) == 0),
                Label::Repeated => self.below(6).saturating_sub(3),
            };
            for _ in 0..count {
                self.field(field, depth, out);
            }
        }
    }

    fn field(&mut self, field: &FieldDescriptorProto, depth: usize, out: &mut Vec<u8>) {
        let number = field.number() as u32;
        match field.r#type() {
            Type::Double => {
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&self.double().to_le_bytes());
            }
            Type::String => {
                let text = self.text();
                self.bytes(number, text.as_bytes(), out);
            }
            Type::Bytes => {
                let bytes: Vec<u8> = (0..self.below(9)).map(|_| self.below(256) as u8).collect();
                self.bytes(number, &bytes, out);
            }
            Type::Message => {
                let mut inner = vec![];
                self.fields(field.type_name(), depth + 1, &mut inner);
                self.bytes(number, &inner, out);
            }
            Type::Enum => {
                let values = &TYPES.enums[field.type_name()].value;
                let numbers: Vec<i32> = values.iter().map(|value| value.number()).collect();
                let value = numbers[self.below(numbers.len() as u64) as usize];
                self.varint(number, i64::from(value) as u64, out);
            }
            Type::Bool => {
                let value = self.below(2);
                self.varint(number, value, out);
            }
            Type::Uint32 => {
                let value = self.integer() & 0xffff_ffff;
                self.varint(number, value, out);
            }
            Type::Int32 => {
                let value = i64::from(self.integer() as i32) as u64;
                self.varint(number, value, out);
            }
            Type::Int64 | Type::Uint64 => {
                let value = self.integer();
                self.varint(number, value, out);
            }
            other => panic!("v1 has no field of type {other:?}"),
        }
    }

    fn varint(&mut self, number: u32, value: u64, out: &mut Vec<u8>) {
        encode_key(number, WireType::Varint, out);
        encode_varint(value, out);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8], out: &mut Vec<u8>) {
        encode_key(number, WireType::LengthDelimited, out);
        encode_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }

    fn integer(&mut self) -> u64 {
        match self.below(5) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => self.below(40_000),
            _ => self.below(u64::MAX),
        }
    }

    fn double(&mut self) -> f64 {
        match self.below(6) {
            0 => 0.0,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => self.below(4_000) as f64 / 1_000.0,
            4 => self.below(100_000) as f64,
            _ => Some(f64::from_bits(self.integer()))
                .filter(|v| v.is_finite())
                .unwrap_or(-1.5),
        }
    }

    fn text(&mut self) -> String {
        const CHARS: &[char] = &[
            'a', 'Z', '7', '"', '\\', '/', '\n', '\u{1}', 'é', '😀', ' ', '\u{7f}',
        ];
        (0..self.below(8))
            .map(|_| CHARS[self.below(CHARS.len() as u64) as usize])
            .collect()
    }
}
