//! The list of required fields that are missing.
use std::fmt::Write as _;

use super::maps::entry_value;
use crate::NESTING_LIMIT;
use crate::error::MissingFields;
use crate::schema::{Cardinality, Kind, Message, Schema};
use crate::tag::{Fields, Value};

/// Lists the required fields that are not there: those of a message before those in it, and
/// these by field number, as `InitializationErrorString` of Google's protobuf does.
pub(crate) fn missing(message: &Message, bytes: &[u8]) -> MissingFields {
    let mut found = MissingFields::default();
    collect_missing(message, bytes, &mut String::new(), 0, &mut found);
    found
}

fn collect_missing(
    message: &Message,
    bytes: &[u8],
    path: &mut String,
    depth: usize,
    found: &mut MissingFields,
) {
    if !message.has_required || depth > NESTING_LIMIT {
        return;
    }
    let mut required = 0u64;
    let mut children = vec![];
    let mut fields = Fields::new(bytes, 0, bytes.len());
    while let Ok(Some(raw)) = fields.next() {
        let Some(index) = message.index_of(raw.number) else {
            continue;
        };
        required |= message.fields[index].required_bit;
        if let (Kind::Message(child), Value::Bytes(from, to)) =
            (message.fields[index].kind, raw.value)
        {
            children.push((raw.number, index, child, from, to));
        }
    }
    for &index in &message.required {
        let field = &message.fields[usize::from(index)];
        if required & field.required_bit == 0 {
            found.push(|| format!("{path}{}", field.name));
        }
    }
    children.sort_by_key(|&(number, ..)| number);
    let mut element = 0usize;
    let mut last = None;
    let length = path.len();
    for (number, index, child, from, to) in children {
        element = if last == Some(number) { element + 1 } else { 0 };
        last = Some(number);
        let field = &message.fields[index];
        let mut child = Schema::get().message(child);
        let mut content = &bytes[from..to];
        path.push_str(&field.name);
        let written = match field.cardinality {
            Cardinality::Map => {
                let (Kind::Message(value), Ok(Some((from, to)))) =
                    (child.fields[1].kind, entry_value(content))
                else {
                    path.truncate(length);
                    continue;
                };
                let key = entry_key(content);
                child = Schema::get().message(value);
                content = &content[from..to];
                write!(path, "[{key:?}].")
            }
            Cardinality::Repeated => write!(path, "[{element}]."),
            Cardinality::Optional | Cardinality::Required => path.write_char('.'),
        };
        written.expect("a String takes any text");
        collect_missing(child, content, path, depth + 1, found);
        path.truncate(length);
    }
}

/// The key of a map's entry, at most 64 bytes of it, for an error.
fn entry_key(entry: &[u8]) -> String {
    let mut fields = Fields::new(entry, 0, entry.len());
    while let Ok(Some(raw)) = fields.next() {
        match (raw.number, raw.value) {
            (1, Value::Bytes(from, to)) => {
                return String::from_utf8_lossy(&entry[from..to.min(from + 64)]).into_owned();
            }
            (1, Value::Varint(number)) => return number.to_string(),
            _ => {}
        }
    }
    String::new()
}
