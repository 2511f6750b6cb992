//! Protobuf bytes to JSON text.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::number::{write_double, write_float, write_signed, write_unsigned};
use crate::schema::{Cardinality, Enum, Field, Kind, Message, Schema};
use crate::tag::{Fields, Value};

const OURS: &str = "prost has written these bytes";

/// The JSON of a message that prost has encoded.
pub(super) fn from_protobuf(message: &Message, bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer {
        schema: Schema::get(),
        bytes,
        out: Vec::with_capacity(bytes.len() * 3 + 64),
        found: Vec::with_capacity(64),
    };
    writer.message(message, 0, bytes.len());
    writer.out
}

/// The JSON of each set field of a message that prost has encoded.
pub(super) fn fields(message: &Message, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut writer = Writer {
        schema: Schema::get(),
        bytes,
        out: Vec::new(),
        found: Vec::new(),
    };
    let mut fields = Fields::new(bytes, 0, bytes.len());
    while let Some(raw) = fields.next().expect(OURS) {
        if let Some(index) = message.index_of(raw.number) {
            writer.found.push((index, raw.value));
        }
    }
    writer.found.sort_by_key(|&(index, _)| index);
    let top = writer.found.len();
    let mut written = Vec::new();
    let mut at = 0;
    while at < top {
        let index = writer.found[at].0;
        let same = writer.found[at..].iter().take_while(|(i, _)| *i == index);
        let run = at + same.count();
        let field = &message.fields[index];
        writer.out.clear();
        if writer.field(field, at, run, 0) {
            written.push((index, writer.out.split_off(field.key.len())));
        }
        at = run;
    }
    written
}

/// The JSON of a default as the descriptor spells it.
pub(crate) fn write_default(kind: Kind, text: &str, enums: &[Enum]) -> Vec<u8> {
    let mut out = vec![];
    match kind {
        Kind::Double | Kind::Float => {
            write_double(
                &mut out,
                text.parse().expect("the compiler has checked defaults"),
            );
        }
        Kind::String | Kind::Bytes => write_string(&mut out, text),
        Kind::Enum(index) => {
            enums[index]
                .number(text)
                .expect("the compiler has checked defaults");
            write_string(&mut out, text);
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
    out
}

struct Writer<'a> {
    schema: &'static Schema,
    bytes: &'a [u8],
    out: Vec<u8>,
    /// Fields of the messages being written, outer ones first: index and value.
    found: Vec<(usize, Value)>,
}

impl Writer<'_> {
    fn message(&mut self, message: &Message, start: usize, end: usize) {
        let base = self.found.len();
        let mut fields = Fields::new(self.bytes, start, end);
        let mut sorted = true;
        while let Some(raw) = fields.next().expect(OURS) {
            if let Some(index) = message.index_of(raw.number) {
                sorted &= self
                    .found
                    .last()
                    .is_none_or(|last| self.found.len() == base || last.0 <= index);
                self.found.push((index, raw.value));
            }
        }
        if !sorted {
            // Stable, so elements keep their order.
            self.found[base..].sort_by_key(|&(index, _)| index);
        }
        let top = self.found.len();
        let mut at = base;
        let mut defaults = message
            .defaults
            .iter()
            .map(|&index| usize::from(index))
            .peekable();
        self.out.push(b'{');
        let body = self.out.len();
        while at < top {
            let index = self.found[at].0;
            while let Some(unset) = defaults.next_if(|&unset| unset < index) {
                self.default(&message.fields[unset], body);
            }
            let run = at
                + self.found[at..top]
                    .iter()
                    .take_while(|(i, _)| *i == index)
                    .count();
            let field = &message.fields[index];
            let written = self.field(field, at, run, body);
            if defaults.next_if_eq(&index).is_some() && !written {
                self.default(field, body);
            }
            at = run;
        }
        for unset in defaults {
            self.default(&message.fields[unset], body);
        }
        self.out.push(b'}');
        self.found.truncate(base);
    }

    fn key(&mut self, field: &Field, body: usize) {
        if self.out.len() > body {
            self.out.push(b',');
        }
        self.out.extend_from_slice(&field.key);
    }

    fn default(&mut self, field: &Field, body: usize) {
        if let Some(json) = &field.default {
            self.key(field, body);
            self.out.extend_from_slice(json);
        }
    }

    /// Writes the values `found[from..to]` of one field; false if none has a JSON form.
    fn field(&mut self, field: &Field, from: usize, to: usize, body: usize) -> bool {
        let before = self.out.len();
        self.key(field, body);
        let start = self.out.len();
        match field.cardinality {
            Cardinality::Optional | Cardinality::Required => {
                // Of several parts of a scalar the last counts; prost writes one of each.
                if self.value(field.kind, self.found[to - 1].1) {
                    return true;
                }
                self.out.truncate(before);
                return false;
            }
            Cardinality::Map => {
                self.out.push(b'{');
                for i in from..to {
                    self.comma(start);
                    self.entry(field.kind, self.found[i].1);
                }
                self.out.push(b'}');
            }
            Cardinality::Repeated => {
                self.out.push(b'[');
                for i in from..to {
                    self.elements(field.kind, self.found[i].1, start);
                }
                if self.out.len() == start + 1 {
                    self.out.truncate(before);
                    return false;
                }
                self.out.push(b']');
            }
        }
        true
    }

    /// A comma, unless the list that starts at `start` is still empty.
    fn comma(&mut self, start: usize) {
        if self.out.len() > start + 1 {
            self.out.push(b',');
        }
    }

    fn elements(&mut self, kind: Kind, value: Value, start: usize) {
        let packed = !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_));
        match value {
            Value::Bytes(from, to) if packed => {
                let mut fields = Fields::new(self.bytes, from, to);
                while fields.position() < to {
                    let value = match kind {
                        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
                            Value::Fixed64(fields.fixed64().expect(OURS))
                        }
                        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
                            Value::Fixed32(fields.fixed32().expect(OURS))
                        }
                        _ => Value::Varint(fields.varint().expect(OURS)),
                    };
                    self.element(kind, value, start);
                }
            }
            value => self.element(kind, value, start),
        }
    }

    fn element(&mut self, kind: Kind, value: Value, start: usize) {
        let before = self.out.len();
        self.comma(start);
        if !self.value(kind, value) {
            self.out.truncate(before);
        }
    }

    /// `key:value` of a map's entry, which is a message of two fields; unset ones count as empty.
    fn entry(&mut self, kind: Kind, entry: Value) {
        let (Kind::Message(index), Value::Bytes(start, end)) = (kind, entry) else {
            return;
        };
        let message = self.schema.message(index);
        let (mut key, mut value) = (None, None);
        let mut fields = Fields::new(self.bytes, start, end);
        while let Some(raw) = fields.next().expect(OURS) {
            match raw.number {
                1 => key = Some(raw.value),
                _ => value = Some(raw.value),
            }
        }
        let quoted = message.fields[0].kind == Kind::String;
        if !quoted {
            self.out.push(b'"');
        }
        self.value(
            message.fields[0].kind,
            key.unwrap_or(zero(message.fields[0].kind)),
        );
        self.out
            .extend_from_slice(if quoted { b":" } else { b"\":" });
        let kind = message.fields[1].kind;
        if !self.value(kind, value.unwrap_or(zero(kind))) {
            self.out.extend_from_slice(b"null");
        }
    }

    /// Writes one value; false, and nothing written, for an enum value without a name.
    fn value(&mut self, kind: Kind, value: Value) -> bool {
        let out = &mut self.out;
        match (kind, value) {
            (Kind::Double, Value::Fixed64(bits)) => write_double(out, f64::from_bits(bits)),
            (Kind::Float, Value::Fixed32(bits)) => write_float(out, f32::from_bits(bits)),
            (Kind::Int32, Value::Varint(n)) => write_signed(out, i64::from(n as i32)),
            (Kind::Int64, Value::Varint(n)) => write_signed(out, n.cast_signed()),
            (Kind::Uint32 | Kind::Uint64, Value::Varint(n)) => write_unsigned(out, n),
            (Kind::Sint32 | Kind::Sint64, Value::Varint(n)) => {
                write_signed(out, (n >> 1).cast_signed() ^ -((n & 1).cast_signed()));
            }
            (Kind::Fixed32, Value::Fixed32(n)) => write_unsigned(out, u64::from(n)),
            (Kind::Fixed64, Value::Fixed64(n)) => write_unsigned(out, n),
            (Kind::Sfixed32, Value::Fixed32(n)) => write_signed(out, i64::from(n.cast_signed())),
            (Kind::Sfixed64, Value::Fixed64(n)) => write_signed(out, n.cast_signed()),
            (Kind::Bool, Value::Varint(n)) => {
                out.extend_from_slice(if n == 0 { b"false" } else { b"true" });
            }
            (Kind::String, Value::Bytes(from, to)) => {
                write_string(out, std::str::from_utf8(&self.bytes[from..to]).expect(OURS));
            }
            (Kind::Bytes, Value::Bytes(from, to)) => write_base64(out, &self.bytes[from..to]),
            (Kind::Enum(index), Value::Varint(n)) => {
                match self.schema.enumeration(index).name(n as i32) {
                    Some(name) => write_string(out, name),
                    None => return false,
                }
            }
            (Kind::Message(index), Value::Bytes(from, to)) => {
                self.message(self.schema.message(index), from, to);
            }
            _ => unreachable!("prost writes each field in the wire type of its kind"),
        }
        true
    }
}

/// What an unset value of a map's entry stands for.
fn zero(kind: Kind) -> Value {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Value::Fixed64(0),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Value::Fixed32(0),
        Kind::String | Kind::Bytes | Kind::Message(_) => Value::Bytes(0, 0),
        _ => Value::Varint(0),
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..i]);
        start = i + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("four characters for each three bytes");
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use crate::json::to_vec;
    use crate::{WireMessage, v1};

    fn text<M: WireMessage>(message: &M) -> String {
        String::from_utf8(to_vec(message)).unwrap()
    }

    #[test]
    fn declared_defaults_are_written_unless_deprecated() {
        let info = v1::FrameworkInfo {
            user: "u".into(),
            name: "n".into(),
            ..Default::default()
        };
        assert_eq!(
            text(&info),
            r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#
        );
        assert_eq!(text(&v1::Filters::default()), r#"{"refuse_seconds":5.0}"#);
    }

    #[test]
    fn empty_lists_are_left_out_but_for_those_that_clients_expect() {
        assert_eq!(text(&v1::Labels::default()), "{}");
        assert_eq!(
            text(&v1::master::response::GetTasks::default()),
            r#"{"tasks":[],"unreachable_tasks":[],"completed_tasks":[]}"#
        );
        assert_eq!(text(&v1::master::response::GetOperations::default()), "{}");
    }

    #[test]
    fn an_enum_value_without_a_name_is_left_out() {
        let capability = v1::master_info::Capability { r#type: Some(99) };
        assert_eq!(text(&capability), "{}");
        // Where a default is declared, that stands for it.
        let variable = v1::environment::Variable {
            r#type: Some(99),
            name: "n".into(),
            ..Default::default()
        };
        assert_eq!(text(&variable), r#"{"name":"n","type":"VALUE"}"#);
    }

    #[test]
    fn bytes_are_base64_and_text_is_escaped() {
        let data = v1::executor::call::Message {
            data: vec![0xfb, 0xff, 0xfe, 1],
        };
        assert_eq!(text(&data), r#"{"data":"+//+AQ=="}"#);
        let id = v1::TaskId {
            value: "a\"\\/\n\u{1}\u{7f}é".into(),
        };
        assert_eq!(text(&id), "{\"value\":\"a\\\"\\\\/\\n\\u0001\u{7f}é\"}");
    }
}
