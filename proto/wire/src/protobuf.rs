//! Reading protobuf: proto2's rules, which prost does not check, on the encoded bytes.
//!
//! Required fields must be present; a value that an enum does not know is as if it were not
//! there; nesting and memory are bounded before anything is allocated.
use std::fmt::Write as _;

use crate::error::{DecodeError, MalformedProtobuf, MissingFields};
use crate::schema::{Cardinality, Field, Kind, Message, Schema};
use crate::tag::{self, Fields, Malformed, Value};
use crate::{NESTING_LIMIT, WireMessage};

/// What any input may take in decoded form, bytes.
const MEMORY_BASE: usize = 16 << 20;
/// What it may take on top, for each byte of it. Resources, the smallest thing that fills big
/// messages, take about 30 times their encoded length.
const MEMORY_FACTOR: usize = 64;

/// Reads one message, see [`crate::decode`].
///
/// # Errors
/// As [`crate::decode`].
pub fn from_slice<M: WireMessage>(bytes: &[u8]) -> Result<M, DecodeError> {
    let message = Schema::of::<M>();
    let malformed = |Malformed(text)| DecodeError::Protobuf {
        message: &message.name,
        source: MalformedProtobuf(text.to_owned()),
    };
    let mut survey = Survey::new(bytes);
    survey
        .message(message, 0, bytes.len(), 0)
        .map_err(malformed)?;
    let clean;
    let bytes = if survey.unclean {
        let mut out = Vec::with_capacity(bytes.len());
        canonical(message, bytes, &mut out).map_err(malformed)?;
        clean = out;
        &clean
    } else {
        bytes
    };
    if survey.memory > memory_limit(bytes.len()) {
        return Err(DecodeError::TooLarge {
            message: &message.name,
        });
    }
    if survey.unclean || survey.incomplete {
        let fields = missing(message, bytes);
        if !fields.paths.is_empty() {
            return Err(DecodeError::ProtobufMissing {
                message: &message.name,
                fields,
            });
        }
    }
    decode(message, bytes)
}

/// Decodes bytes whose required fields are known to be there.
pub(crate) fn decode<M: WireMessage>(
    message: &'static Message,
    bytes: &[u8],
) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|error| DecodeError::Protobuf {
        message: &message.name,
        source: MalformedProtobuf(error.to_string()),
    })
}

/// Bytes of decoded structs that input of `length` bytes may ask for.
pub(crate) fn memory_limit(length: usize) -> usize {
    MEMORY_BASE.saturating_add(length.saturating_mul(MEMORY_FACTOR))
}

/// Whether every required field is there, in bytes that this crate has written.
pub(crate) fn is_complete(message: &Message, bytes: &[u8]) -> bool {
    let mut survey = Survey::new(bytes);
    survey.message(message, 0, bytes.len(), 0).is_ok() && !survey.incomplete
}

/// What one pass over the bytes finds out.
struct Survey<'a> {
    schema: &'static Schema,
    bytes: &'a [u8],
    /// Estimated bytes of the decoded structs.
    memory: usize,
    /// A required field is missing somewhere.
    incomplete: bool,
    /// There are unknown enum values, or a singular message comes in several parts.
    unclean: bool,
}

impl<'a> Survey<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            schema: Schema::get(),
            bytes,
            memory: 0,
            incomplete: false,
            unclean: false,
        }
    }

    fn message(
        &mut self,
        message: &Message,
        start: usize,
        end: usize,
        depth: usize,
    ) -> Result<(), Malformed> {
        if depth > NESTING_LIMIT {
            return Err(Malformed("messages are nested too deep"));
        }
        let mut required = 0u64;
        let mut parts = 0u128;
        let mut fields = Fields::new(self.bytes, start, end);
        while let Some(raw) = fields.next()? {
            let Some(index) = message.index_of(raw.number) else {
                continue;
            };
            let field = &message.fields[index];
            match (field.kind, raw.value) {
                (Kind::Message(child), Value::Bytes(from, to)) => {
                    let child = self.schema.message(child);
                    if field.on_heap {
                        self.memory = self.memory.saturating_add(child.size);
                    }
                    if !field.is_plural() {
                        let bit = 1u128.checked_shl(index as u32).unwrap_or_default();
                        self.unclean |= parts & bit != 0;
                        parts |= bit;
                    }
                    self.message(child, from, to, depth + 1)?;
                }
                (Kind::Enum(kind), Value::Varint(number)) => {
                    self.unclean |= self.schema.enumeration(kind).name(number as i32).is_none();
                }
                (Kind::Enum(_), Value::Bytes(from, to)) => {
                    self.unclean |= !self.knows_all(field, from, to)?;
                }
                _ => {}
            }
            required |= field.required_bit;
        }
        self.incomplete |= required != message.required_mask();
        Ok(())
    }

    /// Whether each value of a packed enum field has a name.
    fn knows_all(&self, field: &Field, start: usize, end: usize) -> Result<bool, Malformed> {
        let Kind::Enum(kind) = field.kind else {
            return Ok(true);
        };
        let mut values = Fields::new(self.bytes, start, end);
        let mut known = true;
        while values.position() < end {
            let number = values.varint()?;
            known &= self.schema.enumeration(kind).name(number as i32).is_some();
        }
        Ok(known)
    }
}

impl Field {
    fn is_plural(&self) -> bool {
        matches!(self.cardinality, Cardinality::Repeated | Cardinality::Map)
    }
}

/// Appends `bytes` to `out` with the parts of each singular message put together and without
/// unknown enum values. Only for bytes that a [`Survey`] has passed, so depth is bounded.
fn canonical(message: &Message, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let schema = Schema::get();
    let mut parts: Vec<(usize, Vec<u8>)> = vec![];
    let mut fields = Fields::new(bytes, 0, bytes.len());
    while let Some(raw) = fields.next()? {
        let whole = &bytes[raw.start..fields.position()];
        let index = message.index_of(raw.number);
        let field = index.map(|index| &message.fields[index]);
        match (field.map(|field| field.kind), raw.value) {
            (Some(Kind::Message(child)), Value::Bytes(from, to)) => {
                let content = &bytes[from..to];
                if field.is_some_and(Field::is_plural) {
                    let start = tag::open(out, raw.number);
                    canonical(schema.message(child), content, out)?;
                    tag::close(out, start);
                } else if let Some((_, part)) = parts.iter_mut().find(|(i, _)| Some(*i) == index) {
                    part.extend_from_slice(content);
                } else {
                    parts.extend(index.map(|index| (index, content.to_vec())));
                }
            }
            (Some(Kind::Enum(kind)), Value::Varint(number)) => {
                if schema.enumeration(kind).name(number as i32).is_some() {
                    out.extend_from_slice(whole);
                }
            }
            (Some(Kind::Enum(kind)), Value::Bytes(from, to)) => {
                let mut values = Fields::new(bytes, from, to);
                while values.position() < to {
                    let number = values.varint()?;
                    if schema.enumeration(kind).name(number as i32).is_some() {
                        tag::put_tag(out, raw.number, tag::VARINT);
                        tag::put_varint(out, number);
                    }
                }
            }
            _ => out.extend_from_slice(whole),
        }
    }
    for (index, content) in parts {
        let field = &message.fields[index];
        if let Kind::Message(child) = field.kind {
            let start = tag::open(out, field.number);
            canonical(schema.message(child), &content, out)?;
            tag::close(out, start);
        }
    }
    Ok(())
}

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
        path.push_str(&field.name);
        if field.is_plural() {
            write!(path, "[{element}]").expect("a String takes any text");
        }
        path.push('.');
        collect_missing(
            Schema::get().message(child),
            &bytes[from..to],
            path,
            depth + 1,
            found,
        );
        path.truncate(length);
    }
}
