//! Entries of maps, which prost writes shorter than proto2 allows.
use crate::schema::{Cardinality, Field, Kind, Message, Schema};
use crate::tag::{self, Fields, Malformed, Value};

/// prost leaves the value of a map's entry out when it is the default, even if that has
/// required fields (a quota of 0.0), and then no other reader takes the message.
pub(super) fn complete_maps(message: &Message, bytes: Vec<u8>) -> Vec<u8> {
    if !message.has_strict_map {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len() + 16);
    match copy_with_maps(message, &bytes, &mut out) {
        Ok(true) => out,
        Ok(false) | Err(_) => bytes,
    }
}

/// Copies a message to `out` and adds what is missing; whether anything was.
fn copy_with_maps(message: &Message, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Malformed> {
    let schema = Schema::get();
    let mut added = false;
    let mut fields = Fields::new(bytes, 0, bytes.len());
    while let Some(raw) = fields.next()? {
        let whole = &bytes[raw.start..fields.position()];
        let field = message
            .index_of(raw.number)
            .map(|index| &message.fields[index]);
        let (Some(field), Value::Bytes(from, to)) = (field, raw.value) else {
            out.extend_from_slice(whole);
            continue;
        };
        let content = &bytes[from..to];
        match field.kind {
            Kind::Message(entry) if field.cardinality == Cardinality::Map => {
                let value = &schema.message(entry).fields[1];
                let start = tag::open(out, raw.number);
                added |= copy_with_maps(schema.message(entry), content, out)?;
                if let Kind::Message(kind) = value.kind
                    && schema.message(kind).has_required
                    && entry_value(content)?.is_none()
                {
                    put_zero(value, out);
                    added = true;
                }
                tag::close(out, start);
            }
            Kind::Message(child) if schema.message(child).has_strict_map => {
                let start = tag::open(out, raw.number);
                added |= copy_with_maps(schema.message(child), content, out)?;
                tag::close(out, start);
            }
            _ => out.extend_from_slice(whole),
        }
    }
    Ok(added)
}

/// Writes a field with the value that prost takes for unset.
fn put_zero(field: &Field, out: &mut Vec<u8>) {
    match field.kind {
        Kind::Message(child) => {
            let start = tag::open(out, field.number);
            let child = Schema::get().message(child);
            for &index in &child.required {
                put_zero(&child.fields[usize::from(index)], out);
            }
            tag::close(out, start);
        }
        Kind::String | Kind::Bytes => tag::put_bytes(out, field.number, &[]),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
            tag::put_tag(out, field.number, tag::FIXED64);
            out.extend_from_slice(&[0; 8]);
        }
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
            tag::put_tag(out, field.number, tag::FIXED32);
            out.extend_from_slice(&[0; 4]);
        }
        Kind::Enum(kind) => {
            tag::put_tag(out, field.number, tag::VARINT);
            let first = Schema::get().enumeration(kind).first();
            tag::put_varint(out, i64::from(first).cast_unsigned());
        }
        _ => {
            tag::put_tag(out, field.number, tag::VARINT);
            out.push(0);
        }
    }
}

/// Range of the value in a map's entry.
pub(super) fn entry_value(entry: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut found = None;
    let mut fields = Fields::new(entry, 0, entry.len());
    while let Some(raw) = fields.next()? {
        if let (2, Value::Bytes(from, to)) = (raw.number, raw.value) {
            found = Some((from, to));
        }
    }
    Ok(found)
}
